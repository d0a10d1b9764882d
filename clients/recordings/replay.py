"""A recording as something to watch: where the player is, what the HUD says of it, and the whole of it as a video."""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.edits.track import EditTrack
from bridge.protocol.errors import UsageError
from bridge.protocol.frames import FramePair
from bridge.recording.reader import Recording
from clients.progress import Progress
from clients.recorder import check_writable
from clients.recordings.film import MOVING_PICTURES, Film, MovingPicture, title_card, title_lines
from clients.recordings.output import open_video
from clients.recordings.pairs import RecordedPairs
from clients.recordings.render_ahead import RenderAhead
from clients.sinks import LONGEST_HOLD_S
from clients.viewer.composer import Composer
from clients.viewer.hud import HudState

if TYPE_CHECKING:
    from renderer.models.imported import ModelOptions

SHORTEST_S: Final = 1e-3
ODD_STEP_S: Final = 0.05  # how long a frame is shown after which the simulator's clock jumped
SPEEDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class PairSource(Protocol):
    """Pairs by their place in a recording, some of which may not be ready yet."""

    def __len__(self) -> int: ...

    @property
    def num_ready(self) -> int:
        """How many pairs, from the first, `pair` can give; raises what keeps the others from becoming ready."""
        ...

    def pair(self, index: int) -> FramePair:
        """Return a pair that is ready."""
        ...

    def wait_pair(self, index: int) -> FramePair:
        """Return a pair as soon as it is ready."""
        ...


@contextlib.contextmanager
def open_source(
    folder: Path,
    model_name: str,
    device_name: str,
    track: EditTrack | None = None,
    options: Callable[[], ModelOptions] | None = None,
    wish_hw: tuple[int, int] | None = None,
) -> Iterator[tuple[PairSource, str]]:
    """Open a recording's pairs with the recorded pictures, or with those of a model; comes with the model's name.

    The model "recorded" makes each frame by the model that it had. `options` makes what may be chosen of a model, when
    this process is prepared for torch. `track` are the edits of its frames, None for those
    that it was recorded with.
    """
    if not model_name:
        with RecordedPairs(folder, track) as pairs:
            card = pairs.recording.manifest.card
            yield pairs, card.name if card is not None else ""
        return
    from renderer.backends.host import prepare_process

    prepare_process()
    from clients.recordings.look_models import models_of
    from clients.recordings.rendering import picture_size, render_pairs

    with RecordedPairs(folder, track) as pairs:
        model_of = models_of(pairs, model_name, device_name, options() if options is not None else None)
        first = model_of(pairs.recording.rows[0])[0].card
        size_hw = picture_size(first, pairs.recording.size_hw, wish_hw)
        with RenderAhead(folder, lambda ahead: render_pairs(ahead, model_of, size_hw), track) as ahead:
            yield ahead, first.name


class Beside:
    """The pictures of one source in place of the camera's, beside those of another: two models on one drive."""

    def __init__(self, left: PairSource, right: PairSource) -> None:
        self._left = left
        self._right = right

    def __len__(self) -> int:
        return len(self._right)

    @property
    def num_ready(self) -> int:
        """How many pairs, from the first, both sources can give."""
        return min(self._left.num_ready, self._right.num_ready)

    def pair(self, index: int) -> FramePair:
        """Return a pair that is ready in both."""
        return _beside(self._left.pair(index), self._right.pair(index))

    def wait_pair(self, index: int) -> FramePair:
        """Return a pair as soon as it is ready in both."""
        return _beside(self._left.wait_pair(index), self._right.wait_pair(index))


def _beside(left: FramePair, right: FramePair) -> FramePair:
    if left.rendered is None:
        return right
    return replace(right, sensor=replace(right.sensor, rgb=left.rendered.rgb))


