"""What the HUD says: its figures, and which of them stand where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Color = tuple[int, int, int]
STAGE_COLORS: Final[dict[str, Color]] = {
    "simulator": (94, 160, 232),
    "neural": (240, 156, 74),
    "transport": (150, 206, 110),
    "viewer": (206, 140, 220),
}


@dataclass(frozen=True)
class HudState:
    """What the HUD shows beside what the frames themselves say; rates in Hz, 0 while they are not known.

    `position` is where a replay is; with one the rates, which are the past's, are left out. `verdict` is a sentence
    that says which stage limits the rate; `history` the last frames' stages, ms, each as `STAGE_COLORS` names them;
    `period_ms` the time that a frame may take. `look`, `weather`, `edits` and `mouse` say what a person has chosen;
    `gap` how far street and pictures are from real ones, `timewarp` how far the picture is moved.
    """

    simulator_hz: float = 0.0
    neural_hz: float = 0.0
    display_hz: float = 0.0
    control_hz: float = 0.0
    frame_age_ms: float = 0.0
    num_dropped: int = 0
    num_resets: int = 0
    model: str = ""
    notice: str = ""
    position: str = ""
    input_age_ms: float = 0.0
    look: str = ""
    weather: str = ""
    edits: str = ""
    mouse: str = ""
    gap: str = ""
    timewarp: str = ""
    verdict: str = ""
    history: tuple[tuple[float, ...], ...] = ()
    period_ms: float = 0.0


@dataclass(frozen=True)
class Cell:
    """One caption and its value; `widest` is the longest text it is meant to hold, so that columns stand still."""

    caption: str
    value: str
    widest: str


def cells(hud: HudState, speed_m_s: float, gear: int, autopilot: bool) -> tuple[Cell, ...]:
    """Return the cells of the HUD, the most important first."""
    gear_text = "R" if gear < 0 else "N" if gear == 0 else f"D{gear}"
    chosen = tuple(Cell(name, text, text) for name in CHOSEN if (text := getattr(hud, name)))
    if hud.position:
        return (
            Cell("time", hud.position, "paused, 1000.00 of 1000.0 s"),
            Cell("speed", f"{speed_m_s * 3.6:.0f} km/h", "100 km/h"),
            Cell("gear", gear_text, "gear0"),
            Cell("driver", "autopilot" if autopilot else "you", "autopilot"),
            Cell("model", hud.model or "none", hud.model or "none"),
            *chosen,
        )
    input_age = (Cell("input age", f"{hud.input_age_ms:.0f} ms", "1000 ms"),) if hud.input_age_ms else ()
    return (
        Cell("simulator", _rate(hud.simulator_hz), "100.0 Hz"),
        Cell("neural", _rate(hud.neural_hz), "100.0 Hz"),
        Cell("frame age", f"{hud.frame_age_ms:.0f} ms", "1000 ms"),
        Cell("drops", str(hud.num_dropped), "drops0"),
        Cell("speed", f"{speed_m_s * 3.6:.0f} km/h", "100 km/h"),
        Cell("gear", gear_text, "gear0"),
        Cell("driver", "autopilot" if autopilot else "you", "autopilot"),
        Cell("display", _rate(hud.display_hz), "100.0 Hz"),
        Cell("control", _rate(hud.control_hz), "100.0 Hz"),
        Cell("resets", str(hud.num_resets), "resets"),
        *input_age,
        Cell("model", hud.model or "none", hud.model or "none"),
        *chosen,
    )


# What stands where; which cells are left out of a picture too narrow for all of them is decided by their importance.
CHOSEN: Final = ("look", "edits", "mouse", "weather", "gap", "timewarp")
LEFT: Final = (
    "time", "simulator", "neural", "display", "control", "frame age", "input age", "drops", "resets", "model", *CHOSEN,
)  # fmt: skip
RIGHT: Final = ("speed", "gear", "driver")


def _rate(rate_hz: float) -> str:
    return f"{rate_hz:.1f} Hz"
