"""Who answers which call: a decorator that registers a handler, and what a handler gets and may do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from bridge.carla_wire import layouts
from bridge.carla_wire.methods import METHODS
from bridge.carla_wire.snapshot import Triple
from bridge.town.actors import Actor, pose_of, six_of
from bridge.town.clock import Clock
from bridge.town.pose import Pose
from bridge.town.simulation import Simulation


class CallRefused(Exception):
    """A call that cannot be done; its message becomes the RuntimeError of the client's calling thread."""


class Connection(Protocol):
    """The client that called, as far as handlers need to know it."""

    def answer(self, call: Call, method: str, value: Any) -> None:
        """Send the answer to a call whose handler returned LATER."""
        ...

    def park_settings(self, msgid: int) -> bool:
        """Put off the answer to get_episode_settings if this client asks in a loop; True when it is put off."""
        ...

    def begin_load(self, msgid: int, load: Callable[[], None]) -> None:
        """Run `load` once this client is safe from its own threads, and answer then."""
        ...

    def owns_traffic_manager(self, port: int) -> None:
        """Note that the TrafficManager of a port ends with this client."""
        ...

    def end_hold(self) -> bool:
        """Answer put-off calls again: the client has seen the new episode. True if this ends a load of this client."""
        ...


@dataclass(frozen=True)
class Call:
    """One call on its way: the town it is about, and the client that waits."""

    simulation: Simulation
    clock: Clock
    connection: Connection
    msgid: int

    def actor(self, actor_id: int, kind: type[_A]) -> _A:
        """Return an actor of a kind; raises CallRefused if there is none of that id and kind."""
        actor = self.simulation.episode.actors.get(actor_id)
        if not isinstance(actor, kind):
            raise CallRefused(f"There is no {kind.__name__.lower()} with the id {actor_id}")
        return actor


_A = TypeVar("_A", bound=Actor)


def finite(*numbers: float) -> None:
    """Raise CallRefused unless all numbers are finite: one NaN in a vehicle's state would never leave it again."""
    if not all(map(math.isfinite, numbers)):
        raise CallRefused("Numbers must be finite")


def finite_pose(transform: layouts.Transform) -> Pose:
    """Return a wire transform as a pose; raises CallRefused unless it is made of finite numbers."""
    pose = pose_of(transform)
    finite(*six_of(pose))
    return pose


def finite_vector(vector: layouts.Vector3D) -> Triple:
    """Return a wire vector as three numbers; raises CallRefused unless they are finite."""
    finite(vector.x, vector.y, vector.z)
    return (vector.x, vector.y, vector.z)


LATER: Final = object()
"""A handler returns this when the answer is sent by somebody else."""

Handler = Callable[..., Any]


@dataclass(frozen=True)
class Answer:
    """A handler: `takes_lock` unless it takes the simulation's lock itself; `neutral` is what it answers if it fails.

    TrafficManager and walker AI call from threads of the client that do not catch errors: where they call, an error
    would end the client's process, so a neutral value must do.
    """

    method: str
    handler: Handler
    takes_lock: bool
    neutral: Any
    has_neutral: bool
    without_effect: bool

    @property
    def promise(self) -> str:
        """What the call does, in one sentence: the first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().splitlines()[0]


ANSWERS: dict[str, Answer] = {}
REFUSALS: dict[str, str] = {}
"""Methods that are refused, and why; the sentence is what the client's exception says."""

_MISSING: Final = object()


def answers(
    *methods: str, takes_lock: bool = True, neutral: Any = _MISSING, without_effect: bool = False
) -> Callable[[Handler], Handler]:
    """Register a function `handler(call, *arguments)` for one or more methods of CARLA's."""

    def register(handler: Handler) -> Handler:
        for method in methods:
            if method not in METHODS or method in ANSWERS:
                raise KeyError(f"{method} is no method of CARLA's, or has a handler already")
            has_neutral = neutral is not _MISSING
            ANSWERS[method] = Answer(
                method, handler, takes_lock, neutral if has_neutral else None, has_neutral, without_effect
            )
        return handler

    return register


def refuse(method: str, why: str) -> None:
    """Register the sentence with which a method is refused."""
    if method not in METHODS or method in ANSWERS:
        raise KeyError(f"{method} is no method of CARLA's, or has a handler already")
    REFUSALS[method] = why
