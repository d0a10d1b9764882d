"""`vidrive record`: a drive with all its planes into a folder."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clients.addresses import seed
from clients.commands.drive import CARLA_PORT, add_telemetry_arguments, picture_size, seconds

if TYPE_CHECKING:
    from clients.processes import Child

DESCRIPTION = (
    "Record a drive: label maps, instances and depth without loss, poses, controls and timings, and the pictures. "
    "Starts the town and a renderer by itself unless --carla and --server name others. The folder can be rendered "
    "again by other weights, replayed and exported."
)
SESSION: Final = "demo"
DEFAULT_S: Final = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive record`."""
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder for the recording")
    parser.add_argument(
        "--seconds", metavar="N", type=seconds, default=DEFAULT_S, help="simulation time (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=seed, default=0, help="which streets, traffic and way (default: %(default)s)"
    )
    parser.add_argument("--size", metavar="WxH", type=picture_size, help="of the pictures (default: the rig's)")
    parser.add_argument(
        "--fit", metavar="FILE", type=Path, help="camera and traffic that vidrive gap --fit-camera found"
    )
    parser.add_argument("--model", metavar="NAME", default="", help="the generator (default: the one that ships)")
    parser.add_argument("--no-render", action="store_true", help="synthesize nothing: the planes alone")
    parser.add_argument(
        "--pictures",
        choices=("h264", "lossless", "none"),
        default="h264",
        help="how the RGB and synthesized pictures are kept; the lossless planes always are (default: %(default)s)",
    )
    parser.add_argument("--edits", metavar="NAME|FILE.yaml", default="", help="edit the label map by these rules")
    parser.add_argument("--carla", metavar="HOST:PORT", default="", help="a simulator that runs already")
    parser.add_argument("--server", metavar="ENDPOINT", default="", help="an inference server that runs already")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout")
    add_telemetry_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Start what is not there yet, drive, close the recording, stop what was started."""
    from bridge.protocol.errors import UsageError
    from bridge.recording.writer import prepare_folder
    from clients.gap.camera_fit import read_fit
    from clients.outcome import unbegun
    from clients.processes import READY_DEADLINE_S, split_endpoint, start_renderer, start_town, town_address

    with contextlib.ExitStack() as stack:
        renderer: Child | None = None
        endpoint = args.server
        with unbegun(as_json=args.json, model=args.model):
            if args.no_render and (args.server or args.model):
                raise UsageError("--no-render synthesizes nothing", "Leave out --server and --model, or --no-render")
            if args.server and args.model:
                raise UsageError("the model is that of the server at --server", "Leave out --model, or --server")
            fit = read_fit(args.fit) if args.fit is not None else None
            prepare_folder(args.out)
            town = None if args.carla else stack.enter_context(start_town(args.seed))
            if not endpoint and not args.no_render:
                renderer, endpoint = stack.enter_context(start_renderer(args.model))
            # Imported while the two start: it takes about as long as they do.
            from clients.drive_plan import make_plan
            from clients.recordings.sink import RecordingWish
            from clients.report import conduct

            address = town_address(town) if town is not None else split_endpoint(args.carla, CARLA_PORT)
            if renderer is not None:
                renderer.wait_ready(READY_DEADLINE_S)
            drive = argparse.Namespace(
                headless=True,
                record=None,
                trace=None,
                seconds=args.seconds,
                size=args.size,
                edits=args.edits,
                telemetry=args.telemetry,
                metrics=args.metrics,
            )
            plan = make_plan(SESSION, drive, carla=address, endpoint=endpoint, seed=args.seed)
            if fit is not None:
                plan = replace(plan, rig=fit.rig(plan.rig), session=fit.session(plan.session))
        try:
            return conduct(replace(plan, recording=RecordingWish(args.out, args.pictures)), as_json=args.json)
        finally:
            print(_said(args.out), file=sys.stderr)


def _said(folder: Path) -> str:
    """What there is now, in a sentence."""
    from bridge.protocol.errors import VidriveError
    from bridge.recording.reader import Recording

    try:
        recording = Recording(folder)
    except VidriveError as error:
        return f"nothing was recorded: {error.what}"
    num_bytes = sum(path.stat().st_size for path in folder.iterdir())
    duration_s = len(recording) * recording.manifest.fixed_delta_s
    lossless = sum(num for row in recording.rows for num in (length for _, length in row.records.values()))
    return (
        f"{folder}: {len(recording)} frames, {duration_s:.1f} s, {num_bytes / 1e6:.1f} MB; "
        f"its lossless planes weigh {lossless / len(recording) / 1e3:.1f} kB a frame"
    )
