"""The terms that a live generator is trained by; each is a mean, so that its weight means the same at any size."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from renderer.train.discriminator import Judgement


class LossConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of the generator's terms, and what they look at."""

    coarse: float
    coarse_pool_px: int
    fine: float
    perceptual: float
    perceptual_floor: float
    temporal: float  # of pixels: little, or pictures blur, because every warp resamples them
    temporal_coarse: float  # of local means: much, or light and colour swing
    temporal_pool_px: int
    adversarial: float
    feature_matching: float


def coarse_loss(rgb_B3HW: Tensor, photo_B3HW: Tensor, pool_px: int) -> Tensor:
    """Return the mean absolute difference of local mean colours: it fixes colours and leaves texture free."""
    return (F.avg_pool2d(rgb_B3HW, pool_px) - F.avg_pool2d(photo_B3HW, pool_px)).abs().mean()


def fine_loss(rgb_B3HW: Tensor, photo_B3HW: Tensor) -> Tensor:
    """Return the mean absolute difference of pixels."""
    return (rgb_B3HW - photo_B3HW).abs().mean()


def perceptual_loss(drawn: Sequence[Tensor], real: Sequence[Tensor], floor: float) -> Tensor:
    """Return the differences of features (Johnson et al. 2016), each level relative to how strong its features are."""
    terms = [
        (drawn_level.float() - real_level.float()).abs().mean() / (real_level.float().abs().mean() + floor)
        for drawn_level, real_level in zip(drawn, real, strict=True)
    ]
    return torch.stack(terms).sum()


def temporal_loss(rgb_B3HW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
    """Return the mean absolute change against the warped last picture, where that is valid."""
    return ((rgb_B3HW - warped_B3HW) * valid_B1HW).abs().mean()


def coarse_temporal_loss(rgb_B3HW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor, pool_px: int) -> Tensor:
    """Return the mean absolute change of local mean colours against the warped last picture, where that is valid."""
    return F.avg_pool2d((rgb_B3HW - warped_B3HW) * valid_B1HW, pool_px).abs().mean()


def discriminator_losses(real: Sequence[Judgement], drawn: Sequence[Judgement]) -> Tensor:
    """Return (discriminators,): hinge losses of the scores, 1 for photos and -1 for drawn (Lim and Ye 2017).

    A discriminator that cannot tell them apart has 2, one that always can has 0.
    """
    terms = [
        F.relu(1 - r.scores_B1HW.float()).mean() + F.relu(1 + d.scores_B1HW.float()).mean()
        for r, d in zip(real, drawn, strict=True)
    ]
    return torch.stack(terms)


def adversarial_loss(drawn: Sequence[Judgement]) -> Tensor:
    """Return how little the drawn pictures score, summed over discriminators."""
    return torch.stack([-judgement.scores_B1HW.float().mean() for judgement in drawn]).sum()


def feature_matching_loss(real: Sequence[Judgement], drawn: Sequence[Judgement]) -> Tensor:
    """Return the mean absolute differences of the discriminators' features (Wang et al. 2018, eq. 4), summed."""
    terms = [
        (drawn_layer.float() - real_layer.float()).abs().mean()
        for r, d in zip(real, drawn, strict=True)
        for drawn_layer, real_layer in zip(d.features, r.features, strict=True)
    ]
    return torch.stack(terms).sum()
