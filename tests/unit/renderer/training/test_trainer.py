"""Training: that it learns, goes on from the picture before, and can be repeated and resumed to the bit."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from bridge.protocol.errors import UsageError
from renderer.models.live import LiveGenerator, LivePicture
from renderer.train.checkpoint import load_checkpoint, save_checkpoint
from renderer.train.data import LabelledPhoto
from renderer.train.preset import TrainPreset
from renderer.train.trainer import Trainer

from .conftest import RandomFeatures, assert_same, changed, differs, make_trainer, weights_of


def test_same_seed_gives_the_same_weights_to_the_bit(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    def three_steps(seed: int) -> Trainer:
        trainer = make_trainer(tiny, photos, seed)
        assert [trainer.step().step for _ in range(3)] == [1, 2, 3]
        return trainer

    first, second, other = three_steps(0), three_steps(0), three_steps(1)
    assert_same(weights_of(first.generator), weights_of(second.generator))
    assert_same(weights_of(first.average), weights_of(second.average))
    assert_same(weights_of(first.discriminators), weights_of(second.discriminators))
    assert differs(weights_of(first.generator), weights_of(other.generator))


def test_training_leaves_the_process_random_state_alone(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    before = torch.random.get_rng_state()
    make_trainer(tiny, photos).step()
    assert torch.equal(before, torch.random.get_rng_state())


def test_resumed_run_equals_an_uninterrupted_one(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    whole = make_trainer(tiny, photos)
    for _ in range(4):
        whole.step()
    first = make_trainer(tiny, photos)
    first.step()
    first.step()
    save_checkpoint(tmp_path, first)
    second = make_trainer(tiny, photos, seed=123)
    load_checkpoint(tmp_path, second)
    assert second.step_index == 2
    second.step()
    second.step()
    for part in ("generator", "average", "discriminators"):
        assert_same(weights_of(getattr(whole, part)), weights_of(getattr(second, part)))


def test_discriminators_join_in_their_turn(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    schedule = changed(tiny.schedule, num_steps=8, adversarial_after=2)
    trainer = make_trainer(changed(tiny, schedule=schedule), photos)
    before = weights_of(trainer.discriminators)
    early = [trainer.step() for _ in range(2)]
    assert not differs(before, weights_of(trainer.discriminators))
    assert [report.discriminators for report in early] == [(), ()]
    late = [trainer.step() for _ in range(4)]
    changed_keys = {
        key for key, value in weights_of(trainer.discriminators).items() if not torch.equal(value, before[key])
    }
    assert {key.split(".")[0] for key in changed_keys} == {"scales", "heads"}
    assert all(report.taken for report in early + late)
    assert {len(report.discriminators) for report in late} == {4}
    weighted = set(msgspec.structs.asdict(tiny.losses)) - {"coarse_pool_px", "perceptual_floor", "temporal_pool_px"}
    assert all(set(report.terms) == weighted for report in late)
    assert all(set(report.terms) == weighted - {"adversarial", "feature_matching"} for report in early)


def test_training_learns_colours(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    schedule = changed(tiny.schedule, num_steps=40, generator_rate=1e-2, adversarial_after=40)
    trainer = make_trainer(changed(tiny, schedule=schedule), photos)
    coarse = [trainer.step().terms["coarse"] for _ in range(40)]
    assert np.mean(coarse[-5:]) < 0.7 * np.mean(coarse[:5])


def test_frames_after_the_first_are_drawn_on_the_picture_before(
    tiny: TrainPreset, photos: list[LabelledPhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    motion_config = changed(tiny.clips.motion, parked_share=1.0)
    holes = changed(tiny.clips.holes, chance=0.0)
    clips = changed(tiny.clips, single_share=0.0, motion=motion_config, holes=holes)
    trainer = make_trainer(changed(tiny, clips=clips), photos)
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    draw = LiveGenerator.draw

    def watched(self: LiveGenerator, labels: Tensor, warped: Tensor, valid: Tensor, **more: Tensor) -> LivePicture:
        picture = draw(self, labels, warped, valid, **more)
        seen.append((warped, valid, picture.rgb_B3HW.detach()))
        return picture

    monkeypatch.setattr(LiveGenerator, "draw", watched)
    trainer.step()
    trainer.step()
    assert not seen[0][1].any()
    assert not seen[0][0].any()
    assert seen[1][1].all()  # parked, and no hole: everything is seen again
    assert torch.allclose(seen[1][0], seen[0][2], atol=1e-4)


def test_average_follows_the_trained_weights(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    trainer = make_trainer(tiny, photos)
    before = weights_of(trainer.generator)
    trainer.step()
    after, average = weights_of(trainer.generator), weights_of(trainer.average)
    key = "last.weight"
    share = tiny.schedule.early_average_rate
    assert torch.allclose(average[key], before[key].lerp(after[key], share), atol=1e-7)
    assert differs({key: before[key]}, {key: after[key]})


def test_steps_without_a_finite_loss_are_refused_and_end_the_run(
    tiny: TrainPreset, photos: list[LabelledPhoto]
) -> None:
    class Broken(RandomFeatures):
        def features(self, rgb_B3HW: Tensor, num_levels: int | None = None) -> list[Tensor]:
            return [level * float("nan") for level in super().features(rgb_B3HW, num_levels)]

    schedule = changed(tiny.schedule, max_refused_in_a_row=2)
    trainer = Trainer(changed(tiny, schedule=schedule), photos, Broken(), 0)
    before = weights_of(trainer.generator)
    assert not trainer.step().taken
    assert_same(before, weights_of(trainer.generator))
    assert torch.isfinite(trainer.state_dict()["last"]).all()
    with pytest.raises(UsageError, match=r"no finite value for 2 steps, up to step 2. Lower the learning rates"):
        trainer.step()


def test_photos_smaller_than_a_crop_are_refused(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    clips = changed(tiny.clips, width_px=96)
    with pytest.raises(UsageError, match=r"a_0 at 1.0 of its size is 96x64, a crop is 96x32"):
        make_trainer(changed(tiny, clips=clips), photos)
