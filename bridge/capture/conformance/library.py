"""Checks: the blueprint library and the attributes that programs rely on."""

from __future__ import annotations

import carla

from bridge.capture.conformance.stage import Group, Stage, expect

GROUP = Group("blueprints")
CAMERAS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "optical_flow", "dvs")
OTHER_SENSORS = (
    "sensor.lidar.ray_cast",
    "sensor.lidar.ray_cast_semantic",
    "sensor.other.collision",
    "sensor.other.gnss",
    "sensor.other.imu",
    "sensor.other.lane_invasion",
    "sensor.other.obstacle",
    "sensor.other.radar",
)
_SHAPES = {"car", "truck", "van", "bus", "motorcycle", "bicycle"}
_CAMERA_ATTRIBUTES = ("image_size_x", "image_size_y", "fov", "sensor_tick", "lens_k", "lens_x_size", "role_name")


@GROUP.check()
def vehicles(stage: Stage) -> None:
    """Vehicles of at least five shapes with CARLA's attributes."""
    blueprints = list(stage.library.filter("vehicle.*"))
    expect(len(blueprints) >= 20, f"there are {len(blueprints)} vehicles")
    for blueprint in blueprints:
        missing = [
            name
            for name in ("number_of_wheels", "generation", "base_type", "special_type", "has_lights", "role_name")
            if not blueprint.has_attribute(name)
        ]
        expect(not missing, f"{blueprint.id} has no {', '.join(missing)}")
    shapes = {blueprint.get_attribute("base_type").as_str().lower() for blueprint in blueprints}
    expect(len(shapes & _SHAPES) >= 5, f"the shapes are {', '.join(sorted(shapes))}")
    wheels = {blueprint.get_attribute("number_of_wheels").as_int() for blueprint in blueprints}
    expect({2, 4} <= wheels, f"numbers of wheels are {sorted(wheels)}")


@GROUP.check()
def named_vehicles(stage: Stage) -> None:
    """The vehicles that CARLA's examples name exist."""
    for name in ("vehicle.tesla.model3", "vehicle.lincoln.mkz_2020", "vehicle.audi.tt", "vehicle.mini.cooper_s_2021"):
        expect(any(blueprint.id == name for blueprint in stage.library), f"there is no {name}")


@GROUP.check()
def colours(stage: Stage) -> None:
    """Colours can be chosen and arrive with the actor."""
    blueprint = stage.blueprint("vehicle.tesla.model3")
    choices = blueprint.get_attribute("color").recommended_values
    expect(len(choices) >= 2, "there is no choice of colours")
    blueprint.set_attribute("color", choices[-1])
    actor = None
    for point in stage.map.get_spawn_points():
        actor = stage.world.try_spawn_actor(blueprint, point)
        if actor is not None:
            break
    expect(actor is not None, "no spawn point is free")
    assert actor is not None
    stage.keep(actor)
    expect(actor.attributes["color"] == choices[-1], f"it is {actor.attributes['color']}, not {choices[-1]}")


@GROUP.check()
def walkers(stage: Stage) -> None:
    """Walkers have speeds, age and gender."""
    blueprints = list(stage.library.filter("walker.pedestrian.*"))
    expect(len(blueprints) >= 10, f"there are {len(blueprints)} walkers")
    for blueprint in blueprints:
        expect(blueprint.has_attribute("is_invincible"), f"{blueprint.id} has no is_invincible")
        expect(len(blueprint.get_attribute("speed").recommended_values) >= 3, f"{blueprint.id} has no walking speeds")
        expect(
            blueprint.get_attribute("gender").as_str() in ("male", "female", "other"), f"{blueprint.id} has no gender"
        )
    expect(
        any(blueprint.id == "controller.ai.walker" for blueprint in stage.library), "there is no controller.ai.walker"
    )


@GROUP.check()
def sensors(stage: Stage) -> None:
    """Every sensor and its attributes are there."""
    ids = {blueprint.id for blueprint in stage.library}
    missing = [name for name in (*(f"sensor.camera.{kind}" for kind in CAMERAS), *OTHER_SENSORS) if name not in ids]
    expect(not missing, f"there is no {', '.join(missing)}")
    for kind in CAMERAS[:4]:
        camera = stage.library.find(f"sensor.camera.{kind}")
        lacking = [name for name in _CAMERA_ATTRIBUTES if not camera.has_attribute(name)]
        expect(not lacking, f"{camera.id} has no {', '.join(lacking)}")
    lidar = stage.library.find("sensor.lidar.ray_cast")
    for name in ("channels", "range", "points_per_second", "rotation_frequency", "upper_fov", "lower_fov"):
        expect(lidar.has_attribute(name), f"{lidar.id} has no {name}")


@GROUP.check()
def attributes(stage: Stage) -> None:
    """Attributes have types and can be set, constant ones cannot."""
    camera = stage.library.find("sensor.camera.rgb")
    width = camera.get_attribute("image_size_x")
    expect(width.type == carla.ActorAttributeType.Int and width.is_modifiable, "image_size_x is no settable integer")
    camera.set_attribute("image_size_x", "123")
    expect(camera.get_attribute("image_size_x").as_int() == 123, "image_size_x was not set")
    wheels = stage.library.find("vehicle.tesla.model3").get_attribute("number_of_wheels")
    expect(not wheels.is_modifiable, "number_of_wheels can be set")
