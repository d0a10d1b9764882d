"""Styles of photos: which drives show a look, and how their photos are graded before anything is learnt from them.

Photos of bare trees say nothing of leaves, and photos of grey cars nothing of red ones: a grading dyes them, and the
tones that are read off the graded photo say so, so that a generator learns what each tone looks like.
"""

from __future__ import annotations

from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

_LIGHTEST: Final = 100.0  # of CIELAB
_LEAST_BODY_PX: Final = 60  # a region of fewer pixels is not dyed


class DyeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A colour laid over pixels of some classes, in CIELAB; their lightness stays."""

    class_ids: tuple[int, ...]
    colours: tuple[tuple[float, float], ...]  # red-green and yellow-blue, one of them for each region
    share: float  # of the regions that are dyed
    darkest: float  # lightness, 0..100, below which nothing is dyed: glass, tyres
    lightest: float  # and above which nothing is: the sky between branches
    edge: float  # over how much lightness dye ends


class StyleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A look: its name, the drives that show it (none: all), how often each photo is shown, and its grading."""

    name: str
    drives: tuple[str, ...] = ()
    repeat: int = 1
    gamma: float = 1.0  # below 1: darker parts are lifted
    saturation: float = 1.0
    dyes: tuple[DyeConfig, ...] = ()


def grade(rgb: NDArray[np.uint8], labels: NDArray[np.uint8], style: StyleConfig, seed: int) -> NDArray[np.uint8]:
    """Return a photo (H,W,3) u8 RGB with labels (H,W) u8 as a style shows it; the same seed dyes the same regions."""
    lifted = (rgb.astype(np.float32) / 255) ** np.float32(style.gamma)
    lab = np.asarray(cv2.cvtColor(lifted, cv2.COLOR_RGB2LAB), np.float32)
    lab[..., 1:] *= style.saturation
    rng = np.random.default_rng(seed)
    for dye in style.dyes:
        _lay(lab, labels, dye, rng)
    graded = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.clip(graded * 255 + 0.5, 0, 255).astype(np.uint8)


def _lay(lab: NDArray[np.float32], labels: NDArray[np.uint8], dye: DyeConfig, rng: np.random.Generator) -> None:
    """Dye regions in place. Shade has less of a colour than light: the dye grows with lightness."""
    lightness = lab[..., 0]
    taken = np.clip((lightness - dye.darkest) / dye.edge, 0, 1) * np.clip((dye.lightest - lightness) / dye.edge, 0, 1)
    strength = (taken * (0.35 + 0.65 * np.minimum(lightness / (_LIGHTEST / 2), 1))).astype(np.float32)
    inside = np.isin(labels, dye.class_ids).astype(np.uint8)
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(inside)
    for region in range(1, len(statistics)):
        dyed, colour = rng.random() < dye.share, dye.colours[int(rng.integers(len(dye.colours)))]
        if not dyed or statistics[region, cv2.CC_STAT_AREA] < _LEAST_BODY_PX:
            continue
        x, y, width_px, height_px = statistics[region, :4]
        box = slice(y, y + height_px), slice(x, x + width_px)
        weight = (strength[box] * (regions[box] == region))[..., None]
        lab[box][..., 1:] += weight * (np.array(colour, np.float32) - 0.5 * lab[box][..., 1:])
