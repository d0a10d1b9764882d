"""What is described of a picture: its features, and histograms that need no weights; joined over sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from clients.gap.pictures import PictureSequence
from renderer.picture_features import FeatureExtractor, fit_picture

WIDTH_PX: Final = 320
HEIGHT_PX: Final = 240
MAX_PICTURES: Final = 300  # of a side, taken evenly: what is beyond would cost minutes and tell little
NUM_SCALES: Final = 4
NUM_DIRECTIONS: Final = 32
NUM_BANDS: Final = 20
_PATCH_PX: Final = 7
_PATCHES: Final = 128  # a picture and scale, as Karras et al. 2018
_COLOUR_BINS: Final = 8
_BATCH: Final = 8
# Bins that are fine where responses crowd: 0.3 grey levels at zero, 60 at the ends.
RESPONSE_EDGES: Final = 0.02 * np.sinh(np.linspace(-6, 6, 257))


@dataclass(frozen=True)
class PictureSample:
    """Some pictures, a row each.

    ids (N,) tell the same picture drawn twice · features (N,C) f32, C = 0 without an extractor · responses
    (N,4,32,256) u8 histograms of 7x7 patches' responses in random directions, by scale from fine to coarse · colours
    (N,512) shares in L*a*b* · contrasts (N,) deviation of lightness, of 255 · spectra (N,20) log2 of power by spatial
    frequency, from 1 to 120 waves a height.
    """

    ids: NDArray[np.int64]
    features: NDArray[np.float32]
    responses: NDArray[np.uint8]
    colours: NDArray[np.float32]
    contrasts: NDArray[np.float64]
    spectra: NDArray[np.float64]


def join(parts: Sequence[PictureSample]) -> PictureSample:
    """Return the pictures of several samples together."""
    return PictureSample(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(PictureSample)})


def take(sample: PictureSample, rows: NDArray[np.int64]) -> PictureSample:
    """Return some of a sample's pictures."""
    return PictureSample(**{f.name: getattr(sample, f.name)[rows] for f in fields(PictureSample)})


def describe_pictures(
    sequences: Sequence[PictureSequence],
    extractor: FeatureExtractor | None,
    progress: Callable[[int], None] = lambda done: None,
    change: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]] = lambda rgb, index: rgb,
) -> list[PictureSample]:
    """Return a sample of each sequence, of MAX_PICTURES in all; `change` sees each picture (and its number) first."""
    total = sum(sequence.num_frames for sequence in sequences)
    chosen = np.unique(np.linspace(0, total - 1, min(total, MAX_PICTURES)).round().astype(np.int64))
    samples: list[PictureSample] = []
    first = 0
    for sequence in sequences:
        inside = chosen[(chosen >= first) & (chosen < first + sequence.num_frames)]
        parts = []
        for start in range(0, len(inside), _BATCH):
            ids = inside[start : start + _BATCH]
            pictures = [change(sequence.read(int(index - first)), int(index)) for index in ids]
            parts.append(describe(pictures, ids, extractor))
            progress(len(ids))
        if parts:
            samples.append(join(parts))
        first += sequence.num_frames
    return samples


def describe(
    pictures: Sequence[NDArray[np.uint8]], ids: NDArray[np.int64], extractor: FeatureExtractor | None
) -> PictureSample:
    """Return the sample of some pictures, (H,W,3) u8 RGB of any size: their middle at 320x240 is what counts."""
    fitted = [fit_picture(rgb, WIDTH_PX, HEIGHT_PX) for rgb in pictures]
    labs = [np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), np.uint8) for rgb in fitted]
    features = np.zeros((len(fitted), 0), np.float32) if extractor is None else extractor.embed(fitted)
    return PictureSample(
        ids=np.asarray(ids),
        features=features,
        responses=np.stack([_responses(rgb, int(index)) for rgb, index in zip(fitted, ids, strict=True)]),
        colours=np.stack([_colours(lab) for lab in labs]),
        contrasts=np.array([lab[..., 0].std() for lab in labs]),
        spectra=np.stack([_spectrum(lab[..., 0]) for lab in labs]),
    )


def _responses(rgb: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """Histograms (4,32,256) of how patches of each level of the Laplacian pyramid answer to random directions.

    A patch's projection is what the sliced Wasserstein distance sorts; as a histogram it adds up over pictures.
    """
    rng = np.random.default_rng(number)
    histograms = np.zeros((NUM_SCALES, NUM_DIRECTIONS, len(RESPONSE_EDGES) - 1), np.uint8)
    level = rgb.astype(np.float32) / 255 - 0.5
    for scale in range(NUM_SCALES):
        band = level
        if scale < NUM_SCALES - 1:
            smaller = cv2.pyrDown(level)
            band = level - cv2.pyrUp(smaller, dstsize=(level.shape[1], level.shape[0]))
            level = np.asarray(smaller, np.float32)
        patches = np.lib.stride_tricks.sliding_window_view(band, (_PATCH_PX, _PATCH_PX), (0, 1))
        rows, columns = (rng.integers(0, side, _PATCHES) for side in patches.shape[:2])
        responses = patches[rows, columns].reshape(_PATCHES, -1) @ _DIRECTIONS
        bins = np.clip(np.searchsorted(RESPONSE_EDGES, responses) - 1, 0, histograms.shape[2] - 1)
        for direction in range(NUM_DIRECTIONS):
            histograms[scale, direction] = np.bincount(bins[:, direction], minlength=histograms.shape[2])
    return histograms


def _directions() -> NDArray[np.float32]:
    directions = np.random.default_rng(0).normal(size=(3 * _PATCH_PX**2, NUM_DIRECTIONS))
    return (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)


_DIRECTIONS: Final = _directions()


def _colours(lab: NDArray[np.uint8]) -> NDArray[np.float32]:
    cells = (lab.astype(np.int64) * _COLOUR_BINS // 256) @ np.array([_COLOUR_BINS**2, _COLOUR_BINS, 1])
    counted = np.bincount(cells.ravel(), minlength=_COLOUR_BINS**3)
    return (counted / counted.sum()).astype(np.float32)


def _spectrum(lightness: NDArray[np.uint8]) -> NDArray[np.float64]:
    """log2 of the mean power in rings of spatial frequency; a window takes away the edge of the picture."""
    window = np.outer(np.hanning(HEIGHT_PX), np.hanning(WIDTH_PX))
    centred = (lightness - lightness.mean()) * window
    power = np.abs(np.fft.rfft2(centred)) ** 2
    sums = np.bincount(_RINGS.ravel(), power.ravel(), NUM_BANDS + 1)[:NUM_BANDS]
    counted = np.bincount(_RINGS.ravel(), minlength=NUM_BANDS + 1)[:NUM_BANDS]
    return np.log2(sums / np.maximum(counted, 1) + 1.0)  # a level of white noise far below a camera's


def _rings() -> NDArray[np.int64]:
    """Of each coefficient which band its frequency is in: bands widen geometrically; NUM_BANDS is what is in none."""
    rows = np.fft.fftfreq(HEIGHT_PX)[:, None] * HEIGHT_PX
    columns = np.fft.rfftfreq(WIDTH_PX)[None] * HEIGHT_PX
    waves = np.hypot(rows, columns)
    edges = np.geomspace(1, HEIGHT_PX / 2, NUM_BANDS + 1)
    rings = np.searchsorted(edges, waves, side="right") - 1
    rings[(rings < 0) | (rings >= NUM_BANDS)] = NUM_BANDS
    return rings


_RINGS: Final = _rings()
