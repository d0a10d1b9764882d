"""Kernel distance (KID, Binkowski et al. 2018): how far two sets of pictures are apart in the eyes of a network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Distance(NamedTuple):
    """A kernel distance times 1000: the mean over random subsets, and the standard deviation among them."""

    mean: float
    deviation: float


def kernel_distance(first_NC: Tensor, second_MC: Tensor, subset_size: int, num_subsets: int, seed: int = 0) -> Distance:
    """Return the distance of two sets of features, one row a picture; around 0 where they have one distribution.

    Subsets are of `subset_size` pictures, or of all but one of the smaller set. Raises ValueError for sets below 3.
    """
    size = min(subset_size, len(first_NC) - 1, len(second_MC) - 1)
    if size < 2:
        raise ValueError(f"sets of {len(first_NC)} and {len(second_MC)} pictures have no kernel distance")
    generator = torch.Generator().manual_seed(seed)
    values = [
        _squared_discrepancy(_subset(first_NC, size, generator), _subset(second_MC, size, generator))
        for _ in range(num_subsets)
    ]
    thousandfold = torch.stack(values) * 1000
    return Distance(float(thousandfold.mean()), float(thousandfold.std(correction=0)))


def _subset(features_NC: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return features_NC[torch.randperm(len(features_NC), generator=generator)[:size]].double()


def _squared_discrepancy(first_NC: Tensor, second_NC: Tensor) -> Tensor:
    """Return the unbiased squared maximum mean discrepancy of two sets of equal size under the cubic kernel."""
    size = len(first_NC)
    within = sum(
        (kernel.sum() - kernel.diagonal().sum()) / (size * (size - 1))
        for kernel in (_kernel(first_NC, first_NC), _kernel(second_NC, second_NC))
    )
    return within - 2 * _kernel(first_NC, second_NC).mean()


def _kernel(first_NC: Tensor, second_MC: Tensor) -> Tensor:
    return (first_NC @ second_MC.T / first_NC.shape[1] + 1) ** 3
