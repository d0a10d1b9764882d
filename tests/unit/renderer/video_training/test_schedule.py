"""Sequences and steps double in length as training goes on (Wang et al. 2018, section 3.4), up to their most."""

from __future__ import annotations

import pytest

from renderer.train.video.lanes import Lane
from renderer.train.video.preset import VideoPreset, find_video_preset
from renderer.train.video.schedule import Moment, ScheduleConfig, load_frames, moment_of, sequence_frames
from renderer.train.video.sequences import Load

from .conftest import changed

NUM_PAST = 2
DOUBLE_EVERY = 100  # steps, several runs of frames


def doubling(tiny: VideoPreset, sequence: tuple[int, int], load: tuple[int, int]) -> ScheduleConfig:
    return changed(tiny.schedule, sequence_frames=sequence, load_frames=load, double_every=DOUBLE_EVERY)


def runs_of(schedule: ScheduleConfig, num_frames: int, steps: range) -> dict[int, list[Load]]:
    """Return, by the step at which it began, the loads of each run of frames in a sequence of so many."""
    lane = Lane(0, 1, [num_frames], NUM_PAST, 0)
    runs: dict[int, list[Load]] = {}
    begun = -1
    for step in steps:
        load = lane.plan(Moment(0, step), schedule, (64, 96), 0.0)
        lane.take(load, Moment(0, step), schedule)
        begun = step if load.begins else begun
        runs.setdefault(begun, []).append(load)
    runs.pop(begun)  # the last one is not at its end
    return runs


@pytest.mark.parametrize("name", ["label2city_512", "street-small"])
def test_lengths_of_a_preset_double_in_every_stage(name: str) -> None:
    schedule = find_video_preset(name).schedule
    for stage in range(len(schedule.stages)):
        moments = [Moment(stage, epoch * schedule.double_every) for epoch in range(5)]
        assert [sequence_frames(moment, schedule) for moment in moments] == [6, 12, 24, 30, 30]
        assert [load_frames(moment, schedule) for moment in moments] == [1, 2, 4, 4, 4]
        last = Moment(stage, schedule.double_every - 1)
        assert (sequence_frames(last, schedule), load_frames(last, schedule)) == (6, 1)


def test_a_finer_stage_begins_with_short_sequences_again() -> None:
    schedule = find_video_preset("street-small").schedule
    of_first = schedule.stages[0].steps + schedule.stages[0].decay_steps
    lengths = [sequence_frames(moment_of(step, schedule), schedule) for step in (0, of_first - 1, of_first)]
    assert lengths == [6, 30, 6]


@pytest.mark.parametrize(("num_frames", "longest"), [(100, 40), (22, 20)])
def test_runs_of_frames_double_up_to_the_most_or_what_the_sequence_has(
    tiny: VideoPreset, num_frames: int, longest: int
) -> None:
    schedule = doubling(tiny, (5, 40), (1, 4))
    runs = runs_of(schedule, num_frames, range(5 * DOUBLE_EVERY))
    seen: dict[int, set[int]] = {}
    for begun, loads in runs.items():
        assert [load.begins for load in loads] == [True] + [False] * (len(loads) - 1)
        drawn = [frame for load in loads for frame in range(load.first, load.first + load.num_frames)]
        assert drawn == list(range(drawn[0], drawn[0] + len(drawn)))
        assert drawn[0] >= NUM_PAST
        assert drawn[-1] < num_frames
        seen.setdefault(begun // DOUBLE_EVERY, set()).add(len(drawn))
    assert seen == {epoch: {min(5 << epoch, longest)} for epoch in range(5)}
    assert len({loads[0].first for loads in runs.values()}) > 2  # runs begin at various frames


def test_steps_draw_twice_as_many_frames(tiny: VideoPreset) -> None:
    runs = runs_of(doubling(tiny, (8, 8), (1, 4)), 100, range(4 * DOUBLE_EVERY))
    loads: dict[int, list[int]] = {}
    for begun, own in runs.items():  # an epoch's first run: its last one may reach into the next
        loads.setdefault(begun // DOUBLE_EVERY, [load.num_frames for load in own])
    assert loads == {0: [1] * 8, 1: [2] * 4, 2: [4] * 2, 3: [4] * 2}
