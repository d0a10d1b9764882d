"""Movable bodies in the kernels' arrays: a slot of triangles per body, kept while it lives and reused after.

A body's parts (hull, wheels, limbs ...) are objects of their own: a rigid matrix now and one a tick earlier each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import furniture
from bridge.town.engine.catalogue import build_shape, shape_key
from bridge.town.engine.frames import street_from_body
from bridge.town.engine.lamps import LAMP_GLASS_GLOW, SIGNAL_GLOW, body_lamps, lamp_glass, lamp_glow, lights_of
from bridge.town.engine.layout import LIGHT_COLUMNS, LOOK_COLUMNS, LOOK_LAMPS
from bridge.town.engine.packing import MeshStore, PackedMesh, pack_part
from bridge.town.engine.shapes import Motion, Shape
from bridge.town.pose import Pose
from bridge.town.signals import SignalSite
from bridge.town.views import Body, StreetState

_STATES = ("red", "yellow", "green")


@dataclass(frozen=True)
class _Slot:
    key: str
    shape: Shape
    first_object: int
    chunks: NDArray[np.int32]


@dataclass
class Staged:
    """One tick's bodies, ready to draw.

    chunks (C,) i32: what to draw beside the static town · world_from_object, previous_from_object (O,3,4) f64: street
    frame, now and a tick ago · look (O,9) f32 · actor (O,) i32 · contacts (B,7) f32 boxes as `stamp_contacts` takes ·
    lights (L,12) f32: what the lamps throw, when it is dark.
    """

    chunks: NDArray[np.int32]
    world_from_object: NDArray[np.float64]
    previous_from_object: NDArray[np.float64]
    look: NDArray[np.float32]
    actor: NDArray[np.int32]
    contacts: NDArray[np.float32]
    lights: NDArray[np.float32]


class Stage:
    """Holds the town's whole mesh: the static part first, then lenses of traffic lights, the street lamps' glass, then
    the bodies' slots."""

    def __init__(self, static: PackedMesh, sites: tuple[SignalSite, ...], lamps: NDArray[np.float64]) -> None:
        """`lamps` (N,4): where street lamps shine, in the street frame, and the heading of their arms in radians."""
        self._store = MeshStore(static)
        self._objects = 1
        self._num_static_chunks = len(static.chunk_object)
        self._slots: dict[int, _Slot] = {}
        self._free: dict[str, list[_Slot]] = {}
        self._lens_poses = [street_from_body(site.pose)[:3] for site in sites]
        lenses = [furniture.traffic_light_lenses(state) for state in _STATES]
        chunks = [np.empty(0, np.int32)]
        for _ in sites:
            for lens in lenses:
                chunks.append(self._store.append(pack_part(lens, self._objects)))
                self._objects += 1
        self._lamps, self._first_lamp = lamps, self._objects
        for _ in lamps:
            chunks.append(self._store.append(pack_part(lamp_glass(), self._objects)))
            self._objects += 1
        self._lens_chunks = np.concatenate(chunks)
        self._no_lamp = np.zeros(len(lamps), np.bool_)

    @property
    def mesh(self) -> PackedMesh:
        """The arrays of everything; they may be longer than what is in use."""
        return self._store.mesh

    def show(self, triangle_vertex: NDArray[np.int32], no_lamp: NDArray[np.bool_]) -> None:
        """Draw other triangles (F,3) of the static town from now on, and leave out some street lamps (N,)."""
        self.mesh.triangle_vertex[: len(triangle_vertex)] = triangle_vertex
        self._no_lamp = no_lamp

    @property
    def static_chunks(self) -> NDArray[np.int32]:
        """The chunks of the static town."""
        return np.arange(self._num_static_chunks, dtype=np.int32)

    def stage(self, state: StreetState, dark: float) -> Staged:
        """Give every body its slot and pose; `dark` 0..1 tells how much the lamps are needed.

        `state.signals` and `state.lamps` are in the order of the network's traffic lights and street lamps.
        """
        self._assign([(body.actor_id, shape_key(body.blueprint_id)) for body in state.bodies])
        now = np.zeros((self._objects, 3, 4))
        now[:, :, :3] = np.eye(3)
        look = np.zeros((self._objects, LOOK_COLUMNS), np.float32)
        look[:, :3] = 1.0
        actor = np.zeros(self._objects, np.int32)
        for number, pose in enumerate(self._lens_poses):
            now[1 + 3 * number : 4 + 3 * number] = pose
        for number, signal in enumerate(state.signals[: len(self._lens_poses)]):
            if signal.state in _STATES:
                look[1 + 3 * number + _STATES.index(signal.state), LOOK_LAMPS] = SIGNAL_GLOW
        glow = lamp_glow(state.lamps, len(self._lamps), dark)
        glow[self._no_lamp, 3] = 0.0
        self._place_lamps(now, look, glow)
        before = now.copy()
        contacts = np.empty((len(state.bodies), 7), np.float32)
        for row, body in enumerate(state.bodies):
            slot = self._slots[body.actor_id]
            objects = slice(slot.first_object, slot.first_object + len(slot.shape.parts))
            now[objects], before[objects] = _part_matrices(slot.shape, body)
            look[objects, :3] = (np.array(body.color_rgb, np.float32) / 255.0) ** 2.2
            if body.lights:
                look[objects, LOOK_LAMPS:] = body_lamps(body, state.elapsed_s)
            actor[objects] = body.actor_id
            heading = -math.radians(body.pose.yaw_deg)
            half_x, half_y = slot.shape.contact_m
            place = (body.pose.x_m, -body.pose.y_m, math.cos(heading), math.sin(heading))
            contacts[row] = (*place, half_x, half_y, slot.shape.contact_strength)
        chunks = [self._lens_chunks, *(self._slots[body.actor_id].chunks for body in state.bodies)]
        lights = np.empty((0, LIGHT_COLUMNS), np.float32)
        if dark > 0.0:
            halves = [self._slots[body.actor_id].shape.half_extents_m for body in state.bodies]
            lights = lights_of(self._lamps[:, :3], glow, state.bodies, halves)
        return Staged(np.concatenate(chunks), now, before, look, actor, contacts, lights)

    def _place_lamps(self, now: NDArray[np.float64], look: NDArray[np.float32], glow: NDArray[np.float32]) -> None:
        objects = slice(self._first_lamp, self._first_lamp + len(self._lamps))
        cos, sin = np.cos(self._lamps[:, 3]), np.sin(self._lamps[:, 3])
        now[objects, 0, 0], now[objects, 0, 1] = cos, -sin
        now[objects, 1, 0], now[objects, 1, 1] = sin, cos
        now[objects, :, 3] = self._lamps[:, :3]
        now[self._first_lamp + np.flatnonzero(self._no_lamp)] = 0.0  # a point, which nothing draws
        look[objects, :3] = glow[:, :3]
        look[objects, LOOK_LAMPS] = LAMP_GLASS_GLOW * glow[:, 3]

    def _assign(self, wanted: list[tuple[int, str]]) -> None:
        """Free the slots of bodies that left or changed shape, and find one for each that has none."""
        keys = dict(wanted)
        for actor_id in [a for a, slot in self._slots.items() if keys.get(a) != slot.key]:
            slot = self._slots.pop(actor_id)
            self._free.setdefault(slot.key, []).append(slot)
        for actor_id, key in wanted:
            if actor_id not in self._slots:
                free = self._free.get(key)
                self._slots[actor_id] = free.pop() if free else self._new_slot(key)

    def _new_slot(self, key: str) -> _Slot:
        shape = build_shape(key)
        first = self._objects
        chunks = [self._store.append(pack_part(part, first + k)) for k, part in enumerate(shape.parts)]
        self._objects += len(shape.parts)
        return _Slot(key, shape, first, np.concatenate(chunks))


def _part_matrices(shape: Shape, body: Body) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a body's (parts,3,4) street-from-part matrices now and a tick ago.

    What its wheels and legs did a tick ago follows from how far it moved since.
    """
    steer = -math.radians(body.steer_deg)
    now = Motion(steer, body.wheel_turn_rad, body.stride_m)
    moved_m = _distance_along(body.previous_pose, body.pose)
    rolled = moved_m / shape.wheel_radius_m if shape.wheel_radius_m else 0.0
    before = Motion(steer, body.wheel_turn_rad - rolled, body.stride_m - abs(moved_m))
    matrices = []
    for pose, motion in ((body.pose, now), (body.previous_pose, before)):
        world = street_from_body(pose)
        parts = shape.part_poses(motion)
        placed = world[:3, :3] @ parts
        placed[:, :, 3] += world[:3, 3]
        matrices.append(placed)
    return matrices[0], matrices[1]


def _distance_along(before: Pose, now: Pose) -> float:
    """Return the signed distance driven: positive forward."""
    yaw = math.radians(now.yaw_deg)
    dx, dy = now.x_m - before.x_m, now.y_m - before.y_m
    return math.copysign(math.hypot(dx, dy), dx * math.cos(yaw) + dy * math.sin(yaw))
