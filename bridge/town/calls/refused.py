"""The calls that the town refuses, and the sentences that clients read.

A call that the wheel sends without waiting for an answer cannot raise an error in the client; refusing it means that
nothing happens.
"""

from __future__ import annotations

from bridge.town.calls.registry import refuse

_NO_SKELETON = "The town's walkers and vehicles have no skeleton"
_NO_PARTS = "The town's actors have no named components or sockets"
_NO_TEXTURES = "The town's objects cannot be painted by a client"
_NO_ROS = "The town has no ROS publisher"
_NO_GBUFFERS = "The town's renderer has no G-buffers"
_ONE_PHYSICS = "The town has one physics model for vehicles"

for _method, _why in {
    "apply_color_texture_to_objects": _NO_TEXTURES,
    "apply_float_color_texture_to_objects": _NO_TEXTURES,
    "are_gbuffers_enabled": _NO_GBUFFERS,
    "blend_pose": _NO_SKELETON,
    "disable_sensor_for_ros": _NO_ROS,
    "enable_carsim": _ONE_PHYSICS,
    "enable_chrono_physics": _ONE_PHYSICS,
    "enable_gbuffers": _NO_GBUFFERS,
    "enable_sensor_for_ros": _NO_ROS,
    "get_actor_bone_names": _NO_SKELETON,
    "get_actor_bone_relative_transforms": _NO_SKELETON,
    "get_actor_bone_world_transforms": _NO_SKELETON,
    "get_actor_component_names": _NO_PARTS,
    "get_actor_component_relative_transform": _NO_PARTS,
    "get_actor_component_world_transform": _NO_PARTS,
    "get_actor_socket_names": _NO_PARTS,
    "get_actor_socket_relative_transforms": _NO_PARTS,
    "get_actor_socket_world_transforms": _NO_PARTS,
    "get_bones_transform": _NO_SKELETON,
    "get_gbuffer_token": _NO_GBUFFERS,
    "get_pose_from_animation": _NO_SKELETON,
    "get_vehicle_bone_world_transforms": _NO_SKELETON,
    "get_wheel_pitch_angle": "The town's wheels stand upright",
    "is_sensor_enabled_for_ros": _NO_ROS,
    "restore_physx_physics": _ONE_PHYSICS,
    "send": "The town has no V2X radio",
    "set_bones_transform": _NO_SKELETON,
    "set_ignored_vehicles": "The town does not know this call's purpose",
    "set_wheel_pitch_angle": "The town's wheels stand upright",
    "set_wheel_steer_direction": "The town's wheels turn as the vehicle steers",
    "use_carsim_road": _ONE_PHYSICS,
}.items():
    refuse(_method, _why)
