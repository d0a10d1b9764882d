"""`vidrive drive`: drive in a running simulator, through a running inference server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from bridge.protocol.sockets import DEFAULT_ENDPOINT
from clients.addresses import add_metrics_argument

DESCRIPTION = (
    "Drive in a CARLA 0.9.14-0.9.16 server or in the town, and watch the street synthesized. W A S D or the arrows "
    "take the wheel, P gives it back to the autopilot, H shows all keys."
)
CARLA_PORT: Final = 2000
SESSION: Final = "drive"
PACES: Final = ("every", "newest")
# Those of clients.viewer.layouts, which the help of a command does not import; a test compares.
LAYOUTS: Final = ("side-by-side", "wipe", "blend", "picture-in-picture", "synthesized", "grid", "planes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive drive`."""
    parser.add_argument(
        "--carla", metavar="HOST:PORT", default=f"localhost:{CARLA_PORT}", help="the simulator (default: %(default)s)"
    )
    parser.add_argument(
        "--server", metavar="ENDPOINT", default=DEFAULT_ENDPOINT, help="the inference server (default: %(default)s)"
    )
    parser.add_argument("--server-key", metavar="FILE", type=Path, help="the server's public CURVE key, if it has one")
    parser.add_argument("--jpeg", action="store_true", help="receive pictures as JPEG, for a slow link to the server")
    parser.add_argument(
        "--model", metavar="NAME", default="", help="one of the server's models (default: what it serves)"
    )
    add_drive_arguments(parser)


def add_drive_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that `vidrive demo` has too."""
    parser.add_argument("--size", metavar="WxH", type=picture_size, help="of each half in pixels (default: the rig's)")
    parser.add_argument("--seconds", metavar="N", type=seconds, help="how long, in simulation time")
    parser.add_argument("--headless", action="store_true", help="no window; needs no display")
    add_layout_argument(parser)
    parser.add_argument(
        "--timewarp", action="store_true", help="move the last picture to where the camera is now, until the next comes"
    )
    parser.add_argument(
        "--predict", action="store_true", help="draw each frame from what is foreseen of it, while it is captured"
    )
    parser.add_argument(
        "--record", metavar="FILE.mp4|DIR", type=Path, help="write a video in simulation time, or a recording's folder"
    )
    parser.add_argument(
        "--style", metavar="NAME|SEED", default="", help="the look, for models with several: cloudy, or A,B,SHARE"
    )
    parser.add_argument("--pad", metavar="PRESET|FILE", default="", help="what a gamepad's or wheel's buttons do")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout")
    parser.add_argument("--edits", metavar="NAME|FILE.yaml", default="", help="edit the label map by these rules")
    parser.add_argument("--trace", metavar="FILE", type=Path, help="write a JSON line a frame: ids, times, digests")
    parser.add_argument(
        "--pace",
        choices=PACES,
        help="every tick is synthesized and the simulator waits, or it keeps to the clock and the newest frame wins "
        "(default: newest in a window, every without)",
    )
    parser.add_argument(
        "--target-hz",
        metavar="N",
        type=target_hz,
        help="synthesize at a smaller size while the renderer is too slow for this rate",
    )
    add_telemetry_arguments(parser)


def add_telemetry_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of everything that drives."""
    parser.add_argument(
        "--telemetry", metavar="FILE", type=Path, help="write a JSON line a frame: when what happened to it, or why not"
    )
    add_metrics_argument(parser)


def add_layout_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the flag of everything that shows pairs."""
    parser.add_argument("--layout", metavar="NAME", help="what is shown where: " + ", ".join(LAYOUTS))


def run(args: argparse.Namespace) -> int:
    """Drive until the time is over, the window is closed or something is lost."""
    from clients.outcome import unbegun
    from clients.processes import split_endpoint
    from clients.viewer.window import display_missing

    with unbegun(as_json=args.json):
        host, port = split_endpoint(args.carla, CARLA_PORT)
    if not args.headless and (missing := display_missing()):
        print(f"{missing}: driving without a window, --record FILE.mp4 writes a video", file=sys.stderr)
        args.headless = True

    from clients.drive_plan import make_plan
    from clients.report import conduct

    with unbegun(as_json=args.json):
        plan = make_plan(
            SESSION,
            args,
            carla=(host, port),
            endpoint=args.server,
            server_key=args.server_key,
            picture_codec="jpeg" if args.jpeg else "raw",
            model=args.model,
        )
    return conduct(plan, as_json=args.json)


def target_hz(text: str) -> float:
    """Return a rate that frames can have."""
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = 0.0
    if not 0.5 <= rate_hz <= 240.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate from 0.5 to 240 Hz")
    return rate_hz


def picture_size(text: str) -> tuple[int, int]:
    """Return width and height of `WxH`."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512x256")
    return int(width), int(height)


def seconds(text: str) -> float:
    """Return a positive number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number
