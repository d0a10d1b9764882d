"""`vidrive replay`: a recording in the viewer."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Final

from clients.commands.drive import add_layout_argument

DESCRIPTION = (
    "Watch a recording: space pauses, the arrows step, the mouse scrubs on the time line, H shows all keys. With "
    "--model its pictures are made anew by that model while you watch. Without a display it writes a video."
)
RECORDED: Final = "recorded"
DEFAULT_VIDEO: Final = Path("replay.mp4")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive replay`."""
    parser.add_argument("recording", metavar="DIR", type=Path, help="the recording")
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="",
        help='a model instead of the recorded pictures, or "recorded": those made anew by the models that made them',
    )
    parser.add_argument(
        "--beside", metavar="NAME", default="", help='a second model for the left half, or "recorded" (with --model)'
    )
    parser.add_argument(
        "--edits",
        metavar="none|recorded|FILE",
        default="recorded",
        help="without the recorded edits, with them, or with those of a YAML file (default: %(default)s)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where it runs (default: %(default)s)")
    parser.add_argument("--labels", action="store_true", help="begin with the label overlay")
    add_layout_argument(parser)
    parser.add_argument("--headless", action="store_true", help="no window: write a video")
    parser.add_argument(
        "--record",
        metavar="FILE.mp4",
        type=Path,
        help=f"the video of --headless, or a .gif or .webp (default: {DEFAULT_VIDEO})",
    )
    parser.add_argument("--film", metavar="WxH@HZ", help="size and rate of the video, such as 1920x1080@60")
    parser.add_argument("--title", action="store_true", help="the video begins with a title card")
    parser.add_argument("--captions", metavar="FILE.srt", type=Path, help="captions of the video, a SubRip file")


def run(args: argparse.Namespace) -> int:
    """Replay in a window, or write the video."""
    from bridge.edits.track import find_track
    from bridge.protocol.errors import UsageError
    from bridge.recording.reader import Recording
    from clients.recordings.film import TITLE_S, Film, parse_film, read_captions
    from clients.recordings.replay import Beside, Player, hud_of, open_source, write_replay
    from clients.viewer.composer import Composer
    from clients.viewer.layouts import LAYOUTS, layout_named
    from clients.viewer.window import display_missing

    recording = Recording(args.recording)
    if recording.note:
        print(f"warning: {recording.note}", file=sys.stderr)
    headless = args.headless or args.record is not None or bool(args.film or args.title or args.captions)
    if not headless and (missing := display_missing()):
        headless = True
        print(f"{missing}: writing {DEFAULT_VIDEO} instead of opening a window", file=sys.stderr)
    if args.beside and not args.model:
        raise UsageError("--beside compares with the model of --model", "Name both")
    track = find_track(args.edits)
    size_px, rate_hz = parse_film(args.film) if args.film else (None, 0.0)
    captions = read_captions(args.captions) if args.captions else ()
    film = Film(size_px, rate_hz, TITLE_S if args.title else 0.0, captions)
    composer = Composer(layout_named(args.layout) if args.layout else LAYOUTS[0])
    composer.show_labels = args.labels
    with contextlib.ExitStack() as stack:
        source, model = stack.enter_context(open_source(args.recording, args.model, args.device, track))
        if args.beside:
            name = "" if args.beside == RECORDED else args.beside
            left, left_model = stack.enter_context(open_source(args.recording, name, args.device, track))
            composer.names = (f"{left_model}, recorded" if not name else left_model, model)
            source = Beside(left, source)
        if headless:
            out = args.record or DEFAULT_VIDEO
            write_replay(recording, source, model, out, composer, film)
            print(f"{out}: {len(recording)} frames", file=sys.stderr)
            return 0
        from clients.viewer.playback import Playback

        player = Player([row.time_s for row in recording.rows])
        playback = Playback(source, player, hud_of(recording, model), composer)
        playback.run(recording.size_hw[1], recording.size_hw[0])
    return 0
