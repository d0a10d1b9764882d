"""When what happens in a training run; a function of the number of steps done, so that a resumed run is the same."""

from __future__ import annotations

import msgspec

from renderer.train.precision import PrecisionName


class ScheduleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Length, rates and stages of a run. Steps count from 0."""

    num_steps: int | None
    """None: as many as --minutes has time for; the rate falls with the clock."""
    batch_size: int
    precision: PrecisionName
    generator_rate: float
    style_rate: float = 1.0  # of what styles differ in, relative to the generator's
    discriminator_rate: float
    adam_betas: tuple[float, float]
    warm_up_steps: int
    decay_from: float  # share of the run after which the rates fall to their least
    least_rate: float  # as a share of the full rate
    max_gradient_norm: float
    longest_clip: tuple[int, int]  # frames, of clips that begin at the first step and from `longest_clip_step` on
    longest_clip_step: int
    adversarial_after: int  # steps from here on have discriminators
    early_average_rate: float  # before that
    average_rate: float
    max_refused_in_a_row: int  # steps without a finite loss, before the run is given up
    report_every: int
    checkpoint_every: int


def rate_share(step: int, done: float, schedule: ScheduleConfig) -> float:
    """Return the learning rate of a step as a share of the full one: warm-up, plateau, linear decay.

    `done` is the share of the run, 0..1, that lies behind it.
    """
    share = min(1.0, (step + 1) / schedule.warm_up_steps)
    if done > schedule.decay_from:
        share *= max(schedule.least_rate, (1 - done) / (1 - schedule.decay_from))
    return share


def longest_clip(step: int, schedule: ScheduleConfig) -> int:
    """Return how many frames a clip that begins at a step may have: few at first, while pictures are poor."""
    first, last = schedule.longest_clip
    return round(first + (last - first) * min(1.0, step / max(schedule.longest_clip_step, 1)))


def average_rate(step: int, schedule: ScheduleConfig) -> float:
    """Return how far the averaged weights move towards the trained ones after a step."""
    return schedule.early_average_rate if step < schedule.adversarial_after else schedule.average_rate
