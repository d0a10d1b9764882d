"""What look a render client wishes for, and which one its frames have: the part of the conversation about looks."""

from __future__ import annotations

from typing import Final

from bridge.protocol.errors import RenderRefused, VidriveError
from bridge.protocol.messages import Look, Looked, Refusal, Welcome

NO_LOOK: Final = "no-look"  # the look that was wished for cannot be had


class LookWishes:
    """`models` are the names that the server knows · `in_use` is the number of the look that frames are made for and
    `style_in_use` its style ·
    `problem` says why the last wish cannot be granted, None while it may."""

    def __init__(self) -> None:
        self.models: tuple[str, ...] = ()
        self.in_use = 0
        self.style_in_use = ""
        self.problem: VidriveError | None = None
        self._wish: Look | None = None
        self._due = False

    @property
    def awaited(self) -> bool:
        """Whether a look was wished for that is not in use yet, and may still come."""
        return self._wish is not None and self._wish.number != self.in_use and self.problem is None

    @property
    def due(self) -> Look | None:
        """The wish that the server has not been told of yet."""
        return self._wish if self._due else None

    def wish(self, model: str, style: str, *, connected: bool) -> None:
        """Wish for another model or style; it is due at once, or when a server says welcome."""
        number = 1 if self._wish is None else self._wish.number + 1
        self._wish, self.problem, self._due = Look(number=number, model=model, style=style), None, connected

    def sent(self) -> None:
        """Note that the server was told."""
        self._due = False

    def welcomed(self, message: Welcome) -> None:
        """Begin a session: a server knows nothing of the looks of the session before."""
        self.models = message.models
        self.style_in_use = ""
        self.in_use, self._due = 0, self._wish is not None and self.problem is None

    def lost(self) -> None:
        """The server was lost, and the look with it; what is wished for still is."""
        self.in_use, self.style_in_use, self._due = 0, "", False

    def granted(self, message: Looked) -> bool:
        """Take the server's answer; return whether it is the one to the newest wish."""
        if self._wish is None or message.number != self._wish.number:
            return False
        self.in_use, self.style_in_use = message.number, self._wish.style
        return True

    def refused(self, message: Refusal) -> bool:
        """Take a refusal; return whether it is about a look."""
        if message.code != NO_LOOK:
            return False
        if self._wish is not None and message.frame_id in (self._wish.number, -1):
            self.problem = RenderRefused(message.code, message.message, message.hint)
        return True
