"""A link between a client and a server that is cut, and that stands still, again and again."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from types import TracebackType

CONNECT_TIMEOUT_S = 10.0


class FlappingLink:
    """Forwards TCP connections to a server's endpoint; every so often it cuts them, or holds all bytes for a while."""

    def __init__(self, endpoint: str, seed: int = 0) -> None:
        host, port = endpoint.removeprefix("tcp://").split(":")
        self._server = (host, int(port))
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.num_cuts = self.num_holds = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._accept, self._flap)]

    def __enter__(self) -> FlappingLink:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._flowing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()
        for thread in self._threads:
            thread.join(CONNECT_TIMEOUT_S)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server, CONNECT_TIMEOUT_S)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._sockets |= {client, server}
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._flowing.wait()
                target.sendall(data)
        self._close({source, target})

    def _flap(self) -> None:
        while not self._ended.wait(self._random.uniform(0.2, 0.6)):
            if self._random.random() < 0.5:
                self.num_cuts += 1
                self._cut()
            else:
                self.num_holds += 1
                self._flowing.clear()
                self._ended.wait(self._random.uniform(0.05, 0.9))
                self._flowing.set()

    def _cut(self) -> None:
        with self._lock:
            cut = set(self._sockets)
        self._close(cut)

    def _close(self, sockets: set[socket.socket]) -> None:
        with self._lock:
            mine = sockets & self._sockets
            self._sockets -= mine
        for one in mine:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
            one.close()
