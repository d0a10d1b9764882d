"""One session a client: its temporal state, its place in a sequence, and when it was last heard of."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.protocol.messages import Hello, Render
from renderer.inputs import ModelInput
from renderer.models.base import Model, ModelOutput

MAX_SESSIONS: Final = 16
IDLE_LIMIT_S: Final = 60.0
MAX_FRAME_GAP: Final = 20  # frame ids: a second of a simulator at 20 Hz; what was seen before it says little


@dataclass
class Session:
    """What the server knows of one client; nothing of it is shared with another.

    `memory` is what the client shares with the server; None: its planes come through the socket. `looks` are the
    models that it may name beside the served one, by the numbers that it gave them.
    """

    hello: Hello
    memory: memoryview | None = None
    looks: dict[int, Model] = field(default_factory=dict)
    last_heard_s: float = field(default_factory=time.monotonic)
    _state: Any = None  # the model's own kind of state
    _sequence: int | None = None
    _look: int = 0
    _frame_id: int = -1
    _size_hw: tuple[int, int] = (0, 0)
    _focal_px: float | None = None

    def add_look(self, number: int, model: Model) -> None:
        """Let frames name a model; only it and the one before are kept, for the frame that may be on its way."""
        self.looks[number] = model
        for old in sorted(self.looks)[:-2]:
            del self.looks[old]

    def render(self, model: Model, frame: ModelInput, request: Render) -> tuple[ModelOutput, str]:
        """Synthesize one frame in this session's sequence.

        Returns the output and why temporal state began anew, "" if it did not. If the model fails, the state is
        dropped and the next frame begins anew.
        """
        before, reset = self.begin(request)
        output, state = model.step(frame, before)
        self.finish(request, state)
        return output, reset

    def begin(self, request: Render) -> tuple[Any, str]:
        """Take the state that a frame goes on from, None where it begins anew, and why that is; `finish` follows."""
        reset = self._reset_reason(request)
        before, self._state = None if reset else self._state, None
        return before, reset

    def finish(self, request: Render, state: Any) -> None:
        """Keep the state after a frame."""
        self._state = state
        self._sequence, self._frame_id, self._look = request.sequence, request.frame_id, request.look
        self._size_hw = (request.height_px, request.width_px)
        self._focal_px = request.motion.focal_px if request.motion else None

    def _reset_reason(self, request: Render) -> str:
        if self._sequence is None:
            return "first frame"
        if request.look != self._look:
            return "new look"
        if request.sequence != self._sequence:
            return "new sequence"
        if self._state is None:
            return "the last frame failed"
        if (request.height_px, request.width_px) != self._size_hw:
            return "size changed"
        if (request.motion.focal_px if request.motion else None) != self._focal_px:
            return "camera changed"
        if request.frame_id <= self._frame_id:
            return "frame ids went back"
        if request.frame_id - self._frame_id > MAX_FRAME_GAP:
            return f"{request.frame_id - self._frame_id - 1} frames are missing"
        return ""


class Sessions:
    """Sessions by routing id; the idle ones are dropped, and the longest unheard one when there are too many."""

    def __init__(self, max_sessions: int = MAX_SESSIONS, idle_limit_s: float = IDLE_LIMIT_S) -> None:
        self._max_sessions = max_sessions
        self._idle_limit_s = idle_limit_s
        self._sessions: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, routing_id: bytes, hello: Hello, memory: memoryview | None = None) -> list[bytes]:
        """Begin a session, or begin it anew; returns the routing ids of sessions that were dropped to make room."""
        self._sessions.pop(routing_id, None)
        dropped = []
        while len(self._sessions) >= self._max_sessions:
            oldest = min(self._sessions, key=lambda key: self._sessions[key].last_heard_s)
            del self._sessions[oldest]
            dropped.append(oldest)
        self._sessions[routing_id] = Session(hello, memory)
        return dropped

    def get(self, routing_id: bytes) -> Session | None:
        """Return a client's session and note that it was heard of; None if there is none."""
        session = self._sessions.get(routing_id)
        if session is not None:
            session.last_heard_s = time.monotonic()
        return session

    def close(self, routing_id: bytes) -> bool:
        """Drop a session and its temporal state; returns whether there was one."""
        return self._sessions.pop(routing_id, None) is not None

    def drop_idle(self) -> list[bytes]:
        """Drop the sessions that were not heard of for too long; returns their routing ids."""
        limit_s = time.monotonic() - self._idle_limit_s
        idle = [key for key, session in self._sessions.items() if session.last_heard_s < limit_s]
        for key in idle:
            del self._sessions[key]
        return idle
