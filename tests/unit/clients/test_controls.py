from __future__ import annotations

from pathlib import Path

import pygame
import pytest

from clients.viewer.controls import MAX_STEER, KeyboardDriver
from clients.viewer.hud import help_columns
from clients.viewer.keys import GROUPS, KEYS, NUM_RULE_KEYS, Action, Key, help_page, help_rows, markdown

STEP_S = 1 / 60


def drive(driver: KeyboardDriver, num_steps: int) -> None:
    for _ in range(num_steps - 1):
        driver.step(STEP_S)


def test_no_code_has_two_meanings_and_every_action_has_a_key() -> None:
    codes = [(code, key.shift) for key in KEYS for code in key.codes]
    assert len(codes) == len(set(codes))
    assert {key.action for key in KEYS} == set(Action)


def test_the_help_is_the_table() -> None:
    assert ("P", "autopilot on or off") in help_rows()
    assert len(help_rows()) == len(KEYS)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.names)
def test_every_key_does_what_the_table_says(key: Key) -> None:
    for code in key.codes:
        assert KeyboardDriver().press(code, shift=key.shift) is key.action


def test_shift_changes_only_keys_that_have_a_meaning_with_it() -> None:
    assert KeyboardDriver().press(pygame.K_w, shift=True) is Action.THROTTLE
    assert KeyboardDriver().press(pygame.K_c, shift=True) is Action.WEATHER_BACK


def test_the_document_is_the_table() -> None:
    document = Path(__file__).parents[3] / "docs" / "keys.md"
    assert document.read_text() == markdown(), "python -m clients.viewer.keys > docs/keys.md"
    assert sum(len(help_rows(group)) for group in GROUPS) == len(KEYS)


def test_other_keys_do_nothing() -> None:
    driver = KeyboardDriver()
    assert driver.press(pygame.K_F12) is None
    assert not driver.driving


def test_throttle_builds_up_while_held_and_falls_when_released() -> None:
    driver = KeyboardDriver()
    driver.press(pygame.K_w)
    assert driver.step(STEP_S).throttle == pytest.approx(0.1)
    assert driver.step(STEP_S).throttle == pytest.approx(0.2)
    drive(driver, 20)
    assert driver.step(STEP_S).throttle == 1.0
    driver.release(pygame.K_w)
    assert driver.step(STEP_S).throttle == 0.0


def test_brake_builds_up_twice_as_fast() -> None:
    driver = KeyboardDriver()
    driver.press(pygame.K_DOWN)
    assert driver.step(STEP_S).brake == pytest.approx(0.2)


def test_steering_winds_up_springs_back_and_changes_sides_through_the_middle() -> None:
    driver = KeyboardDriver()
    driver.press(pygame.K_a)
    assert driver.step(0.2).steer == pytest.approx(-0.1)
    assert driver.step(100.0).steer == -MAX_STEER
    driver.release(pygame.K_a)
    driver.press(pygame.K_RIGHT)
    assert driver.step(0.2).steer == pytest.approx(0.1)
    driver.release(pygame.K_RIGHT)
    assert driver.step(STEP_S).steer == 0.0


@pytest.mark.parametrize("code", [pygame.K_w, pygame.K_s, pygame.K_a, pygame.K_d, pygame.K_SPACE, pygame.K_q])
def test_a_driving_key_takes_over_from_the_autopilot_and_p_gives_back(code: int) -> None:
    driver = KeyboardDriver()
    driver.press(code)
    assert driver.driving
    driver.press(pygame.K_p)
    assert not driver.driving


def test_view_keys_leave_the_wheel_to_the_autopilot() -> None:
    driver = KeyboardDriver()
    for code in (pygame.K_l, pygame.K_h, pygame.K_F1, pygame.K_BACKSPACE):
        driver.press(code)
    assert not driver.driving


def test_reverse_stays_until_pressed_again_and_ends_with_the_drive() -> None:
    driver = KeyboardDriver()
    driver.press(pygame.K_q)
    driver.release(pygame.K_q)
    assert driver.step(STEP_S).reverse
    driver.press(pygame.K_q)
    assert not driver.step(STEP_S).reverse
    driver.press(pygame.K_q)
    driver.press(pygame.K_BACKSPACE)
    assert not driver.step(STEP_S).reverse


def test_two_keys_for_one_action_are_held_independently() -> None:
    driver = KeyboardDriver()
    driver.press(pygame.K_SPACE)
    driver.press(pygame.K_w)
    driver.press(pygame.K_UP)
    driver.release(pygame.K_w)
    control = driver.step(STEP_S)
    assert control.throttle > 0
    assert control.hand_brake


def test_a_window_that_loses_the_keyboard_lets_go_of_everything() -> None:
    driver = KeyboardDriver()
    driver.press(pygame.K_w)
    driver.press(pygame.K_a)
    driver.release_all()
    control = driver.step(STEP_S)
    assert (control.throttle, control.steer) == (0.0, 0.0)
    assert driver.driving


def test_the_help_has_every_key_under_its_heading_and_rules_as_one_row() -> None:
    rows = help_page()
    assert [title for title, does in rows if not does] == list(GROUPS.values())
    assert len(rows) == len(GROUPS) + len(KEYS) - (NUM_RULE_KEYS - 1)
    told = " ".join(keys for keys, _ in rows)
    assert all(key.names in told for key in KEYS if not key.action.name.startswith("RULE_"))
    assert ("F2-F8", "one of the edits' rules on or off") in rows


@pytest.mark.parametrize("num_columns", [1, 2, 3])
def test_columns_of_the_help_begin_with_a_heading_and_lose_no_row(num_columns: int) -> None:
    columns = help_columns(help_page(), num_columns)
    assert tuple(row for column in columns for row in column) == help_page()
    assert len(columns) == num_columns
    assert all(column[0][1] == "" for column in columns)
    plain = tuple((str(k), "something") for k in range(10))
    assert max(map(len, help_columns(plain, num_columns))) == -(-10 // num_columns)
