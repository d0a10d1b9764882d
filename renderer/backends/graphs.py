"""Functions of tensors that are recorded once a shape and then replayed: on CUDA as graphs, launched as a whole.

A recording reads and writes places of its own. What is recorded must be the same operations whatever the tensors hold:
nothing that waits for the device, no shapes that depend on values. The tests trace every function that goes in here.
Without CUDA the places are the same and the function itself runs at each replay, so that all of it but the capture is
the same code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

log: Final = logging.getLogger("renderer")
GRAPH_TOLERANCE: Final = 1e-3  # of a picture in [-1, 1]: a graph replays the very kernels that it recorded
GRAPH_LEVELS: Final = 1.0  # the same of whole grey levels
MAX_GRAPHS: Final = 6  # shapes, of a batch's sizes too; each graph keeps the memory of all its layers
NUM_WARM_UPS: Final = 3

Tensors: TypeAlias = tuple[Tensor, ...]
Recorder: TypeAlias = Callable[[Callable[[], Tensors]], tuple[Tensors, Callable[[], None]]]
"""Runs a function and records it; returns the places of its results, and what fills them again."""


class GraphRefused(Exception):
    """A recording draws something else than its function; the text says how far off, for people."""


def record_graph(function: Callable[[], Tensors]) -> tuple[Tensors, Callable[[], None]]:
    """Record as a CUDA graph; raises RuntimeError for what CUDA cannot record."""
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(NUM_WARM_UPS):  # chooses algorithms and allocates workspaces, which a graph cannot record
            function()
    torch.cuda.current_stream().wait_stream(side)
    # Only what this thread does counts: beside it another one may serve frames, or load a look.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        results = function()
    graph.replay()
    return results, graph.replay


def record_plainly(function: Callable[[], Tensors]) -> tuple[Tensors, Callable[[], None]]:
    """Where there are no graphs: the function runs again at each replay, into the same places."""
    places = tuple(result.clone() for result in function())

    def replay() -> None:
        for place, result in zip(places, function(), strict=True):
            place.copy_(result)

    return places, replay


def recorder_for(device: torch.device) -> Recorder:
    """Return how functions are recorded on a device."""
    return record_graph if device.type == "cuda" else record_plainly


@dataclass(frozen=True)
class _Recording:
    inputs: Tensors
    results: Tensors
    replay: Callable[[], None]


class Recorded:
    """A function of tensors, recorded for the last few shapes that it was called with.

    What cannot be recorded, or is not drawn alike, is left to the function itself from then on, with a sentence.
    """

    def __init__(self, function: Callable[..., Tensors], recorder: Recorder, name: str) -> None:
        """`function` takes tensors and returns a tuple of them; `name` is what the log calls it."""
        self._function = function
        self._recorder = recorder
        self._name = name
        self._recordings: dict[tuple[tuple[int, ...], ...], _Recording | None] = {}

    @property
    def is_recorded(self) -> bool:
        """Whether there is a recording, and none of the last few shapes was left to the function itself."""
        return bool(self._recordings) and None not in self._recordings.values()

    def __call__(self, *inputs: Tensor) -> Tensors:
        """Return the results, in memory of their own."""
        shapes = tuple(tuple(tensor.shape) for tensor in inputs)
        # Recording waits for the device, so that the one that makes room is not in use there any more.
        recording = self._recordings.pop(shapes) if shapes in self._recordings else self._record(inputs)
        self._recordings[shapes] = recording  # the one used last stands last
        while len(self._recordings) > MAX_GRAPHS:
            del self._recordings[next(iter(self._recordings))]
        if recording is None:
            return self._function(*inputs)
        for place, tensor in zip(recording.inputs, inputs, strict=True):
            place.copy_(tensor)
        recording.replay()
        return tuple(result.clone() for result in recording.results)

    def _record(self, inputs: Tensors) -> _Recording | None:
        places = tuple(tensor.clone() for tensor in inputs)
        try:
            results, replay = self._recorder(lambda: self._function(*places))
            replay()
            check_replayed(results, self._function(*places))
        except (RuntimeError, GraphRefused) as error:
            log.warning("%s is not recorded as a graph (%s): it runs layer by layer", self._name, error)
            return None
        return _Recording(places, results, replay)


def check_replayed(replayed: Tensors, expected: Tensors) -> None:
    """Raise GraphRefused unless all results agree: pictures to 1e-3, bytes to one grey level."""
    for got, wanted in zip(replayed, expected, strict=True):
        apart = float((got.float() - wanted.float()).abs().max())
        if not apart <= (GRAPH_LEVELS if got.dtype == torch.uint8 else GRAPH_TOLERANCE):
            raise GraphRefused(f"its result is {apart:.3g} off")
