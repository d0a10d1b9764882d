"""`vidrive serve`: the inference server."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.protocol.sockets import DEFAULT_ENDPOINT, check_listen
from clients.addresses import add_metrics_argument

if TYPE_CHECKING:
    from renderer.counts import ServerCounts

DESCRIPTION = "Serve a model to render clients over ZeroMQ. Ctrl-C ends it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive serve`."""
    parser.add_argument(
        "--model", default="street-photo", metavar="NAME", help="a model, or a .safetensors file (default: %(default)s)"
    )
    parser.add_argument(
        "--listen",
        default=DEFAULT_ENDPOINT,
        metavar="ENDPOINT",
        help="tcp://HOST:PORT (port * takes a free one) or ipc://PATH (default: %(default)s)",
    )
    _add_running_arguments(parser)
    add_metrics_argument(parser)
    parser.add_argument(
        "--curve-secret",
        type=Path,
        metavar="FILE",
        help="CURVE secret key file; needed where other machines can connect, who then need its public key",
    )


def _add_running_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how the model runs."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where it runs (default: %(default)s)")
    parser.add_argument(
        "--backend",
        choices=("auto", "eager", "compile", "onnxruntime", "openvino", "int8", "tensorrt"),
        default="auto",
        help="what runs the generator; auto is the fastest that is installed (default: %(default)s)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="what --backend int8 takes its ranges from; vidrive weights calibrate writes it",
    )
    parser.add_argument(
        "--stabilise", action="store_true", help="steady a published generator's pictures by the engine's motion"
    )
    parser.add_argument(
        "--flow",
        choices=("guessed", "engine"),
        default="guessed",
        help="what moves a vid2vid's last picture: its own guess, or exact depth and poses (default: %(default)s)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        choices=range(1, 17),
        metavar="N",
        default=1,
        help="frames of up to N waiting clients go through the network at once, for GPUs; pictures may then differ by "
        "rounding (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; prints `ready ENDPOINT` on stdout once clients can connect."""
    check_listen(args.listen, args.curve_secret)  # before the seconds that the imports below take

    from renderer.backends.host import prepare_process

    prepare_process()  # before torch is imported, below

    from renderer.counts import ServerCounts
    from renderer.startup import run_server

    counts = ServerCounts()
    with _metrics(args, counts):
        run_server(
            args.model,
            args.listen,
            args.device,
            ready=lambda endpoint: print(f"ready {endpoint}", flush=True),
            secret_key=args.curve_secret,
            backend=args.backend,
            stabilise=args.stabilise,
            flow=args.flow,
            max_batch=args.batch,
            calibration=args.calibration,
            counts=counts,
        )
    return 0


@contextlib.contextmanager
def _metrics(args: argparse.Namespace, counts: ServerCounts) -> Iterator[None]:
    if args.metrics is None:
        yield
        return
    from clients.server_metrics import serve_server_metrics

    host, port = args.metrics
    with serve_server_metrics(counts, port, host) as served_port:
        logging.getLogger("renderer").info("metrics are at http://%s:%d/metrics", host, served_port)
        yield
