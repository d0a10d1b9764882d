"""Where a person edits: switches rules, points at classes and objects, paints, and takes back what was wrong."""

from __future__ import annotations

from typing import Final

import msgspec

from bridge.edits.paint import dab_at
from bridge.edits.rules import BEHIND, MAX_DABS, MAX_RULES, MOVABLE, NO_EDITS, Edits, Rule
from bridge.protocol.frames import SensorFrame
from bridge.protocol.labels import class_names

BRUSH_CLASSES: Final = ("vegetation", "road", "sidewalk", "building", "sky", "car", "water", "terrain", "road line")
_DAB_SPACING: Final = 0.4  # of a dab's radius: nearer dabs add nothing that is seen


class EditDesk:
    """The edits of a drive. `edits` is a value that is replaced as a whole, so any thread may read it."""

    def __init__(self, edits: Edits = NO_EDITS) -> None:
        self.edits = edits
        self.on = True
        self._before: list[Edits] = []

    @property
    def effective(self) -> Edits:
        """What is done to frames now."""
        return self.edits if self.on else NO_EDITS

    def summary(self) -> str:
        """Return what is edited now, for the HUD; "" if nothing is."""
        edits = self.effective
        titles = [rule.title for rule in edits.rules if rule.enabled]
        titles += [f"{len(edits.dabs)} dabs of paint"] if edits.dabs else []
        return ", ".join(titles)

    def toggle(self) -> None:
        """Switch all edits on or off."""
        self.on = not self.on

    def toggle_rule(self, index: int) -> str:
        """Switch a rule on or off by its place, from 0; return a sentence if there is none, else ""."""
        rules = list(self.edits.rules)
        if index >= len(rules):
            return f"there are {len(rules)} rules of edits: name more with --edits FILE"
        rules[index] = msgspec.structs.replace(rules[index], enabled=not rules[index].enabled)
        self.edits = msgspec.structs.replace(self.edits, rules=tuple(rules))
        return ""

    def change_class(self, frame: SensorFrame, at_px: tuple[float, float], to: str) -> str:
        """Turn the class that is seen at a pixel of a frame into another; return what was done, a sentence."""
        pixel = _inside(frame, at_px)
        if pixel is None:
            return ""
        name = class_names(frame.label_space).get(int(frame.label_map[pixel]), "unlabeled")
        return self._add(Rule(classes=(name,), to=to))

    def change_object(self, frame: SensorFrame, at_px: tuple[float, float], to: str) -> str:
        """Turn the object at a pixel of a frame into another class, or remove it ("behind"); return what was done."""
        pixel = _inside(frame, at_px)
        if pixel is None:
            return ""
        instance_id = 0 if frame.instance_map is None else int(frame.instance_map[pixel])
        if instance_id == 0:
            return f"there is no object here: point at one of {', '.join(sorted(MOVABLE))}"
        return self._add(Rule(instances=(instance_id,), to=to))

    def remove_object(self, frame: SensorFrame, at_px: tuple[float, float]) -> str:
        """Remove the object at a pixel of a frame; return what was done, a sentence."""
        return self.change_object(frame, at_px, BEHIND)

    def begin_stroke(self) -> None:
        """Remember what is there now: `undo` goes back to it."""
        self._before.append(self.edits)
        del self._before[:-MAX_RULES]

    def paint(self, frame: SensorFrame, at_px: tuple[float, float], radius_px: float, to: str) -> str:
        """Add a dab where a pixel of a frame is touched; return why not, a sentence, "" if it was."""
        dab = dab_at(frame, *at_px, radius_px, to)
        if dab is None:
            return "paint needs the plane depth_m, which this rig does not capture" if frame.depth_m is None else ""
        dabs = self.edits.dabs
        if dabs and dabs[-1].to == to:
            last = dabs[-1]
            gap_m2 = (dab.x_m - last.x_m) ** 2 + (dab.y_m - last.y_m) ** 2 + (dab.z_m - last.z_m) ** 2
            if gap_m2 < (_DAB_SPACING * min(dab.radius_m, last.radius_m)) ** 2:
                return ""
        if len(dabs) == MAX_DABS:
            return f"{MAX_DABS} dabs are all the paint there is: take some back"
        self.edits = msgspec.structs.replace(self.edits, dabs=(*dabs, dab))
        return ""

    def undo(self) -> str:
        """Take the last edit by mouse back; return a sentence if there is none, else ""."""
        if not self._before:
            return "there is nothing to take back"
        self.edits = self._before.pop()
        return ""

    def _add(self, rule: Rule) -> str:
        if len(self.edits.rules) == MAX_RULES:
            return f"{MAX_RULES} rules are all there can be: take some back"
        self.begin_stroke()
        # First, so that it wins over rules that were there: somebody points at what is seen now.
        self.edits = msgspec.structs.replace(self.edits, rules=(*self.edits.rules, rule))
        return rule.title


def _inside(frame: SensorFrame, at_px: tuple[float, float]) -> tuple[int, int] | None:
    height, width = frame.label_map.shape
    column, row = int(at_px[0]), int(at_px[1])
    return (row, column) if 0 <= column < width and 0 <= row < height else None
