"""`vidrive replay`: a recording in the viewer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

DESCRIPTION = (
    "Watch a recording: space pauses, the arrows step, the mouse scrubs on the time line, H shows all keys. With "
    "--model its pictures are made anew by that model while you watch. Without a display it writes a video."
)
DEFAULT_VIDEO: Final = Path("replay.mp4")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive replay`."""
    parser.add_argument("recording", metavar="DIR", type=Path, help="the recording")
    parser.add_argument("--model", metavar="NAME", default="", help="a model instead of the recorded pictures")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where it runs (default: %(default)s)")
    parser.add_argument("--labels", action="store_true", help="begin with the label overlay")
    parser.add_argument("--headless", action="store_true", help="no window: write a video")
    parser.add_argument(
        "--record", metavar="FILE.mp4", type=Path, help=f"the video of --headless (default: {DEFAULT_VIDEO})"
    )


def run(args: argparse.Namespace) -> int:
    """Replay in a window, or write the video."""
    from bridge.recording.reader import Recording
    from clients.recordings.replay import Player, hud_of, open_source, write_replay
    from clients.viewer.window import display_missing

    recording = Recording(args.recording)
    if recording.note:
        print(f"warning: {recording.note}", file=sys.stderr)
    headless = args.headless or args.record is not None
    if not headless and (missing := display_missing()):
        headless = True
        print(f"{missing}: writing {DEFAULT_VIDEO} instead of opening a window", file=sys.stderr)
    with open_source(args.recording, args.model, args.device) as (source, model):
        if headless:
            out = args.record or DEFAULT_VIDEO
            write_replay(recording, source, model, out, args.labels)
            print(f"{out}: {len(recording)} frames", file=sys.stderr)
            return 0
        from clients.viewer.playback import Playback

        playback = Playback(source, Player([row.time_s for row in recording.rows]), hud_of(recording, model))
        playback.composer.show_labels = args.labels
        playback.run(recording.size_hw[1], recording.size_hw[0])
    return 0
