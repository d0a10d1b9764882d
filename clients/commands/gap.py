"""`vidrive gap`: how far a simulator's label maps are from real ones."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bridge.protocol.labels import LABEL_SPACES

DESCRIPTION = (
    "Compare label maps of a simulator with real ones: classes, viewpoint, objects, shapes, composition, each beside "
    "what real drives differ by. Writes a report that opens from the disk, and says in three lines what it found."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive gap`."""
    spaces = ", ".join(LABEL_SPACES)
    parser.add_argument(
        "--synthetic", type=Path, required=True, metavar="PATH", help="folder of label PNGs, or a recording"
    )
    parser.add_argument("--real", type=Path, metavar="DIR", help="folder of real label PNGs (default: built-in counts)")
    parser.add_argument(
        "--labels", choices=LABEL_SPACES, default="carla", metavar="SPACE",
        help=f"label space of synthetic PNGs, one of {spaces} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--real-labels", choices=LABEL_SPACES, default="camvid", metavar="SPACE",
        help="label space of the real ones (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("gap-report"), metavar="DIR", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Count both sides, compare them, write the report and print the verdict."""
    from clients.gap.comparison import compare, count_set
    from clients.gap.label_maps import find_maps
    from clients.gap.reference import load_reference
    from clients.gap.report import Report, write
    from clients.progress import Progress

    found = {"synthetic": find_maps(args.synthetic, args.labels)}
    if args.real is not None:
        found["real"] = find_maps(args.real, args.real_labels)
    num_frames = sum(sequence.num_frames for sequences in found.values() for sequence in sequences)
    num_workers = os.cpu_count() or 1
    names = {"synthetic": str(args.synthetic), "real": str(args.real)}
    with Progress(num_frames) as progress:
        counted = {
            side: count_set(names[side], sequences, num_workers, progress.advance) for side, sequences in found.items()
        }
    real = counted.get("real") or load_reference()
    report = Report(counted["synthetic"], real, compare(counted["synthetic"], real))
    write(report, args.out)
    for line in report.verdict():
        print(line)
    print(f"{args.out / 'index.html'}: the report", file=sys.stderr)
    return 0
