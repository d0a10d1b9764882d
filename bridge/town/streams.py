"""Delivery of sensor messages: one TCP socket per subscription, served by one thread, never closed by the server.

A message is first offered to the socket by the thread that made it; what the socket does not take at once is copied and
sent by the stream thread, so a painter may reuse its buffers as soon as `send` returns. Two habits keep real clients
alive: a subscription that was announced is waited for (a fast first tick would be lost), and a socket whose stream does
not exist, or no longer, is kept open and silent (a client whose stream is closed reconnects in a hot loop).
"""

from __future__ import annotations

import collections
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable

from bridge.carla_wire.streams import SNAPSHOT_STREAM_ID, pack_size, unpack_stream_id
from bridge.town.door import Door

logger = logging.getLogger(__name__)

Buffer = bytes | memoryview
ANNOUNCED_FOR_S = 1.0
"""How long a subscription that a client announced (by asking for its token) is waited for."""
STALLED_AFTER_S = 10.0
"""A client that takes nothing for so long in synchronous mode loses the message instead of stopping the world."""
SYNC_BACKLOG = 4
ASYNC_BACKLOG = 1


class Session:
    """One subscription's socket and what is still to be sent on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.stream_id: int | None = None
        self.greeting = b""
        self.changed = threading.Condition()
        self.outbox: collections.deque[list[memoryview]] = collections.deque()
        self.is_open = True
        self.dropped = 0

    def offer(self, message: list[memoryview]) -> None:
        """Send a message now as far as the socket takes it; keep a copy of the rest. Hold `changed`."""
        if not self.outbox:
            rest = self._send(message)
            if not rest:
                return
            message = rest
        self.outbox.append([memoryview(bytes(part)) for part in message])

    def flush(self) -> None:
        """Send what waits as far as the socket takes it. Hold `changed`."""
        while self.outbox:
            rest = self._send(self.outbox[0])
            if rest:
                self.outbox[0] = rest
                return
            self.outbox.popleft()
            self.changed.notify_all()

    def _send(self, message: list[memoryview]) -> list[memoryview]:
        parts = list(message)
        try:
            while parts:
                sent = self.connection.sendmsg(parts)
                while parts and sent >= parts[0].nbytes:
                    sent -= parts.pop(0).nbytes
                if sent:
                    parts[0] = parts[0][sent:]
        except BlockingIOError:
            pass
        return parts


class StreamHub:
    """All subscriptions of a server; `on_subscribed(stream_id)` may return what a new subscriber gets first."""

    def __init__(self, listener: socket.socket, on_subscribed: Callable[[int], bytes | None]) -> None:
        self._listener = listener
        self._door = Door(listener)
        self._on_subscribed = on_subscribed
        self._lock = threading.Lock()
        self._subscribed = threading.Condition(self._lock)
        self._sessions: dict[int, list[Session]] = {SNAPSHOT_STREAM_ID: []}
        self._announced: dict[int, list[float]] = {}
        self._blocked: collections.deque[Session] = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._is_stopping = False
        self.accepted = 0
        """How many connections there were so far."""
        self._thread = threading.Thread(target=self._serve, name="town-streams", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that clients subscribe at."""
        return self._listener.getsockname()[:2]

    def start(self) -> None:
        """Begin to accept subscriptions."""
        self._wake_in.setblocking(False)
        for listening in (self._listener, self._wake_in):
            self._selector.register(listening, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Close everything; the only moment at which the server closes a client's stream."""
        self._is_stopping = True
        self._wake()
        self._thread.join(timeout=5.0)

    def open(self, stream_id: int) -> None:
        """Let clients subscribe to a stream."""
        with self._lock:
            self._sessions.setdefault(stream_id, [])

    def retire(self, stream_id: int) -> None:
        """End a stream; its sockets stay open and silent until their clients close them."""
        with self._lock:
            for session in self._sessions.pop(stream_id, []):
                session.stream_id = None
            self._announced.pop(stream_id, None)
            self._subscribed.notify_all()

    def has_subscribers(self, stream_id: int) -> bool:
        """Tell whether anybody listens to a stream."""
        return bool(self._sessions.get(stream_id))

    def announce(self, stream_id: int, *, alone: bool = False) -> None:
        """Expect a subscription: a client has asked for the token and will connect at any moment.

        `alone` says that nobody else is expected on this stream any more.
        """
        with self._lock:
            if alone:
                self._announced.pop(stream_id, None)
            if stream_id in self._sessions:
                self._announced.setdefault(stream_id, []).append(time.monotonic() + ANNOUNCED_FOR_S)

    def wait_for_announced(self) -> None:
        """Wait until every announced subscription is there or overdue."""
        with self._subscribed:
            while self._announced and not self._is_stopping:
                now = time.monotonic()
                for stream_id, deadlines in list(self._announced.items()):
                    deadlines[:] = [deadline for deadline in deadlines if deadline > now]
                    if not deadlines:
                        del self._announced[stream_id]
                if self._announced:
                    self._subscribed.wait(min(min(times) for times in self._announced.values()) - now)

    def send(self, stream_id: int, *buffers: Buffer, may_drop: bool, backlog: int | None = None) -> None:
        """Send one message to every subscriber of a stream; `buffers` may be reused when this returns.

        With `may_drop` a subscriber that still has `backlog` messages waiting misses this one, as in CARLA's
        asynchronous mode; without, the call waits for it.
        """
        sessions = self._sessions.get(stream_id)
        if not sessions:
            return
        message = [memoryview(pack_size(*buffers)), *(memoryview(buffer).cast("B") for buffer in buffers)]
        limit = backlog or (ASYNC_BACKLOG if may_drop else SYNC_BACKLOG)
        for session in tuple(sessions):
            self._send_to(session, message, limit, may_drop)

    def _send_to(self, session: Session, message: list[memoryview], limit: int, may_drop: bool) -> None:
        with session.changed:
            if len(session.outbox) >= limit and not may_drop:
                session.changed.wait_for(lambda: len(session.outbox) < limit or not session.is_open, STALLED_AFTER_S)
            if not session.is_open:
                return
            if len(session.outbox) >= limit:
                session.dropped += 1
                if not may_drop:
                    logger.warning("a client of stream %s takes nothing; it loses a frame", session.stream_id)
                return
            try:
                session.offer(message)
            except OSError:
                return  # the stream thread sees the same end and closes the session
            is_blocked = bool(session.outbox)
        if is_blocked:
            self._blocked.append(session)
            self._wake()

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"\0")
        except BlockingIOError:
            pass  # it is awake already
        except OSError:
            logger.debug("the stream thread is gone")

    # ---- the stream thread

    def _serve(self) -> None:
        self._wake_out.setblocking(False)
        while not self._is_stopping:
            for key, events in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_in:
                    self._wake_in.recv(4096)
                    self._watch_blocked()
                else:
                    self._attend(key.data, events)
        self._close_all()

    def _accept(self) -> None:
        try:
            connection = self._door.accept(len(self._selector.get_map()))
        except OSError:
            return
        if connection is None:
            return
        self.accepted += 1
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, selectors.EVENT_READ, Session(connection))

    def _watch_blocked(self) -> None:
        while self._blocked:
            session = self._blocked.popleft()
            if session.is_open:
                self._selector.modify(session.connection, selectors.EVENT_READ | selectors.EVENT_WRITE, session)

    def _attend(self, session: Session, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._read(session)
            if events & selectors.EVENT_WRITE and session.is_open:
                with session.changed:
                    session.flush()
                    if not session.outbox:
                        self._selector.modify(session.connection, selectors.EVENT_READ, session)
        except BlockingIOError:
            pass
        except OSError:
            self._close(session)

    def _read(self, session: Session) -> None:
        data = session.connection.recv(64)
        if not data:
            self._close(session)
            return
        if len(session.greeting) == 4:
            return  # clients have nothing more to say
        session.greeting = (session.greeting + data)[:4]
        if len(session.greeting) == 4:
            self._subscribe(session, unpack_stream_id(session.greeting))

    def _subscribe(self, session: Session, stream_id: int) -> None:
        with self._lock:
            if stream_id not in self._sessions:
                logger.debug("a subscription to the unknown stream %d is parked", stream_id)
                return
            session.stream_id = stream_id
            first = self._on_subscribed(stream_id)
            if first is not None:
                with session.changed:
                    session.offer([memoryview(pack_size(first)), memoryview(first)])
                    if session.outbox:
                        self._blocked.append(session)
            self._sessions[stream_id].append(session)
            deadlines = self._announced.get(stream_id)
            if deadlines:
                deadlines.pop(0)
                if not deadlines:
                    del self._announced[stream_id]
            self._subscribed.notify_all()
        self._watch_blocked()

    def _close(self, session: Session) -> None:
        with self._lock:
            sessions = self._sessions.get(session.stream_id) if session.stream_id is not None else None
            if sessions is not None and session in sessions:
                sessions.remove(session)
        with session.changed:
            session.is_open = False
            session.outbox.clear()
            session.changed.notify_all()
        self._selector.unregister(session.connection)
        session.connection.close()

    def _close_all(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Session):
                self._close(key.data)
        with self._subscribed:
            self._subscribed.notify_all()
        self._selector.close()
        for sock in (self._listener, self._wake_in, self._wake_out):
            sock.close()
        self._door.close()
