"""Which stage limits a drive: where each frame's time goes, and the sentence that names the slowest.

The HUD, the end of a drive and the bench's report all say it by this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from statistics import median
from typing import Final

from bridge.protocol.frames import FramePair

GROUPS: Final = ("simulator", "neural", "transport", "viewer")
SLOW_SHARE: Final = 1.05  # of its time, from which on a stage is what limits the rate
SIMULATOR: Final = ("tick", "wait", "decode")
VIEWER: Final = ("show", "record")
_CLIENT: Final = ("prepare", "round_trip")


def stage_groups(pair: FramePair, own_ms: Mapping[str, float]) -> tuple[float, ...]:
    """Return what a frame took in each of `GROUPS`, ms: `own_ms` are the last stages of the bridge's own."""
    neural_ms = transport_ms = 0.0
    if pair.rendered is not None:
        stages_ms = pair.rendered.stages_ms
        neural_ms = sum(ms for name, ms in stages_ms.items() if name not in _CLIENT)
        transport_ms = max(0.0, stages_ms.get("round_trip", neural_ms) - neural_ms) + stages_ms.get("prepare", 0.0)
    simulator_ms = sum(own_ms.get(name, 0.0) for name in SIMULATOR)
    return simulator_ms, neural_ms, transport_ms, sum(own_ms.get(name, 0.0) for name in VIEWER)


def told_groups(stages_ms: Mapping[str, float]) -> tuple[float, ...]:
    """Return the same of a frame's stages as telemetry and reports name them, where `transport` is told apart."""
    transport_ms = stages_ms.get("transport", 0.0)
    neural_ms = max(0.0, stages_ms.get("round_trip", 0.0) - transport_ms)
    simulator_ms, viewer_ms = (sum(stages_ms.get(name, 0.0) for name in names) for names in (SIMULATOR, VIEWER))
    prepare_ms = stages_ms.get("prepare", stages_ms.get("submit", 0.0))
    return simulator_ms, neural_ms, transport_ms + prepare_ms, viewer_ms


def verdict(history: Collection[tuple[float, ...]], period_ms: float) -> str:
    """Return which stage limits the rate, a sentence; `period_ms` is what a frame may take, 0 for as fast as it goes.

    `history` are the `GROUPS` of some frames. The simulator works beside the renderer, so the slower of the two sets
    the pace; what the renderer waits for is its own work and the way there and back.
    """
    if not any(map(any, history)):
        return ""
    simulator_ms, neural_ms, transport_ms, viewer_ms = (median(stage) for stage in zip(*history, strict=True))
    sides = {"the simulator": simulator_ms, "the viewer": viewer_ms}
    if neural_ms or transport_ms:
        renderer = "the network between renderer and viewer" if transport_ms > neural_ms else "the generator"
        sides[renderer] = neural_ms + transport_ms
    slowest = max(sides, key=lambda name: sides[name])
    took_ms = sides[slowest]
    if not period_ms:
        return f"{slowest} limits: {took_ms:.0f} ms a frame"
    if took_ms <= SLOW_SHARE * period_ms:
        return f"keeps up: {slowest} takes {took_ms:.0f} of {period_ms:.0f} ms"
    return f"{slowest} limits: {took_ms:.0f} ms a frame, and there are {period_ms:.0f}"
