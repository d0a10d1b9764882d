"""Training a vid2vid: a run can be repeated and resumed to the bit, in one process or in several."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bridge.protocol.errors import UsageError
from renderer.train.checkpoint import load_checkpoint
from renderer.train.video.preset import VideoPreset
from renderer.train.video.processes import Processes
from renderer.train.video.run import save, train_video
from renderer.train.video.sequences import find_train_sequences
from renderer.train.video.trainer import VideoTrainer

from .conftest import DrawClip, changed

ALONE = Processes(0, 1, torch.device("cpu"))


def make_trainer(preset: VideoPreset, root: Path, seed: int = 0) -> VideoTrainer:
    return VideoTrainer(preset, find_train_sequences(root, preset), ALONE, seed)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
    return {key for key in first if not torch.equal(first[key], second[key])}


def test_same_seed_gives_the_same_weights_to_the_bit(tiny: VideoPreset, draw_clip: DrawClip) -> None:
    root = draw_clip()
    trainers = [make_trainer(tiny, root, seed) for seed in (0, 0, 1)]
    for trainer in trainers:
        for _ in range(5):
            assert trainer.step().taken
        trainer.close()
    first, second, other = (weights_of(trainer.generator) for trainer in trainers)
    assert_same(first, second)
    assert differing(first, other)


@pytest.mark.parametrize("stopped_after", [1, 3, 4])
def test_resumed_run_equals_an_uninterrupted_one(
    tiny: VideoPreset, draw_clip: DrawClip, tmp_path: Path, stopped_after: int
) -> None:
    root = draw_clip()
    whole, first, second = (make_trainer(tiny, root, seed) for seed in (0, 0, 123))
    for _ in range(tiny.schedule.num_steps):
        whole.step()
    for _ in range(stopped_after):
        first.step()
    save(tmp_path, first)
    load_checkpoint(tmp_path, second)
    assert second.step_index == stopped_after
    for _ in range(tiny.schedule.num_steps - stopped_after):
        second.step()
    for part in ("generator", "average"):
        assert_same(weights_of(getattr(whole, part)), weights_of(getattr(second, part)))


def test_coarse_scale_learns_first_and_rests_while_the_finer_begins(tiny: VideoPreset, draw_clip: DrawClip) -> None:
    trainer = make_trainer(tiny, draw_clip())
    before = weights_of(trainer.generator)
    for _ in range(3):
        trainer.step()
    coarse = weights_of(trainer.generator)
    assert {key.split(".")[0] for key in differing(before, coarse)} == {"G0"}
    trainer.step()
    finer = weights_of(trainer.generator)
    assert {key.split(".")[0] for key in differing(coarse, finer)} == {"G1"}
    trainer.step()
    assert {key.split(".")[0] for key in differing(finer, weights_of(trainer.generator))} == {"G0", "G1"}


def test_every_term_of_the_objective_takes_part(tiny: VideoPreset, draw_clip: DrawClip) -> None:
    schedule = changed(tiny.schedule, sequence_frames=(8, 8), load_frames=(8, 8))
    trainer = make_trainer(changed(tiny, schedule=schedule), draw_clip(1))
    terms = trainer.step().terms
    of_pictures = {"gan", "matching", "warp", "flow", "flow_warp", "occlusion_mask", "judge_real", "judge_drawn"}
    of_time = {f"{name}_t{scale}" for name in ("gan", "matching", "judge_real", "judge_drawn") for scale in (0, 1)}
    assert set(terms) == of_pictures | of_time


def test_gradients_without_a_value_are_refused_and_end_the_run(tiny: VideoPreset, draw_clip: DrawClip) -> None:
    schedule = changed(tiny.schedule, max_refused_in_a_row=2)
    objective = changed(tiny.objective, flow=float("nan"))
    trainer = make_trainer(changed(tiny, schedule=schedule, objective=objective), draw_clip())
    before = weights_of(trainer.generator)
    assert not trainer.step().taken
    assert_same(before, weights_of(trainer.generator))
    with pytest.raises(UsageError, match=r"no finite value for 2 steps, up to step 2. Lower the rates"):
        trainer.step()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_near_what_float32_learns(tiny: VideoPreset, draw_clip: DrawClip, precision: str) -> None:
    root = draw_clip()
    exact = make_trainer(tiny, root)
    half = make_trainer(changed(tiny, schedule=changed(tiny.schedule, precision=precision)), root)
    exact_terms, half_terms = exact.step().terms, half.step().terms
    for name, value in exact_terms.items():
        assert half_terms[name] == pytest.approx(value, rel=0.1, abs=0.02), name


def test_memory_that_runs_out_is_answered_with_what_to_lower(
    tiny: VideoPreset, draw_clip: DrawClip, tmp_path: Path
) -> None:
    root = draw_clip()
    schedule = changed(tiny.schedule, load_frames=(2, 2))
    trainer = make_trainer(changed(tiny, schedule=schedule), root)
    trainer.generator.G0.model_final_img.append(Hungry())
    with pytest.raises(UsageError, match=r"memory of the cpu ran out at step 1. Lower one of these: .*load_frames"):
        train_video(trainer, tmp_path, find_train_sequences(root, tiny)[0], lambda _: None)


class Hungry(nn.Module):
    """Wants more memory than there is."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.empty(1 << 50)
