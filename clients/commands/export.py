"""`vidrive export`: a recording in another layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bridge.protocol.labels import LABEL_SPACES
from clients.commands.drive import add_layout_argument

if TYPE_CHECKING:
    from clients.recordings.pairs import RecordedPairs

DESCRIPTION = (
    "Write a recording in another layout: vid2vid (train_A, train_B, train_inst, train_flow), cityscapes (gtFine, "
    "leftImg8bit), video (the viewer's picture as .mp4), sheet (12 places, original beside synthesized, as .jpg) or "
    "rerun (an .rrd file; wants the extra vidrive[rerun])."
)
FORMATS: Final = ("vid2vid", "cityscapes", "video", "sheet", "rerun")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive export`."""
    parser.add_argument("recording", metavar="DIR", type=Path, help="the recording")
    parser.add_argument("--format", choices=FORMATS, required=True, help="the layout to write")
    parser.add_argument(
        "--out", metavar="OUT", type=Path, required=True, help="a folder, or an .mp4, .jpg or .rrd file"
    )
    parser.add_argument(
        "--labels",
        choices=LABEL_SPACES,
        metavar="SPACE",
        default="",
        help="label space of vid2vid's and Cityscapes' label maps (default: cityscapes)",
    )
    add_layout_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export all frames; what was written before an error stays."""
    from bridge.edits.track import EditTrack
    from bridge.protocol.errors import UsageError
    from clients.recordings.pairs import RecordedPairs

    if args.labels and args.format not in ("vid2vid", "cityscapes"):
        raise UsageError(f"--labels means nothing for the format {args.format}", "Leave it out")
    if args.layout and args.format != "video":
        raise UsageError(f"--layout means nothing for the format {args.format}", "Leave it out")
    with RecordedPairs(args.recording, EditTrack()) as pairs:  # labels as its pictures have them
        if pairs.recording.note:
            print(f"warning: {pairs.recording.note}", file=sys.stderr)
        num_frames = _export(pairs, args)
        for sentence in pairs.lacking:
            print(f"warning: {sentence}", file=sys.stderr)
    print(f"{args.out}: {num_frames} frames", file=sys.stderr)
    return 0


def _export(pairs: RecordedPairs, args: argparse.Namespace) -> int:
    if args.format == "video":
        from clients.recordings.replay import write_replay
        from clients.viewer.composer import Composer
        from clients.viewer.layouts import LAYOUTS, layout_named

        card = pairs.recording.manifest.card
        composer = Composer(layout_named(args.layout) if args.layout else LAYOUTS[0])
        write_replay(pairs.recording, pairs, card.name if card is not None else "", args.out, composer)
        return len(pairs)
    if args.format == "sheet":
        from clients.recordings.contact_sheet import export_sheet

        return export_sheet(pairs, args.out)
    if args.format == "rerun":
        from clients.recordings.rerun_log import export_rerun

        return export_rerun(pairs, args.out)
    from clients.recordings.layouts import export_cityscapes, export_vid2vid

    export = export_vid2vid if args.format == "vid2vid" else export_cityscapes
    return export(pairs, args.out, args.labels)
