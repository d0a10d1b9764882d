from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.breaks import break_between
from bridge.edits.desk import EditDesk
from bridge.edits.editor import Editor
from bridge.edits.fill import fill_behind
from bridge.edits.frames import EditedFrame, edits_of, original_of
from bridge.edits.rules import BEHIND, NO_EDITS, Edits, Rule, load_edits
from bridge.protocol.errors import UsageError
from bridge.protocol.frames import SensorFrame
from bridge.protocol.labels import CLASSES
from tests.unit.edits.street_scene import (
    BUILDING,
    CAR,
    HEIGHT,
    LEFT_CAR,
    RIGHT_CAR,
    ROAD,
    SKY,
    TRUCK,
    VEGETATION,
    WIDTH,
    street,
)

GREEN = Rule(classes=("building",), to="vegetation")
NO_CARS = Rule(classes=("car",), to=BEHIND)


def edited(frame: SensorFrame, *rules: Rule) -> SensorFrame:
    return Editor().apply(frame, Edits(rules=rules))


def test_without_edits_the_frame_is_the_same_object() -> None:
    frame = street()
    assert Editor().apply(frame, NO_EDITS) is frame
    assert edited(frame, msgspec.structs.replace(GREEN, enabled=False)) is frame
    assert (original_of(frame), edits_of(frame)) == (frame, NO_EDITS)


def test_a_class_becomes_another_and_nothing_else_changes() -> None:
    frame = street()
    before = frame.label_map.copy()
    after = edited(frame, GREEN)
    assert (after.label_map == np.where(before == BUILDING, VEGETATION, before)).all()
    assert after.instance_map is not None
    assert frame.instance_map is not None
    assert (after.instance_map == frame.instance_map).all()
    assert (frame.label_map == before).all()
    assert isinstance(after, EditedFrame)
    assert after.original is frame
    assert not after.label_map.flags.writeable


def test_a_removed_car_is_gone_from_every_plane() -> None:
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[20:32, 10:26] = 9.0
    frame = street(flow_px=flow)
    after = edited(frame, NO_CARS)
    assert CAR not in after.label_map
    assert after.instance_map is not None
    assert after.depth_m is not None
    assert after.flow_px is not None
    assert not after.instance_map.any()
    assert (after.depth_m[20:32] > 8.0).all()
    assert not after.flow_px[20:32, 10:26].any()
    assert (after.label_map[20:24] == BUILDING).all()
    assert (after.label_map[24:] == ROAD).all()
    assert (after.depth_m[20:24, 10:26] == 30.0).all()
    assert (after.depth_m[20:24, 60:76] == 60.0).all()


def test_what_is_behind_is_what_is_clearly_farther() -> None:
    labels = np.array([[1, 1, 9, 9, 9, 2, 2]], np.uint8)
    depth = np.array([[5, 5, 3, 3, 3, 20, 20]], np.float32)
    hole = (labels == 9).astype(np.uint8)
    fill_behind(hole, 1 - hole, depth, [labels])
    assert labels.tolist() == [[1, 1, 2, 2, 2, 2, 2]]


def test_between_equals_each_end_gives_half() -> None:
    labels = np.array([[1, 9, 9, 9, 9, 2]], np.uint8)
    hole = (labels == 9).astype(np.uint8)
    fill_behind(hole, 1 - hole, None, [labels])
    assert labels.tolist() == [[1, 1, 1, 2, 2, 2]]


def test_at_the_border_the_other_end_gives_all_and_a_bare_row_takes_the_one_below() -> None:
    labels = np.array([[9, 9, 9], [9, 1, 2], [9, 9, 9]], np.uint8)
    hole = (labels == 9).astype(np.uint8)
    fill_behind(hole, 1 - hole, None, [labels])
    assert labels.tolist() == [[1, 1, 2], [1, 1, 2], [1, 1, 2]]


def test_an_object_that_stays_is_no_background() -> None:
    rule = Rule(instances=(LEFT_CAR,), to=BEHIND)
    after = edited(street(), rule)
    assert (after.label_map[20:32, 10:26] != CAR).all()
    assert (after.label_map[20:32, 60:76] == CAR).all()
    assert after.instance_map is not None
    assert set(np.unique(after.instance_map)) == {0, RIGHT_CAR}


def test_one_object_becomes_another_class_and_keeps_its_id_if_that_moves_too() -> None:
    after = edited(street(), Rule(instances=(LEFT_CAR,), to="truck"))
    assert (after.label_map[20:32, 10:26] == TRUCK).all()
    assert (after.label_map[20:32, 60:76] == CAR).all()
    assert after.instance_map is not None
    assert (after.instance_map[20:32, 10:26] == LEFT_CAR).all()
    bush = edited(street(), Rule(instances=(LEFT_CAR,), to="vegetation"))
    assert bush.instance_map is not None
    assert not bush.instance_map[20:32, 10:26].any()


def test_the_first_rule_that_fits_wins() -> None:
    object_first = edited(street(), Rule(instances=(LEFT_CAR,), to="truck"), NO_CARS)
    assert (object_first.label_map[20:32, 10:26] == TRUCK).all()
    assert (object_first.label_map[20:32, 60:76] != CAR).all()
    class_first = edited(street(), NO_CARS, Rule(instances=(LEFT_CAR,), to="truck"))
    assert TRUCK not in class_first.label_map


