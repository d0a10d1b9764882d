"""Calls about the things of the world: the static town's, and the boxes of all that a tag names."""

from __future__ import annotations

import math

from bridge.carla_wire import layouts
from bridge.town.actors import Vehicle, pose_of, transform_of
from bridge.town.calls.registry import Call, answers
from bridge.town.props import Prop
from bridge.town.walkers import Walker

ANY_TAG = 255
_NAMES = {3: "Building", 4: "Wall", 5: "Fence", 6: "Pole", 8: "Sign", 9: "Tree", 14: "ParkedCar", 20: "Furniture"}


def _static_boxes(call: Call, tag: int) -> list[tuple[int, int, layouts.BoundingBox]]:
    """Return number, tag and box (world axes) of the static town's solid things with a tag."""
    network = call.simulation.network
    found = []
    columns = (network.static_boxes, network.static_tags, network.static_heights_m)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for number, ((x_m, y_m, half_x_m, half_y_m, yaw_rad), own_tag, height_m) in enumerate(rows, 1):
        if tag in (ANY_TAG, own_tag):
            half_z = 0.5 * height_m
            box = layouts.BoundingBox(
                layouts.Vector3D(x_m, y_m, half_z),
                layouts.Vector3D(half_x_m, half_y_m, half_z),
                layouts.Rotation(yaw=math.degrees(yaw_rad)),
            )
            found.append((number, own_tag, box))
    return found


@answers("get_names_of_all_objects", takes_lock=False)
def get_names_of_all_objects(call: Call) -> list[str]:
    """The names of the static town's things and of the actors."""
    with call.simulation.lock:
        actors = [f"{actor.blueprint_id}_{actor.actor_id}" for actor in call.simulation.episode.actors.values()]
    return [_name(number, tag) for number, tag, _box in _static_boxes(call, ANY_TAG)] + actors


def _name(number: int, tag: int) -> str:
    return f"{_NAMES.get(tag, 'Thing')}_{number}"


@answers("get_environment_objects", takes_lock=False)
def get_environment_objects(call: Call, tag: int) -> list[layouts.EnvironmentObject]:
    """The static town's solid things with a tag (255: all): houses, walls, fences, poles, trees, parked cars."""
    return [
        layouts.EnvironmentObject(
            layouts.Transform(layouts.Vector3D(box.location.x, box.location.y, 0.0), box.rotation),
            box,
            number,
            _name(number, own_tag),
            own_tag,
        )
        for number, own_tag, box in _static_boxes(call, tag)
    ]


@answers("get_all_level_BBs", takes_lock=False)
def get_all_level_bbs(call: Call, tag: int) -> list[layouts.BoundingBox]:
    """The boxes in world axes of all with a tag (255: all): vehicles, walkers, props, then the static town's things."""
    boxes = []
    with call.simulation.lock:
        for actor in call.simulation.episode.actors.values():
            if isinstance(actor, Vehicle | Walker | Prop) and (tag == ANY_TAG or bytes([tag]) == actor.semantic_tags):
                box = actor.bounding_box
                world = transform_of(actor.pose.compose(pose_of(layouts.Transform(box.location))))
                boxes.append(layouts.BoundingBox(world.location, box.extent, world.rotation, actor.actor_id))
    return boxes + [box for _number, _tag, box in _static_boxes(call, tag)]


@answers("enable_environment_objects", without_effect=True)
def enable_environment_objects(_call: Call, _ids: list[int], _enabled: bool) -> None:
    """Nothing: the static town is drawn as one piece, and its things cannot be switched off."""
