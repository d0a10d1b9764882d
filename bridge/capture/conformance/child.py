"""The process that talks to the server: runs one group, or remembers and restores the server's state.

`python -m bridge.capture.conformance.child JOB HOST PORT [ARGUMENT]` prints one line of JSON for each result. It ends
without tearing the interpreter down: the wheel's own threads would sometimes abort it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import carla

from bridge.capture.conformance.groups import GROUPS
from bridge.capture.conformance.stage import CLIENT_TIMEOUT_S, Check, Failed, Skipped, Stage, own_actors

_SETTINGS = (
    "synchronous_mode",
    "no_rendering_mode",
    "fixed_delta_seconds",
    "substepping",
    "max_substep_delta_time",
    "max_substeps",
    "max_culling_distance",
    "deterministic_ragdolls",
    "tile_stream_distance",
    "actor_active_distance",
    "spectator_as_ego",
)


def main(job: str, host: str, port: int, argument: str) -> None:
    """Do one job."""
    if job == "list":
        _say(groups=[{"group": group.name, "checks": [check.name for check in group.checks]} for group in GROUPS])
    elif job == "remember":
        _say(**_remember(host, port))
    elif job == "restore":
        _say(left=_restore(host, port, json.loads(argument)))
    else:
        for result in _run_group(host, port, argument):
            _say(**result)


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def _connect(host: str, port: int) -> tuple[carla.Client, carla.World]:
    client = carla.Client(host, port)
    client.set_timeout(CLIENT_TIMEOUT_S)
    return client, client.get_world()


def _remember(host: str, port: int) -> dict[str, Any]:
    """Return the server's version, settings and weather."""
    client, world = _connect(host, port)
    settings, weather = world.get_settings(), world.get_weather()
    fields = [name for name in dir(weather) if isinstance(getattr(weather, name), float) and not name.startswith("_")]
    return {
        "version": client.get_server_version(),
        "map": world.get_map().name,
        "settings": {name: getattr(settings, name) for name in _SETTINGS},
        "weather": {name: getattr(weather, name) for name in fields},
    }


def _restore(host: str, port: int, state: dict[str, Any]) -> int:
    """Destroy what checks have spawned, put settings and weather back, and return how many actors are left."""
    client, world = _connect(host, port)
    if world.get_settings().synchronous_mode:
        world.tick(CLIENT_TIMEOUT_S)
    else:
        world.wait_for_tick(CLIENT_TIMEOUT_S)
    client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in own_actors(world)], False)
    if world.get_settings().synchronous_mode:
        world.tick(CLIENT_TIMEOUT_S)
    else:
        world.wait_for_tick(CLIENT_TIMEOUT_S)
    left = len(own_actors(world))
    weather, settings = world.get_weather(), world.get_settings()
    for name, value in state["weather"].items():
        setattr(weather, name, value)
    for name, value in state["settings"].items():
        setattr(settings, name, value)
    world.set_weather(weather)
    world.apply_settings(settings)
    return left


def _run_group(host: str, port: int, name: str) -> Iterator[dict[str, Any]]:
    group = next(group for group in GROUPS if group.name == name)
    stage = Stage(host, port)
    for check in group.checks:
        yield {"begins": check.name}
        began = time.monotonic()
        stage.set_synchronous(check.synchronous)
        verdict, sentence = _verdict(check, stage)
        stage.set_synchronous(True)
        stage.clear()
        stage.tick()
        yield {"check": check.name, "verdict": verdict, "sentence": sentence, "took_s": time.monotonic() - began}


def _verdict(check: Check, stage: Stage) -> tuple[str, str]:
    """Run a check; whatever it raises belongs in the report."""
    try:
        check.run(stage)
    except Skipped as reason:
        return "skipped", str(reason)
    except Failed as failure:
        return "failed", str(failure)
    except RuntimeError as error:
        return ("refused" if check.may_refuse else "failed"), f"the server answers: {error}"
    except Exception as error:  # noqa: BLE001 - a server's odd answer breaks a check in odd ways
        return "failed", f"{type(error).__name__}: {error}"
    return "ok", ""


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "")
    sys.stdout.flush()
    os._exit(0)
