"""Losses, rates and discriminators."""

from __future__ import annotations

import itertools

import pytest
import torch

from renderer.train import losses
from renderer.train.discriminator import Discriminators, Judgement
from renderer.train.preset import TrainPreset
from renderer.train.schedule import average_rate, longest_clip, rate_share

from .conftest import CAR, SHIPPED, RandomFeatures


def test_loss_terms_are_means() -> None:
    zero, one = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    checker = torch.ones(8, 8).triu() * 2 - 1
    assert float(losses.fine_loss(one, zero)) == 1.0
    assert float(losses.coarse_loss(one, zero, 4)) == 1.0
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 3, 8, 8)
    assert float(losses.coarse_loss(stripes, zero, 4)) == 0.0
    assert float(losses.perceptual_loss([3 * one], [one], 0.5)) == pytest.approx(2 / 1.5)
    valid = (checker > 0).float()[None, None]
    assert float(losses.temporal_loss(one, zero, valid)) == pytest.approx(float(valid.mean()))
    assert float(losses.coarse_temporal_loss(stripes, zero, torch.ones(1, 1, 8, 8), 4)) == 0.0
    assert float(losses.coarse_temporal_loss(one, zero, torch.ones(1, 1, 8, 8), 4)) == 1.0
    good, bad = Judgement(2 * torch.ones(1, 1, 2, 2), [one]), Judgement(-2 * torch.ones(1, 1, 2, 2), [zero])
    assert losses.discriminator_losses([good, bad], [bad, good]).tolist() == [0.0, 6.0]
    unsure = Judgement(torch.zeros(1, 1, 2, 2), [])
    assert losses.discriminator_losses([unsure], [unsure]).tolist() == [2.0]
    assert float(losses.adversarial_loss([bad, bad])) == 4.0
    assert float(losses.feature_matching_loss([good, good], [bad, bad])) == 2.0


def test_rates_warm_up_stay_and_fall() -> None:
    schedule = SHIPPED.schedule
    num_steps = schedule.num_steps
    assert num_steps is not None
    shares = [rate_share(step, step / num_steps, schedule) for step in range(num_steps)]
    assert 0 < shares[0] < 0.1
    plateau = int(schedule.decay_from * num_steps)
    assert set(shares[schedule.warm_up_steps : plateau]) == {1.0}
    assert all(a >= b for a, b in itertools.pairwise(shares[plateau:]))
    assert shares[-1] == pytest.approx(schedule.least_rate, abs=2e-3)
    assert average_rate(0, schedule) > average_rate(num_steps - 1, schedule)


def test_clips_grow_longer() -> None:
    schedule = SHIPPED.schedule
    lengths = [longest_clip(step, schedule) for step in range(schedule.num_steps)]
    assert (lengths[0], lengths[-1]) == schedule.longest_clip
    assert lengths == sorted(lengths)


def test_discriminators_judge_pictures_and_features_by_the_labels(tiny: TrainPreset) -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(13, tiny.discriminators)
    rgb, labels = torch.rand(2, 3, 64, 96), torch.zeros(2, 64, 96, dtype=torch.uint8)
    levels = RandomFeatures().features(rgb)
    judgements = discriminators(rgb, levels, labels)
    shapes = [tuple(judgement.scores_B1HW.shape) for judgement in judgements]
    assert shapes == [(2, 1, 8, 12), (2, 1, 4, 6), (2, 1, 32, 48), (2, 1, 16, 24)]
    assert [len(judgement.features) for judgement in judgements] == [4, 4, 0, 0]
    others = discriminators(rgb, levels, labels + CAR)
    assert not [1 for a, b in zip(judgements, others, strict=True) if torch.equal(a.scores_B1HW, b.scores_B1HW)]
