"""The frame loop: tick, capture, submit, pair, hand over; every frame id is the simulator's own.

While the renderer works on one frame the simulator makes the next one, so two cores work at once; one frame is in
flight at a time. In record mode every tick ends in exactly one pair, in order. In live mode the newest frame wins: a
frame that the renderer has no time for is counted as dropped. Without a renderer, or after losing it, the drive goes
on with pairs that carry no picture and say why.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

from bridge.breaks import break_between
from bridge.capture.presets import LoopMode
from bridge.pace import JustInTime, Ratekeeper
from bridge.prefetch import Captured, ControlSource, Prefetch, Street
from bridge.protocol.errors import LabelError, RenderRefused, VidriveError
from bridge.protocol.frames import EgoControl, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.messages import Refusal
from bridge.telemetry import Outcome
from bridge.trace import LoopReport, Trace, pair_line, server_stages

_ANSWER_SLICE_S: Final = 0.25
_LIVE_SLICE_S: Final = 0.002


class Renderer(Protocol):
    """The inference server as the loop sees it; `bridge.render_client.RenderClient` is one."""

    @property
    def ready(self) -> bool:
        """Whether `submit` would send."""
        ...

    @property
    def in_flight(self) -> int | None:
        """The frame id that waits for its answer; None if there is none, or if the server was lost with it."""
        ...

    @property
    def problem(self) -> VidriveError | None:
        """Why there is no usable server."""
        ...

    def submit(self, frame: SensorFrame, sequence: int) -> bool:
        """Send a frame; False if not ready."""
        ...

    def poll(self, timeout_s: float = 0.0) -> Sequence[RenderedFrame | Refusal]:
        """Return the answers that have come, waiting for the first."""
        ...


class Sink(Protocol):
    """Takes every pair: a display, a recorder, a meter."""

    def accept(self, pair: FramePair) -> None:
        """Take one pair; when this returns a display has shown it."""
        ...


@dataclass(frozen=True)
class _Flight:
    """A captured frame and the sequence under which it was submitted."""

    captured: Captured
    sequence: int
    submitted_s: float
    submit_ms: float


class FrameLoop:
    """Drives a street frame by frame; a context manager that on a normal end hands over what is still under way.

    Use it from one thread. `street` ticks and reads (see `bridge.capture.drive.open_drive`), `render_client` may be
    None, `display` gets each pair first and ends its age, then the `sinks` get it. `real_time` keeps simulation time
    from running ahead of the clock (always so in live mode).
    """

    def __init__(
        self,
        street: Street,
        render_client: Renderer | None = None,
        *,
        mode: LoopMode = "record",
        real_time: bool = False,
        display: Sink | None = None,
        sinks: Sequence[Sink] = (),
        trace: Trace | None = None,
    ) -> None:
        self.mode: LoopMode = mode
        self.trace = trace or Trace()
        self._street = street
        self._client = render_client
        self._display = display
        self._sinks = tuple(sinks)
        self._keeper = Ratekeeper(street.fixed_delta_s) if real_time or mode == "live" else None
        self._just_in_time = JustInTime()
        self._prefetch = Prefetch(street)
        self._flight: _Flight | None = None
        self._newest: Captured | None = None
        self._last_sent: SensorFrame | None = None
        self._sequence = self._answered_sequence = 0
        self._new_sequence: str = "the drive begins"
        self._changes: deque[tuple[Callable[[], None], str]] = deque()
        self._ticks_started = 0
        self._tick_limit: int | None = None

    # -- what a person or a command asks of it -------------------------------------------------------------------

    def set_control(self, control: EgoControl | None) -> None:
        """Drive by this control from the next tick on; None is the autopilot."""
        self._prefetch.control = control

    def take_controls(self, source: ControlSource | None) -> None:
        """Ask this for the control at the last moment before each tick, in the capture thread; None: `set_control`."""
        self._prefetch.source = source

    def change(self, act: Callable[[], None], reason: str) -> None:
        """Do something to the street before the next tick; temporal state begins anew, for that `reason`.

        From any thread. `act` runs in the loop's, while nothing else touches the street; what it raises ends the drive.
        """
        self._changes.append((act, reason))

    def do(self, act: Callable[[], None]) -> None:
        """Do something in the loop's thread before the next tick, which leaves temporal state as it is."""
        self._changes.append((act, ""))

    def respawn(self) -> None:
        """Put the ego vehicle elsewhere before the next tick; temporal state begins anew."""
        self.change(self._street.respawn, "the ego vehicle was put elsewhere")

    def new_sequence(self, reason: str) -> None:
        """Begin temporal state anew with the next frame, for example after a change of weather."""
        self._new_sequence = reason

    def run(self, num_ticks: int | None = None, keep_going: Callable[[], bool] = lambda: True) -> LoopReport:
        """Step until `num_ticks` are done or `keep_going` says no, hand over the rest, and return the report."""
        self._tick_limit = None if num_ticks is None else self._ticks_started + num_ticks
        while self._more_ticks() and keep_going():
            self.step()
        self.finish()
        return self.report()

    def step(self) -> None:
        """Take one more frame from the simulator and hand over the pairs that became complete meanwhile.

        Raises SimulatorLost and SensorTimeout from the street (after handing over what was in flight), and
        RenderRefused or LabelError if the renderer cannot take these frames from the start.
        """
        self.trace.begin()
        if self.mode == "record":
            self._step_record()
        else:
            self._step_live()

    def finish(self) -> None:
        """Hand over what is still under way, without another tick."""
        limit, self._tick_limit = self._tick_limit, self._ticks_started
        if self._prefetch.outstanding:
            self.step()
        self._tick_limit = limit
        self._hand_over()

    def report(self) -> LoopReport:
        """Return counts, rates, ages and stage durations so far."""
        return self.trace.report()

    def close(self) -> None:
        """End the capture thread; afterwards nothing of the loop touches the simulator."""
        self._prefetch.close()
        self.trace.close()

    def __enter__(self) -> FrameLoop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()

    # -- the two modes -------------------------------------------------------------------------------------------

    def _step_record(self) -> None:
        self._start_capture()
        pair = self._await_pair() if self._flight is not None else None
        if pair is not None and not self._prefetch.done:
            self._deliver(*pair)
            pair = None
        try:
            captured = self._take()
            notice = self._submit(captured)
            self._start_capture()
            # The renderer is busy again before this pair is shown; the two go on side by side.
        finally:
            if pair is not None:
                self._deliver(*pair)
        if self._flight is None:
            self._deliver(captured, None, 0.0, notice)

    def _step_live(self) -> None:
        self._start_capture()
        while not self._prefetch.done:
            if self._flight is None:
                self._prefetch.wait(_ANSWER_SLICE_S)
            else:
                self._poll(_LIVE_SLICE_S)
            self._launch_newest()
        try:
            captured = self._take()
        except VidriveError:
            self._hand_over()
            raise
        if self._newest is not None:
            self.trace.ledger.end(self._newest.frame.frame_id, "dropped")
        self._newest = captured
        if self._flight is not None:
            self._poll(0.0)
        self._launch_newest()

    def _hand_over(self) -> None:
        """Complete the frame in flight, and after it the newest one that waited."""
        while self._flight is not None or self._newest is not None:
            if self._flight is not None:
                self._complete()
            self._launch_newest()

    def _launch_newest(self) -> None:
        if self._flight is None and self._newest is not None:
            newest, self._newest = self._newest, None
            self._launch(newest)

    # -- capture -------------------------------------------------------------------------------------------------

    def _more_ticks(self) -> bool:
        return self._tick_limit is None or self._ticks_started < self._tick_limit

    def _start_capture(self) -> None:
        """Order the next frame, unless one is ordered already or no more ticks are wanted."""
        if self._prefetch.outstanding or not self._more_ticks():
            return
        while self._changes:
            act, reason = self._changes.popleft()
            act()
            self._new_sequence = reason or self._new_sequence
        delay_s = self._keeper.book_s() if self._keeper is not None else 0.0
        if self.mode == "record" and self._flight is not None:
            delay_s = max(delay_s, self._just_in_time.delay_s())
        self._ticks_started += 1
        self._prefetch.start(delay_s)

    def _take(self) -> Captured:
        captured = self._prefetch.take()
        self.trace.ledger.tick(captured)
        self.trace.happened("simulator")
        self.trace.happened("control")
        if captured.input_age_ms is not None:
            self.trace.add_input_age(captured.input_age_ms)
        self._just_in_time.captured(captured.duration_s)
        return captured

    # -- to the renderer and back --------------------------------------------------------------------------------

    def _launch(self, captured: Captured) -> None:
        """Submit a frame; without a renderer its pair is handed over at once."""
        notice = self._submit(captured)
        if self._flight is None:
            self._deliver(captured, None, 0.0, notice)

    def _submit(self, captured: Captured) -> str:
        """Put a frame in flight; if that cannot be, return why."""
        if self._client is None:
            return ""
        if not self._client.ready:
            problem = self._client.problem
            self.new_sequence("the inference server was away")
            return problem.what if problem is not None else "the inference server is busy"
        frame = captured.frame
        start_s = time.monotonic()
        reason = self._new_sequence or break_between(self._last_sent, frame)
        sequence = self._sequence + 1 if reason else self._sequence
        try:
            sent = self._client.submit(frame, sequence)
        except (RenderRefused, LabelError) as error:
            if not self.trace.rendered:
                raise
            self.new_sequence("a frame was refused")
            return error.what
        if not sent:
            self.new_sequence("the inference server was away")
            return "the inference server went away"
        if reason:
            self.trace.resets += 1 if self._sequence else 0
            self._sequence, self._new_sequence = sequence, ""
        self._last_sent = frame
        self.trace.ledger.submit(frame.frame_id, sequence, start_s)
        submitted_s = time.monotonic()
        self._flight = _Flight(captured, sequence, submitted_s, (submitted_s - start_s) * 1e3)
        return ""

    def _await_pair(self) -> tuple[Captured, RenderedFrame | None, float, str]:
        """Wait for the answer to the frame in flight, or for the news that there will be none."""
        while (pair := self._answer(_ANSWER_SLICE_S)) is None:
            pass
        return pair

    def _complete(self) -> None:
        self._deliver(*self._await_pair())

    def _poll(self, timeout_s: float) -> None:
        pair = self._answer(timeout_s)
        if pair is not None:
            self._deliver(*pair)

    def _answer(self, timeout_s: float) -> tuple[Captured, RenderedFrame | None, float, str] | None:
        """Return the landed flight with its picture (or why there is none), or None while it is still under way."""
        flight, client = self._flight, self._client
        if flight is None or client is None:
            raise RuntimeError("nothing is in flight")
        for answer in client.poll(timeout_s):
            if isinstance(answer, RenderedFrame):
                if (answer.frame_id, answer.sequence) != (flight.captured.frame.frame_id, flight.sequence):
                    self.trace.stale += 1
                    continue
                self._flight = None
                self._just_in_time.rendered(time.monotonic() - flight.submitted_s)
                if answer.reset and answer.sequence == self._answered_sequence:
                    self.trace.resets += 1  # the server began anew by itself
                self._answered_sequence = answer.sequence
                return flight.captured, answer, flight.submit_ms, ""
            if answer.frame_id in (flight.captured.frame.frame_id, -1):
                self._flight = None
                if not self.trace.rendered:
                    raise RenderRefused(answer.code, answer.message, answer.hint)
                self.new_sequence("a frame was refused")
                return flight.captured, None, flight.submit_ms, answer.message
        if client.in_flight is not None:
            return None
        self._flight = None
        self.new_sequence("the inference server was lost")
        problem = client.problem
        return flight.captured, None, flight.submit_ms, problem.what if problem else "the inference server was lost"

    # -- handing over --------------------------------------------------------------------------------------------

    def _deliver(self, captured: Captured, rendered: RenderedFrame | None, submit_ms: float, notice: str) -> None:
        """Pair a frame with its picture, show it, and count."""
        frame, trace = captured.frame, self.trace
        paired_s = time.monotonic()
        pair = FramePair(frame, rendered, (paired_s - frame.captured_s) * 1e3, notice)
        outcome: Outcome = "original" if self._client is None else "failed" if rendered is None else "rendered"
        trace.ledger.settle(frame.frame_id, outcome)
        if rendered is not None:
            trace.happened("neural")
        if self._display is not None:
            self._display.accept(pair)
        shown_s = time.monotonic()
        for sink in self._sinks:
            sink.accept(pair)
        if self._display is not None or self._sinks:
            trace.shown += 1
            trace.happened("display")
        stages_ms = {**captured.stages_ms, "submit": submit_ms}
        if rendered is not None:
            stages_ms.update(server_stages(rendered, stages_ms))
        stages_ms["show"] = (shown_s - paired_s) * 1e3
        stages_ms["record"] = (time.monotonic() - shown_s) * 1e3
        for name, duration_ms in stages_ms.items():
            trace.stages.add(name, duration_ms)
        trace.frame((shown_s - frame.captured_s) * 1e3, pair_line(pair, stages_ms))
        trace.ledger.end(frame.frame_id, outcome, notice, rendered=rendered, present_s=shown_s, stages_ms=stages_ms)