class Player:
    """Where a replay is: plays in simulation time at a speed, pauses, steps and jumps. Time is an argument.

    `num_ready` is how far it can go: behind that it waits.
    """

    def __init__(self, times_s: Sequence[float]) -> None:
        """`times_s` the simulation time of each frame, in order."""
        # Counted from zero, and not as the simulator's clock goes where it jumps: nobody waits for another episode.
        self._times_s = _steady(times_s)
        self.num_ready = len(times_s)
        self.playing = True
        self.speed = 1.0
        self._clock_s = 0.0

    @property
    def index(self) -> int:
        """The frame to show."""
        return max(0, min(bisect.bisect_right(self._times_s, self._clock_s + 1e-6), self.num_ready) - 1)

    @property
    def duration_s(self) -> float:
        """Simulation time from the first frame to the last."""
        return self._times_s[-1]

    @property
    def time_s(self) -> float:
        """Simulation time since the first frame."""
        return self._times_s[self.index]

    @property
    def waiting(self) -> bool:
        """Whether it stands because the next frame is not ready."""
        return self.playing and self.index + 1 == self.num_ready < len(self._times_s)

    def advance(self, duration_s: float) -> None:
        """Let that much time pass."""
        if self.playing:
            self._clock_s = min(self._clock_s + duration_s * self.speed, self._times_s[max(0, self.num_ready - 1)])
            self.playing = self._clock_s < self._times_s[-1]

    def toggle(self) -> None:
        """Pause or go on; at the end, from the beginning."""
        if not self.playing and self.index == len(self._times_s) - 1:
            self._clock_s = 0.0
        self.playing = not self.playing

    def step(self, num_frames: int) -> None:
        """Pause, and go that many frames on, or back."""
        self.playing = False
        self.go_to(self.index + num_frames)

    def go_to(self, index: int) -> None:
        """Show a frame, or the nearest that is ready."""
        self._clock_s = self._times_s[max(0, min(index, self.num_ready - 1))]

    def scrub(self, fraction: float) -> None:
        """Show the frame at a fraction of the whole duration, 0..1."""
        self.go_to(bisect.bisect_right(self._times_s, fraction * self.duration_s) - 1)

    def change_speed(self, steps: int) -> None:
        """Play faster or slower by so many steps of `SPEEDS`."""
        self.speed = SPEEDS[max(0, min(SPEEDS.index(self.speed) + steps, len(SPEEDS) - 1))]


def _steady(times_s: Sequence[float]) -> list[float]:
    steady = [0.0]
    for before, after in itertools.pairwise(times_s):
        step_s = after - before
        steady.append(steady[-1] + (step_s if SHORTEST_S < step_s < LONGEST_HOLD_S else ODD_STEP_S))
    return steady


def hud_of(recording: Recording, model: str) -> Callable[[FramePair, str], HudState]:
    """Return what makes the HUD of a pair and of the position that it is shown at."""

    def hud(pair: FramePair, position: str) -> HudState:
        notice = "" if pair.rendered is not None or not model else (pair.notice or "no synthesized picture was kept")
        rendered = pair.rendered
        drawn_by = rendered.card.name if rendered is not None and rendered.card is not None else model
        look = f"style {rendered.style}" if rendered is not None and rendered.style else ""
        return HudState(frame_age_ms=pair.age_ms, model=drawn_by, look=look, notice=notice, position=position)

    return hud


def write_replay(
    recording: Recording,
    source: PairSource,
    model: str,
    out: Path,
    composer: Composer | None = None,
    film: Film | None = None,
) -> None:
    """Write the viewer's picture of every frame to an .mp4 in simulation time, or to a .gif or .webp.

    Raises OutputError and UsageError.
    """
    suffix = out.suffix.lower()
    if suffix != ".mp4" and suffix not in MOVING_PICTURES:
        raise UsageError(f"{out} is not a video", "Name a file that ends in .mp4, .gif or .webp")
    film = film or Film()
    hud = hud_of(recording, model)
    composer = composer or Composer()
    recorded_height, recorded_width = recording.size_hw
    composer.size_px = film.size_px or composer.size_px
    width, height = composer.size_px or composer.layout.natural_size_px((recorded_width, recorded_height))
    repeats, every = film.pace(recording.manifest.fixed_delta_s)
    delta_s = recording.manifest.fixed_delta_s * every / repeats
    times_s = _steady([row.time_s for row in recording.rows])
    with (
        open_film(out, delta_s, (height, width)) as write,
        Progress(len(source)) as progress,
    ):
        if film.title_s:
            card = title_card(title_lines(recording, model), (width, height))
            for _ in range(round(film.title_s / delta_s)):
                write(card)
        ticks = -1
        for index in range(len(recording.rows)):
            before = ticks
            ticks = round(times_s[index] / recording.manifest.fixed_delta_s)
            pair = source.wait_pair(index)
            progress.advance()
            # Where ticks are missing the next picture stands for them too.
            num_pictures = repeats * (ticks // every - before // every)
            if num_pictures:
                composer.caption = film.caption_at(times_s[index])
                picture = composer.render_rgb(pair, hud(pair, position_text(times_s[index], times_s[-1])))
                for _ in range(num_pictures):
                    write(picture)


@contextlib.contextmanager
def open_film(out: Path, delta_s: float, size_hw: tuple[int, int]) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Open a video, GIF or WebP that appears when it is whole; gives what appends a picture, (H,W,3) u8 RGB."""
    if out.suffix.lower() in MOVING_PICTURES:
        check_writable(out)
        moving = MovingPicture(out, 1.0 / delta_s)
        yield moving.write
        moving.close()
        return
    with open_video(out, delta_s, size_hw) as recorder:
        yield recorder.write


def position_text(time_s: float, duration_s: float) -> str:
    """Return a place in a recording for people."""
    return f"{time_s:.2f} of {duration_s:.1f} s"
