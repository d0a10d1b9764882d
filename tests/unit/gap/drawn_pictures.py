"""Streets drawn as pictures, by rules and chance, for tests of what compares pictures."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

HEIGHT_PX, WIDTH_PX = 120, 160


def picture(seed: int) -> NDArray[np.uint8]:
    """A street, (120,160,3) u8 RGB: sky, textured houses and road, cars, the light of a day of its own."""
    rng = np.random.default_rng(seed)
    rgb = np.full((HEIGHT_PX, WIDTH_PX, 3), (150, 180, 220), np.float32)
    row = 60 + int(rng.integers(-6, 7))
    rgb[20:row] = (120, 95, 80)
    rgb[row:] = (85, 85, 90)
    for left in rng.integers(0, WIDTH_PX - 20, 6):
        rgb[30:40, left : left + 9] = (50, 60, 75)
    for left in rng.integers(0, WIDTH_PX - 30, 3):
        rgb[row + 4 : row + 18, left : left + 26] = rng.integers(0, 256, 3)
    rough = cv2.GaussianBlur(rng.normal(0, 60, rgb.shape[:2]).astype(np.float32), (0, 0), 1.2)
    rgb[20:] += rough[20:, :, None]
    return np.clip(rgb * rng.uniform(0.85, 1.1), 0, 255).astype(np.uint8)


def write_pictures(folder: Path, num_frames: int, sequences: int = 1, first: int = 0) -> Path:
    """Write drawn streets as PNGs named by their sequence and number."""
    folder.mkdir(parents=True)
    for sequence in range(sequences):
        for index in range(num_frames):
            rgb = picture(first + sequence * num_frames + index)
            cv2.imwrite(str(folder / f"drive{sequence}_{index:04d}.png"), rgb[..., ::-1])
    return folder


class Bands(torch.nn.Module):
    """A tiny feature network: what random filters answer, averaged over quarters of the picture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 12, 5, stride=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(self.conv(x).abs(), 2).flatten(1)


def write_network(path: Path) -> Path:
    """Write the tiny network as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(Bands()), str(path))
    return path
