"""A drive from the command line's view: simulator, renderer, loop, and what shows or records it.

The drive runs in a thread of its own, so that the main thread can answer the window and the keyboard whatever the
simulator and the renderer do; Ctrl-C, SIGTERM and closing the window end it between two frames.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import cv2

from bridge.capture.drive import Drive, open_drive
from bridge.capture.lasting_drive import LastingDrive
from bridge.edits.desk import EditDesk
from bridge.edits.street import EditedStreet
from bridge.loop import FrameLoop, Sink
from bridge.metrics import serve_metrics
from bridge.prefetch import ControlSource, Street
from bridge.protocol.errors import RenderRefused, RenderServerError, SimulatorAbsent, SimulatorLost, VidriveError
from bridge.protocol.frames import FramePair
from bridge.protocol.messages import ModelCard
from bridge.render_client import RenderClient
from bridge.trace import Trace
from clients.drive_plan import DrivePlan
from clients.gap.live import LiveGap
from clients.prediction import PredictingRenderer, renderer_for
from clients.recorder import Recorder
from clients.sinks import DigestTrace, PairRecorder
from clients.viewer.display import OffscreenDisplay, WindowDisplay
from clients.viewer.meter import HudMeter
from clients.viewer.state import HudState
from clients.viewer.timewarp import Timewarp

RENDERER_DEADLINE_S: Final = 5.0
WAIT_SLICE_S: Final = 0.25
SAID_S: Final = 3.0  # how long a sentence stands
FIRST_WORDS: Final = "the autopilot drives: W A S D or the arrows take the wheel, P gives it back, H shows all keys"
FIRST_WORDS_S: Final = 8.0
_log = logging.getLogger("vidrive")


class DriveThread:
    """Runs a plan in a thread; `join` gives its report or raises what ended it."""

    def __init__(self, plan: DrivePlan) -> None:
        self.plan = plan
        trace = Trace(None, plan.telemetry) if plan.trace is None else DigestTrace(plan.trace, plan.telemetry)
        self.trace: Trace = trace
        self.model = ""
        self.standing = f"connecting to the inference server at {plan.endpoint}" if plan.endpoint else "beginning"
        self.window_display = WindowDisplay(self._hud) if plan.windowed else None
        self._display: Sink = self.window_display or OffscreenDisplay(self._hud, plan.layout)
        self._meter = HudMeter(self.trace, plan.session.fixed_delta_s * 1e3, real_time=plan.windowed)
        self._gap = LiveGap() if plan.windowed else None
        self.timewarp = Timewarp(enabled=plan.timewarp)
        self.prediction: PredictingRenderer | None = None
        self.recorded_s = 0.0
        self.desk = EditDesk(plan.edits)
        self._loop: FrameLoop | None = None
        self.mouse = ""  # what the mouse does, for the HUD
        self._weather = ""
        self._said = ""
        self._said_until_s = 0.0
        self._wished = ("", "")  # model and style
        self._look_problem: VidriveError | None = None
        self._street: Drive | LastingDrive | None = None
        self._client: RenderClient | None = None
        self._controls: ControlSource | None = None
        self._stop = threading.Event()
        # Instead of the thread's own `join`: up to Python 3.12 a signal's exception in there marks it as ended.
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._notice = ""
        self._thread = threading.Thread(target=self._run, name="drive", daemon=True)

    # -- for the main thread -------------------------------------------------------------------------------------

    @property
    def period_ms(self) -> float:
        """What a frame may take, 0 where the drive goes as fast as it can."""
        to_the_clock = self.plan.windowed or self.plan.session.mode == "live"
        return self.plan.session.fixed_delta_s * 1e3 if to_the_clock else 0.0

    def start(self) -> None:
        """Begin to drive."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it still drives or cleans up."""
        return not self._ended.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is closed and cleaned up; return whether it is."""
        return self._ended.wait(timeout_s)

    @property
    def street(self) -> Drive:
        """The simulator's side of it, once it is open."""
        street = self._street
        if street is None:
            raise RuntimeError("the drive has not begun")
        return street.drive if isinstance(street, LastingDrive) else street

    def stop(self) -> None:
        """Ask it to end after the frame it works on."""
        self._stop.set()

    def result(self) -> None:
        """Raise what ended the drive, once it has ended, if it did not end as planned."""
        if self._error is not None:
            raise self._error

    def take_controls(self, source: ControlSource) -> None:
        """Ask this for the driver's wish at the last moment before each tick."""
        self._controls = source = self.timewarp.watch_controls(source)
        if self._loop is not None:
            self._loop.take_controls(source)

    def say(self, sentence: str, seconds: float = SAID_S) -> None:
        """Show a sentence for a moment; "" is none."""
        if sentence:
            self._said, self._said_until_s = sentence, time.monotonic() + seconds

    def step_weather(self, direction: int) -> None:
        """Change to the next weather (1) or the one before (-1)."""
        loop, street = self._loop, self._street
        if loop is not None and street is not None:

            def change() -> None:
                self._weather = street.step_weather(direction)

            loop.change(change, "the weather changed")

    def next_mount(self) -> None:
        """Move the cameras to the next mount."""
        loop, street = self._loop, self._street
        if loop is not None and street is not None:
            loop.change(lambda: self.say(f"camera: {street.next_mount()}"), "the cameras were moved")

    def next_model(self, direction: int) -> None:
        """Change to the next model of the inference server (1) or the one before (-1)."""
        names = self._client.looks.models if self._client is not None else ()
        if len(names) < 2:
            self.say(f"the inference server has one model: {self.model}" if names else "there is no inference server")
            return
        now = names.index(self.model) if self.model in names else 0
        self.change_look(names[(now + direction) % len(names)], "")

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of the styles of the model that draws, its own first; () where it has no names for them."""
        return self._client.drawing_styles if self._client is not None else ()

    def change_style(self, style: str) -> None:
        """Change the style of the model that draws: a seed or a name, "" its own."""
        self.change_look(self._wished[0], style)

    def change_look(self, model: str, style: str) -> None:
        """Change to a model of the inference server ("" the served one) and a style of it ("" its own)."""
        loop, client = self._loop, self._client
        if loop is None or client is None:
            self.say("there is no inference server")
            return
        self._wished = model, style
        self.say(f"loading {model or self.model}{f', style {style}' if style else ''}")
        loop.do(lambda: client.change_look(model, style))

    def respawn(self) -> None:
        """Put the ego vehicle elsewhere."""
        if self._loop is not None:
            self._loop.respawn()

    # -- in the drive's thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.closing(self.trace):
                # Opened first, so that a file that cannot be written is known before anything has begun.
                recorder = self._open_recorder()
                with self._open_metrics(), contextlib.nullcontext() if recorder is None else recorder:
                    try:
                        self._connect(recorder)
                    finally:
                        self.recorded_s = 0.0 if recorder is None else recorder.duration_s
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
            self._error = error
        finally:
            if self._gap is not None:
                self._gap.close()
            self._ended.set()

    def _connect(self, recorder: Recorder | None) -> None:
        plan = self.plan
        cv2.setNumThreads(1)  # the cores belong to the simulator and the renderer
        with self._open_client() as client:
            card = None if client is None else self._wait_for_server(client)
            if card is None and client is not None:
                return  # somebody closed the window while it waited
            if client is not None and (plan.model or plan.style) and not self._begin_with_look(client):
                return
            card = None if client is None else client.card
            self.model = "" if card is None else card.name
            try:
                with self._open_street() as street:
                    self._street = street
                    self.standing = "waiting for the first frame"
                    self._drive_in(street, client, card, recorder)
            except (SimulatorAbsent, SimulatorLost):
                if not (plan.windowed and self._stop.is_set()):
                    raise  # else somebody closed the window while it waited

    def _drive_in(
        self,
        street: Drive | LastingDrive,
        client: RenderClient | None,
        card: ModelCard | None,
        recorder: Recorder | None,
    ) -> None:
        drive = street.drive if isinstance(street, LastingDrive) else street
        try:
            with self._open_recording(drive, card) as recording:
                self._drive(street, client, [*self._sinks(recorder), *recording])
        finally:
            if recorder is not None:
                recorder.close()  # before the simulator is cleaned up, which can take its time

    def _open_street(self) -> contextlib.AbstractContextManager[Drive | LastingDrive]:
        """A drive that ends with its simulator, or, where somebody looks on, one that waits for it."""
        plan = self.plan
        if not plan.windowed:
            self.standing = f"connecting to the simulator at {plan.carla_host}:{plan.carla_port}"
            return open_drive(plan.session, plan.rig, host=plan.carla_host, port=plan.carla_port, seed=plan.seed)
        return LastingDrive(
            plan.session,
            plan.rig,
            host=plan.carla_host,
            port=plan.carla_port,
            seed=plan.seed,
            stop=self._stop,
            tell=self._stand,
            renewed=self._renewed,
        )

    def _stand(self, sentence: str) -> None:
        """Say what the drive waits for, in the window and in the log."""
        if sentence and sentence != self.standing:
            _log.info("%s", sentence)
        self.standing = sentence

    def _renewed(self) -> None:
        """Carry nothing over from the street that was lost."""
        if self._loop is not None:
            self._loop.new_sequence("the simulator began anew")
        _log.info("driving again: the simulator is back")

    def _wait_for_server(self, client: RenderClient) -> ModelCard | None:
        """Return the card of the server's model; in a window, which says so, wait for one until it is closed."""
        while not self._stop.is_set():
            try:
                return client.wait_connected(WAIT_SLICE_S if self.plan.windowed else RENDERER_DEADLINE_S)
            except RenderServerError as error:  # noqa: PERF203 - a quarter of a second each
                if not self.plan.windowed or isinstance(error, RenderRefused):
                    raise
                self.standing = f"{error.what}: waiting for one"
        return None

    def _begin_with_look(self, client: RenderClient) -> bool:
        """Have the look that the plan wants from the first frame on; return whether nobody closed the window meanwhile.

        Raises RenderRefused for one that the server has not.
        """
        plan = self.plan
        self._wished = plan.model, plan.style
        self.standing = f"loading {plan.model or 'the model'}{f', style {plan.style}' if plan.style else ''}"
        client.change_look(plan.model, plan.style)
        while client.looks.awaited and not self._stop.is_set():
            if client.card is None and self._wait_for_server(client) is None:
                return False
            client.poll(WAIT_SLICE_S)
        if client.looks.problem is not None:
            raise client.looks.problem
        return not self._stop.is_set()

    def _open_client(self) -> contextlib.AbstractContextManager[RenderClient | None]:
        plan = self.plan
        if not plan.endpoint:
            return contextlib.nullcontext()
        return RenderClient(plan.endpoint, server_key=plan.server_key, picture_codec=plan.picture_codec)

    @contextlib.contextmanager
    def _open_recording(self, street: Drive, card: ModelCard | None) -> Iterator[list[Sink]]:
        plan = self.plan
        if plan.recording is None:
            yield []
            return
        from clients.recordings.sink import OneClock, RecordedSource, open_recording  # with its codecs' compiler

        source = RecordedSource(
            label_space=street.rig.label_space, simulator_version=street.world.version, seed=plan.seed, card=card
        )
        with open_recording(plan.recording, plan.session, plan.rig, source) as writer:
            yield [OneClock(writer)]

    def _drive(self, street: Drive | LastingDrive, client: RenderClient | None, sinks: list[Sink]) -> None:
        plan = self.plan
        renderer = renderer_for(client, target_hz=plan.target_hz, predict=plan.predict)
        if isinstance(renderer, PredictingRenderer):
            self.prediction, sinks = renderer, [*sinks, renderer]
        edited: Street = EditedStreet(street, lambda: self.desk.effective)
        if plan.windowed:
            edited = self.timewarp.watch(edited, street.poses)
        loop = FrameLoop(
            edited,
            renderer,
            mode=plan.session.mode,
            real_time=plan.windowed,
            display=self._display,
            sinks=sinks,
            trace=self.trace,
        )
        with loop:
            self._loop = loop
            self._client = client
            loop.take_controls(self._controls)
            loop.run(plan.num_ticks, keep_going=lambda: not self._stop.is_set())

    def _open_metrics(self) -> contextlib.AbstractContextManager[int | None]:
        if self.plan.metrics is None:
            return contextlib.nullcontext()
        host, port = self.plan.metrics
        return serve_metrics(self.trace, port, host)

    def _open_recorder(self) -> Recorder | None:
        plan = self.plan
        if plan.record is None:
            return None
        size_px = plan.layout.natural_size_px((plan.rig.width_px, plan.rig.height_px))
        return Recorder(plan.record, 1.0 / plan.session.fixed_delta_s, *size_px)

    def _sinks(self, recorder: Recorder | None) -> list[Sink]:
        sinks: list[Sink] = []
        if recorder is not None:
            # Without a window the video takes the display's picture; beside one it has its own, without help and
            # overlays that somebody looks at just now.
            display = self._display
            video = display if isinstance(display, OffscreenDisplay) else OffscreenDisplay(self._hud, self.plan.layout)
            composed = (lambda _: video.canvas_bgra) if video is display else video.compose
            sinks.append(PairRecorder(recorder, self.plan.session.fixed_delta_s, composed))
        if isinstance(self.trace, DigestTrace):
            sinks.append(self.trace)
        return sinks

    def _hud(self, pair: FramePair) -> HudState:
        self._look_at_looks()
        state = self._meter.state(pair, self._told(pair), self.model)
        chosen = {
            "edits": self.desk.summary(),
            "weather": self._weather,
            "mouse": self.mouse,
            "look": f"style {self._wished[1]}" if self._wished[1] else "",
        }
        if self._gap is not None:
            self._gap.offer(pair)
            chosen["gap"] = self._gap.text
        return replace(state, **chosen) if any(chosen.values()) else state

    def _look_at_looks(self) -> None:
        """Take what became of a wish for another look."""
        client = self._client
        if client is None:
            return
        if client.drawing_model and client.drawing_model != self.model:
            self.model = client.drawing_model
        problem = client.looks.problem
        if problem is not None and problem is not self._look_problem:
            self.say(problem.what)
            self._wished = self.model, ""
        self._look_problem = problem

    def _told(self, pair: FramePair) -> str:
        """The notice on the picture; also logged, once when it comes and once when it goes."""
        notice = "" if pair.rendered is not None else f"{pair.notice or 'no renderer'}: showing the original"
        if self.trace.shown == 0:
            _log.info("driving: the first frame has come")
            if self.plan.windowed and self.plan.record is None:
                self.say(FIRST_WORDS, FIRST_WORDS_S)
        self.standing = ""
        if notice != self._notice:
            _log.info("%s", notice or "synthesized again")
            self._notice = notice
        return notice or (self._said if time.monotonic() < self._said_until_s else "")
