"""`vidrive gap`: how far a simulator's label maps, pictures and motion are from real ones."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import LABEL_SPACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.edits.rules import Edits
    from clients.gap.comparison import MapSet, Result
    from clients.gap.report import Section

DESCRIPTION = (
    "Compare what a simulator shows with real streets: label maps by classes, viewpoint, objects, shapes and "
    "composition, pictures by features, details and colours, each beside what real drives differ by; what a "
    "segmentation network finds in them; and, of a recording, how steady its pictures are. Writes a report that opens "
    "from the disk, and says in three lines what it found. `vidrive gap compare OLD.json NEW.json` says what became "
    "better."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive gap`."""
    spaces = ", ".join(LABEL_SPACES)
    parser.add_argument(
        "compare", nargs="*", metavar="compare OLD.json NEW.json", help="two gap.json: what became better"
    )
    parser.add_argument("--synthetic", type=Path, metavar="PATH", help="folder of label PNGs, or of recordings, or one")
    parser.add_argument(
        "--real", type=Path, metavar="DIR",
        help="real label PNGs, or the root of a data set with pictures beside them (default: built-in counts)",
    )  # fmt: skip
    parser.add_argument(
        "--labels", choices=LABEL_SPACES, default="carla", metavar="SPACE",
        help=f"label space of synthetic PNGs, one of {spaces} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--real-labels", choices=LABEL_SPACES, default="camvid", metavar="SPACE",
        help="label space of the real ones (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", type=Path, metavar="PATH",
        help="folder of synthesized pictures, or a recording (default: those of the recording)",
    )  # fmt: skip
    parser.add_argument("--real-pictures", type=Path, metavar="DIR", help="folder of real pictures to compare with")
    parser.add_argument("--features", type=Path, metavar="FILE", help="TorchScript feature network (default: lite0)")
    parser.add_argument(
        "--segmentation", metavar="FILE[:SPACE]", default="",
        help="TorchScript or ONNX network that labels pictures (default: the one that ships)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=positive, default=0.0, metavar="HZ", help="label PNGs a second, for how fast they change"
    )
    parser.add_argument(
        "--fit-camera", action="store_true",
        help="search the camera (and traffic) that comes closest, for vidrive record --fit OUT/fit.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--fit-classes", action="store_true",
        help="search which other names for the synthetic classes come closer, for --edits OUT/classes.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--edits", metavar="NAME", default="",
        help="rename synthetic classes first: a preset of configs/edits or a YAML file, rules of classes only",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("gap-report"), metavar="DIR", help="default: %(default)s")


