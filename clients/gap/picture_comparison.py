"""Two sets of pictures compared, beside what halves of the real one differ by, and beside its label colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import palette
from clients.gap.comparison import MIN_SEQUENCES, PART_FRAMES, Result, compare_units
from clients.gap.label_maps import COMMON_SPACE, MapSequence
from clients.gap.measures import Measure
from clients.gap.picture_measures import FEATURE_MEASURES, WEIGHTLESS_MEASURES
from clients.gap.picture_statistics import MAX_PICTURES, PictureSample, describe_pictures, join, take
from clients.gap.pictures import PictureSequence, find_pictures
from renderer.picture_features import FeatureExtractor, open_extractor

MIN_PICTURES: Final = 12  # fewer span no manifold, and cannot be halved


@dataclass(frozen=True)
class PictureGap:
    """What the pictures of two sets differ by.

    `extractor` names the feature network and its sha256, or says why there is none · `numbers` of pictures looked at,
    by side · `samples` in units, by side.
    """

    results: Sequence[Result]
    extractor: str
    names: dict[str, str]
    numbers: dict[str, int]
    samples: dict[str, list[PictureSample]]


def compare_pictures(
    synthetic: Path,
    real: Path,
    features: Path | None,
    real_maps: Sequence[MapSequence] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> PictureGap:
    """Compare pictures by what a feature network sees (lite0, or the TorchScript file `features`), and without weights.

    `real_maps` are label maps of the real set: their colours are the ceiling. Raises UsageError for too few pictures.
    """
    sources = {"synthetic": find_pictures(synthetic), "real": find_pictures(real)}
    extractor, said = extractor_or_reason(features)
    samples = {}
    for side, path in (("synthetic", synthetic), ("real", real)):
        samples[side] = picture_units(describe_pictures(sources[side], extractor, progress))
        check_number(path, samples[side])
    ceiling = []
    if real_maps:
        ceiling = describe_pictures([_coloured(sequence) for sequence in real_maps], extractor, progress)
    return PictureGap(
        compare_units(measures(extractor), samples["synthetic"], samples["real"], join, ceiling),
        said,
        {"synthetic": str(synthetic), "real": str(real)},
        {side: number_of(units) for side, units in samples.items()},
        samples,
    )


def num_described(*paths_or_maps: Sequence[PictureSequence] | Sequence[MapSequence]) -> int:
    """Return how many pictures will be looked at, for progress."""
    return sum(min(MAX_PICTURES, sum(s.num_frames for s in sequences)) for sequences in paths_or_maps)


def extractor_or_reason(features: Path | None) -> tuple[FeatureExtractor | None, str]:
    """Return the extractor and its name with the hash; or None and why, where the default one is not installed."""
    try:
        extractor = open_extractor(features)
    except UsageError as error:
        if features is not None:
            raise
        return None, f"none: {error.what}. {error.hint}"
    return extractor, f"{extractor.name}, sha256 {extractor.sha256}"


def measures(extractor: FeatureExtractor | None) -> tuple[Measure[PictureSample], ...]:
    """Return the measures that can be taken."""
    return (*(FEATURE_MEASURES if extractor else ()), *WEIGHTLESS_MEASURES)


def number_of(samples: Sequence[PictureSample]) -> int:
    """Return how many pictures samples hold."""
    return sum(len(sample.ids) for sample in samples)


def check_number(path: Path, samples: Sequence[PictureSample]) -> None:
    """Raise UsageError for too few pictures."""
    if number_of(samples) < MIN_PICTURES:
        raise UsageError(
            f"{path} holds {number_of(samples)} pictures, and a comparison of sets needs {MIN_PICTURES}",
            "Give more of them, from several drives if there are",
        )


def picture_units(sequences: Sequence[PictureSample]) -> list[PictureSample]:
    """Return what is drawn again or split: sequences if there are enough, else consecutive parts of them."""
    if len(sequences) >= MIN_SEQUENCES:
        return list(sequences)
    part = min(PART_FRAMES, max(3, number_of(sequences) // 4))
    return [
        take(sample, np.arange(start, min(start + part, len(sample.ids))))
        for sample in sequences
        for start in range(0, len(sample.ids), part)
    ]


def _coloured(sequence: MapSequence) -> PictureSequence:
    colours = np.asarray(palette(COMMON_SPACE), np.uint8)
    return PictureSequence(sequence.name, sequence.num_frames, lambda index: colours[sequence.read(index)])
