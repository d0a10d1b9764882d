"""Applies edits to frames by look-up tables: rules over classes cost one pass over the label map, however many.

Planes stay consistent: what becomes something that does not move has no instance id, a removed object's depth and flow
are those of what is behind it.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.edits.fill import fill_behind
from bridge.edits.frames import EditedFrame
from bridge.edits.paint import draw_dabs
from bridge.edits.rules import BEHIND, MOVABLE, Edits, Rule
from bridge.protocol.frames import SensorFrame
from bridge.protocol.labels import class_names, label_id

_FIELDS: Final = tuple(field.name for field in fields(SensorFrame))


class Editor:
    """Edits frames of one label space after the other; what the rules amount to is kept until they change.

    For one thread. The same edits of the same frame give the same planes on every machine.
    """

    def __init__(self) -> None:
        self._made_of: tuple[tuple[Rule, ...], str] | None = None
        self._tables = _Tables((), "carla")

    def apply(self, frame: SensorFrame, edits: Edits) -> SensorFrame:
        """Return the edited frame, with planes of its own; the frame itself where there is nothing to edit.

        Raises LabelError for a label space that is not known.
        """
        if not edits:
            return frame
        made_of = edits.rules, frame.label_space
        if made_of != self._made_of:
            self._made_of, self._tables = made_of, _Tables(*made_of)
        tables = self._tables
        planes = _Planes(frame)
        if tables.changes:
            hole = tables.recolour(frame, planes)
            if hole is not None:
                planes.fill(hole, np.asarray(cv2.LUT(frame.label_map, tables.static), np.uint8) & (1 - hole))
        if edits.dabs:
            draw_dabs(frame, edits.dabs, planes.labels, planes.instances)
        return _edited(frame, planes, edits)


class _Planes:
    """Copies of the planes that edits may change: only labels and instances are always copied."""

    def __init__(self, frame: SensorFrame) -> None:
        self.labels = frame.label_map.copy()
        self.instances = None if frame.instance_map is None else frame.instance_map.copy()
        self.depth_m = frame.depth_m
        self.flow_px = frame.flow_px

    def fill(self, hole: NDArray[np.uint8], static: NDArray[np.uint8]) -> None:
        """Put what is behind into a hole; its instances are 0 already."""
        before_m = self.depth_m
        self.depth_m = None if self.depth_m is None else self.depth_m.copy()
        self.flow_px = None if self.flow_px is None else self.flow_px.copy()
        planes = [plane for plane in (self.labels, self.depth_m, self.flow_px) if plane is not None]
        fill_behind(hole, static, before_m, planes)


class _Tables:
    """Rules as tables: the first rule that fits each label id, and each instance id; and what becomes of its pixels."""

    def __init__(self, rules: tuple[Rule, ...], label_space: str) -> None:
        names = class_names(label_space)
        active = [rule for rule in rules if rule.enabled]
        self.changes = bool(active)
        none = len(active)
        self._rule_of_label = np.full(256, none, np.uint8)
        self._rule_of_instance: NDArray[np.uint8] | None = None
        self._target_of_rule = np.zeros(256, np.uint8)
        self._removes = np.zeros(256, np.uint8)
        self._keeps = np.ones(256, np.uint8)  # whether instance ids stay
        for number in reversed(range(none)):  # the first that fits is written last
            rule = active[number]
            if rule.classes:
                ids = {label_id(label_space, name) for name in rule.classes}
                self._rule_of_label[[i for i in ids if i in names]] = number
            else:
                if self._rule_of_instance is None:
                    self._rule_of_instance = np.full(65536, none, np.uint8)
                self._rule_of_instance[list(rule.instances)] = number
            self._removes[number] = rule.to == BEHIND
            self._keeps[number] = rule.to in MOVABLE
            self._target_of_rule[number] = 0 if rule.to == BEHIND else label_id(label_space, rule.to)
        self._none = none
        self.static = np.array([names.get(i, "dynamic") not in MOVABLE for i in range(256)], np.uint8)
        numbers = self._rule_of_label
        self._label_table = np.where(numbers < none, self._target_of_rule[numbers], np.arange(256)).astype(np.uint8)
        self._label_removes, self._label_keeps = self._removes[numbers], self._keeps[numbers]

    def recolour(self, frame: SensorFrame, planes: _Planes) -> NDArray[np.uint8] | None:
        """Write the classes that the rules give into the planes.

        Returns the hole that what they remove leaves, (H,W) u8, 0 or 1; None without one.
        """
        labels, instances = frame.label_map, frame.instance_map
        if self._rule_of_instance is None or instances is None:
            cv2.LUT(labels, self._label_table, dst=planes.labels)
            ids, keeps, removes = labels, self._label_keeps, self._label_removes
        else:
            ids = np.asarray(cv2.LUT(labels, self._rule_of_label), np.uint8)
            np.minimum(ids, np.take(self._rule_of_instance, instances), out=ids)
            target = np.asarray(cv2.LUT(ids, self._target_of_rule), np.uint8)
            np.copyto(planes.labels, target, where=ids < self._none)
            keeps, removes = self._keeps, self._removes
        if planes.instances is not None and not self._keeps.all():
            np.multiply(planes.instances, np.asarray(cv2.LUT(ids, keeps), np.uint8), out=planes.instances)
        if not self._removes.any():
            return None
        hole = np.asarray(cv2.LUT(ids, removes), np.uint8)
        return hole if hole.any() else None


def _edited(frame: SensorFrame, planes: _Planes, edits: Edits) -> EditedFrame:
    values = {name: getattr(frame, name) for name in _FIELDS}
    for name, plane in (
        ("label_map", planes.labels),
        ("instance_map", planes.instances),
        ("depth_m", planes.depth_m),
        ("flow_px", planes.flow_px),
    ):
        if plane is not None:
            plane.flags.writeable = False
        values[name] = plane
    return EditedFrame(**values, original=frame, edits=edits)
