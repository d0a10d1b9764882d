"""Every key of the window while one drives, in one table: what it is called, what it does, and how the help says it.

Where CARLA's manual_control has a key for something it is that key. The table feeds the keyboard
(`clients.viewer.controls`), the help in the window, and docs/keys.md, which this makes:

    python -m clients.viewer.keys > docs/keys.md
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

import pygame

Group = Literal["driving", "street", "edits", "look", "view"]
GROUPS: Final[dict[Group, str]] = {
    "driving": "Driving",
    "street": "Street and camera",
    "edits": "Edits of the label map",
    "look": "Look of the synthesized picture",
    "view": "Window",
}
NUM_RULE_KEYS: Final = 7
RULE_KEYS: Final = f"F2-F{1 + NUM_RULE_KEYS}"


class Action(Enum):
    """What a key does; the value is the sentence of the help."""

    THROTTLE = "throttle"
    BRAKE = "brake"
    LEFT = "steer left"
    RIGHT = "steer right"
    HAND_BRAKE = "hand brake"
    REVERSE = "reverse gear on or off"
    MANUAL_GEARS = "shift gears by hand, or let them shift by themselves"
    GEAR_DOWN = "a gear down, where gears are shifted by hand"
    GEAR_UP = "a gear up, where gears are shifted by hand"
    AUTOPILOT = "autopilot on or off"
    RESPAWN = "start again elsewhere"
    WEATHER = "next weather"
    WEATHER_BACK = "weather before"
    CAMERA = "next camera mount"
    EDITS = "all edits on or off"
    RULE_1 = "first rule of the edits on or off"
    RULE_2 = "second rule on or off"
    RULE_3 = "third rule on or off"
    RULE_4 = "fourth rule on or off"
    RULE_5 = "fifth rule on or off"
    RULE_6 = "sixth rule on or off"
    RULE_7 = "seventh rule on or off"
    MOUSE = "mouse: nothing, paint, change a class, change one object, remove one object"
    BRUSH_CLASS = "next class of the brush"
    BRUSH_CLASS_BACK = "class of the brush before"
    BRUSH_LARGER = "a larger brush"
    BRUSH_SMALLER = "a smaller brush"
    UNDO = "take the last edit by mouse back"
    MODEL = "next model"
    MODEL_BACK = "model before"
    STYLE = "next style of the model, for models with several"
    LAYOUT = "next layout"
    LAYOUT_BACK = "layout before"
    SPLIT_LEFT = "line of the wipe to the left, or drag it with the mouse"
    SPLIT_RIGHT = "line of the wipe to the right"
    TIMEWARP = "timewarp on or off: the last picture moved to where the camera is now"
    FULL_SCREEN = "full screen, and back"
    LABELS = "label overlay on or off"
    HUD = "HUD on or off"
    HELP = "this help"
    QUIT = "quit"


RULE_ACTIONS: Final = tuple(Action[f"RULE_{number}"] for number in range(1, NUM_RULE_KEYS + 1))


@dataclass(frozen=True)
class Key:
    """One action and the keys that do it; any of them, with shift where `shift`.

    A `held` key acts for as long as it is held, rather than once.
    """

    action: Action
    group: Group
    names: str
    codes: tuple[int, ...]
    held: bool = False
    shift: bool = False


KEYS: Final[tuple[Key, ...]] = (
    Key(Action.THROTTLE, "driving", "W, up", (pygame.K_w, pygame.K_UP), held=True),
    Key(Action.BRAKE, "driving", "S, down", (pygame.K_s, pygame.K_DOWN), held=True),
    Key(Action.LEFT, "driving", "A, left", (pygame.K_a, pygame.K_LEFT), held=True),
    Key(Action.RIGHT, "driving", "D, right", (pygame.K_d, pygame.K_RIGHT), held=True),
    Key(Action.HAND_BRAKE, "driving", "space", (pygame.K_SPACE,), held=True),
    Key(Action.REVERSE, "driving", "Q", (pygame.K_q,)),
    Key(Action.MANUAL_GEARS, "driving", "M", (pygame.K_m,)),
    Key(Action.GEAR_DOWN, "driving", ",", (pygame.K_COMMA,)),
    Key(Action.GEAR_UP, "driving", ".", (pygame.K_PERIOD,)),
    Key(Action.AUTOPILOT, "driving", "P", (pygame.K_p,)),
    Key(Action.RESPAWN, "street", "backspace", (pygame.K_BACKSPACE,)),
    Key(Action.WEATHER, "street", "C", (pygame.K_c,)),
    Key(Action.WEATHER_BACK, "street", "shift C", (pygame.K_c,), shift=True),
    Key(Action.CAMERA, "street", "tab", (pygame.K_TAB,)),
    Key(Action.EDITS, "edits", "E", (pygame.K_e,)),
    *(Key(action, "edits", f"F{n}", (pygame.K_F1 + n - 1,)) for n, action in enumerate(RULE_ACTIONS, 2)),
    Key(Action.MOUSE, "edits", "K", (pygame.K_k,)),
    Key(Action.BRUSH_CLASS, "edits", "J", (pygame.K_j,)),
    Key(Action.BRUSH_CLASS_BACK, "edits", "shift J", (pygame.K_j,), shift=True),
    Key(Action.BRUSH_LARGER, "edits", "]", (pygame.K_RIGHTBRACKET,)),
    Key(Action.BRUSH_SMALLER, "edits", "[", (pygame.K_LEFTBRACKET,)),
    Key(Action.UNDO, "edits", "U", (pygame.K_u,)),
    Key(Action.MODEL, "look", "Y", (pygame.K_y,)),
    Key(Action.MODEL_BACK, "look", "shift Y", (pygame.K_y,), shift=True),
    Key(Action.STYLE, "look", "I", (pygame.K_i,)),
    Key(Action.LAYOUT, "view", "V", (pygame.K_v,)),
    Key(Action.LAYOUT_BACK, "view", "B", (pygame.K_b,)),
    Key(Action.SPLIT_LEFT, "view", "Z", (pygame.K_z,)),
    Key(Action.SPLIT_RIGHT, "view", "X", (pygame.K_x,)),
    Key(Action.TIMEWARP, "view", "T", (pygame.K_t,)),
    Key(Action.FULL_SCREEN, "view", "F11", (pygame.K_F11,)),
    Key(Action.LABELS, "view", "L", (pygame.K_l,)),
    Key(Action.HUD, "view", "F1", (pygame.K_F1,)),
    Key(Action.HELP, "view", "H, ?", (pygame.K_h, pygame.K_QUESTION)),
    Key(Action.QUIT, "view", "escape", (pygame.K_ESCAPE,)),
)
_BY_CODE: Final = {(code, key.shift): key for key in KEYS for code in key.codes}


def find_key(code: int, *, shift: bool = False) -> Key | None:
    """Return what a key does, None if nothing; with shift what it does without, unless shift means something else."""
    return _BY_CODE.get((code, shift)) or _BY_CODE.get((code, False))


def help_rows(group: Group | None = None) -> tuple[tuple[str, str], ...]:
    """Return (keys, what they do) for every row of the table, or of one group of it."""
    return tuple((key.names, key.action.value) for key in KEYS if group in (None, key.group))


def help_page() -> tuple[tuple[str, str], ...]:
    """Return the rows of the help in the window: under headings, which do nothing, and the keys of rules as one row."""
    rows: list[tuple[str, str]] = []
    for group, title in GROUPS.items():
        rows.append((title, ""))
        for key in KEYS:
            if key.group != group or key.action in RULE_ACTIONS[1:]:
                continue
            is_rule = key.action is RULE_ACTIONS[0]
            rows.append((RULE_KEYS, "one of the edits' rules on or off") if is_rule else (key.names, key.action.value))
    return tuple(rows)


def markdown() -> str:
    """Return the table as the document docs/keys.md."""
    lines = ["# Keys", "", "Made from the table in `clients/viewer/keys.py` by `python -m clients.viewer.keys`."]
    for group, title in GROUPS.items():
        lines += ["", f"## {title}", "", "| key | does |", "|---|---|"]
        lines += [f"| {names} | {does} |" for names, does in help_rows(group)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
