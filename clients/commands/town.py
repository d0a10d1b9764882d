"""`vidrive town`: the embedded street simulator, as a server of CARLA's protocol."""

from __future__ import annotations

import argparse

from clients.addresses import seed

DESCRIPTION = "Run the town: a street simulator that any CARLA 0.9.16 client can connect to. Ctrl-C ends it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive town`."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; who reaches it needs no key (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=2000, help="CARLA's port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument("--seed", metavar="N", type=seed, default=0, help="which streets (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; prints `ready HOST PORT` on stdout once clients can connect."""
    from bridge.town.server import run_town

    return run_town(args.host, args.port, args.seed, ready=lambda port: print(f"ready {args.host} {port}", flush=True))
