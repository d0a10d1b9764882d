"""Addresses and seeds as people type them."""

from __future__ import annotations

import argparse


def add_metrics_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the flag of everything that answers Prometheus."""
    parser.add_argument(
        "--metrics",
        metavar="[HOST:]PORT",
        type=metrics_address,
        help="answer Prometheus there (default host: loopback)",
    )


def metrics_address(text: str) -> tuple[str, int]:
    """Return host and port of `PORT` or `HOST:PORT`."""
    host, _, port = text.rpartition(":")
    if not (port.isdigit() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port such as 9464")
    return host or "127.0.0.1", int(port)


def seed(text: str) -> int:
    """Return a number that streets and traffic are drawn by."""
    if not (text.isdecimal() and text.isascii() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: a number from 0 to {2**32 - 1}")
    return int(text)
