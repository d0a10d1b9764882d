"""Models that clients change to while they drive: loaded beside the server's work, kept for the next who asks.

Nothing is loaded by a path that a client names: only the served model, those whose weights ship, and imported ones.
A style is a seed, a name, or a way between two (see `renderer.models.style`): no file of the server's is read for it.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bridge.protocol.errors import UsageError, VidriveError, WeightsError
from bridge.protocol.messages import Look
from renderer.models.base import Model

MAX_LOADED: Final = 3
_END: Final = r"(\d{1,10}|[a-z][a-z0-9-]{0,31})"
_STYLE: Final = re.compile(rf"{_END}(,{_END},(0|1|0?\.\d{{1,6}}|1\.0))?")
_log: Final = logging.getLogger("renderer")

LoadModel = Callable[[str, str], Model]
"""Returns a model, ready to step, by its name and its style ("" its own); raises a VidriveError."""


@dataclass(frozen=True)
class LookAnswer:
    """What became of a client's wish: a model, or why not."""

    routing_id: bytes
    look: Look
    model: Model | None
    problem: VidriveError | None


class Looks:
    """Loads models in a thread of its own. `model_names` are those that clients may ask for."""

    def __init__(self, served: Model, model_names: tuple[str, ...], load: LoadModel) -> None:
        name = served.card.name
        self.model_names = (name, *(other for other in model_names if other != name))
        self._loaded: OrderedDict[tuple[str, str], Model] = OrderedDict({(name, ""): served})
        self._served = served
        self._load = load
        self._wishes: queue.SimpleQueue[tuple[bytes, Look] | None] = queue.SimpleQueue()
        self._newest: dict[bytes, int] = {}
        self._answers: queue.SimpleQueue[LookAnswer] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.on_answer: Callable[[], None] = lambda: None

    def ask(self, routing_id: bytes, look: Look) -> None:
        """Begin to load what a client wishes for; `on_answer` is called, from another thread, when there is an answer.

        Of several wishes of one client the newest counts.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="looks", daemon=True)
            self._thread.start()
        self._newest[routing_id] = look.number
        self._wishes.put((routing_id, look))

    def forget(self, routing_id: bytes) -> None:
        """Drop what a client wished for."""
        self._newest.pop(routing_id, None)

    def answers(self) -> list[LookAnswer]:
        """Return the answers since the last call."""
        answers: list[LookAnswer] = []
        while not self._answers.empty():
            answers.append(self._answers.get())
        return answers

    def close(self) -> None:
        """End the thread after the model that it loads."""
        if self._thread is not None:
            self._newest.clear()
            self._wishes.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (wish := self._wishes.get()) is not None:
            routing_id, look = wish
            if self._newest.get(routing_id) != look.number:
                continue  # the client has gone, or changed its mind
            model: Model | None = None
            problem: VidriveError | None = None
            try:
                model = self._find(look)
            except VidriveError as error:
                problem = error
            except Exception:  # noqa: BLE001 - told to the client
                _log.exception("model %r cannot be loaded", look.model[:80])
                problem = WeightsError(f"the model {look.model} cannot be loaded", "Look at the server's log")
            self._answers.put(LookAnswer(routing_id, look, model, problem))
            self.on_answer()

    def _find(self, look: Look) -> Model:
        name = look.model or self._served.card.name
        if name not in self.model_names:
            raise UsageError(f"this server has no model {name[:80]!r}", f"It has {', '.join(self.model_names)}")
        if look.style and not _STYLE.fullmatch(look.style):
            raise UsageError(
                f"the style {look.style[:80]!r} is no seed or name",
                "Write a number, a name, or two and a share: 3,7,0.25",
            )
        key = name, look.style
        if key not in self._loaded:
            self._loaded[key] = self._load(*key)
        self._loaded.move_to_end(key)
        for old in list(self._loaded)[:-MAX_LOADED]:
            if self._loaded[old] is not self._served:
                del self._loaded[old]
        return self._loaded[key]
