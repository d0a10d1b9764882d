"""The inference server: a ROUTER socket, one thread, one frame at a time through the network.

Clients share nothing but the model, and unless the server is told to (`max_batch`) their frames are never batched
together, so that what one of them is answered does not depend on the others. Whatever arrives on the port is answered
by a picture, a welcome or a refusal, or it is ignored; nothing of it ends the server.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
import torch
import zmq

from bridge.protocol import sockets, wire
from bridge.protocol.errors import RenderRefused, UsageError, WireError
from bridge.protocol.messages import Bye, Hello, Look, Looked, Message, Refusal, Render, Rendered, Welcome
from bridge.protocol.shared_memory import attach
from renderer.backends.calibration import read_calibration
from renderer.backends.choice import BackendName
from renderer.backends.runner import TRIAL_SIZE_HW
from renderer.batching import Job, groups, step_group
from renderer.inputs import ModelInput, check_request, model_input
from renderer.looks import Looks
from renderer.models.base import OWN_FAMILY, Model, ModelOutput
from renderer.models.imported import ModelOptions, announce
from renderer.models.registry import load_model, shipped_names
from renderer.models.speed import live_speed
from renderer.models.style import read_style
from renderer.sessions import IDLE_LIMIT_S, MAX_SESSIONS, Session, Sessions
from renderer.temporal import EngineMotion
from renderer.weights_store import imported_names

log: Final = logging.getLogger("renderer")
_SWEEP_INTERVAL_S: Final = 1.0
_MAX_COMPLAINTS: Final = 1000
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
    ) -> None:
        """Listen at `endpoint`: tcp://HOST:PORT (port `*` takes a free one) or ipc://PATH.

        `looks` are the models that clients may change to; None: this one only. Closes them at its end. `max_batch` is
        how many clients' frames may go through the network at once, where they wait anyway.

        Raises UsageError if that cannot be, and for an endpoint that other machines reach without a CURVE key.
        """
        sockets.check_listen(endpoint, secret_key)
        self._model = model
        self._sessions = Sessions(max_sessions, idle_limit_s)
        self._looks = looks
        self._max_batch = max_batch
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
            ready = dict(poller.poll(round(_SWEEP_INTERVAL_S * 1e3)))
            if self._wake_receive.fileno() in ready:
                self._wake_receive.recv(4096)
                self._tell_looks()
            if self._socket in ready:
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
        if (received := self._receive()) is not None:
            self._answer(*received)

    def _answer_waiting(self) -> None:
        """Answer what waits, at most `max_batch` messages, the frames of one size together, the oldest first."""
        jobs: list[Job] = []
        waiting: set[bytes] = set()
        for _ in range(self._max_batch):
            if (received := self._receive()) is None:
                break
            routing_id, frames = received
            if routing_id in waiting:  # one that does not wait for its answer: its frames stay in their order
                self._answer_jobs(jobs)
                jobs, waiting = [], set()
            waiting.add(routing_id)
            self._answer(routing_id, frames, jobs)
        self._answer_jobs(jobs)

    def _answer_jobs(self, jobs: list[Job]) -> None:
        for group in groups(jobs, self._max_batch):
            try:
                replies = [self._finish(job, *stepped) for job, stepped in zip(group, step_group(group), strict=True)]
            except Exception as error:  # noqa: BLE001 - each of them is told, and the first of a client logged
                replies = [self._told(error, job.routing_id, job.request.frame_id) for job in group]
            for job, reply in zip(group, replies, strict=True):
                self._send(job.routing_id, reply)

    def _answer(self, routing_id: bytes, frames: Sequence[wire.Buffer], jobs: list[Job] | None = None) -> None:
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
        if isinstance(error, (WireError, RenderRefused)):
            if is_first:
                log.warning("refused a client: %s", error.what)
            code = error.code if isinstance(error, RenderRefused) else type(error).__name__
            return _refusal(code, error.what, error.hint, frame_id)
        if is_first:
            log.error("a request failed", exc_info=error)
        return _refusal("failed", "the inference server failed at this frame", "Look at its log", frame_id)

    def _reply(
        self, routing_id: bytes, message: Message, frames: Sequence[wire.Buffer], jobs: list[Job] | None
    ) -> list[wire.Buffer]:
        if isinstance(message, Hello):
            return self._welcome(routing_id, message)
        if isinstance(message, Render):
            session = self._sessions.get(routing_id)
            if session is None:
                raise RenderRefused("no-session", "the server does not know this client", "Say hello first")
            job = self._prepare(routing_id, session, message, frames)
            if jobs is not None:
                jobs.append(job)
                return []
            return self._finish(job, *session.render(job.model, job.frame, message))
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
        return self._sessions.close(routing_id)

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
        rendered_s = time.perf_counter()
        request, session = job.request, job.session
        place = request.picture_offset_bytes if session.memory is not None else None
        codec = session.hello.picture_codec if place is None else "shared"
        header = wire.plane_header("rgb", output.rgb, codec, place or 0)
        stages_ms = {"decode": job.decoded_ms, **output.stages_ms}
        rendered = Rendered(
            sequence=request.sequence, frame_id=request.frame_id, planes=(header,), stages_ms=stages_ms, reset=reset
        )
        planes = wire.encode_planes((header,), [output.rgb], session.memory)
        stages_ms["encode"] = (time.perf_counter() - rendered_s) * 1e3
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


def warm_up(model: Model) -> None:
    """Step a model on an empty street, so that no client waits for what is prepared at the first steps.

    It is one step more than the model looks back. Published generators take seconds for a frame: theirs are small.
    """
    sides = TRIAL_SIZE_HW if model.card.family == OWN_FAMILY else (TRIAL_SIZE_HW[0] // 2, TRIAL_SIZE_HW[1] // 2)
    picture_B3HW = torch.zeros(1, 3, *sides, device=model.device) if "rgb" in model.card.planes else None
    frame = ModelInput(
        labels_BHW=torch.zeros(1, *sides, dtype=torch.uint8, device=model.device),
        depth_B1HW=torch.full((1, 1, *sides), 10.0, device=model.device),
        instances_B1HW=torch.zeros(1, 1, *sides, dtype=torch.int32, device=model.device),
        first_B3HW=picture_B3HW,
        motion=EngineMotion(float(sides[1]), np.eye(4)),
    )
    state = None
    for step in range(model.card.past_frames + 1):
        motion = EngineMotion(float(sides[1]), np.eye(4) + 0.1 * step * np.eye(4, k=3))
        _, state = model.step(replace(frame, motion=motion), state)


def run_server(
    model_name: str,
    listen: str,
    device_name: str = "cpu",
    ready: Callable[[str], None] | None = None,
    secret_key: Path | None = None,
    backend: BackendName = "auto",
    *,
    stabilise: bool = False,
    max_batch: int = 1,
    calibration: Path | None = None,
) -> None:
    """Load a model and serve it until an exception such as KeyboardInterrupt ends it; `stabilise` steadies it.

    `ready` is called with the endpoint, its port filled in, once clients can connect.
    """
    sockets.check_listen(listen, secret_key)
    options = ModelOptions(live_speed(device_name), stabilise=stabilise)
    ranges = read_calibration(calibration) if calibration is not None else None
    model = load_model(model_name, device_name, options, backend, calibration=ranges)
    announce(model_name, model.device)
    warm_up(model)
    look_backend: BackendName = "auto" if backend == "int8" else backend  # its ranges are those of one model
    looks = Looks(
        model, (*shipped_names(), *imported_names()), partial(_load_look, device_name, look_backend, stabilise)
    )
    with RenderServer(model, listen, secret_key=secret_key, looks=looks, max_batch=max_batch) as server:
        log.info("renderer %s is listening on %s (%s)", model.card.name, server.endpoint, model.summary)
        if ready is not None:
            ready(server.endpoint)
        server.serve()


def _load_look(device_name: str, backend: BackendName, stabilise: bool, name: str, style: str) -> Model:
    """A model that a client changes to, warmed up: its first frame must not be late."""
    is_own = name in shipped_names()  # steady by themselves, and the only ones that other runtimes draw
    chosen = read_style(style) if style else None
    options = ModelOptions(live_speed(device_name), style=chosen, stabilise=stabilise and not is_own)
    model = load_model(name, device_name, options, backend if is_own else "auto")
    warm_up(model)
    return model


def _refusal(code: str, what: str, hint: str, frame_id: int) -> list[wire.Buffer]:
    return wire.encode(Refusal(code=code, message=what, hint=hint, frame_id=frame_id))
