"""Checks: loading the world anew; only where nobody else has anything in it."""

from __future__ import annotations

from bridge.capture.conformance.stage import CLIENT_TIMEOUT_S, ROLE, Group, Stage, expect, skip

GROUP = Group("episodes")
_KINDS = ("vehicle.", "walker.", "sensor.", "controller.")


@GROUP.check()
def reload(stage: Stage) -> None:
    """reload_world begins an empty episode with another id."""
    stage.tick()
    foreign = [
        actor
        for actor in stage.world.get_actors()
        if actor.type_id.startswith(_KINDS) and actor.attributes.get("role_name") != ROLE
    ]
    if foreign:
        skip(f"{len(foreign)} actors of others are in the world")
    old = stage.world.id
    stage.vehicle()
    stage.client.set_timeout(2.0 * CLIENT_TIMEOUT_S)
    stage.world = stage.client.reload_world(False)
    stage.client.set_timeout(CLIENT_TIMEOUT_S)
    stage.set_synchronous(True)
    stage.tick(2)
    expect(stage.world.id != old, "the episode has its old id")
    left = [actor for actor in stage.world.get_actors() if actor.type_id.startswith(_KINDS)]
    expect(not left, f"{len(left)} actors outlived it")
    stage.library, stage.map = stage.world.get_blueprint_library(), stage.world.get_map()
    stage.vehicle()
