"""An endpoint for Prometheus, answered by prometheus-client in a thread of its own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Final

from bridge.protocol.errors import UsageError

LOOPBACK: Final = "127.0.0.1"
PACKAGE: Final = "prometheus_client"
QUANTILES: Final = (0.5, 0.95, 1.0)


def check_metrics() -> None:
    """Raise UsageError if the package behind the endpoint is missing."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError(
            "metrics need the package prometheus-client, which is not installed", "pip install 'vidrive[metrics]'"
        )


@contextlib.contextmanager
def serve_families(make_collector: Callable[[Any], Any], port: int, host: str = LOOPBACK) -> Iterator[int]:
    """Answer at http://HOST:PORT/metrics meanwhile, port 0 for a free one; yields the port.

    `make_collector` makes a collector of prometheus-client's, given its module of families. Plain HTTP without a key.
    Raises UsageError without the package and for a port that is taken.
    """
    check_metrics()
    package: Any = importlib.import_module(PACKAGE)
    registry = package.CollectorRegistry()
    registry.register(make_collector(importlib.import_module(f"{PACKAGE}.core")))
    try:
        server, thread = package.start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise UsageError(f"metrics cannot be served at {host}:{port} ({error.strerror})", "Name another port") from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
