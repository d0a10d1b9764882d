"""`vidrive demo`: town, renderer and drive at once, each in a process of its own, and nothing left behind."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from clients.addresses import seed
from clients.commands.drive import add_drive_arguments

DESCRIPTION = (
    "Drive through the town and watch the street synthesized. Starts the town and a renderer by itself; without a "
    "display it writes demo.mp4. W A S D or the arrows take the wheel, H shows all keys."
)
SESSION: Final = "demo"
DEFAULT_VIDEO: Final = Path("demo.mp4")
HEADLESS_S: Final = 12.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive demo`."""
    add_drive_arguments(parser)
    parser.add_argument("--model", metavar="NAME", default="", help="the generator (default: the one that ships)")
    parser.add_argument(
        "--seed", metavar="N", type=seed, default=0, help="which streets, traffic and way (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Start everything, drive, stop everything."""
    from clients.drive_plan import make_plan
    from clients.outcome import unbegun
    from clients.processes import start_servers
    from clients.viewer.window import display_missing

    if not args.headless and (missing := display_missing()):
        args.headless = True
        args.record = args.record or DEFAULT_VIDEO
        print(f"{missing}: writing {args.record} instead of opening a window", file=sys.stderr)
    if args.headless and args.seconds is None:
        args.seconds = HEADLESS_S
    with unbegun(as_json=args.json, model=args.model):
        plan = make_plan(SESSION, args, seed=args.seed)
    print("starting the town and the renderer", file=sys.stderr)
    started_s = time.monotonic()
    with start_servers(args.seed, args.model) as servers:
        # Imported while the two start: it takes about as long as they do.
        from clients.report import conduct

        with unbegun(as_json=args.json, model=args.model):
            host, port = servers.wait_ready()
            print(f"both ready after {time.monotonic() - started_s:.1f} s", file=sys.stderr)
        plan = replace(plan, carla_host=host, carla_port=port, endpoint=servers.endpoint)
        return conduct(plan, as_json=args.json)
