"""Bodies that meet: vehicles push each other and stop at what stands still; walkers are pushed aside and stop nobody.

Everything is an oriented rectangle on the ground. Of two that overlap, the shallowest axis is the contact's normal;
they are moved apart along it and exchange an impulse with little bounce and some friction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.carla_wire import layouts
from bridge.carla_wire.streams import CollisionEvent
from bridge.town.actors import Vehicle
from bridge.town.footprints import Footprint
from bridge.town.props import Prop
from bridge.town.walkers import Walker

BOUNCE = 0.1
FRICTION = 0.4
STOREY_M = 3.0
WALKER_MASS_KG = 75.0
LONG_M = 2.7
"""Half length beyond which a vehicle counts as long."""
FLANK_SLACK = 0.15
"""Metres off each flank per metre of half length beyond LONG_M."""


@dataclass(frozen=True)
class Collision:
    """Something hit a vehicle or walker; the impulse is `actor`'s, N s, world.

    `other` is None for the static world: then `static_tag` is the semantic tag of what stood there.
    """

    actor: Vehicle | Walker
    other: Vehicle | Walker | Prop | None
    impulse_n_s: tuple[float, float, float]
    static_tag: int = 0


@dataclass(frozen=True)
class _Contact:
    """Where two rectangles meet: the normal points from the second to the first."""

    x_m: float
    y_m: float
    normal_x: float
    normal_y: float
    depth_m: float


_STATIC_TYPES = {
    3: "buildings", 4: "walls", 5: "fences", 6: "poles", 8: "trafficsigns", 9: "vegetation", 14: "car", 20: "static",
}  # fmt: skip
"""The names that CARLA gives to what stands still and is no actor, by semantic tag."""


def event_of(collision: Collision) -> CollisionEvent:
    """Return a collision as a client's sensor tells it."""
    other = _static_actor(collision.static_tag) if collision.other is None else collision.other.record()
    return CollisionEvent(collision.actor.record(), other, layouts.Vector3D(*collision.impulse_n_s))


def _static_actor(tag: int) -> layouts.Actor:
    """Return the other party of a collision with a thing that is no actor: CARLA gives it the id 0."""
    description = layouts.ActorDescription(0, f"static.{_STATIC_TYPES.get(tag, 'unknown')}")
    return layouts.Actor(0, 0, description, layouts.BoundingBox(), bytes([tag]))


def footprint(actor: Vehicle | Walker | Prop) -> Footprint:
    """Return the ground that a body covers; a long one has its flanks drawn in a little.

    TrafficManager steers by the middle of a vehicle and does not look how far a bus's corners swing out in a bend: with
    its full width it would end its drive at the first car parked behind one.
    """
    half_x, half_y, _half_z = actor.half_extents_m
    half_y -= FLANK_SLACK * max(0.0, half_x - LONG_M)
    return Footprint(actor.pose.x_m, actor.pose.y_m, half_x, half_y, math.radians(actor.pose.yaw_deg))


class StaticWorld:
    """What stands still and is solid.

    `boxes` (N, 5) are x, y, half x, half y in metres and yaw in radians, `tags` (N,) u8 CARLA's semantic tags.
    """

    def __init__(self, boxes: NDArray[np.float64], tags: NDArray[np.uint8]) -> None:
        self._footprints = [Footprint(*row) for row in boxes.tolist()]
        self._tags = tags.tolist()
        self._x_m, self._y_m = boxes[:, 0], boxes[:, 1]
        self._reach_m = np.hypot(boxes[:, 2], boxes[:, 3])

    def near(self, vehicles: Sequence[Vehicle]) -> Iterator[tuple[Vehicle, Footprint, int]]:
        """Yield each vehicle with each solid thing that it might touch and the thing's tag, in order."""
        if not self._footprints or not vehicles:
            return
        x_m = np.array([vehicle.pose.x_m for vehicle in vehicles])[:, None]
        y_m = np.array([vehicle.pose.y_m for vehicle in vehicles])[:, None]
        reach_m = np.array([vehicle.reach_m for vehicle in vehicles])[:, None] + self._reach_m
        near = (np.abs(self._x_m - x_m) < reach_m) & (np.abs(self._y_m - y_m) < reach_m)
        for row, column in np.argwhere(near).tolist():
            yield vehicles[row], self._footprints[column], self._tags[column]


