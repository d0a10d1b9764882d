"""Which frames a step reads: sequences side by side, each a run of frames through some steps, then another begins.

A lane's plans follow from the seed and a few numbers, so that a run can be brought back to any moment, and frames can
be read before they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from renderer.train.video.schedule import Moment, ScheduleConfig, load_frames, sequence_frames
from renderer.train.video.sequences import Load

_ORDER_SEED: Final = 11
_RUN_SEED: Final = 12


class Lane:
    """The runs of frames that one place of the batch goes through, one after another."""

    def __init__(self, number: int, num_lanes: int, lengths: Sequence[int], num_past: int, seed: int) -> None:
        self._number = number
        self._num_lanes = num_lanes
        self._lengths = lengths  # frames of each sequence
        self._num_past = num_past
        self._seed = seed
        self._runs = 0  # begun
        self._first = self._next = self._end = 0
        self._stage = 0

    def plan(self, moment: Moment, schedule: ScheduleConfig, size_hw: tuple[int, int], mirror_share: float) -> Load:
        """Return what the next step reads; nothing is changed by asking."""
        if self._next < self._end and self._stage == moment.stage:
            sequence, mirrored = self._choose(self._runs - 1, mirror_share)
            num_frames = min(load_frames(moment, schedule), self._end - self._next)
            hand = self._hand(self._runs - 1)
            return Load(sequence, self._next, self._num_past, num_frames, False, mirrored, size_hw, hand)
        sequence, mirrored = self._choose(self._runs, mirror_share)
        first, end = self._span(sequence, moment, schedule)
        num_frames = min(load_frames(moment, schedule), end - first)
        return Load(sequence, first, self._num_past, num_frames, True, mirrored, size_hw, self._hand(self._runs))

    def take(self, load: Load, moment: Moment, schedule: ScheduleConfig) -> None:
        """Go on behind a planned load, at the same moment."""
        if load.begins:
            self._stage = moment.stage
            self._first, self._end = self._span(load.sequence, moment, schedule)
            self._runs += 1
        self._next = load.first + load.num_frames

    def state_dict(self) -> dict[str, int]:
        """Return where the lane is."""
        return {"runs": self._runs, "first": self._first, "next": self._next, "end": self._end, "stage": self._stage}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where another lane of the same data was; raises KeyError."""
        self._runs, self._stage = int(state["runs"]), int(state["stage"])
        self._first, self._next, self._end = (int(state[key]) for key in ("first", "next", "end"))

    def _choose(self, run: int, mirror_share: float) -> tuple[int, bool]:
        """Return a run's sequence, each once before any comes again over all lanes, and whether it is mirrored."""
        count = run * self._num_lanes + self._number
        epoch, index = divmod(count, len(self._lengths))
        order = np.random.default_rng([self._seed, _ORDER_SEED, epoch]).permutation(len(self._lengths))
        mirrored = np.random.default_rng([self._seed, _RUN_SEED, count]).random() < mirror_share
        return int(order[index]), bool(mirrored)

    def _hand(self, run: int) -> int:
        """Return the seed of the hand that draws a run's labels; see `renderer.train.annotation`."""
        count = run * self._num_lanes + self._number
        return int(np.random.default_rng([self._seed, _RUN_SEED, count, 2]).integers(1 << 32))

    def _span(self, sequence: int, moment: Moment, schedule: ScheduleConfig) -> tuple[int, int]:
        """Return the first frame that a new run draws, and the one after its last."""
        drawable = self._lengths[sequence] - self._num_past
        length = min(sequence_frames(moment, schedule), drawable)
        count = self._runs * self._num_lanes + self._number
        rng = np.random.default_rng([self._seed, _RUN_SEED, count, 1])
        first = self._num_past + int(rng.integers(drawable - length + 1))
        return first, first + length
