"""When what is trained: coarse to fine in space, short to long in time; functions of the number of steps done.

Wang et al. 2018, section 3.4 ("spatio-temporally progressive training").
"""

from __future__ import annotations

import msgspec

from renderer.train.precision import PrecisionName


class StageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A spatial stage: the coarsest `num_scales` scales draw pictures of that size; lengths in steps.

    For `coarse_frozen_steps` only the finest of them learns. The rate stays for `steps`, then falls to 0 within
    `decay_steps`.
    """

    num_scales: int
    steps: int
    decay_steps: int
    coarse_frozen_steps: int
    rate: float


class ScheduleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stages of a run and how each step goes. Frames are those that are drawn; steps count from 0."""

    stages: tuple[StageConfig, ...]
    num_sequences: int  # side by side in a step, over all processes
    sequence_frames: tuple[int, int]  # of a run of frames that begins: at the first step, and at most
    load_frames: tuple[int, int]  # in one step: at the first, and at most
    double_every: int  # steps of a stage after which both double, up to their most
    backpropagated_frames: int  # after so many, past pictures are constants
    precision: PrecisionName
    adam_betas: tuple[float, float]
    max_gradient_norm: float
    average_rate: float  # how far the averaged weights move towards the trained ones in a step
    max_refused_in_a_row: int  # steps without a finite gradient, before the run is given up

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return sum(stage.steps + stage.decay_steps for stage in self.stages)


class Moment(msgspec.Struct, frozen=True):
    """Where a run is: the number of its stage, and the steps done in it."""

    stage: int
    step: int


def moment_of(step: int, schedule: ScheduleConfig) -> Moment:
    """Return the moment of a step of the run; what lies past the end is in the last stage."""
    for number, stage in enumerate(schedule.stages):
        length = stage.steps + stage.decay_steps
        if step < length or number == len(schedule.stages) - 1:
            return Moment(number, step)
        step -= length
    raise ValueError("a schedule without stages")


def rate_at(moment: Moment, schedule: ScheduleConfig) -> float:
    """Return the learning rate of a step: constant, then falling linearly to 0."""
    stage = schedule.stages[moment.stage]
    left = stage.steps + stage.decay_steps - moment.step
    return stage.rate * min(1.0, left / (stage.decay_steps + 1))


def coarse_frozen(moment: Moment, schedule: ScheduleConfig) -> bool:
    """Whether only the finest scale of the stage learns."""
    return moment.step < schedule.stages[moment.stage].coarse_frozen_steps


def sequence_frames(moment: Moment, schedule: ScheduleConfig) -> int:
    """Return how many frames are drawn of a run of frames that begins now."""
    return _doubled(moment, schedule, schedule.sequence_frames)


def load_frames(moment: Moment, schedule: ScheduleConfig) -> int:
    """Return how many frames a step draws at most."""
    return _doubled(moment, schedule, schedule.load_frames)


def _doubled(moment: Moment, schedule: ScheduleConfig, bounds: tuple[int, int]) -> int:
    doublings = min(moment.step // schedule.double_every, 30)
    return min(bounds[0] << doublings, bounds[1])
