"""The blueprint library: CARLA's ids and attributes of everything that can be spawned in the town."""

from __future__ import annotations

from typing import Literal

from bridge.carla_wire.layouts import ActorAttribute, ActorDefinition
from bridge.town.prop_kinds import PREFIX, PROPS

BOOL, INT, FLOAT, STRING, COLOR = 1, 2, 3, 4, 5
VehicleClass = Literal["car", "truck", "van", "bus", "motorcycle", "bicycle"]

_SEATS = ["front", "back", "left", "right", "front_left", "front_right", "back_left", "back_right"]
_PAINTS = ["17,37,103", "180,0,0", "230,230,230", "30,30,32", "128,132,138", "66,82,58"]

# make, model, class, generation, special type: CARLA 0.9.16's catalogue
_VEHICLES: tuple[tuple[str, str, VehicleClass, int, str], ...] = (
    ("audi", "a2", "car", 1, ""),
    ("audi", "etron", "car", 1, "electric"),
    ("audi", "tt", "car", 1, ""),
    ("bmw", "grandtourer", "car", 1, ""),
    ("chevrolet", "impala", "car", 1, ""),
    ("citroen", "c3", "car", 1, ""),
    ("dodge", "charger_2020", "car", 2, ""),
    ("dodge", "charger_police", "car", 1, "emergency"),
    ("dodge", "charger_police_2020", "car", 2, "emergency"),
    ("ford", "crown", "car", 2, "taxi"),
    ("ford", "mustang", "car", 1, ""),
    ("jeep", "wrangler_rubicon", "car", 1, ""),
    ("lincoln", "mkz_2017", "car", 1, ""),
    ("lincoln", "mkz_2020", "car", 2, ""),
    ("mercedes", "coupe", "car", 1, ""),
    ("mercedes", "coupe_2020", "car", 2, ""),
    ("micro", "microlino", "car", 1, "electric"),
    ("mini", "cooper_s", "car", 1, ""),
    ("mini", "cooper_s_2021", "car", 2, ""),
    ("nissan", "micra", "car", 1, ""),
    ("nissan", "patrol", "car", 1, ""),
    ("nissan", "patrol_2021", "car", 2, ""),
    ("seat", "leon", "car", 1, ""),
    ("tesla", "model3", "car", 2, "electric"),
    ("toyota", "prius", "car", 1, "electric"),
    ("carlamotors", "carlacola", "truck", 1, ""),
    ("carlamotors", "european_hgv", "truck", 2, ""),
    ("carlamotors", "firetruck", "truck", 2, "emergency"),
    ("tesla", "cybertruck", "truck", 2, "electric"),
    ("ford", "ambulance", "van", 2, "emergency"),
    ("mercedes", "sprinter", "van", 2, ""),
    ("volkswagen", "t2", "van", 1, ""),
    ("volkswagen", "t2_2021", "van", 2, ""),
    ("mitsubishi", "fusorosa", "bus", 2, ""),
    ("harley-davidson", "low_rider", "motorcycle", 1, ""),
    ("kawasaki", "ninja", "motorcycle", 1, ""),
    ("vespa", "zx125", "motorcycle", 1, ""),
    ("yamaha", "yzf", "motorcycle", 1, ""),
    ("bh", "crossbike", "bicycle", 1, ""),
    ("diamondback", "century", "bicycle", 1, ""),
    ("gazelle", "omafiets", "bicycle", 1, ""),
)

_WALKER_COUNT = 51
_WALKER_AGES = ("adult", "adult", "elderly", "child")

_CAMERA_ATTRIBUTES = (
    ("sensor_tick", FLOAT, "0.0"),
    ("image_size_x", INT, "800"),
    ("image_size_y", INT, "600"),
    ("fov", FLOAT, "90.0"),
    ("lens_circle_falloff", FLOAT, "5.0"),
    ("lens_circle_multiplier", FLOAT, "0.0"),
    ("lens_k", FLOAT, "-1.0"),
    ("lens_kcube", FLOAT, "0.0"),
    ("lens_x_size", FLOAT, "0.08"),
    ("lens_y_size", FLOAT, "0.08"),
)

