"""`vidrive weights`: checkpoints that others published, imported, listed, shown, verified and exported."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.protocol.errors import UsageError
from clients.commands.drive import picture_size

if TYPE_CHECKING:
    from renderer.weights_store import ImportedCard

DESCRIPTION = (
    "Checkpoints of vid2vid, pix2pixHD, SPADE and imaginaire, as their authors published them or as their code wrote "
    "them: import once, then use by name with --model everywhere. Nothing is downloaded, nothing in the files is run."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs of `vidrive weights` and their flags."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    taken_in = verbs.add_parser("import", help="bring checkpoints in: a folder, a zip, a tar, or .pth files")
    taken_in.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folder, archive, or checkpoint files")
    taken_in.add_argument("--name", default="", help="what to call them (default: the name of their folder)")
    taken_in.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of the training that no file tells, as upstream names it: fg_labels=24,25,26 or which_epoch=10",
    )
    verbs.add_parser("list", help="what was imported")
    for verb, line in (
        ("show", "the card of imported weights"),
        ("verify", "whether imported weights are still those of their card"),
    ):
        verbs.add_parser(verb, help=line).add_argument("name", metavar="NAME")
    export = verbs.add_parser("export", help="one frame of imported weights as ONNX; needs the extra vidrive[onnx]")
    export.add_argument("name", metavar="NAME")
    export.add_argument("--onnx", type=Path, required=True, metavar="FILE", help="the file to write")
    export.add_argument("--size", type=picture_size, metavar="WxH", help="of its pictures (default: the native size)")
    export.add_argument("--first", action="store_true", help="of a video, the frame that it begins with")
    calibrate = verbs.add_parser("calibrate", help="what vidrive serve --backend int8 takes its ranges from")
    calibrate.add_argument("recording", type=Path, metavar="RECORDING", help="of a drive, by vidrive record")
    calibrate.add_argument("--model", default="street-photo", metavar="NAME", help="of vidrive's own (%(default)s)")
    calibrate.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    verbs = {
        "import": _import,
        "list": _list,
        "show": _show,
        "verify": _verify,
        "export": _export,
        "calibrate": _calibrate,
    }
    return verbs[args.verb](args)


def _import(args: argparse.Namespace) -> int:
    from renderer.weights_import import import_weights

    options = dict(map(_option, args.set))
    for one in import_weights(args.paths, args.name, options, lambda line: print(line, file=sys.stderr, flush=True)):
        card = one.card
        print(f"imported {card.name}: {_summary(card)}")
        for note in card.notes:
            print(f"note: {note}")
        print(f"licence: {card.licence}; the text is in {one.folder}")
        print(f"use it with: --model {card.name}")
    return 0


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise UsageError(f"--set {text} is not OPTION=VALUE", "Write, for example, --set fg_labels=24,25,26")
    return name, value


def _summary(card: ImportedCard) -> str:
    kind = f"{card.family}, {'the published ' + card.preset if card.preset else 'a configuration of its own'}"
    return f"{kind}, {card.num_parameters / 1e6:.1f} M parameters, {card.weights_bytes / 1e6:.0f} MB"


def _list(_: argparse.Namespace) -> int:
    from renderer.weights_store import imported_names, read_imported_card, store_folder

    names = imported_names()
    if not names:
        print(f"nothing was imported to {store_folder()} yet; see vidrive weights import --help", file=sys.stderr)
    for name in names:
        print(f"{name}: {_summary(read_imported_card(name))}")
    return 0


def _show(args: argparse.Namespace) -> int:
    from renderer.weights_store import read_imported_card, store_folder

    card = read_imported_card(args.name)
    height_px, width_px = card.native_size_hw
    reads = f"{card.dense_channels} planes of edges or poses" if card.dense_channels else f"{card.label_space} labels"
    print(f"{card.name}: {_summary(card)}")
    print(f"reads: {reads}{', instances' if 'instances' in card.planes else ''}; past frames: {card.past_frames}")
    print(f"size: trained for {width_px}x{height_px}; any multiple of {card.size_multiple_px} px")
    for kind, gflop in card.cost_gflop.items():
        print(
            f"cost of a {kind} frame of that size: {gflop:.0f} GFLOP, {card.activations_mib[kind]:.0f} MiB in float32"
        )
    for role, number in card.parameters.items():
        print(f"network {role}: {number:,} parameters")
    for source in card.sources:
        print(f"from {source.name}: {source.bytes:,} bytes, sha256 {source.sha256}")
    print(f"weights: {card.weights_bytes:,} bytes, sha256 {card.weights_sha256}")
    for key, value in card.config.items():
        print(f"config {key}: {value}")
    for note in card.notes:
        print(f"note: {note}")
    print(f"licence: {card.licence}")
    print(f"folder: {store_folder() / card.name}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from renderer.weights_store import verify_imported

    card = verify_imported(args.name)
    print(f"{card.name} is whole: {card.weights_bytes:,} bytes, sha256 {card.weights_sha256}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from renderer.weights_export import export_onnx

    height_px, width_px = export_onnx(args.name, args.onnx, args.size[::-1] if args.size else None, first=args.first)
    print(f"{args.onnx}: one frame of {width_px}x{height_px}; one-hots and a video's past are the caller's")
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    from renderer.backends.host import prepare_process

    prepare_process()

    from clients.recordings.calibration import calibration_of

    calibration = calibration_of(args.recording, args.model)
    calibration.save(args.out)
    told = f"{len(calibration.frames)} frames for ranges, {len(calibration.held_out)} to judge by"
    print(f"{args.out}: {told}")
    print(f"now: vidrive serve --model {args.model} --backend int8 --calibration {args.out}", file=sys.stderr)
    return 0
