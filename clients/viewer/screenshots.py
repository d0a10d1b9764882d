"""Screenshots of every layout, drawn offscreen, and one of the real window, taken from the X server's own memory:

    python -m clients.viewer.screenshots DIR --recording RECORDING [--sizes 1280x720,1920x1080]

The last one needs Xvfb and is left out, with a sentence, where there is none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError, VidriveError
from bridge.protocol.frames import FramePair
from bridge.recording.reader import Recording
from clients.commands.drive import picture_size
from clients.recordings.output import make_folder, write_png
from clients.recordings.replay import open_source
from clients.viewer.composer import Composer
from clients.viewer.layouts import LAYOUTS
from clients.viewer.meter import REMEMBERED, stage_groups, verdict
from clients.viewer.state import HudState
from clients.viewer.window import Window

SIZES: Final = "1280x720,1920x1080,3840x2160"
WINDOW_PX: Final = (1280, 720)
DEPTH_BITS: Final = 24


def main(words: list[str] | None = None) -> int:
    """Take the screenshots that the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m clients.viewer.screenshots", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path, help="where the PNGs go")
    parser.add_argument("--recording", metavar="DIR", type=Path, required=True, help="what is shown")
    parser.add_argument("--model", default="", help="a model instead of the recorded pictures")
    parser.add_argument("--frame", type=int, default=-1, help="which frame of it (default: the last)")
    parser.add_argument("--sizes", default=SIZES, help="widths and heights (default: %(default)s)")
    args = parser.parse_args(words)
    try:
        sizes_px = [picture_size(text) for text in args.sizes.split(",")]
        for path in take(args.folder, args.recording, args.model, args.frame, sizes_px):
            print(path)
    except VidriveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def take(folder: Path, recording: Path, model: str, frame: int, sizes_px: list[tuple[int, int]]) -> Iterator[Path]:
    """Write a PNG of each layout in each size, of the help, of waiting, and of the window; yields their paths."""
    make_folder(folder)
    with open_source(recording, model, "cpu", None) as (source, name):
        index = frame % len(source)
        pairs = [source.wait_pair(i) for i in range(max(0, index + 1 - REMEMBERED), index + 1)]
    hud = hud_of_recording(Recording(recording), pairs, name)
    before, pair = pairs[-2:] if len(pairs) > 1 else (pairs[0], pairs[0])
    for width, height in sizes_px:
        composer = Composer()
        composer.size_px = (width, height)
        for layout in LAYOUTS:
            composer.layout = layout
            composer.render(before, hud)
            yield _write(folder / f"{layout.name}-{width}x{height}.png", composer.render(pair, hud))
        composer.layout, composer.show_help = LAYOUTS[0], True
        yield _write(folder / f"help-{width}x{height}.png", composer.render(pair, hud))
        composer.show_help = False
        lost = replace(hud, notice="the inference server was lost: showing the original")
        alone = replace(pair, rendered=None)
        yield _write(folder / f"lost-{width}x{height}.png", composer.render(alone, lost))
        sentence = "connecting to the simulator at localhost:2000 (3 s)"
        yield _write(folder / f"waiting-{width}x{height}.png", composer.waiting(width, height, sentence))
    if shutil.which("Xvfb") is None:
        print("there is no Xvfb here: no picture of the window itself", file=sys.stderr)
        return
    yield _write(folder / "window.png", window_bgra(pair, hud))


def hud_of_recording(recording: Recording, pairs: Sequence[FramePair], model: str) -> HudState:
    """Return what the HUD says at the last of some pairs: what the recording knows, so no rates."""
    period_ms = recording.manifest.fixed_delta_s * 1e3
    own_ms = {row.frame_id: row.stages_ms for row in recording.rows}
    history = tuple(stage_groups(pair, own_ms[pair.sensor.frame_id]) for pair in pairs)
    start_s, end_s = recording.rows[0].time_s, recording.rows[-1].time_s
    return HudState(
        model=model,
        position=f"{pairs[-1].sensor.time_s - start_s:.2f} of {end_s - start_s:.1f} s",
        verdict=verdict(history, period_ms),
        history=history if any(map(any, history)) else (),
        period_ms=period_ms,
    )


def window_bgra(pair: FramePair, hud: HudState) -> NDArray[np.uint8]:
    """Return what an X server shows of a real window with a pair in it, (H,W,4) u8 BGRA."""
    composer = Composer()
    with _x_server() as screen_file, Window("vidrive", *WINDOW_PX) as window:
        for _ in range(2):
            window.take_events()
            window.draw(lambda surface: composer.draw(surface, pair, hud))
        return _read_xwd(screen_file)


@contextmanager
def _x_server() -> Iterator[Path]:
    """Run Xvfb with its screen in a file, as DISPLAY; gives that file."""
    width, height = round(WINDOW_PX[0] / 0.9), round(WINDOW_PX[1] / 0.9)
    before = {name: os.environ.get(name) for name in ("DISPLAY", "SDL_VIDEODRIVER")}
    with tempfile.TemporaryDirectory(prefix="vidrive-screen-") as folder:
        read_end, write_end = os.pipe()
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write_end), "-screen", "0", f"{width}x{height}x{DEPTH_BITS}", "-fbdir", folder],
            pass_fds=(write_end,),
            stderr=subprocess.DEVNULL,
        )
        os.close(write_end)
        try:
            with os.fdopen(read_end) as told:
                number = told.readline().strip()
            if not number:
                raise UsageError("Xvfb does not start", "Look at what it says when it is started by hand")
            os.environ.update(DISPLAY=f":{number}", SDL_VIDEODRIVER="x11")
            yield Path(folder) / "Xvfb_screen0"
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            server.terminate()
            server.wait()


def _read_xwd(path: Path) -> NDArray[np.uint8]:
    """Read an X window dump of 32 bits a pixel: a big-endian header of 32-bit words, colours of 12 bytes, pixels."""
    data = path.read_bytes()
    words = struct.unpack(">25I", data[:100])
    header_bytes, width, height, row_bytes, num_colors = words[0], words[4], words[5], words[12], words[19]
    start = header_bytes + 12 * num_colors
    rows = np.frombuffer(data, np.uint8, row_bytes * height, start).reshape(height, row_bytes)
    return np.ascontiguousarray(rows[:, : 4 * width]).reshape(height, width, 4)


def _write(path: Path, picture_bgra: NDArray[np.uint8]) -> Path:
    write_png(path, np.asarray(cv2.cvtColor(picture_bgra, cv2.COLOR_BGRA2BGR), np.uint8))
    return path


if __name__ == "__main__":
    sys.exit(main())
