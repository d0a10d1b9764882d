"""Calls about the things of the world: the static town's, and the boxes of all that a tag names."""

from __future__ import annotations

import math

from bridge.carla_wire import layouts
from bridge.town.actors import Vehicle, pose_of, transform_of
from bridge.town.calls.registry import Call, answers
from bridge.town.environment import EnvironmentThing
from bridge.town.props import Prop
from bridge.town.walkers import Walker

ANY_TAG = 255


def _things(call: Call, tag: int) -> list[EnvironmentThing]:
    """Return the static town's things with a tag."""
    return [thing for thing in call.simulation.network.environment if tag in (ANY_TAG, thing.tag)]


def _box(thing: EnvironmentThing) -> layouts.BoundingBox:
    """Return a thing's box in world axes."""
    place, half_z = thing.place, 0.5 * thing.height_m
    return layouts.BoundingBox(
        layouts.Vector3D(place.x_m, place.y_m, half_z),
        layouts.Vector3D(place.half_x_m, place.half_y_m, half_z),
        layouts.Rotation(yaw=math.degrees(place.yaw_rad)),
    )


@answers("get_names_of_all_objects", takes_lock=False)
def get_names_of_all_objects(call: Call) -> list[str]:
    """The names of the static town's things and of the actors."""
    with call.simulation.lock:
        actors = [f"{actor.blueprint_id}_{actor.actor_id}" for actor in call.simulation.episode.actors.values()]
    return [thing.name for thing in _things(call, ANY_TAG)] + actors


@answers("get_environment_objects", takes_lock=False)
def get_environment_objects(call: Call, tag: int) -> list[layouts.EnvironmentObject]:
    """The static town's things with a tag (255: all): houses, walls, fences, poles, plants, furniture, parked cars."""
    return [
        layouts.EnvironmentObject(
            layouts.Transform(layouts.Vector3D(thing.place.x_m, thing.place.y_m, 0.0), box.rotation),
            box,
            thing.number,
            thing.name,
            thing.tag,
        )
        for thing in _things(call, tag)
        for box in (_box(thing),)
    ]


@answers("get_all_level_BBs", takes_lock=False)
def get_all_level_bbs(call: Call, tag: int) -> list[layouts.BoundingBox]:
    """The boxes in world axes of all with a tag (255: all): vehicles, walkers, props, then what shows of the town."""
    boxes = []
    with call.simulation.lock:
        hidden = call.simulation.episode.hidden
        for actor in call.simulation.episode.actors.values():
            if isinstance(actor, Vehicle | Walker | Prop) and (tag == ANY_TAG or bytes([tag]) == actor.semantic_tags):
                box = actor.bounding_box
                world = transform_of(actor.pose.compose(pose_of(layouts.Transform(box.location))))
                boxes.append(layouts.BoundingBox(world.location, box.extent, world.rotation, actor.actor_id))
    return boxes + [_box(thing) for thing in _things(call, tag) if thing.number not in hidden]


@answers("enable_environment_objects")
def enable_environment_objects(call: Call, numbers: list[int], enabled: bool) -> None:
    """Let things of the static town show and be solid, or neither: from all cameras, rays and collisions."""
    call.simulation.episode.switch_things(numbers, are_shown=enabled)
