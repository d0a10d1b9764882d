"""The conformance suite: the town passes it, faults are found, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from bridge.town.server import TownServer

pytest.importorskip("carla")

QUICK_GROUPS = ("connection", "map", "blueprints", "actors", "vehicles")


def doctor(address: str, *flags: str, timeout_s: float = 240.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clients.cli", "doctor", "--carla", address, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_town_passes_and_is_left_as_it_was_found(town: TownServer) -> None:
    episode = town.simulation.episode
    before, actors = episode.settings, set(episode.actors)
    groups = [flag for group in QUICK_GROUPS for flag in ("--group", group)]
    report = told(doctor(f"127.0.0.1:{town.port}", "--json", *groups))
    failed = [row for row in report["outcomes"] if row["verdict"] == "failed"]
    assert failed == []
    assert {row["group"] for row in report["outcomes"]} == set(QUICK_GROUPS)
    assert report["is_good"] is True and report["actors_left"] == 0
    assert town.simulation.episode.settings == before
    assert set(town.simulation.episode.actors) == actors


def test_a_fault_is_found_named_and_cleaned_up_after(town: TownServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A town whose brakes do nothing, and which loses its lights' states."""
    from bridge.carla_wire import layouts
    from bridge.town.actors import Vehicle
    from bridge.town.chassis import Chassis

    drive = Chassis.advance

    def without_brakes(self, dt_s, control, ground_m, *, has_gravity):
        rolling = layouts.VehicleControl(control.throttle, control.steer, 0.0, False, control.reverse)
        return drive(self, dt_s, rolling, ground_m, has_gravity=has_gravity)

    monkeypatch.setattr(Chassis, "advance", without_brakes)
    done = doctor(f"127.0.0.1:{town.port}", "--group", "vehicles")
    assert done.returncode == 2
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert any(
        "Throttle drives, the brake stops, and it stays: after 4 s of braking it goes" in line for line in failed
    )
    assert any("The hand brake holds" in line for line in failed)
    assert "left behind: 0 actors" in done.stdout.splitlines()[-1]
    assert not list(town.simulation.episode.of_kind(Vehicle))


def test_a_client_that_dies_is_a_failure_and_the_rest_goes_on(
    town: TownServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sensor type that the wheel does not know ends its process: the next groups run all the same."""
    from bridge.town import sensors

    monkeypatch.setattr(sensors.GnssSensor, "header", lambda _self, _kind, frame, elapsed_s: bytes(8) + b"\xff" * 40)
    report = told(doctor(f"127.0.0.1:{town.port}", "--json", "--group", "sensors", "--group", "connection"))
    verdicts = {(row["group"], row["check"]): row for row in report["outcomes"]}
    broken = next(row for (_, check), row in verdicts.items() if check.startswith("gnss"))
    assert broken["verdict"] == "failed"
    assert all(row["verdict"] != "failed" for (group, _), row in verdicts.items() if group == "connection")
    assert report["actors_left"] == 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--carla", "127.0.0.1:1"), "error: "),
        (("--group", "map"), "error: --group names checks of a simulator. Say where it runs with --carla HOST:PORT"),
        (("--carla", "nowhere:x"), "error: 'nowhere:x' is not an address"),
    ],
)
def test_what_cannot_be_examined(flags: tuple[str, ...], sentence: str) -> None:
    command = [sys.executable, "-m", "clients.cli", "doctor", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60.0, check=False)
    assert done.returncode == 2 and done.stderr.startswith(sentence)


def test_an_unknown_group_names_the_known_ones(town: TownServer) -> None:
    done = doctor(f"127.0.0.1:{town.port}", "--group", "boats")
    assert done.returncode == 2
    assert "there is no group of checks 'boats'. There are connection, world, map," in done.stderr
