"""Walkers who are to be seen begin in the ego vehicle's street, by CARLA's own navigation mesh in the wheel."""

from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("carla", reason="there is no carla wheel for this platform")

from bridge.capture.drive import open_drive
from bridge.capture.presets import load_rig, load_session
from clients.processes import Child

READY_S = 180.0
WITHIN_M = 80.0


def test_walkers_begin_near_the_ego_vehicle() -> None:
    demo = msgspec.structs.replace(load_session("demo"), num_vehicles=0, num_walkers=6)
    rig = msgspec.structs.replace(load_rig(demo.rig), width_px=64, height_px=32)
    with Child("town", ["town", "--port", "0", "--seed", "1"]) as town:
        port = int(town.wait_ready(READY_S)[-1].rpartition(":")[2])
        farthest_m = []
        for within_m in (0.0, WITHIN_M):
            session = msgspec.structs.replace(demo, walkers_within_m=within_m)
            with open_drive(session, rig, host="127.0.0.1", port=port, seed=1) as drive:
                walkers = drive.world.world.get_actors().filter("walker.*")
                assert len(walkers) == 6
                home = drive.ego.spawn_location
                farthest_m.append(max(walker.get_location().distance(home) for walker in walkers))
    assert farthest_m[1] < WITHIN_M + 5.0, "they have walked for a few ticks"
    assert farthest_m[0] > WITHIN_M + 5.0, "the test proves nothing of walkers who are near anyway"
