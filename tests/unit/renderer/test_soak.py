"""A slow viewer, a slow server and a link that flaps: nothing piles up, nothing is lost count of, memory stays flat.

`VIDRIVE_SOAK_MINUTES=30 make test ARGS="tests/unit/renderer/test_soak.py -m slow -s"` does it for long, with figures.
"""

from __future__ import annotations

import gc
import os
import random
import time
from pathlib import Path

import pytest

import bridge.trace
from bridge.loop import FrameLoop
from bridge.protocol.frames import EgoControl, FramePair, SensorFrame
from bridge.protocol.memory import keep_freed_memory
from bridge.render_client import RenderClient
from bridge.telemetry import read_telemetry
from bridge.trace import Trace
from renderer.inputs import ModelInput
from renderer.models.base import Model, ModelOutput
from renderer.models.reprojecting import ReprojectingModel
from renderer.sessions import MAX_SESSIONS
from renderer.temporal import TemporalState
from tests.unit.renderer.flapping_link import FlappingLink
from tests.unit.renderer.server_peers import DEADLINE_S, StartServer, street

PERIOD_S = 0.01
MOST_UNDER_WAY = 3  # one in flight, the newest one that waits for its turn, and the one that was just taken
FLAT_MIB = 12.0
FLAT_LATER_MIB = 4.0  # in the second half of a long run
LONG_S = 600.0
REMEMBERED = 500  # durations: as many as a drive keeps take half an hour to come, and look like growth until then


class SlowModel:
    """A model that takes its time, a little more or less each frame."""

    def __init__(self, model: Model) -> None:
        self.card, self.device, self.summary = model.card, model.device, model.summary
        self._model = model
        self._random = random.Random(1)

    def step(self, frame: ModelInput, state: TemporalState | None) -> tuple[ModelOutput, TemporalState]:
        time.sleep(self._random.uniform(0.0, 0.03))
        return self._model.step(frame, state)


class SlowViewer:
    """A display that now and then takes longer than a tick."""

    def __init__(self) -> None:
        self.num_shown = 0

    def accept(self, pair: FramePair) -> None:
        self.num_shown += 1
        if self.num_shown % 5 == 0:
            time.sleep(0.025)


class Street:
    """The frames of a drive; ids and times go on for ever, places repeat."""

    fixed_delta_s = PERIOD_S

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}
        self._frame_id = 0

    def tick(self, control: EgoControl | None) -> int:
        self._frame_id += 1
        return self._frame_id

    def read(self, frame_id: int) -> SensorFrame:
        place = street(frame_id % 200)
        return street(
            frame_id,
            world_from_camera=place.world_from_camera,
            bodies=place.bodies,
            time_s=frame_id * PERIOD_S,
            captured_s=time.monotonic(),
        )

    def respawn(self) -> None:
        raise AssertionError("nobody asked for that")


def resident_mib() -> float:
    """What this process holds: the street, the loop, the client, the server and its model."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(start_server: StartServer, model: ReprojectingModel, path: Path, seconds: float) -> str:
    """Drive that long; check everything; return the figures as a sentence."""
    keep_freed_memory()
    server = start_server(model=SlowModel(model))
    trace = Trace(None, path)
    begin_s, samples_mib, most_sessions = time.monotonic(), [], 0
    settled_s = begin_s + min(60.0, seconds / 3)
    with (
        FlappingLink(server.endpoint) as link,
        RenderClient(link.endpoint, answer_timeout_s=0.7) as client,
    ):
        client.wait_connected(DEADLINE_S)
        with FrameLoop(Street(), client, mode="live", display=SlowViewer(), trace=trace) as loop:
            # Long enough, and until everything that can happen has happened; at the latest when the test runs out.
            while time.monotonic() - begin_s < seconds or not (
                min(trace.rendered, trace.dropped, trace.failed) >= 20 and min(link.num_cuts, link.num_holds) >= 2
            ):
                loop.step()
                assert trace.ticks == trace.rendered + trace.dropped + trace.failed + trace.ledger.under_way
                assert trace.ledger.under_way <= 2, "between two steps"
                most_sessions = max(most_sessions, server.num_sessions)
                if trace.ticks % 50 == 0 and time.monotonic() > settled_s:
                    samples_mib.append(resident_mib())
        lost = client.num_lost
    assert trace.ticks == trace.rendered + trace.dropped + trace.failed
    assert trace.ledger.most_under_way <= MOST_UNDER_WAY
    assert most_sessions <= MAX_SESSIONS
    assert lost >= 1
    records = read_telemetry(path)
    assert len(records) == trace.ticks
    assert max(record.under_way for record in records) <= MOST_UNDER_WAY
    assert {record.outcome for record in records} == {"rendered", "dropped", "failed"}
    growth_mib = samples_mib[-1] - samples_mib[0] if samples_mib else 0.0
    later_mib = samples_mib[-1] - samples_mib[len(samples_mib) // 2] if samples_mib else 0.0
    assert growth_mib <= FLAT_MIB
    assert later_mib <= FLAT_LATER_MIB or seconds < LONG_S
    return (
        f"{(time.monotonic() - begin_s) / 60:.1f} minutes, {trace.ticks} ticks = {trace.rendered} rendered + "
        f"{trace.dropped} dropped + {trace.failed} failed; at most {trace.ledger.most_under_way} frames under way, "
        f"{most_sessions} sessions; {link.num_cuts} cuts, {link.num_holds} stand-stills, {lost} servers lost; memory "
        f"{samples_mib[-1] if samples_mib else 0:.0f} MiB, {growth_mib:+.1f} since it had settled, "
        f"{later_mib:+.1f} in the second half"
    )


@pytest.fixture(autouse=True)
def _few_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.trace, "_REMEMBERED", REMEMBERED)


def test_nothing_piles_up(start_server: StartServer, tiny_model: ReprojectingModel, tmp_path: Path) -> None:
    soak(start_server, tiny_model, tmp_path / "soak.jsonl", 3.0)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_nothing_piles_up_for_long(start_server: StartServer, tiny_model: ReprojectingModel, tmp_path: Path) -> None:
    minutes = float(os.environ.get("VIDRIVE_SOAK_MINUTES", "30"))
    print(f"\n{soak(start_server, tiny_model, tmp_path / 'soak.jsonl', 60.0 * minutes)}")
