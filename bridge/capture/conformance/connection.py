"""Checks: connecting, versions, settings, time."""

from __future__ import annotations

import threading

import carla

from bridge.capture.conformance.stage import DELTA_S, Group, Stage, expect, skip

GROUP = Group("connection")


@GROUP.check()
def versions(stage: Stage) -> None:
    """Client and server are of the same version."""
    client, server = stage.client.get_client_version(), stage.client.get_server_version()
    expect(client == server, f"the client library is {client}, the server {server}")


@GROUP.check()
def maps(stage: Stage) -> None:
    """The maps are listed."""
    names = stage.client.get_available_maps()
    expect(len(names) > 0, "there is no map")
    current = stage.map.name.split("/")[-1]
    expect(any(name.split("/")[-1] == current for name in names), f"the present map {current} is not in the list")


@GROUP.check()
def settings(stage: Stage) -> None:
    """Settings come back as they were applied."""
    wanted = stage.world.get_settings()
    before = stage.world.get_settings()
    wanted.synchronous_mode, wanted.fixed_delta_seconds, wanted.no_rendering_mode = True, 0.025, True
    wanted.substepping, wanted.max_substep_delta_time, wanted.max_substeps = True, 0.005, 6
    stage.world.apply_settings(wanted)
    told = stage.world.get_settings()
    stage.world.apply_settings(before)
    expect(told.synchronous_mode and told.no_rendering_mode, "synchronous_mode or no_rendering_mode was not kept")
    expect(abs((told.fixed_delta_seconds or 0.0) - 0.025) < 1e-6, "fixed_delta_seconds was not kept")
    expect(told.max_substeps == 6 and abs(told.max_substep_delta_time - 0.005) < 1e-9, "substepping was not kept")


@GROUP.check()
def synchronous_ticks(stage: Stage) -> None:
    """A synchronous tick is one frame of fixed length."""
    first = stage.tick()
    before = stage.world.get_snapshot()
    expect(before.frame == first, f"tick() returned {first}, the snapshot is of frame {before.frame}")
    for number in range(1, 6):
        frame = stage.tick()
        expect(frame == first + number, f"frame {frame} follows frame {first + number - 1}")
    after = stage.world.get_snapshot()
    passed = after.timestamp.elapsed_seconds - before.timestamp.elapsed_seconds
    expect(abs(passed - 5 * DELTA_S) < 1e-6, f"five ticks took {passed:.6f} simulated seconds")
    expect(abs(after.timestamp.delta_seconds - DELTA_S) < 1e-6, "the snapshot's delta_seconds is not the fixed one")


@GROUP.check(synchronous=False)
def free_running(stage: Stage) -> None:
    """Without synchronous mode time runs by itself."""
    first = stage.world.wait_for_tick(10.0)
    second = stage.world.wait_for_tick(10.0)
    expect(second.frame > first.frame, "frames do not count up")
    expect(second.timestamp.elapsed_seconds > first.timestamp.elapsed_seconds, "simulation time stands still")


@GROUP.check()
def callbacks(stage: Stage) -> None:
    """on_tick calls back, remove_on_tick ends it."""
    seen: list[int] = []
    came = threading.Event()

    def note(snapshot: carla.WorldSnapshot) -> None:
        seen.append(snapshot.frame)
        came.set()

    number = stage.world.on_tick(note)
    frame = stage.tick()
    expect(came.wait(5.0), "no callback came for a tick")
    stage.world.remove_on_tick(number)
    expect(frame in seen, f"frame {frame} was ticked, the callback saw {seen}")
    count = len(seen)
    stage.tick(3)
    expect(len(seen) <= count + 1, "callbacks came after remove_on_tick")


@GROUP.check()
def episode_id(stage: Stage) -> None:
    """The episode has one id, and snapshots carry it."""
    stage.tick()
    expect(stage.world.get_snapshot().id == stage.world.id, "the snapshot's episode is not the world's")


@GROUP.check()
def files(stage: Stage) -> None:
    """Files that the client needs can be fetched."""
    names = stage.client.get_required_files("", False)
    if not names:
        skip("the server names no files")
    expect(all(isinstance(name, str) and name for name in names), "a file has no name")