def collide(
    vehicles: Sequence[Vehicle], walkers: Sequence[Walker], static_world: StaticWorld, dt_s: float
) -> list[Collision]:
    """Move overlapping bodies apart, let them exchange impulses, and return what happened, in a fixed order."""
    solid = [vehicle for vehicle in vehicles if vehicle.collides]
    events: list[Collision] = []
    on_ground = [vehicle for vehicle in solid if vehicle.simulates_physics and vehicle.pose.z_m < STOREY_M]
    for vehicle, box, tag in static_world.near(on_ground):
        events += _with_static_world(vehicle, box, tag, dt_s)
    for i, first in enumerate(solid):
        for second in solid[i + 1 :]:
            if _near(first, second):
                events += _between_vehicles(first, second, dt_s)
        events += _with_walkers(first, walkers)
    return events


def collide_with_props(vehicles: Sequence[Vehicle], props: Sequence[Prop], dt_s: float) -> list[Collision]:
    """Stop vehicles at props, which stay where they are, and return what happened."""
    events = []
    solid = [prop for prop in props if prop.is_in_the_way]
    for vehicle in vehicles:
        for prop in solid if vehicle.collides and vehicle.simulates_physics else ():
            contact = _contact(footprint(vehicle), footprint(prop)) if _near(vehicle, prop) else None
            if contact is not None:
                impulse = _exchange(vehicle, None, contact)
                vehicle.be_shoved(contact.normal_x * contact.depth_m, contact.normal_y * contact.depth_m, dt_s)
                if impulse != (0.0, 0.0, 0.0):
                    events.append(Collision(vehicle, prop, impulse))
    return events


def _near(first: Vehicle | Walker, second: Vehicle | Walker | Prop) -> bool:
    reach = first.reach_m + second.reach_m
    dx, dy = first.pose.x_m - second.pose.x_m, first.pose.y_m - second.pose.y_m
    return dx * dx + dy * dy < reach * reach and abs(first.pose.z_m - second.pose.z_m) < STOREY_M


def _with_static_world(vehicle: Vehicle, box: Footprint, tag: int, dt_s: float) -> list[Collision]:
    contact = _contact(footprint(vehicle), box)
    if contact is None:
        return []
    impulse = _exchange(vehicle, None, contact)
    vehicle.be_shoved(contact.normal_x * contact.depth_m, contact.normal_y * contact.depth_m, dt_s)
    return [] if impulse == (0.0, 0.0, 0.0) else [Collision(vehicle, None, impulse, tag)]


def _between_vehicles(first: Vehicle, second: Vehicle, dt_s: float) -> list[Collision]:
    if not (first.simulates_physics or second.simulates_physics):
        return []
    contact = _contact(footprint(first), footprint(second))
    if contact is None:
        return []
    impulse = _exchange(first, second, contact)
    ease, other_ease = _ease(first), _ease(second)
    share = ease / (ease + other_ease)
    dx, dy = contact.normal_x * contact.depth_m, contact.normal_y * contact.depth_m
    if first.simulates_physics:
        first.be_shoved(share * dx, share * dy, dt_s)
    if second.simulates_physics:
        second.be_shoved((share - 1.0) * dx, (share - 1.0) * dy, dt_s)
    return _told(first, second, impulse)


def _with_walkers(vehicle: Vehicle, walkers: Iterable[Walker]) -> list[Collision]:
    events = []
    for walker in walkers:
        near = walker.collides and _near(vehicle, walker)
        contact = _contact(footprint(walker), footprint(vehicle)) if near else None
        if contact is None:
            continue
        walker.be_shoved(contact.normal_x * contact.depth_m, contact.normal_y * contact.depth_m)
        vx, vy, _vz = vehicle.velocity_m_s
        events += _told(vehicle, walker, (-WALKER_MASS_KG * vx, -WALKER_MASS_KG * vy, 0.0))
    return events


