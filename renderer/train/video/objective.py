"""The terms of vid2vid's objective (Wang et al. 2018, section 3.2); masked means divide by all pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import torch
from torch import Tensor

from renderer.layers import warp
from renderer.models.vid2vid_networks import Drawing
from renderer.train.video.discriminators import Judged

MATCHED_WEIGHT: Final = 4.0  # of a scale's features together: each of the layers before the scores has the same share


class ObjectiveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of the terms; the least-squares GAN terms have the weight 1."""

    feature_matching: float
    perceptual: float
    warp: float  # the picture against its last one, moved by the reference flow
    flow: float  # the drawn flow against the reference flow
    flow_warp: float  # the last real picture, moved by the drawn flow, against the real one
    occlusion_mask: float  # the mask, where the reference flow is sure: what can be warped is to be warped


def gan_loss(said: Judged, target: float) -> Tensor:
    """Return the least-squares loss of the scores against a target, 1 for real, summed over scales (Mao et al.)."""
    return torch.stack([(layers[-1].float() - target).square().mean() for layers in said]).sum()


def feature_matching_loss(drawn: Judged, real: Judged) -> Tensor:
    """Return the mean absolute differences of features, the real ones as constants (pix2pixHD, eq. 4), summed."""
    terms = [
        (ours.float() - theirs.detach().float()).abs().mean() * (MATCHED_WEIGHT / (len(ours_scale) - 1)) / len(drawn)
        for ours_scale, theirs_scale in zip(drawn, real, strict=True)
        for ours, theirs in zip(ours_scale[:-1], theirs_scale[:-1], strict=True)
    ]
    return torch.stack(terms).sum()


def masked_difference(first_BCHW: Tensor, second_BCHW: Tensor, confidence_B1HW: Tensor) -> Tensor:
    """Return the mean absolute difference where the confidence is 1, as a mean over all pixels and channels."""
    return ((first_BCHW - second_BCHW) * confidence_B1HW).abs().mean()


def warp_loss(picture_B3HW: Tensor, last_B3HW: Tensor, flow_B2HW: Tensor, confidence_B1HW: Tensor) -> Tensor:
    """Return how far a picture is from the one before it, moved by the reference flow."""
    return masked_difference(picture_B3HW, warp(last_B3HW, flow_B2HW), confidence_B1HW)


def flow_terms(
    drawing: Drawing, real_B3HW: Tensor, last_real_B3HW: Tensor, flow_B2HW: Tensor, confidence_B1HW: Tensor
) -> dict[str, Tensor]:
    """Return the terms of a drawing's flow and occlusion mask; none where the generator has no flow.

    flow_B2HW is the reference, in pixels of this size: where in the last picture a pixel comes from.
    """
    if drawing.flow_B2HW is None or drawing.occlusion_mask_B1HW is None:
        return {}
    moved_B3HW = warp(last_real_B3HW, drawing.flow_B2HW)
    return {
        "flow": masked_difference(drawing.flow_B2HW, flow_B2HW, confidence_B1HW),
        "flow_warp": masked_difference(moved_B3HW, real_B3HW, confidence_B1HW),
        "occlusion_mask": (drawing.occlusion_mask_B1HW * confidence_B1HW).abs().mean(),
    }


def weighted_sum(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Return the sum of terms, each times its weight; a term without one counts as it is."""
    return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()


def mean_terms(each: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each term over the frames that have it."""
    names = dict.fromkeys(name for terms in each for name in terms)
    return {name: torch.stack([terms[name] for terms in each if name in terms]).mean() for name in names}
