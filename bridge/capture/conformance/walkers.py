"""Checks: pedestrians, steered by hand and by the client's own AI."""

from __future__ import annotations

import carla

from bridge.capture.conformance.stage import Group, Stage, expect, skip

GROUP = Group("walkers")


@GROUP.check()
def walks(stage: Stage) -> None:
    """A walker walks where it is told."""
    walker = stage.walker()
    stage.tick(20)
    start = walker.get_location()
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.5))
    stage.tick(40)
    gone = walker.get_location() - start
    expect(1.0 < gone.length() < 5.0, f"2 s at 1.5 m/s were {gone.length():.1f} m")
    told = walker.get_control()
    expect(abs(told.speed - 1.5) < 0.01 and told.direction.x > 0.9, f"get_control says {told}")


@GROUP.check()
def led(stage: Stage) -> None:
    """The client's AI leads a walker along the navigation mesh."""
    if stage.world.get_random_location_from_navigation() is None:
        skip("the server has no navigation mesh")
    stage.world.set_pedestrians_seed(5)
    stage.world.set_pedestrians_cross_factor(0.2)
    walker = stage.walker()
    stage.tick(3)
    controller = stage.spawn("controller.ai.walker", attach_to=walker)
    stage.tick(3)
    assert isinstance(controller, carla.WalkerAIController)
    start = walker.get_location()
    controller.start()
    controller.go_to_location(stage.world.get_random_location_from_navigation())
    controller.set_max_speed(1.8)
    stage.tick(160)
    gone = walker.get_location().distance(start)
    controller.stop()
    stage.tick(2)
    expect(gone > 1.0, f"in 8 s it went {gone:.1f} m")


@GROUP.check(may_refuse=True)
def bones(stage: Stage) -> None:
    """A walker's bones can be read and set."""
    walker = stage.walker()
    pose = walker.get_bones()
    expect(len(pose.bone_transforms) > 5, f"it has {len(pose.bone_transforms)} bones")
    walker.blend_pose(0.5)
    stage.tick()
