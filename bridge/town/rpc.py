"""The RPC side of the town: a thread per client connection, dispatch to the handlers, and replies that wait.

Two habits keep real clients alive. A client whose TrafficManager asks for the settings in a loop is answered once a
frame instead of ten thousand times a second. And a client that loads a new episode has its settings calls held until
it has seen that episode: its TrafficManager thread would otherwise walk into an episode that is half gone.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from bridge.carla_wire.methods import METHODS
from bridge.carla_wire.rpc import (
    MalformedRequest,
    MethodLayout,
    Request,
    RequestReader,
    encode_acknowledgement,
    encode_rpc_error,
)
from bridge.town.calls import ANSWERS, LATER, REFUSALS, Call, CallRefused
from bridge.town.clock import Clock
from bridge.town.door import Door
from bridge.town.simulation import Simulation

logger = logging.getLogger(__name__)

PARKED_FOR_S = 0.01
ANSWERS_IN_FRAME = 4  # that a client may have before it is taken to ask in a loop
HOLD_SETTLE_S = 0.01
HOLD_WITH_TRAFFIC_MANAGER_S = 0.25
HOLD_WITHOUT_TRAFFIC_MANAGER_S = 0.02
SEND_TIMEOUT_S = 5
"""A client that does not read its replies for so long is closed."""
MOST_WAITING_BYTES = 256 * 1024 * 1024
"""A client for which more than this waits is closed at once."""
RECEIVE_BYTES = 1 << 16


class RpcConnection:
    """One client's RPC connection; requests are executed in their order, replies may overtake each other."""

    def __init__(self, server: RpcServer, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._outbox_changed = threading.Condition()
        self._outbox: collections.deque[bytes] = collections.deque()
        self._outbox_bytes = 0
        self._has_writer = False
        self._parked_changed = threading.Condition()
        self._parked: collections.deque[tuple[float, int]] = collections.deque()
        self._is_holding = False
        self._answered_at = -1.0
        self._answered_frame = -1
        self._answers_in_frame = 0
        self._traffic_manager_ports: list[int] = []

    # ---- reading

    def serve(self) -> None:
        """Answer requests until the client leaves or sends what is no request."""
        reader = RequestReader()
        try:
            while chunk := self._socket.recv(RECEIVE_BYTES):
                for request in reader.feed(chunk):
                    self._server.dispatch(self, request)
                    self.wait_for_writer()
        except MalformedRequest as error:
            logger.warning("an RPC connection is closed: %s", error)
        except OSError as error:
            logger.debug("an RPC connection ended: %s", error)
        finally:
            self.close()
            self._server.forget(self, self._traffic_manager_ports)

    def close(self) -> None:
        """End the connection; its reading thread sees it and leaves."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    # ---- writing

    def send(self, reply: bytes) -> None:
        """Send one reply without waiting: what the client does not take at once is sent by the connection's writer.

        The clock and the clerk answer for everybody; one client that reads nothing must not make the others wait.
        """
        with self._outbox_changed:
            if not self._outbox:
                try:
                    reply = reply[self._socket.send(reply, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    pass
                except OSError as error:
                    logger.debug("a reply could not be sent: %s", error)
                    self.close()
                    return
                if not reply:
                    return
            self._outbox.append(reply)
            self._outbox_bytes += len(reply)
            if self._outbox_bytes > MOST_WAITING_BYTES:
                logger.warning("an RPC connection is closed: its client reads no replies")
                self._outbox.clear()
                self.close()
            elif not self._has_writer:
                self._has_writer = True
                threading.Thread(target=self._write, name="town-writer", daemon=True).start()

    def _write(self) -> None:
        """Send what waits, and end when nothing does; a client that takes nothing for SEND_TIMEOUT_S is closed."""
        while True:
            with self._outbox_changed:
                if not self._outbox:
                    self._has_writer = False
                    self._outbox_changed.notify_all()
                    return
                reply = self._outbox[0]
            try:
                self._socket.sendall(reply)
            except OSError as error:
                logger.warning("an RPC connection is closed: its client reads no replies (%s)", error)
                self.close()
                with self._outbox_changed:
                    self._outbox.clear()
                    self._outbox_bytes = 0
                continue
            with self._outbox_changed:
                if self._outbox:
                    self._outbox.popleft()
                    self._outbox_bytes -= len(reply)

    def wait_for_writer(self) -> None:
        """Wait until the client has taken what it was sent: who reads no replies is not asked for more requests."""
        with self._outbox_changed:
            self._outbox_changed.wait_for(lambda: not self._has_writer)

    def answer(self, call: Call, method: str, value: Any) -> None:
        """Send the answer to a call whose handler returned LATER."""
        self.send(METHODS[method].encode_reply(call.msgid, value))

    # ---- putting off the answers to get_episode_settings

    def park_settings(self, msgid: int) -> bool:
        """Put off an answer: while the client loads an episode, or if it had several in this frame, just now.

        A TrafficManager in synchronous mode asks a few times a frame and must not wait for the next: its thread would
        get there at the very moment at which the tick's answer starts its next step, and libcarla loses that signal if
        the thread is between looking and sleeping. One that asks in a loop soon has had its few.
        """
        now, frame = time.monotonic(), self._server.simulation.episode.frame
        with self._parked_changed:
            if frame != self._answered_frame or now - self._answered_at >= PARKED_FOR_S:
                self._answers_in_frame = 0
            if not self._is_holding and self._answers_in_frame < ANSWERS_IN_FRAME:
                self._answers_in_frame += 1
                self._answered_at, self._answered_frame = now, frame
                return False
            self._parked.append((now + PARKED_FOR_S, msgid))
            self._parked_changed.notify_all()
        self._server.clerk_has_work()
        return True

    def release_parked(self) -> float | None:
        """Send the put-off answers that are due; return how long the next one has to wait, None if there is none."""
        simulation = self._server.simulation
        due: list[int] = []
        wait_s: float | None = None
        with self._parked_changed:
            now, frame = time.monotonic(), simulation.episode.frame
            while self._parked and not self._is_holding:
                deadline, msgid = self._parked[0]
                if deadline > now and frame == self._answered_frame:
                    wait_s = deadline - now
                    break
                self._parked.popleft()
                due.append(msgid)
            if due:
                self._answered_at, self._answered_frame, self._answers_in_frame = now, frame, ANSWERS_IN_FRAME
        for msgid in due:
            self.send(METHODS["get_episode_settings"].encode_reply(msgid, simulation.episode.settings))
        return wait_s

    def begin_load(self, msgid: int, load: Callable[[], None]) -> None:
        """Hold the client's settings calls, load when its TrafficManager hangs in one, and answer the load.

        This runs on a thread of its own: the connection must go on answering everything else meanwhile.
        """
        with self._parked_changed:
            self._is_holding = True

        def wait_and_load() -> None:
            has_manager = bool(self._server.simulation.traffic_managers)
            limit_s = HOLD_WITH_TRAFFIC_MANAGER_S if has_manager else HOLD_WITHOUT_TRAFFIC_MANAGER_S
            with self._parked_changed:
                self._parked_changed.wait_for(lambda: bool(self._parked), limit_s)
                # the client's other threads finish what they were at
                self._parked_changed.wait_for(lambda: False, HOLD_SETTLE_S)
            load()
            self.send(METHODS["load_new_episode"].encode_reply(msgid, None))

        threading.Thread(target=wait_and_load, name="town-load", daemon=True).start()

    def end_hold(self) -> bool:
        """Answer settings calls again; True if they were held."""
        with self._parked_changed:
            was_holding, self._is_holding = self._is_holding, False
        if was_holding:
            self._server.clerk_has_work()
        return was_holding

    def owns_traffic_manager(self, port: int) -> None:
        """Note that the TrafficManager of a port ends with this connection."""
        self._traffic_manager_ports.append(port)


class RpcServer:
    """Accepts clients and answers their calls."""

    def __init__(self, listener: socket.socket, simulation: Simulation, clock: Clock) -> None:
        self.simulation = simulation
        self._listener = listener
        self._door = Door(listener)
        self._clock = clock
        self._connections: set[RpcConnection] = set()
        self._lock = threading.Lock()
        self._clerk_wake = threading.Event()
        self._is_stopping = False
        self._threads = [
            threading.Thread(target=self._accept, name="town-rpc", daemon=True),
            threading.Thread(target=self._run_clerk, name="town-clerk", daemon=True),
        ]

    def start(self) -> None:
        """Begin to accept clients."""
        self.simulation.on_tick.append(self.clerk_has_work_after_tick)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Close every connection."""
        self._is_stopping = True
        self._clerk_wake.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()
        for thread in self._threads:
            thread.join(timeout=5.0)
        self._door.close()

    def forget(self, connection: RpcConnection, traffic_manager_ports: list[int]) -> None:
        """Strike out a client that has left, and the TrafficManagers that lived in it."""
        with self._lock:
            self._connections.discard(connection)
        with self.simulation.lock:
            for port in traffic_manager_ports:
                self.simulation.traffic_managers.pop(port, None)

    def _accept(self) -> None:
        while not self._is_stopping:
            self._door.wait()
            try:
                accepted = self._door.accept(len(self._connections))
            except OSError:
                return
            if accepted is None:
                continue
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_TIMEOUT_S, 0))
            connection = RpcConnection(self, accepted)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=connection.serve, name="town-client", daemon=True).start()

    # ---- the clerk, who sends what was put off

    def clerk_has_work(self) -> None:
        """Wake the clerk: something was put off."""
        self._clerk_wake.set()

    def clerk_has_work_after_tick(self) -> None:
        """Wake the clerk if something put off may go out now that there is a new frame."""
        if self._has_parked:
            self._clerk_wake.set()

    _has_parked = False

    def _run_clerk(self) -> None:
        wait_s: float | None = None
        while not self._is_stopping:
            self._clerk_wake.wait(wait_s)
            self._clerk_wake.clear()
            with self._lock:
                connections = list(self._connections)
            waits = [wait for connection in connections if (wait := connection.release_parked()) is not None]
            self._has_parked = bool(waits)
            wait_s = min(waits, default=None)

    # ---- dispatch

    def dispatch(self, connection: RpcConnection, request: Request) -> None:
        """Answer one request; whatever happens, exactly one reply of a shape that the client survives."""
        layout = METHODS.get(request.method)
        if layout is None:
            reply = encode_rpc_error(
                request.msgid, f"rpclib: server could not find function '{request.method}' with argument count 1."
            )
        elif request.method in REFUSALS:
            logger.info("%s is refused: %s", request.method, REFUSALS[request.method])
            reply = layout.encode_error(request.msgid, REFUSALS[request.method])
        else:
            reply = self._answer(connection, request, layout)
        if layout is not None and request.is_async:
            reply = encode_acknowledgement(request.msgid)
        if reply is not None:
            connection.send(reply)

    def _answer(self, connection: RpcConnection, request: Request, layout: MethodLayout) -> bytes | None:
        answer = ANSWERS[request.method]
        call = Call(self.simulation, self._clock, connection, request.msgid)
        try:
            arguments = layout.decode_arguments(request.arguments)
            with self.simulation.lock if answer.takes_lock else contextlib.nullcontext():
                value = answer.handler(call, *arguments)
            return None if value is LATER else layout.encode_reply(request.msgid, value)
        except CallRefused as error:
            return layout.encode_error(request.msgid, str(error))
        except (msgspec.MsgspecError, RecursionError) as error:
            logger.warning("%s does not decode: %s", request.method, error)
            reason = f"rpclib: function '{request.method}' threw an exception: {error}."
        except Exception as error:
            logger.exception("%s failed", request.method)
            reason = f"{request.method} failed in the town: {error}"
        if answer.has_neutral:
            return layout.encode_reply(request.msgid, answer.neutral)
        return layout.encode_error(request.msgid, reason)