def test_rigs_without_instances_or_depth_are_edited_too() -> None:
    frame = street(instance_map=None, depth_m=None)
    after = edited(frame, NO_CARS, Rule(instances=(3,), to="truck"), GREEN)
    assert CAR not in after.label_map
    assert BUILDING not in after.label_map
    assert after.instance_map is None
    assert after.depth_m is None


@given(
    data=st.data(),
    num=st.integers(1, 5),
)
def test_tables_do_what_the_rules_say_pixel_by_pixel(data: st.DataObject, num: int) -> None:
    names = [label_class.name for label_class in CLASSES[:20]]
    rules = [
        Rule(
            classes=(data.draw(st.sampled_from(names)),),
            to=data.draw(st.sampled_from(names)),
            enabled=data.draw(st.booleans()),
        )
        for _ in range(num)
    ]
    frame = street()
    after = edited(frame, *rules)
    ids = {label_class.name: label_class.ids[0] for label_class in CLASSES[:20]}
    for before in (SKY, BUILDING, ROAD, CAR):
        to = next((ids[rule.to] for rule in rules if rule.enabled and ids[rule.classes[0]] == before), before)
        assert (after.label_map[frame.label_map == before] == to).all()


def test_a_change_of_rules_begins_a_sequence_and_paint_does_not() -> None:
    before, now = street(1), street(2)
    desk = EditDesk(Edits(rules=(GREEN,)))
    assert break_between(edited(before, GREEN), edited(now, GREEN)) == ""
    assert break_between(before, edited(now, GREEN)) == "the edits changed"
    desk.paint(now, (40.0, 40.0), 4.0, "sidewalk")
    assert break_between(edited(before, GREEN), Editor().apply(now, desk.edits)) == ""


def test_paint_lies_on_the_street_and_stays_there_while_the_camera_moves() -> None:
    desk = EditDesk()
    first = street()
    assert desk.paint(first, (48.0, 40.0), 5.0, "sidewalk") == ""
    painted = Editor().apply(first, desk.effective).label_map != first.label_map
    rows, columns = np.nonzero(painted)
    assert abs(rows.mean() - 40) < 3
    assert abs(columns.mean() - 48) < 3
    nearer = street(2, x_m=1.0)
    moved = np.nonzero(Editor().apply(nearer, desk.effective).label_map != nearer.label_map)[0]
    assert moved.mean() > rows.mean()
    behind = street(3, x_m=500.0)
    assert (Editor().apply(behind, desk.effective).label_map == behind.label_map).all()


def test_paint_is_hidden_by_what_stands_before_it() -> None:
    desk = EditDesk()
    clear = street()
    desk.paint(clear, (48.0, 22.0), 30.0, "vegetation")
    after = Editor().apply(clear, desk.effective)
    assert VEGETATION in after.label_map
    assert (after.label_map[20:32, 10:26] == CAR).all()


def test_the_desk_points_undoes_and_says_why_not() -> None:
    desk, frame = EditDesk(), street()
    assert desk.change_class(frame, (48.0, 12.0), "vegetation") == "building to vegetation"
    assert desk.remove_object(frame, (12.0, 25.0)) == f"no object {LEFT_CAR}"
    assert desk.remove_object(frame, (48.0, 40.0)).startswith("there is no object here")
    assert desk.remove_object(frame, (1e4, 0.0)) == ""
    assert desk.summary() == f"building to vegetation, no object {LEFT_CAR}"
    assert desk.undo() == ""
    assert desk.summary() == "building to vegetation"
    desk.toggle()
    assert (desk.summary(), desk.effective) == ("", NO_EDITS)
    desk.toggle()
    assert desk.toggle_rule(0) == ""
    assert not desk.effective
    assert desk.toggle_rule(5).startswith("there are 1 rules")
    assert desk.undo() == ""
    assert desk.undo() == "there is nothing to take back"


def test_near_dabs_are_one_and_without_depth_it_says_what_is_missing() -> None:
    desk, frame = EditDesk(), street()
    for _ in range(3):
        desk.paint(frame, (48.0, 40.0), 5.0, "sidewalk")
    assert len(desk.edits.dabs) == 1
    assert "depth_m" in EditDesk().paint(street(depth_m=None), (48.0, 40.0), 5.0, "sidewalk")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rules:\n- classes: [bulding]\n  to: road\n", "there is no class 'bulding'"),
        ("rules:\n- classes: [car]\n  to: rode\n", "there is no class 'rode'"),
        ("rules:\n- to: road\n", "either classes or instances"),
        ("rules:\n- classes: [car]\n  too: road\n", "too"),
        ("rules: 3\n", "rules"),
        ("{", ""),
    ],
)
def test_a_mistake_in_a_file_is_named(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "edits.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_edits(str(path))
    assert reason in caught.value.what
    assert "\n" not in caught.value.what


def test_a_file_and_a_preset_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rules:\n- classes: [building]\n  to: vegetation\n- instances: [7]\n  to: behind\n")
    assert load_edits(str(path)) == Edits(rules=(GREEN, Rule(instances=(7,), to=BEHIND)))
    assert [rule.title for rule in load_edits("town").rules] == ["green city", "empty streets", "canals"]
    with pytest.raises(UsageError, match=r"cannot be read"):
        load_edits(str(tmp_path / "none.yaml"))


def test_planes_that_are_not_changed_are_not_copied() -> None:
    frame = street()
    after: Any = edited(frame, GREEN)
    assert after.depth_m is frame.depth_m
