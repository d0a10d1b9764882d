"""What makes a replay's video a film to show around: its size and rate, a title card, captions, and moving pictures
for pages that play no video."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pygame
from numpy.typing import NDArray

from bridge.protocol.errors import OutputError, UsageError
from bridge.recording.reader import Recording
from clients.recordings.output import write_file
from clients.viewer import text

TITLE_S: Final = 2.5
MOVING_PICTURES: Final = (".gif", ".webp")
LONGEST_MOVING_BYTES: Final = 1 << 30  # all pictures of a GIF or WebP are in memory until it is written
RATE_TOLERANCE: Final = 0.01
TITLE_RGB: Final = (244, 246, 248)
SMALL_RGB: Final = (160, 170, 182)
GROUND_RGB: Final = (18, 20, 24)
_TIME: Final = r"(\d+):(\d\d):(\d\d)[,.](\d{3})"
_TIMES: Final = re.compile(rf"{_TIME}\s*-->\s*{_TIME}")


@dataclass(frozen=True)
class Caption:
    """A sentence and when it stands, seconds from the recording's first frame."""

    start_s: float
    end_s: float
    sentence: str


@dataclass(frozen=True)
class Film:
    """How a replay is filmed.

    `size_px` None is the layout's natural size, `rate_hz` 0 a picture a tick; `title_s` how long the title card stands.
    """

    size_px: tuple[int, int] | None = None
    rate_hz: float = 0.0
    title_s: float = 0.0
    captions: Sequence[Caption] = ()

    def caption_at(self, time_s: float) -> str:
        """Return what is captioned at a time, "" for nothing."""
        return next((c.sentence for c in self.captions if c.start_s <= time_s < c.end_s), "")

    def pace(self, fixed_delta_s: float) -> tuple[int, int]:
        """Return how often each picture is repeated, and which share of them (every so many) is kept.

        Raises UsageError for a rate that is neither a multiple nor a fraction of the recording's.
        """
        if not self.rate_hz:
            return 1, 1
        ratio = self.rate_hz * fixed_delta_s
        repeats, every = max(1, round(ratio)), max(1, round(1.0 / ratio))
        if abs(repeats / every - ratio) > RATE_TOLERANCE * ratio:
            tick_hz = 1.0 / fixed_delta_s
            raise UsageError(
                f"a film of {self.rate_hz:g} pictures a second cannot show {tick_hz:g} a second evenly",
                f"Use a multiple or a whole fraction of {tick_hz:g}",
            )
        return repeats, every


def parse_film(word: str) -> tuple[tuple[int, int] | None, float]:
    """Return size and rate of `WxH@HZ`, either of which may be left out; raises UsageError."""
    match = re.fullmatch(r"(?:(\d{2,4})[xX](\d{2,4}))?(?:@(\d{1,3}))?", word)
    if match is None or not word:
        raise UsageError(f"{word!r} is no size and rate of a film", "Write WIDTHxHEIGHT@RATE, such as 1920x1080@60")
    size_px = (int(match[1]), int(match[2])) if match[1] else None
    rate_hz = float(match[3] or 0)
    if (size_px and min(size_px) < 16) or (match[3] and not rate_hz):
        raise UsageError(f"{word!r} is too small for a film", "Write WIDTHxHEIGHT@RATE, such as 1920x1080@60")
    return size_px, rate_hz


def read_captions(path: Path) -> tuple[Caption, ...]:
    """Return the captions of a SubRip file (.srt); raises UsageError for a file that is none."""
    try:
        blocks = re.split(r"\n\s*\n", path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the captions {path} cannot be read ({error})", "Name a SubRip file, .srt") from None
    captions: list[Caption] = []
    for block in blocks:
        times = _TIMES.search(block)
        if times is None:
            raise UsageError(
                f"the captions {path} have no times in {block.splitlines()[0] if block else 'them'!r}",
                'Write a line such as "00:00:01,000 --> 00:00:04,000" over each caption',
            )
        start_s, end_s = (_seconds(times.groups()[i : i + 4]) for i in (0, 4))
        captions.append(Caption(start_s, end_s, " ".join(block[times.end() :].split())))
    return tuple(captions)


def title_lines(recording: Recording, model: str) -> tuple[str, ...]:
    """Return what a title card says of a recording, the title first."""
    manifest = recording.manifest
    height, width = recording.size_hw
    card = manifest.card
    made = f"{width}x{height}, {1.0 / manifest.fixed_delta_s:g} frames a second, seed {manifest.seed}"
    lines = ["vidrive", f"synthesized by {model}" if model else "not synthesized", made]
    if card is not None and card.name == model:
        lines.append(f"weights {card.weights_sha256[:12]}, {card.licence or 'no licence'}, {card.device} {card.dtype}")
    lines.append(f"simulator {manifest.simulator_version}, recorded {manifest.created_utc[:10]}")
    return tuple(lines)


def title_card(lines: Sequence[str], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a title card, (H,W,3) u8 RGB."""
    width, height = size_px
    canvas_bgra = np.full((height, width, 4), 255, np.uint8)
    surface = pygame.image.frombuffer(canvas_bgra.data.cast("B"), size_px, "BGRA")
    surface.fill(GROUND_RGB)
    small_px = text.text_height_px(width, height)
    while small_px > 8 and max(text.width_px(text.font(small_px), line) for line in lines[1:]) > 0.9 * width:
        small_px -= 1
    drawn = [text.text(text.font(min(3 * small_px, height // 4)), lines[0], TITLE_RGB)]
    drawn += [text.text(text.font(small_px), line, SMALL_RGB) for line in lines[1:]]
    top = (height - sum(line.get_height() for line in drawn)) // 2
    for line in drawn:
        surface.blit(line, ((width - line.get_width()) // 2, top))
        top += line.get_height()
    return np.asarray(cv2.cvtColor(canvas_bgra, cv2.COLOR_BGRA2RGB), np.uint8)


class MovingPicture:
    """A GIF or WebP, written when it is closed."""

    def __init__(self, out: Path, rate_hz: float) -> None:
        self._out = out
        self._picture_ms = round(1e3 / rate_hz)
        self._frames_bgr: list[NDArray[np.uint8]] = []

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append an (H,W,3) u8 RGB picture; raises OutputError when there are too many."""
        if (len(self._frames_bgr) + 1) * picture.nbytes > LONGEST_MOVING_BYTES:
            raise OutputError(f"{self._out} would be too long", "Film it smaller, at a lower rate, or as an .mp4")
        self._frames_bgr.append(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8))

    def close(self) -> None:
        """Write the file beside its place, then put it there; raises OutputError if that cannot be."""
        animation = cv2.Animation()
        animation.frames = self._frames_bgr
        animation.durations = [self._picture_ms] * len(self._frames_bgr)
        # Into memory first: what OpenCV writes to a disk that is full it takes for written.
        ok, coded = cv2.imencodeanimation(self._out.suffix.lower(), animation, [cv2.IMWRITE_WEBP_QUALITY, 80])
        if not ok:
            raise OutputError(f"{self._out} cannot be coded", "Film it smaller, or as an .mp4")
        write_file(self._out, np.asarray(coded, np.uint8).tobytes())


def _seconds(parts: Sequence[str]) -> float:
    hours, minutes, seconds, thousandths = map(int, parts)
    return 3600.0 * hours + 60.0 * minutes + seconds + thousandths / 1e3
