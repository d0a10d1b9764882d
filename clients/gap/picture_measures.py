"""How far two sets of pictures are apart, one function a measure.

Sources: KID: Binkowski et al. 2018, the unbiased estimator on all pairs. FID: Heusel et al. 2017. Sliced Wasserstein
distance of pyramid patches: Karras et al. 2018, without its normalization of each set, which would hide contrast.
Precision and recall: Kynkaanniemi et al. 2019. Density and coverage: Naeem et al. 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clients.gap.measures import Measure, shannon_bits
from clients.gap.picture_statistics import HEIGHT_PX, NUM_SCALES, RESPONSE_EDGES, PictureSample, take

NEAREST: Final = 5  # neighbours that span the manifold, as Naeem et al. 2020


class Manifold(NamedTuple):
    """How two sets lie in each other, 0 to 1 (density may be more): fidelity and variety told apart."""

    precision: float
    recall: float
    density: float
    coverage: float


def kernel_distance(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    first_ids: NDArray[np.int64] | None = None,
    second_ids: NDArray[np.int64] | None = None,
) -> float:
    """Return the squared maximum mean discrepancy under the cubic kernel of features (N,C) and (M,C), about 0 for one
    distribution; NaN for fewer than two. Equal ids are one picture drawn twice, and are no pair."""
    if min(len(first), len(second)) < 2:
        return float("nan")
    numbers = [np.arange(len(f)) if ids is None else ids for f, ids in ((first, first_ids), (second, second_ids))]
    within = cubic_kernel(first, first), cubic_kernel(second, second)
    return discrepancy(within[0], within[1], cubic_kernel(first, second), numbers[0], numbers[1])


def discrepancy(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    across: NDArray[np.float64],
    first_ids: NDArray[np.int64],
    second_ids: NDArray[np.int64],
) -> float:
    """Return the unbiased squared discrepancy of kernels (N,N), (M,M) and (N,M); NaN where nothing is a pair."""
    within = []
    for kernel, ids in ((first, first_ids), (second, second_ids)):
        pairs = ids[:, None] != ids[None, :]
        if not pairs.any():
            return float("nan")
        within.append(float(kernel[pairs].mean()))
    return sum(within) - 2 * float(across.mean())


def cubic_kernel(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the kernel of features (N,C) and (M,C) that KID takes: (x.y / C + 1)^3, (N,M)."""
    return (first.astype(np.float64) @ second.astype(np.float64).T / first.shape[1] + 1) ** 3


def frechet_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the Frechet distance of the normal distributions that fit features (N,C) and (M,C); NaN below two.

    The trace of the root of the product of two covariances A A' and B B' is the sum of the singular values of A'B:
    exact, and small where pictures are fewer than features.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    means = [features.astype(np.float64).mean(0) for features in (first, second)]
    scaled = [(f - m) / np.sqrt(len(f) - 1) for f, m in zip((first, second), means, strict=True)]
    traces = sum(float((part**2).sum()) for part in scaled)
    across = scaled[0] @ scaled[1].T
    squares = across @ across.T if len(across) <= across.shape[1] else across.T @ across
    root = float(np.sqrt(np.maximum(np.linalg.eigvalsh(squares), 0)).sum())  # ten times as fast as its own SVD
    return max(0.0, float(((means[0] - means[1]) ** 2).sum()) + traces - 2 * root)


def manifold(synthetic: NDArray[np.float32], real: NDArray[np.float32], nearest: int = NEAREST) -> Manifold:
    """Return precision, recall, density and coverage of features (N,C) and (M,C); NaN where there are too few."""
    if min(len(synthetic), len(real)) <= nearest:
        return Manifold(*[float("nan")] * 4)
    across = _distances(real, synthetic)
    real_radii, synthetic_radii = (
        np.partition(_distances(features, features), nearest, axis=1)[:, nearest] for features in (real, synthetic)
    )
    in_real = across < real_radii[:, None]
    return Manifold(
        precision=float(in_real.any(0).mean()),
        recall=float((across < synthetic_radii[None, :]).any(1).mean()),
        density=float(in_real.sum(0).mean() / nearest),
        coverage=float((across.min(1) < real_radii).mean()),
    )


def _distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    one, other = first.astype(np.float64), second.astype(np.float64)
    squared = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    return np.sqrt(np.maximum(squared, 0))


def sliced_wasserstein(first: PictureSample, second: PictureSample, scale: int) -> float:
    """Return the sliced Wasserstein-1 distance of the patches of one scale (0 fine .. 3 coarse), in grey levels."""
    shares = []
    for sample in (first, second):
        counted = sample.responses[:, scale].sum(0, dtype=np.float64)
        shares.append(np.cumsum(counted, axis=1) / counted.sum(1, keepdims=True))
    # The mass in a bin lies about its middle: the distribution's steps are from middle to middle.
    middles = (RESPONSE_EDGES[1:] + RESPONSE_EDGES[:-1]) / 2
    return float((np.abs(shares[0] - shares[1])[:, :-1] * np.diff(middles)).sum(1).mean() * 255)


def _kid(first: PictureSample, second: PictureSample) -> float:
    return 1000 * kernel_distance(first.features, second.features, first.ids, second.ids)


def _lost(name: str) -> Callable[[PictureSample, PictureSample], float]:
    def distance(first: PictureSample, second: PictureSample) -> float:
        unique = [take(s, np.unique(s.ids, return_index=True)[1]) for s in (first, second)]
        return max(0.0, 1.0 - getattr(manifold(unique[0].features, unique[1].features), name))

    return distance


def _spectral(first: PictureSample, second: PictureSample) -> float:
    return float(np.abs(first.spectra.mean(0) - second.spectra.mean(0)).mean() / 2)  # power to amplitude


def _patches(scale: int) -> Measure[PictureSample]:
    about = f"7x7 patches of details seen at {HEIGHT_PX >> scale} rows (sliced Wasserstein)"
    return Measure(
        f"patches {HEIGHT_PX >> scale}", "details", "grey levels", about, lambda a, b: sliced_wasserstein(a, b, scale)
    )


FEATURE_MEASURES: Final[tuple[Measure[PictureSample], ...]] = (
    Measure("KID x1000", "features", "", "kernel distance of features: unbiased, small sets too", _kid),
    Measure("FID", "features", "", "Frechet distance of features: grows as pictures get fewer; KID first",
            lambda a, b: frechet_distance(a.features, b.features)),
    Measure("precision lost", "features", "share", "pictures that are unlike any real one", _lost("precision")),
    Measure("recall lost", "features", "share", "real pictures that nothing is like", _lost("recall")),
    Measure("density lost", "features", "share", "how far from where real pictures crowd", _lost("density")),
    Measure("coverage lost", "features", "share", "real pictures without a neighbour", _lost("coverage")),
)  # fmt: skip
WEIGHTLESS_MEASURES: Final[tuple[Measure[PictureSample], ...]] = (
    *(_patches(scale) for scale in range(NUM_SCALES)),
    Measure("colours", "colour", "bits", "which colours pictures have, in L*a*b* (Jensen-Shannon)",
            lambda a, b: shannon_bits(a.colours.sum(0).astype(np.float64), b.colours.sum(0).astype(np.float64))),
    Measure("contrast", "colour", "octaves", "deviation of lightness in a picture",
            lambda a, b: abs(float(np.log2(max(a.contrasts.mean(), 0.1) / max(b.contrasts.mean(), 0.1))))),
    Measure("power spectrum", "details", "octaves", "amplitude by spatial frequency: blur lowers it, noise lifts it",
            _spectral),
)  # fmt: skip