# CARLA's post-processing attributes: programs set them, so they exist; the town's camera ignores them.
_POST_PROCESSING = (
    ("enable_postprocess_effects", BOOL, "true"),
    ("gamma", FLOAT, "2.2"),
    ("motion_blur_intensity", FLOAT, "0.45"),
    ("motion_blur_max_distortion", FLOAT, "0.35"),
    ("motion_blur_min_object_screen_size", FLOAT, "0.1"),
    ("lens_flare_intensity", FLOAT, "0.1"),
    ("bloom_intensity", FLOAT, "0.675"),
    ("exposure_compensation", FLOAT, "0.0"),
    ("shutter_speed", FLOAT, "200.0"),
    ("iso", FLOAT, "100.0"),
    ("fstop", FLOAT, "1.4"),
    ("exposure_min_bright", FLOAT, "10.0"),
    ("exposure_max_bright", FLOAT, "12.0"),
    ("exposure_speed_up", FLOAT, "3.0"),
    ("exposure_speed_down", FLOAT, "1.0"),
    ("calibration_constant", FLOAT, "16.0"),
    ("focal_distance", FLOAT, "1000.0"),
    ("blur_amount", FLOAT, "1.0"),
    ("blur_radius", FLOAT, "0.0"),
    ("min_fstop", FLOAT, "1.2"),
    ("blade_count", INT, "5"),
    ("slope", FLOAT, "0.88"),
    ("toe", FLOAT, "0.55"),
    ("shoulder", FLOAT, "0.26"),
    ("black_clip", FLOAT, "0.0"),
    ("white_clip", FLOAT, "0.04"),
    ("temp", FLOAT, "6500.0"),
    ("tint", FLOAT, "0.0"),
    ("chromatic_aberration_intensity", FLOAT, "0.0"),
    ("chromatic_aberration_offset", FLOAT, "0.0"),
)

_GNSS_NOISE = (
    "noise_alt_bias",
    "noise_alt_stddev",
    "noise_lat_bias",
    "noise_lat_stddev",
    "noise_lon_bias",
    "noise_lon_stddev",
)
_IMU_NOISE = tuple(
    f"noise_{what}_{axis}" for what in ("accel_stddev", "gyro_stddev", "gyro_bias") for axis in ("x", "y", "z")
)


_EVENT_ATTRIBUTES = (
    ("positive_threshold", FLOAT, "0.3"),
    ("negative_threshold", FLOAT, "0.3"),
    ("sigma_positive_threshold", FLOAT, "0.0"),
    ("sigma_negative_threshold", FLOAT, "0.0"),
    ("refractory_period_ns", INT, "0"),
    ("use_log", BOOL, "true"),
    ("log_eps", FLOAT, "0.001"),
    ("noise_seed", INT, "0"),
)
_LIDAR_ATTRIBUTES = (
    ("channels", INT, "32"),
    ("range", FLOAT, "10.0"),
    ("points_per_second", INT, "56000"),
    ("rotation_frequency", FLOAT, "10.0"),
    ("upper_fov", FLOAT, "10.0"),
    ("lower_fov", FLOAT, "-30.0"),
    ("horizontal_fov", FLOAT, "360.0"),
    ("atmosphere_attenuation_rate", FLOAT, "0.004"),
    ("noise_seed", INT, "0"),
    ("dropoff_general_rate", FLOAT, "0.45"),
    ("dropoff_intensity_limit", FLOAT, "0.8"),
    ("dropoff_zero_intensity", FLOAT, "0.4"),
    ("noise_stddev", FLOAT, "0.0"),
)
_RADAR_ATTRIBUTES = (
    ("horizontal_fov", FLOAT, "30.0"),
    ("vertical_fov", FLOAT, "30.0"),
    ("range", FLOAT, "100.0"),
    ("points_per_second", INT, "1500"),
    ("noise_seed", INT, "0"),
)
_OBSTACLE_ATTRIBUTES = (
    ("distance", FLOAT, "5.0"),
    ("hit_radius", FLOAT, "0.5"),
    ("only_dynamics", BOOL, "false"),
    ("debug_linetrace", BOOL, "false"),
)

_RAY_SENSORS: dict[str, tuple[tuple[str, int, str], ...]] = {
    "sensor.lidar.ray_cast": _LIDAR_ATTRIBUTES,
    "sensor.lidar.ray_cast_semantic": _LIDAR_ATTRIBUTES[:7],
    "sensor.other.obstacle": _OBSTACLE_ATTRIBUTES,
    "sensor.other.radar": _RADAR_ATTRIBUTES,
}


def vehicle_class(blueprint_id: str) -> VehicleClass:
    """Return the class of a vehicle's blueprint; an id that the library does not know counts as a car."""
    return _CLASSES.get(blueprint_id, "car")


def build_library() -> list[ActorDefinition]:
    """Return every blueprint, in a fixed order, with the uids 1, 2, 3 ..."""
    blueprints = [
        *(_vehicle(*row) for row in _VEHICLES),
        *(_walker(number) for number in range(1, _WALKER_COUNT + 1)),
        *(_prop(name) for name in PROPS),
        _camera("rgb", post_processing=True),
        *(
            _camera(kind)
            for kind in ("depth", "instance_segmentation", "normals", "optical_flow", "semantic_segmentation")
        ),
        ("sensor.camera.dvs", [*_camera("dvs")[1], *(_free(*row) for row in _EVENT_ATTRIBUTES)]),
        *_other_sensors(),
        *(_ray_sensor(blueprint_id, rows) for blueprint_id, rows in _RAY_SENSORS.items()),
        ("controller.ai.walker", _common("controller.ai.walker", ["default"])),
    ]
    return [
        ActorDefinition(uid, blueprint_id, blueprint_id.replace(".", ","), attributes)
        for uid, (blueprint_id, attributes) in enumerate(blueprints, 1)
    ]


