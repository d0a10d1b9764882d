"""The look of a face, part by part: what the network of first frames reads beside the edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from renderer.models.single_frame import FeatureEncoder

FEATURE_CHANNELS: Final = 16
NUM_FACE_PARTS: Final = 7


def nearest_look(features_BFHW: Tensor, parts_BHW: Tensor, tables: Sequence[Tensor]) -> Tensor:
    """Return (B,F,H,W), B = 1: the known look nearest to encoded features, painted part by part.

    `features_BFHW` is constant over each part; `parts_BHW` uint8 holds part ids below the number of tables;
    `tables[part]` (n,F) has one row a known look. One look is chosen for all parts together, by the squared
    distances summed over parts and features; a part with fewer rows takes its last one.
    """
    painted_BFHW = torch.zeros_like(features_BFHW)
    num_looks = len(tables[-1])
    distances = features_BFHW.new_zeros(num_looks)
    regions = [(part, parts_BHW[0] == part) for part in range(len(tables)) if bool((parts_BHW == part).any())]
    for part, region_HW in regions:
        rows = torch.arange(num_looks, device=distances.device).clamp_(max=len(tables[part]) - 1)
        distances += (tables[part][rows] - features_BFHW[0][:, region_HW][:, 0]).square().sum(1)
    nearest = int(distances.argmin())
    for part, region_HW in regions:
        painted_BFHW[0][:, region_HW] = tables[part][min(nearest, len(tables[part]) - 1)][:, None]
    return painted_BFHW


def face_look(encoder: FeatureEncoder, rgb_B3HW: Tensor, parts_BHW: Tensor, tables: Sequence[Tensor]) -> Tensor:
    """Return (B,16,H,W), B = 1: the look of a real picture of a face, [-1, 1]; the nearest known one if any is."""
    features_BFHW = encoder(rgb_B3HW, parts_BHW[:, None])
    return nearest_look(features_BFHW, parts_BHW, tables) if tables else features_BFHW
