"""The client's side of the inference server: one frame in flight, never a wait in the drive, never a stale frame.

A `RenderClient` has no thread: every call and property first reads what has arrived and moves the conversation on, so
it must be used from one thread. ZeroMQ connects and reconnects in its own thread meanwhile.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
import zmq
from numpy.typing import NDArray

from bridge.protocol import sockets, wire
from bridge.protocol.errors import (
    RenderRefused,
    RenderServerError,
    RenderServerUnreachable,
    UsageError,
    VidriveError,
    WireError,
)
from bridge.protocol.frames import SensorFrame
from bridge.protocol.messages import (
    Bye,
    Hello,
    Looked,
    ModelCard,
    PictureCodec,
    PlaneName,
    Refusal,
    Rendered,
    Welcome,
)
from bridge.render_answer import Answer, RequestInFlight
from bridge.render_link import RenderLink
from bridge.render_looks import LookWishes
from bridge.render_memory import RenderMemory
from bridge.render_request import make_request, refuse_mismatch

DEFAULT_ANSWER_TIMEOUT_S: Final = 5.0
LOADING_PATIENCE: Final = 12  # times that, while the server loads a look beside its frames
NO_SESSION: Final = "no-session"  # the server forgot this client: it says hello again


class RenderClient:
    """A connection to an inference server that may come and go.

    `submit` sends a frame if the server is there and has answered the last one (a credit of one); `poll` returns what
    has come back. Every submitted frame ends in exactly one of three ways: a `RenderedFrame`, a `Refusal`, or
    `in_flight` turns None without either, because the server was lost; then `connected` is False until it is back,
    the next frame begins a new sequence on the server, and no answer to an older request is ever returned.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        model: str = "",
        name: str = "vidrive",
        picture_codec: PictureCodec = "raw",
        server_key: Path | None = None,
        answer_timeout_s: float = DEFAULT_ANSWER_TIMEOUT_S,
    ) -> None:
        """Begin to connect to `endpoint`, in the background; raises UsageError for what cannot be an endpoint.

        `model` asks for a model by name ("" takes what the server serves), `picture_codec` "jpeg" makes pictures
        small for slow links, `server_key` is the server's public CURVE key file, and a request without an answer for
        `answer_timeout_s` counts as a lost server.
        """
        sockets.check_endpoint(endpoint)
        self.endpoint = endpoint
        self.num_lost = 0
        self._hello = Hello(client=name, model=model, picture_codec=picture_codec)
        self._memory = RenderMemory(endpoint, picture_codec)
        self._server_key = sockets.load_public_key(server_key) if server_key else None
        self._answer_timeout_s = answer_timeout_s
        self._card: ModelCard | None = None
        self._problem: VidriveError | None = None
        self._request: RequestInFlight | None = None
        self._answers: list[Answer] = []
        self._hello_due = False
        self._hello_sent_s: float | None = None
        self._handshaken = False
        self._caller_sequence: int | None = None
        self._wire_sequence = 0
        self.looks = LookWishes()
        self._closed = False
        self._context = zmq.Context()
        self._open()

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def card(self) -> ModelCard | None:
        """The card of the model that the server serves; None while there is no server."""
        self._pump()
        return self._card

    @property
    def drawing_model(self) -> str:
        """The name of the model that frames are sent to, "" without a server; reads nothing, unlike `card`."""
        return "" if self._card is None else self._card.name

    @property
    def drawing_styles(self) -> tuple[str, ...]:
        """The names of that model's styles; reads nothing, unlike `card`."""
        return () if self._card is None else self._card.styles or ()

    @property
    def connected(self) -> bool:
        """Whether a server has accepted this client and has not been lost since."""
        return self.card is not None

    @property
    def ready(self) -> bool:
        """Whether `submit` would send: connected, and no request in flight."""
        return self.card is not None and self._request is None

    @property
    def in_flight(self) -> int | None:
        """The frame id of the request whose answer `poll` has not returned yet; None if there is none."""
        self._pump()
        if self._request:
            return self._request.frame_id
        return self._answers[-1].frame_id if self._answers else None  # one that came just now: that is no loss

    @property
    def problem(self) -> VidriveError | None:
        """Why there is no usable server, in a sentence for people; None while all is well."""
        self._pump()
        if self._problem is None and self._card is None:
            return RenderServerUnreachable(
                f"no inference server answers at {self.endpoint}", "Start one with: vidrive serve"
            )
        return self._problem

    # -- what is done --------------------------------------------------------------------------------------------

    def change_look(self, model: str, style: str = "") -> None:
        """Wish for another model ("" the served one) or style ("" its own): frames go on until it is there.

        Then `card` is that of its model, and the next frame begins a new sequence. `looks` says what became of it.
        A server that was lost is asked again when it is back.
        """
        self.looks.wish(model, style, connected=self.card is not None)
        self._pump()

    def submit(self, frame: SensorFrame, sequence: int) -> bool:
        """Send a frame to be synthesized and return True; False, at once, when `ready` is False.

        A new `sequence` number makes the server begin temporal state anew. Raises RenderRefused, before anything is
        sent, if the frame does not have what the model's card asks for, and LabelError for ids out of range.
        """
        self._pump()
        if self._card is None or self._request is not None:
            return False
        start_s = time.perf_counter()
        refuse_mismatch(self._card, frame)
        if sequence != self._caller_sequence:
            self._caller_sequence = sequence
            self._wire_sequence += 1
        codec, look, places = self._memory.codec, self.looks.in_use, self._memory.places
        message, arrays = make_request(self._card, frame, self._wire_sequence, codec, look, places)
        frames = wire.encode(message, arrays, self._memory.buffer)
        prepare_ms = (time.perf_counter() - start_s) * 1e3
        if not self._link.send(frames):
            return False
        self._request = RequestInFlight(
            frame_id=frame.frame_id,
            sequence=sequence,
            wire_sequence=self._wire_sequence,
            size_hw=(message.height_px, message.width_px),
            picture_offset_bytes=message.picture_offset_bytes,
            arrays=arrays,
            card=self._card,
            style=self.looks.style_in_use,
            prepare_ms=prepare_ms,
            sent_s=time.monotonic(),
        )
        return True

    def poll(self, timeout_s: float = 0.0) -> list[Answer]:
        """Return the answers that have come, waiting up to `timeout_s` for the first; [] when there are none.

        It also returns early, with [], when the server is lost or becomes ready. The stages of a rendered frame have
        the server's durations, `prepare` (this side's work before it was sent) and `round_trip`, all in ms.
        """
        deadline_s = time.monotonic() + timeout_s
        known = self._standing()
        has_events = timeout_s <= 0  # else the wait says whether there are any: looking costs more than most of this
        while True:
            self._pump(has_events)
            remaining_s = deadline_s - time.monotonic()
            if self._answers or remaining_s <= 0 or self._standing() != known:
                answers, self._answers = self._answers, []
                return answers
            has_events = self._wait(remaining_s)

    def wait_connected(self, timeout_s: float) -> ModelCard:
        """Wait for a server and return its model's card; raises the `problem` when there is none in time."""
        deadline_s = time.monotonic() + timeout_s
        while (card := self.card) is None:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0 or (isinstance(self._problem, RenderRefused)):
                problem = self.problem
                raise problem if problem is not None else RenderServerError(f"lost {self.endpoint}")
            self._wait(remaining_s)
        return card

    def close(self) -> None:
        """Say bye and free the sockets; the client cannot be used afterwards."""
        if self._closed:
            return
        self._closed = True
        if self._card is not None:
            self._link.linger()
            self._link.send(wire.encode(Bye()))
        self._link.close()
        self._context.term()
        self._memory.close()

    def __enter__(self) -> RenderClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the conversation ----------------------------------------------------------------------------------------

    def _standing(self) -> tuple[bool, bool]:
        return self._card is not None, self._request is not None

    def _open(self) -> None:
        self._hello = msgspec.structs.replace(self._hello, memory=self._memory.offer_anew())
        try:
            self._link = RenderLink(self._context, self.endpoint, self._server_key)
        except UsageError:
            self._memory.close()
            self._context.term()
            raise

    def _lose(self) -> None:
        """Throw the connection away, and with it every answer that may still be on its way."""
        self.num_lost += 1 if self._card is not None else 0
        self._link.close()
        self._card = None
        self._request = None
        self._hello_due = self._handshaken = False
        self._hello_sent_s = None
        self._caller_sequence = None  # the next frame begins a new sequence
        self.looks.lost()
        self._open()

    def _pump(self, has_events: bool = True) -> None:
        if self._closed:
            raise RuntimeError("this RenderClient is closed")
        if has_events:
            self._read_events()
        while (frames := self._link.receive()) is not None:
            self._take(frames)
        self._watch()
        if self._hello_due:
            self._greet()
        if (wish := self.looks.due) is not None and self._link.send(wire.encode(wish)):
            self.looks.sent()

    def _wait(self, seconds: float) -> bool:
        """Wait for a message or an event of the connection; return whether there is an event."""
        return self._link.wait(seconds, until_it_sends=self._hello_due)

    def _read_events(self) -> None:
        lost = False
        while (event := self._link.next_event()) is not None:
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                self._handshaken = self._hello_due = True
            elif event == zmq.Event.DISCONNECTED:
                lost = lost or self._handshaken
            else:
                self._problem = RenderServerError(
                    f"what listens at {self.endpoint} is not an inference server, or its key is another",
                    "Check the endpoint, and the key file if the server uses one",
                )
        if lost:
            self._problem = None
            self._lose()

    def _greet(self) -> None:
        if self._link.send(wire.encode(self._hello)):
            self._hello_due = False
            self._hello_sent_s = time.monotonic()

    def _watch(self) -> None:
        since_s = self._request.sent_s if self._request else self._hello_sent_s
        timeout_s = self._answer_timeout_s
        if self._request and self.looks.awaited:  # heartbeats still tell of a server that is gone
            timeout_s *= LOADING_PATIENCE
        if since_s is not None and time.monotonic() - since_s > timeout_s:
            self._problem = self._problem or RenderServerError(
                f"the inference server at {self.endpoint} has not answered for {timeout_s:g} s",
                "Look at its log, or start it again",
            )
            self._lose()

    def _take(self, frames: list[zmq.Frame]) -> None:
        try:
            message, planes = wire.decode([frame.buffer for frame in frames], self._memory.buffer)
        except WireError as error:
            self._problem = error
            return
        if isinstance(message, Welcome):
            self._card, self._problem, self._hello_sent_s = message.card, None, None
            self._memory.accepted(message.shares_memory)
            self.looks.welcomed(message)
        elif isinstance(message, Looked):
            if self.looks.granted(message) and self._card is not None:
                self._card = message.card
                self._caller_sequence = None  # what the last model remembers is nothing to this one
        elif isinstance(message, Rendered):
            self._take_rendered(message, planes)
        elif isinstance(message, Refusal):
            self._take_refusal(message)

    def _take_rendered(self, message: Rendered, planes: dict[PlaneName, NDArray]) -> None:
        request = self._request
        if request is not None and request.asked_for(message):
            self._request = None
            self._answers.append(request.answer(message, planes, self._memory))

    def _take_refusal(self, message: Refusal) -> None:
        if self.looks.refused(message):
            return
        if message.code == NO_SESSION:
            self._card = self._request = self._caller_sequence = None
            self._hello_due = True
            self.looks.lost()
        elif self._request is not None:
            self._request = None
            self._answers.append(message)
        else:
            self._problem = RenderRefused(message.code, message.message, message.hint)
            self._hello_sent_s = None
