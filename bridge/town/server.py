"""The town as a server: sockets, threads, and the life of the process."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.protocol.errors import SimulatorError
from bridge.town.actors import HalfExtents, default_half_extents_m
from bridge.town.clock import FREE_RUNNING_HZ, Clock
from bridge.town.rpc import RpcServer
from bridge.town.simulation import Simulation
from bridge.town.streams import StreamHub
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.views import Painter

if TYPE_CHECKING:
    from bridge.town.engine.painter import TownPainter

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 2000
BACKLOG = 64
"""How many connections may wait to be accepted."""
SWITCH_INTERVAL_S = 5e-4
"""How soon Python lets another thread go on; with its default of 5 ms a tick's handshake would wait for it."""


class TownServer:
    """A CARLA server made of a town; it must run in another process than its clients.

    Several calls of the wheel wait for the server without releasing Python's lock: in the same process they would wait
    for ever. `port` 0 takes a free one; the streams get the next port, or any free one. `recordings_dir` is where
    clients' recordings are kept (default: in the user's data). Raises SimulatorError if the port is taken.
    """

    def __init__(
        self,
        host: str = LOOPBACK,
        port: int = DEFAULT_PORT,
        seed: int = 0,
        painter: Painter | None = None,
        *,
        network: StreetNetwork | None = None,
        free_running_hz: float = FREE_RUNNING_HZ,
        recordings_dir: Path | None = None,
    ) -> None:
        self.host = host
        with contextlib.ExitStack() as undo:
            rpc_listener = _reserve(host, port)
            undo.callback(rpc_listener.close)
            self.port: int = rpc_listener.getsockname()[1]
            stream_listener = _reserve_near(host, self.port + 1)
            undo.callback(stream_listener.close)
            self.stream_port: int = stream_listener.getsockname()[1]
            self._listeners = ((rpc_listener, self.port), (stream_listener, self.stream_port))
            network = network or build_street_network(seed)
            painter_of: Callable[[StreetNetwork], Painter] | None = None
            half_extents_m: HalfExtents = default_half_extents_m
            if painter is None:
                own, half_extents_m, painter_of = _own_engine(network, seed)
                undo.callback(own.close)
                painter = own
            self._resources = undo.pop_all()
        recordings_dir = recordings_dir or default_recordings_dir()
        self.simulation = Simulation(network, painter, half_extents_m, recordings_dir, painter_of)
        self._hub = StreamHub(stream_listener, self.simulation.first_message)
        self.simulation.hub = self._hub
        self.simulation.stream_port = self.stream_port
        self._clock = Clock(self.simulation, free_running_hz)
        self._rpc = RpcServer(rpc_listener, self.simulation, self._clock)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to listen, to tick and to serve; raises SimulatorError if somebody else listens there by now."""
        for listener, port in self._listeners:
            _listen(listener, self.host, port)
        self._hub.start()
        self._clock.start()
        self._rpc.start()

    def stop(self) -> None:
        """Close every connection and end every thread; harmless if it was done before."""
        if self._stopped.is_set():
            return
        self._rpc.stop()
        self._hub.stop()  # before the clock: a tick may be waiting for a client that takes nothing
        self._clock.stop()
        self.simulation.stop_recorder()
        self.simulation.stop_replayer(keeps_actors=True)
        self._resources.close()
        self._stopped.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until somebody stops the server; True when it is stopped."""
        return self._stopped.wait(timeout_s)


def default_recordings_dir() -> Path:
    """Return the folder of clients' recordings in the user's data; it need not exist."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "vidrive" / "town"


def run_town(
    host: str = LOOPBACK, port: int = DEFAULT_PORT, seed: int = 0, ready: Callable[[int], None] | None = None
) -> int:
    """Serve a town until SIGINT or SIGTERM and return 0; `ready` is called with the port once clients may connect.

    Raises SimulatorError if the port is taken. Call it from the main thread.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    wanted = threading.Event()
    with _signals_set(wanted):
        server = TownServer(host, port, seed)
        server.start()
        try:
            print(f"town is listening on {host}:{server.port}", flush=True)
            if ready is not None:
                ready(server.port)
            wanted.wait()
        finally:
            server.stop()
    return 0


@contextlib.contextmanager
def _signals_set(event: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set an event instead of ending the process."""
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reserve(host: str, port: int) -> socket.socket:
    """Take a port without listening yet: until the engine is built clients are turned away, not kept waiting."""
    if not 0 <= port <= 65535:
        raise SimulatorError(f"{port} is not a port", "Choose one from 1 to 65535, or 0 for any free one")
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        if error.errno == errno.EADDRINUSE:
            raise _in_use(host, port) from error
        raise SimulatorError(
            f"the town cannot listen on {host}:{port}: {error.strerror}", "Choose an address of this machine"
        ) from error
    return reserved


def _listen(listener: socket.socket, host: str, port: int) -> None:
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _in_use(host, port) from error


def _in_use(host: str, port: int) -> SimulatorError:
    return SimulatorError(f"port {port} on {host} is in use", "Stop what listens there, or choose another with --port")


def _reserve_near(host: str, port: int) -> socket.socket:
    """Take a port, or any free one if it is taken: clients learn the port from their tokens."""
    try:
        return _reserve(host, port)
    except SimulatorError:
        return _reserve(host, 0)


def _own_engine(
    network: StreetNetwork, seed: int
) -> tuple[TownPainter, HalfExtents, Callable[[StreetNetwork], Painter]]:
    """Return the town's own engine, ready to draw, the sizes of the bodies that it draws, and what draws other worlds.

    Imported here because the engine compiles and builds for a while, and tests do without it.
    """
    from bridge.town.engine.catalogue import body_half_extents_m
    from bridge.town.engine.painter import TownPainter

    painter = TownPainter(network, seed=seed)
    painter.warm_up()

    def painter_of(client_world: StreetNetwork) -> Painter:
        return TownPainter(client_world, like=painter)

    return painter, body_half_extents_m, painter_of
