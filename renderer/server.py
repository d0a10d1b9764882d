"""The inference server: a ROUTER socket, one thread, one frame at a time through the network.

Clients share nothing but the model, and unless the server is told to (`max_batch`) their frames are never batched
together, so that what one of them is answered does not depend on the others. Whatever arrives on the port is answered
by a picture, a welcome or a refusal, or it is ignored; nothing of it ends the server.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import zmq

from bridge.protocol import sockets, wire
from bridge.protocol.errors import RenderRefused, UsageError, WireError
from bridge.protocol.messages import Bye, Hello, Look, Looked, Message, Refusal, Render, Rendered, Welcome
from bridge.protocol.shared_memory import attach
from renderer.batching import Job, groups, step_group
from renderer.counts import ServerCounts
from renderer.inputs import check_request, model_input
from renderer.looks import Looks
from renderer.models.base import Model, ModelOutput
from renderer.sessions import IDLE_LIMIT_S, MAX_SESSIONS, Session, Sessions

log: Final = logging.getLogger("renderer")
_SWEEP_INTERVAL_S: Final = 1.0
_MAX_COMPLAINTS: Final = 1000
_NOTICEABLE_S: Final = 5e-6
NO_LOOK: Final = "no-look"


class RenderServer:
    """Serves one model at one endpoint; `serve` blocks, `stop` ends it from any thread. A context manager."""

    def __init__(
        self,
        model: Model,
        endpoint: str = sockets.DEFAULT_ENDPOINT,
        *,
        secret_key: Path | None = None,
        max_sessions: int = MAX_SESSIONS,
        idle_limit_s: float = IDLE_LIMIT_S,
        looks: Looks | None = None,
        max_batch: int = 1,
        counts: ServerCounts | None = None,
    ) -> None:
        """Listen at `endpoint`: tcp://HOST:PORT (port `*` takes a free one) or ipc://PATH.

        `looks` are the models that clients may change to; None: this one only. Closes them at its end. `max_batch` is
        how many clients' frames may go through the network at once, where they wait anyway. What happens is counted in
        `counts`.

        Raises UsageError if that cannot be, and for an endpoint that other machines reach without a CURVE key.
        """
        sockets.check_listen(endpoint, secret_key)
        self._model = model
        self._sessions = Sessions(max_sessions, idle_limit_s)
        self._looks = looks
        self._max_batch = max_batch
        self.counts = counts or ServerCounts()
        self._prepared: deque[Job] = deque()
        self._complained: set[bytes] = set()
        self._stopping = False
        keys = sockets.load_secret_key(secret_key) if secret_key else None
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        sockets.set_server_options(self._socket, keys)
        self._wake_receive, self._wake_send = socket.socketpair()
        if looks is not None:
            looks.on_answer = self._wake
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise UsageError(f"cannot listen at {endpoint} ({error})", "Choose another endpoint or port") from None
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    @property
    def num_sessions(self) -> int:
        """How many clients have a session."""
        return len(self._sessions)

    def serve(self) -> None:
        """Answer until `stop` is called."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_receive, zmq.POLLIN)
        swept_s = time.monotonic()
        while not self._stopping:
            ready = dict(poller.poll(0 if self._prepared else round(_SWEEP_INTERVAL_S * 1e3)))
            if self._wake_receive.fileno() in ready:
                self._wake_receive.recv(4096)
                self._tell_looks()
            if self._prepared or self._socket in ready:
                if self._max_batch == 1:
                    self._answer_next()
                else:
                    self._answer_waiting()
            if time.monotonic() - swept_s >= _SWEEP_INTERVAL_S:
                swept_s = time.monotonic()
                self._sweep()

    def stop(self) -> None:
        """Let `serve` return after the request it works on; safe from any thread and from signal handlers."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        self._wake_send.send(b".")

    def close(self) -> None:
        """Free the sockets."""
        if self._looks is not None:
            self._looks.close()
        self._socket.close(linger=0)
        self._context.term()
        self._wake_receive.close()
        self._wake_send.close()

    def __enter__(self) -> RenderServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- one message ---------------------------------------------------------------------------------------------

    def _receive(self) -> tuple[bytes, list[wire.Buffer]] | None:
        try:
            routing_id, *frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return routing_id.bytes, [frame.buffer for frame in frames]

    def _answer_next(self) -> None:
        if self._prepared:
            self._answer_jobs([self._prepared.popleft()])
        elif (received := self._receive()) is not None:
            self._answer(*received)

    def _answer_waiting(self) -> None:
        """Answer what waits, at most `max_batch` messages, the frames of one size together, the oldest first."""
        self._prepare_waiting()
        jobs: dict[bytes, Job] = {}
        for _ in range(len(self._prepared)):
            job = self._prepared.popleft()
            if job.routing_id in jobs:  # one that does not wait for its answer: its frames stay in their order
                self._answer_jobs(list(jobs.values()))
                jobs = {}
            jobs[job.routing_id] = job
        self._answer_jobs(list(jobs.values()))

    def _prepare_waiting(self) -> None:
        """Take messages: frames are made ready to be synthesized, at most `max_batch`, all else is answered."""
        for _ in range(self._max_batch - len(self._prepared)):
            if (received := self._receive()) is None:
                return
            self._answer(*received, self._prepared)

    def _answer_jobs(self, jobs: list[Job]) -> None:
        for group in groups(jobs, self._max_batch):
            try:
                stepped = step_group(group)
                self.counts.note_batch(len(group))
                if stepped[-1][0].is_under_way:  # while the device draws, the next planes go there beside that
                    self._prepare_waiting()
            except Exception as error:  # noqa: BLE001 - each of them is told, and the first of a client logged
                for job in group:
                    self._send(job.routing_id, self._told(error, job.routing_id, job.request.frame_id))
                continue
            for job, (output, reset) in zip(group, stepped, strict=True):
                try:
                    reply = self._finish(job, output, reset)
                except Exception as error:  # noqa: BLE001 - this one is told, the others have their pictures
                    reply = self._told(error, job.routing_id, job.request.frame_id)
                self._send(job.routing_id, reply)

    def _answer(self, routing_id: bytes, frames: Sequence[wire.Buffer], jobs: deque[Job] | None = None) -> None:
        """Answer a message; with `jobs` a frame is put there instead, to be synthesized with others."""
        frame_id = -1
        try:
            message = wire.decode_header(frames)
            frame_id = message.frame_id if isinstance(message, Render) else -1
            reply = self._reply(routing_id, message, frames, jobs)
        except Exception as error:  # noqa: BLE001 - nothing that arrives ends the server
            reply = self._told(error, routing_id, frame_id)
        if reply:
            self._send(routing_id, reply)

    def _told(self, error: Exception, routing_id: bytes, frame_id: int) -> list[wire.Buffer]:
        """Log what went wrong, once a client, and return what it is told."""
        is_first = self._is_first_complaint(routing_id)
        known = isinstance(error, (WireError, RenderRefused))
        code = error.code if isinstance(error, RenderRefused) else type(error).__name__ if known else "failed"
        if frame_id >= 0:
            self.counts.note_refused(code)
        if known:
            if is_first:
                log.warning("refused a client: %s", error.what)
            return _refusal(code, error.what, error.hint, frame_id)
        if is_first:
            log.error("a request failed", exc_info=error)
        return _refusal("failed", "the inference server failed at this frame", "Look at its log", frame_id)

    def _reply(
        self, routing_id: bytes, message: Message, frames: Sequence[wire.Buffer], jobs: deque[Job] | None
    ) -> list[wire.Buffer]:
        if isinstance(message, Hello):
            return self._welcome(routing_id, message)
        if isinstance(message, Render):
            self.counts.requests += 1
            session = self._sessions.get(routing_id)
            if session is None:
                raise RenderRefused("no-session", "the server does not know this client", "Say hello first")
            job = self._prepare(routing_id, session, message, frames)
            if jobs is not None:
                jobs.append(job)
                return []
            output, reset = session.render(job.model, job.frame, message)
            if output.is_under_way:
                self._prepare_waiting()
            return self._finish(job, output, reset)
        if isinstance(message, Look):
            return self._wish(routing_id, message)
        if isinstance(message, Bye):
            self._close_session(routing_id)
            return []
        raise RenderRefused("not-a-request", "a client sent what only a server says", "Send hello, render or bye")

    def _welcome(self, routing_id: bytes, hello: Hello) -> list[wire.Buffer]:
        card = self._model.card
        if hello.model not in ("", card.name):
            raise RenderRefused(
                "unknown-model",
                f"this server serves the model {card.name}, not {hello.model}",
                f"Start one with: vidrive serve --model {hello.model}",
            )
        memory = self._attach(hello)
        for dropped in self._sessions.open(routing_id, hello, memory):
            self._close_session(dropped)
            log.warning("too many clients: the session of the longest silent one was dropped")
        self.counts.num_sessions = len(self._sessions)
        log.info("client %r says hello: %d sessions", hello.client[:80], len(self._sessions))
        models = (card.name,) if self._looks is None else self._looks.model_names
        return wire.encode(Welcome(server="vidrive", card=card, shares_memory=memory is not None, models=models))

    def _wish(self, routing_id: bytes, look: Look) -> list[wire.Buffer]:
        """Begin to get a look; it is told when it is there."""
        if self._sessions.get(routing_id) is None:
            raise RenderRefused("no-session", "the server does not know this client", "Say hello first")
        if self._looks is None:
            raise RenderRefused(NO_LOOK, f"this server serves the model {self._model.card.name} only", "Start another")
        self._looks.ask(routing_id, look)
        return []

    def _tell_looks(self) -> None:
        """Tell clients of the looks that are there now, or cannot be."""
        for answer in self._looks.answers() if self._looks is not None else ():
            session = self._sessions.get(answer.routing_id)
            if session is None:
                continue
            if answer.model is None:
                problem = answer.problem or UsageError("the look cannot be had")
                self._send(answer.routing_id, _refusal(NO_LOOK, problem.what, problem.hint, answer.look.number))
                continue
            session.add_look(answer.look.number, answer.model)
            log.info("client %r changes to %s", session.hello.client[:80], answer.model.summary)
            self._send(answer.routing_id, wire.encode(Looked(number=answer.look.number, card=answer.model.card)))

    def _close_session(self, routing_id: bytes) -> bool:
        if self._looks is not None:
            self._looks.forget(routing_id)
        was_there = self._sessions.close(routing_id)
        self.counts.num_sessions = len(self._sessions)
        return was_there

    def _attach(self, hello: Hello) -> memoryview | None:
        """The memory that a client on this host offers; None where it cannot be shared: another container, say."""
        if hello.memory is None or not self.endpoint.startswith("ipc:"):
            return None
        try:
            return attach(hello.memory)
        except WireError as error:
            log.info("%s: planes of client %r go through the socket", error.what, hello.client[:80])
            return None

    def _prepare(self, routing_id: bytes, session: Session, request: Render, frames: Sequence[wire.Buffer]) -> Job:
        """Check a request and make tensors of it."""
        start_s = time.perf_counter()
        model = self._model if request.look == 0 else session.looks.get(request.look)
        if model is None:
            raise RenderRefused("no-session", "the server does not know this client's look", "Say hello again")
        check_request(model.card, request)
        received = wire.decode_planes(request, frames, session.memory)
        frame = model_input(model.card, received, request.motion, model.device)
        return Job(routing_id, session, model, request, frame, (time.perf_counter() - start_s) * 1e3)

    def _finish(self, job: Job, output: ModelOutput, reset: str) -> list[wire.Buffer]:
        """Return a picture as byte frames."""
        begin_s = time.perf_counter()
        rgb = output.rgb  # waits for the device
        rendered_s = time.perf_counter()
        request, session = job.request, job.session
        place = request.picture_offset_bytes if session.memory is not None else None
        codec = session.hello.picture_codec if place is None else "shared"
        header = wire.plane_header("rgb", rgb, codec, place or 0)
        stages_ms = {"decode": job.decoded_ms, **output.stages_ms}
        if rendered_s - begin_s > _NOTICEABLE_S:
            stages_ms["to_uint8"] = stages_ms.get("to_uint8", 0.0) + (rendered_s - begin_s) * 1e3
        rendered = Rendered(
            sequence=request.sequence, frame_id=request.frame_id, planes=(header,), stages_ms=stages_ms, reset=reset
        )
        planes = wire.encode_planes((header,), [rgb], session.memory)
        stages_ms["encode"] = (time.perf_counter() - rendered_s) * 1e3
        self.counts.note_rendered(stages_ms, reset)
        return [wire.encode_header(rendered), *planes]

    def _send(self, routing_id: bytes, reply: list[wire.Buffer]) -> None:
        try:
            self._socket.send_multipart([routing_id, *reply], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            # EHOSTUNREACH: the client has gone. EAGAIN: it does not read its answers. Either way it is not waiting.
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            if self._close_session(routing_id):
                log.info("a client has gone: %d sessions", len(self._sessions))

    def _sweep(self) -> None:
        for routing_id in self._sessions.drop_idle():
            self._close_session(routing_id)
            log.info("dropped an idle session: %d sessions", len(self._sessions))

    def _is_first_complaint(self, routing_id: bytes) -> bool:
        """Whether nothing was logged about this peer before: one that is wrong once is wrong at each message."""
        if routing_id in self._complained:
            return False
        if len(self._complained) >= _MAX_COMPLAINTS:
            self._complained.clear()
        self._complained.add(routing_id)
        return True


def _refusal(code: str, what: str, hint: str, frame_id: int) -> list[wire.Buffer]:
    return wire.encode(Refusal(code=code, message=what, hint=hint, frame_id=frame_id))