_CLASSES: dict[str, VehicleClass] = {f"vehicle.{make}.{model}": kind for make, model, kind, _gen, _special in _VEHICLES}
_Blueprint = tuple[str, list[ActorAttribute]]


def _free(name: str, kind: int, value: str, recommended: list[str] | None = None) -> ActorAttribute:
    return ActorAttribute(name, kind, value, [value] if recommended is None else recommended, True, False)


def _fixed(name: str, kind: int, value: str) -> ActorAttribute:
    return ActorAttribute(name, kind, value, [], False, False)


def _choice(name: str, kind: int, values: list[str]) -> ActorAttribute:
    return ActorAttribute(name, kind, values[0], values, True, True)


def _common(blueprint_id: str, roles: list[str]) -> list[ActorAttribute]:
    return [_free("role_name", STRING, roles[0], roles), _free("ros_name", STRING, blueprint_id)]


def _vehicle(make: str, model: str, kind: VehicleClass, generation: int, special_type: str) -> _Blueprint:
    blueprint_id = f"vehicle.{make}.{model}"
    two_wheels = kind in ("motorcycle", "bicycle")
    attributes = _common(blueprint_id, ["autopilot", "scenario", "ego_vehicle"])
    attributes.append(_free("color", COLOR, _PAINTS[0], _PAINTS))
    if two_wheels:
        attributes.append(_choice("driver_id", INT, ["1", "2"]))
    attributes += [
        _free("sticky_control", BOOL, "true"),
        _free("terramechanics", BOOL, "false"),
        _fixed("object_type", STRING, ""),
        _fixed("base_type", STRING, kind),
        _fixed("special_type", STRING, special_type),
        _fixed("number_of_wheels", INT, "2" if two_wheels else "4"),
        _fixed("generation", INT, str(generation)),
        _fixed("has_dynamic_doors", BOOL, "false"),
        _fixed("has_lights", BOOL, "false" if kind == "bicycle" else "true"),
    ]
    return blueprint_id, attributes


def _prop(name: str) -> _Blueprint:
    blueprint_id = PREFIX + name
    return blueprint_id, [*_common(blueprint_id, ["prop"]), _fixed("size", STRING, PROPS[name].size)]


def _walker(number: int) -> _Blueprint:
    blueprint_id = f"walker.pedestrian.{number:04d}"
    return blueprint_id, [
        *_common(blueprint_id, ["pedestrian"]),
        _fixed("gender", STRING, "male" if number % 2 else "female"),
        _fixed("generation", INT, "2" if number > _WALKER_COUNT // 2 else "1"),
        _fixed("age", STRING, _WALKER_AGES[number % len(_WALKER_AGES)]),
        _fixed("can_use_wheelchair", BOOL, "false"),
        _free("speed", FLOAT, "0.0", ["0.0", "1.46", "3.6"]),
        _free("is_invincible", BOOL, "true"),
        _choice("use_wheelchair", BOOL, ["false"]),
    ]


def _camera(kind: str, *, post_processing: bool = False) -> _Blueprint:
    blueprint_id = f"sensor.camera.{kind}"
    attributes = _common(blueprint_id, _SEATS)
    attributes += [_free(*row) for row in _CAMERA_ATTRIBUTES]
    if post_processing:
        attributes += [_free(*row) for row in _POST_PROCESSING]
        attributes.append(_choice("exposure_mode", STRING, ["histogram", "manual"]))
    return blueprint_id, attributes


def _other_sensors() -> list[_Blueprint]:
    noise = {"gnss": _GNSS_NOISE, "imu": _IMU_NOISE, "collision": (), "lane_invasion": ()}
    blueprints: list[_Blueprint] = []
    for kind, names in noise.items():
        blueprint_id = f"sensor.other.{kind}"
        attributes = [*_common(blueprint_id, _SEATS), _free("sensor_tick", FLOAT, "0.0")]
        if names:
            attributes.append(_free("noise_seed", INT, "0"))
        attributes += [_free(name, FLOAT, "0.0") for name in names]
        blueprints.append((blueprint_id, attributes))
    return blueprints


def _ray_sensor(blueprint_id: str, rows: tuple[tuple[str, int, str], ...]) -> _Blueprint:
    attributes = [*_common(blueprint_id, _SEATS), _free("sensor_tick", FLOAT, "0.0")]
    return blueprint_id, attributes + [_free(*row) for row in rows]