def positive(text: str) -> float:
    """Read a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def run(args: argparse.Namespace) -> int:
    """Count both sides, compare them, write the report and print the verdict; or compare two reports."""
    if args.compare:
        return _compare(args.compare)
    if args.synthetic is None:
        raise UsageError("there is nothing to compare", "Name label maps or a recording by --synthetic")

    from bridge.edits.rules import NO_EDITS, load_edits
    from clients.gap.comparison import compare, count_set
    from clients.gap.gathering import Wish, gather
    from clients.gap.label_maps import find_maps
    from clients.gap.reference import RATE_HZ, load_reference
    from clients.gap.report import Report, write
    from clients.progress import Progress

    wish = Wish(args.synthetic, args.real, args.pictures, args.real_pictures, args.features, args.segmentation)
    wish.check()
    if args.fit_camera:
        _recordings(args.synthetic)
    edits = load_edits(args.edits) if args.edits else NO_EDITS
    found = {"synthetic": find_maps(args.synthetic, args.labels, args.rate, edits)}
    if args.real is not None:
        found["real"] = find_maps(args.real, args.real_labels, args.rate)
    num_frames = sum(sequence.num_frames for sequences in found.values() for sequence in sequences)
    num_workers = os.cpu_count() or 1
    names = {"synthetic": str(args.synthetic), "real": str(args.real)}
    rates_hz = [sequence.rate_hz for sequences in found.values() for sequence in sequences if sequence.rate_hz]
    rates_hz += [] if args.real else [RATE_HZ]
    interval_s = 1 / min(rates_hz, default=1.0)  # that of the slower side: changes are compared over the same time
    with Progress(num_frames) as progress:
        counted = {
            side: count_set(names[side], sequences, num_workers, progress.advance, interval_s)
            for side, sequences in found.items()
        }
    real = counted.get("real") or load_reference()
    results = compare(counted["synthetic"], real)
    sections = gather(wish, found["synthetic"], found.get("real", []))
    fits = [_fit_classes(args, real, results)] if args.fit_classes else []
    fits += [_fit_camera(args, counted["synthetic"], real, edits)] if args.fit_camera else []
    report = Report(counted["synthetic"], real, results, sections, fits)
    write(report, args.out)
    for line in report.verdict():
        print(line)
    for fit in fits:
        print(f"{fit.name}: {fit.verdict}")
    print(f"{args.out / 'index.html'}: the report", file=sys.stderr)
    return 0


def _recordings(synthetic: Path) -> list[Path]:
    """The recordings that a camera is fitted to; raises UsageError for a path that holds none."""
    from clients.gap.datasets import recordings_in

    folders = recordings_in(synthetic)
    if not folders:
        raise UsageError(
            f"{synthetic} has no depth, and a camera is fitted to a recording", "Record with vidrive record"
        )
    return folders


def _fit_classes(args: argparse.Namespace, real: MapSet, results: Sequence[Result]) -> Section:
    """Search names for the classes, write what was found, and return what it says."""
    from clients.gap.class_fit import fit_classes, told, write_classes
    from clients.gap.label_maps import find_maps, space_of
    from clients.gap.report import Section

    print("calling classes by other names", file=sys.stderr)
    space = space_of(args.synthetic, args.labels)
    fit = fit_classes(lambda edits: find_maps(args.synthetic, args.labels, 0.0, edits), space, real, results)
    path = write_classes(fit, args.out)
    how = f"Measure with them by: vidrive gap --edits {path}; draw with them by --edits of demo, drive and render."
    gain = f"labels {fit.before:.2f} -> {fit.after:.2f} times the distance between real drives or more, with {path}"
    return Section("classes", gain, (), (*told(fit), how))


def _fit_camera(args: argparse.Namespace, synthetic: MapSet, real: MapSet, edits: Edits) -> Section:
    """Search the camera, write what was found, and return what it says."""
    from bridge.capture.presets import load_session
    from bridge.recording.reader import Recording
    from clients.commands.record import SESSION
    from clients.gap.camera_fit import fit_camera, told, write_fit
    from clients.gap.report import Section

    recordings, session = [Recording(folder) for folder in _recordings(args.synthetic)], load_session(SESSION)
    print("looking from other cameras", file=sys.stderr)
    fitted = fit_camera(recordings, synthetic, real, session, edits)
    path = write_fit(fitted.fit, args.out)
    lines = told(fitted, recordings[0].manifest.rig, session)
    how = f"Drive with it by: vidrive record --fit {path} --out DIR, and measure DIR again."
    gain = f"spatial prior {fitted.before:.3f} -> {fitted.after:.3f} by reprojection, with {path}"
    return Section("camera", gain, (), (*lines, how))


def _compare(words: list[str]) -> int:
    if words[0] != "compare":
        raise UsageError(
            f"{' '.join(words)} is nothing that gap can do",
            "Say --synthetic PATH for label maps or a recording, or compare OLD.json NEW.json",
        )
    if len(words) != 3:
        raise UsageError(f"compare takes two reports, not {len(words) - 1}", "Say compare OLD.json NEW.json")
    from clients.gap.history import compared

    for line in compared(Path(words[1]), Path(words[2])):
        print(line)
    return 0