def _told(
    first: Vehicle | Walker, second: Vehicle | Walker, impulse_n_s: tuple[float, float, float]
) -> list[Collision]:
    """Return the event of each side; bodies that touch without hitting each other have none to tell."""
    if impulse_n_s == (0.0, 0.0, 0.0):
        return []
    x, y, z = impulse_n_s
    return [Collision(first, second, impulse_n_s), Collision(second, first, (-x, -y, -z))]


def _ease(vehicle: Vehicle | None) -> float:
    """Return how easily a body is moved: 1 / mass, 0 for what does not move."""
    return 0.0 if vehicle is None or not vehicle.simulates_physics else 1.0 / vehicle.model.mass_kg


def _exchange(first: Vehicle, second: Vehicle | None, contact: _Contact) -> tuple[float, float, float]:
    """Apply the impulse of a contact to both bodies and return the first one's, N s in world axes."""
    nx, ny = contact.normal_x, contact.normal_y
    vx, vy = first.velocity_at(contact.x_m, contact.y_m)
    if second is not None:
        other_vx, other_vy = second.velocity_at(contact.x_m, contact.y_m)
        vx, vy = vx - other_vx, vy - other_vy
    closing = vx * nx + vy * ny
    if closing >= 0.0:
        return (0.0, 0.0, 0.0)
    normal = -(1.0 + BOUNCE) * closing / _response(first, second, contact, nx, ny)
    tx, ty = -ny, nx
    sliding = vx * tx + vy * ty
    limit = FRICTION * normal
    along = max(-limit, min(limit, -sliding / _response(first, second, contact, tx, ty)))
    ix, iy = normal * nx + along * tx, normal * ny + along * ty
    if first.simulates_physics:
        first.be_hit(ix, iy, contact.x_m, contact.y_m)
    if second is not None and second.simulates_physics:
        second.be_hit(-ix, -iy, contact.x_m, contact.y_m)
    return (ix, iy, 0.0)


def _response(first: Vehicle, second: Vehicle | None, contact: _Contact, axis_x: float, axis_y: float) -> float:
    """Return how much the contact point's relative speed along an axis changes with an impulse of 1 N s."""
    total = 0.0
    for body in (first, second):
        if body is not None and body.simulates_physics:
            arm = (contact.x_m - body.pose.x_m) * axis_y - (contact.y_m - body.pose.y_m) * axis_x
            total += _ease(body) + arm * arm / body.model.yaw_inertia_kg_m2
    return total or 1.0


def _contact(a: Footprint, b: Footprint) -> _Contact | None:
    """Return where two rectangles meet, or None if they do not."""
    dx, dy = a.x_m - b.x_m, a.y_m - b.y_m
    best = (math.inf, 0.0, 0.0)
    # across first: what a vehicle passes by is beside it
    for yaw in (a.yaw_rad + 0.5 * math.pi, a.yaw_rad, b.yaw_rad + 0.5 * math.pi, b.yaw_rad):
        nx, ny = math.cos(yaw), math.sin(yaw)
        along = dx * nx + dy * ny
        depth = a.reach_along(yaw) + b.reach_along(yaw) - abs(along)
        if depth <= 0.0:
            return None
        if depth < best[0]:
            best = (depth, math.copysign(nx, nx * along), math.copysign(ny, ny * along))
    inside = [corner for corner in a.corners() if b.contains(*corner)]
    inside += [corner for corner in b.corners() if a.contains(*corner)]
    inside = inside or [(0.5 * (a.x_m + b.x_m), 0.5 * (a.y_m + b.y_m))]
    x_m, y_m = (sum(corner[k] for corner in inside) / len(inside) for k in (0, 1))
    return _Contact(x_m, y_m, best[1], best[2], best[0])
