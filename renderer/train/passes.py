"""The networks' forward passes in a step of the live family, as they are written or compiled by torch.

A compiled pass computes the same but for rounding. Whether a machine can compile is known when one pass each has gone
forwards and back: where that fails, training goes on uncompiled, with a sentence.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from renderer.models.live import LiveGenerator, LivePicture
from renderer.train.discriminator import Discriminators, Judgement
from renderer.train.perceptual import FeatureNetwork

_QUIET: Final = ("torch._dynamo", "torch._inductor", "torch.fx")


class Passes:
    """What a step asks of its networks."""

    def __init__(
        self, generator: LiveGenerator, discriminators: Discriminators, feature_network: FeatureNetwork
    ) -> None:
        self._generator = generator
        self._discriminators = discriminators
        self._feature_network = feature_network
        self._compiled: dict[str, Callable[..., Any]] = {}

    def draw(
        self,
        labels_BHW: Tensor,
        warped_B3HW: Tensor,
        valid_B1HW: Tensor,
        place_B2HW: Tensor | None = None,
        style_B: Tensor | None = None,
    ) -> LivePicture:
        """Return `LiveGenerator.draw`'s picture."""
        draw = self._compiled.get("draw", self._generator.draw)
        return draw(labels_BHW, warped_B3HW, valid_B1HW, place_B2HW=place_B2HW, style_B=style_B)

    def features(self, rgb_B3HW: Tensor) -> list[Tensor]:
        """Return `FeatureNetwork.features`."""
        return self._compiled.get("features", self._feature_network.features)(rgb_B3HW)

    def judge(self, rgb_B3HW: Tensor, levels: Sequence[Tensor], labels_BHW: Tensor) -> list[Judgement]:
        """Return what the discriminators say."""
        return self._compiled.get("judge", self._discriminators)(rgb_B3HW, levels, labels_BHW)

    def compile(self, trial: Callable[[], object]) -> str:
        """Compile the passes and let `trial` go through them, forwards and back; return "" or why that failed.

        Where it failed, the passes are as they were.
        """
        levels = {name: logging.getLogger(name).level for name in _QUIET}
        self._compiled = {
            "draw": torch.compile(self._generator.draw, dynamic=False),
            "features": torch.compile(self._feature_network.features, dynamic=False),
            "judge": torch.compile(self._discriminators, dynamic=False),
        }
        try:
            for name in _QUIET:
                logging.getLogger(name).setLevel(logging.CRITICAL)
            with warnings.catch_warnings():  # of the compiler about itself
                warnings.simplefilter("ignore")
                trial()
        except Exception as error:  # noqa: BLE001 (compilers fail in ways of their own; eager torch never needs them)
            self._compiled = {}
            return f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
        return ""
