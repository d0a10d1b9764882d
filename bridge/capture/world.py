"""The simulator in synchronous mode: connected, ticked by nobody else here, and left as it was found.

What the client library makes necessary: it waits its full timeout for a dead server, keeps the interpreter's lock
during some calls, and aborts the process when a TrafficManager's call fails. So ticks run in a thread of their own, a
lifeline tells of a lost server at once, and nothing is asked of a server that is gone.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Final

import carla

from bridge.capture.abandoned import abandon
from bridge.capture.probe import Lifeline, check_version, probe
from bridge.capture.ticker import Ticker
from bridge.protocol.errors import SimulatorError, SimulatorLost
from bridge.protocol.labels import carla_label_space

DEFAULT_PORT: Final = 2000
DEFAULT_TIMEOUT_S: Final = 10.0
# The library's own timeout. A TrafficManager whose server died aborts the process when it is over, so it is the time
# that is left, after the loss was noticed, to close files and to say goodbye.
_LIBRARY_TIMEOUT_S: Final = 30.0
_NEVER_S: Final = 1e6
_log = logging.getLogger(__name__)


def connect(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    wait_s: float = 0.0,
    fixed_delta_s: float = 0.05,
) -> SyncWorld:
    """Connect to a CARLA server and return its world, still unchanged: entering it (`with`) makes it synchronous.

    `timeout_s` is how long a server may take to answer or to tick, `wait_s` how long to wait for one that has yet to
    start. Raises SimulatorUnreachable where no CARLA server answers and ForeignSimulator for a version that is not
    known.
    """
    lifeline = probe(host, port, timeout_s, wait_s)
    try:
        check_version(lifeline.version)
        client = carla.Client(host, port)
        client.set_timeout(timeout_s)
        client_version = client.get_client_version()
        if client_version.split("-")[0] != lifeline.version.split("-")[0]:
            _log.warning("the simulator is CARLA %s, its client library here %s", lifeline.version, client_version)
        try:
            world = client.get_world()
        except RuntimeError as error:
            raise SimulatorLost(
                f"the simulator at {host}:{port} went silent while it was connected to ({error})", "Start it again"
            ) from None
        client.set_timeout(max(timeout_s, _LIBRARY_TIMEOUT_S))
    except BaseException:
        lifeline.close()
        raise
    return SyncWorld(
        client, world, lifeline, address=f"{host}:{port}", timeout_s=timeout_s, fixed_delta_s=fixed_delta_s
    )


class SyncWorld:
    """A world in synchronous mode while it is entered; on every way out its settings are restored, and the actors that
    were given to `own` are destroyed (unless the server is gone: then nothing waits for it).

    `client` and `world` are CARLA's own objects. `label_space` is what the server's tags mean.
    """

    def __init__(
        self,
        client: carla.Client,
        world: carla.World,
        lifeline: Lifeline,
        *,
        address: str,
        timeout_s: float,
        fixed_delta_s: float,
    ) -> None:
        self.client = client
        self.world = world
        self.address = address
        self.version = lifeline.version
        self.label_space: str = carla_label_space(lifeline.version)
        self.fixed_delta_s = fixed_delta_s
        self.timeout_s = timeout_s
        self._lifeline = lifeline
        self._actors: list[carla.Actor] = []
        self._before_exit: list[Callable[[], None]] = []
        self._when_lost: list[Callable[[], object]] = []
        self._outlives = self._bound = False
        self._ticker = Ticker(world, lifeline, timeout_s)
        self._original_settings: carla.WorldSettings | None = None
        self._original_sigterm: object = None
        self._map: carla.Map | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> SyncWorld:
        self._original_sigterm = _terminate_by_exception()
        try:
            with self.calls("change its settings"):
                self._original_settings = self.world.get_settings()
                if self._original_settings.synchronous_mode:
                    _log.warning("the simulator is synchronous already: another client may be ticking it too")
                settings = self.world.get_settings()
                settings.synchronous_mode = True
                settings.no_rendering_mode = False
                settings.fixed_delta_seconds = self.fixed_delta_s
                self.world.apply_settings(settings)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Destroy the owned actors, restore the settings, hang up; never raises, and never waits for a lost server."""
        with _undisturbed():
            if not self._ticker.settle():
                _log.warning("the simulator at %s is gone: nothing to clean up there", self.address)
                if self._outlives:
                    self._hush()
                abandon(self.client, self.world, *self._actors, *self._before_exit)
            else:
                self._be_patient(_LIBRARY_TIMEOUT_S)
                for step in (*reversed(self._before_exit), self._destroy_all, self._restore):
                    if self.lost:
                        break
                    try:
                        step()
                    except (RuntimeError, SimulatorError) as problem:
                        _log.warning("cleaning up the simulator: %s", problem)
            self._before_exit.clear()
            self._when_lost.clear()
            self._actors.clear()
            self._original_settings = None
            self._ticker.close()
            self._lifeline.close()
        _restore_sigterm(self._original_sigterm)
        self._original_sigterm = None

    @property
    def lost(self) -> bool:
        """Whether the simulator's process has closed its connection."""
        return self._ticker.hung or self._lifeline.lost

    # -- a loss that is not the end ------------------------------------------------------------------------------

    def outlive_server(self) -> None:
        """Let this process live on when the server is lost: the library's calls, TrafficManager's among them, have no
        end of their own from now on, for a time-out in one of its threads aborts the process.

        Whoever calls what waits for the server's answer from now on does it in `bounded_calls`.
        """
        self._outlives = True
        self._be_patient(_NEVER_S)

    @contextlib.contextmanager
    def bounded_calls(self) -> Iterator[None]:
        """Give the library's calls an end meanwhile, those of TrafficManager excepted: it calls in ticks only.

        Raises SimulatorLost at once for a server that does not answer now, for some calls keep the interpreter's lock
        until they end.
        """
        if not self._ticker.answers():
            raise self._ticker.loss()
        self._bound = self._outlives
        if self._bound:
            self._be_patient(self.timeout_s)
        try:
            yield
        finally:
            if self._bound:
                self._be_patient(_NEVER_S)
            self._bound = False

    def resume(self) -> bool:
        """Carry on with a server that was silent for too long and answers again; False if it is another one."""
        return not self._lifeline.lost and self._ticker.resume() and not self._is_replaced()

    def when_lost(self, step: Callable[[], object]) -> None:
        """Register what quietens an object of the library that outlives its server; it must not ask the server."""
        self._when_lost.append(step)

    def _be_patient(self, timeout_s: float) -> None:
        self.client.set_timeout(max(timeout_s, self.timeout_s))

    def _hush(self) -> None:
        """Let nothing of a lost server disturb what this process does with the next one: its TrafficManager would step
        at the other's ticks, its cameras would subscribe to the other's streams."""
        for step in self._when_lost:
            step()
        for actor in self._actors:
            if isinstance(actor, carla.Sensor):
                actor.stop()

    # -- ticking -------------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """Advance the simulation by one step and return the id of the frame that came of it.

        Raises SimulatorLost as soon as the server is gone, and after `timeout_s` if it does not answer; also when
        another client has loaded a new map.
        """
        if self._bound:
            self._be_patient(_NEVER_S)
        frame_id = self._ticker.tick()
        if self._bound:
            self._be_patient(self.timeout_s)
        if self._is_replaced():
            raise SimulatorLost("another client of the simulator has loaded a new map", "Start the drive again")
        return frame_id

    def snapshot(self) -> carla.WorldSnapshot:
        """Return where everything was at the last tick, without asking the server."""
        return self.world.get_snapshot()

    # -- what is in it -------------------------------------------------------------------------------------------

    @property
    def map(self) -> carla.Map:
        """The map, fetched once."""
        if self._map is None:
            with self.calls("give its map"):
                self._map = self.world.get_map()
        return self._map

    def own(self, actor: carla.Actor) -> None:
        """Take over an actor: it is destroyed on the way out, in the reverse order of `own`."""
        self._actors.append(actor)

    def before_exit(self, step: Callable[[], None]) -> None:
        """Register what to undo in the simulator before the owned actors are destroyed, last registered first."""
        self._before_exit.append(step)

    def destroy(self, actors: Iterable[carla.Actor]) -> None:
        """Destroy some owned actors now."""
        doomed = list(actors)
        ids = {actor.id for actor in doomed}
        with self.calls("destroy actors"):
            self._destroy(doomed)
        # Those of a server that is lost just now are kept: see `abandon`.
        self._actors = [actor for actor in self._actors if actor.id not in ids]

    def raise_if_lost(self) -> None:
        """Raise SimulatorLost if the simulator is gone."""
        if self.lost:
            raise self._ticker.loss()

    @contextlib.contextmanager
    def calls(self, purpose: str) -> Iterator[None]:
        """Wrap calls of the client library: their RuntimeError becomes SimulatorLost or a SimulatorError that says
        what the simulator would not do."""
        self.raise_if_lost()
        try:
            yield
        except RuntimeError as error:
            raise self.failure(purpose, error) from None

    def failure(self, purpose: str, error: RuntimeError) -> SimulatorError:
        """Return what an error of the client library means: SimulatorLost, or what the simulator would not do."""
        if self.lost or "time-out" in str(error):
            return self._ticker.loss()
        return SimulatorError(
            f"the simulator would not {purpose} ({str(error).strip()})", "Look at the simulator's log"
        )

    def _is_replaced(self) -> bool:
        """Whether another client has begun a new episode, which took all actors of the old one with it."""
        return self.world.get_snapshot().id != self.world.id

    def _destroy_all(self) -> None:
        if self._is_replaced():
            for actor in self._actors:
                if isinstance(actor, carla.Sensor):
                    actor.stop()
            return  # by now the ids may be those of somebody else's actors
        self._destroy(list(reversed(self._actors)))

    def _destroy(self, actors: list[carla.Actor]) -> None:
        commands = []
        for actor in actors:
            if isinstance(actor, carla.Sensor):
                # Stopped and destroyed one by one: a sensor that was only stopped can abort the process at its end.
                actor.stop()
                actor.destroy()
                continue
            if isinstance(actor, carla.WalkerAIController):
                actor.stop()
            commands.append(carla.command.DestroyActor(actor))
        if commands:
            # A vehicle that TrafficManager knows must go by a batch; the plain call can abort the process.
            self.client.apply_batch(commands)

    def _restore(self) -> None:
        if self._original_settings is not None:
            self.world.apply_settings(self._original_settings)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _terminate_by_exception() -> object:
    """Make SIGTERM leave through the same doors as an exception; return the handler to restore, None for none."""
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return None

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    return signal.signal(signal.SIGTERM, leave)


def _restore_sigterm(original: object) -> None:
    if original is not None and _in_main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM while the simulator is cleaned up."""
    if not _in_main_thread():
        yield
        return
    originals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in originals:
            signal.signal(number, signal.SIG_IGN)
        yield
    finally:
        for number, handler in originals.items():
            if handler is not None:  # None: set by something that is not Python
                signal.signal(number, handler)
