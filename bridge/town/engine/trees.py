"""Trees, hedges and bushes: leaf cards around a few boughs, in a near and a far version of the same shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import tags
from bridge.town.engine.mesh import Mesh, MeshArrays

NUM_TREES = 6


@dataclass(frozen=True)
class Tree:
    """One tree twice: with all its leaf cards, and with a third as many larger ones for afar."""

    near: MeshArrays
    far: MeshArrays


def grow_tree(variant: int) -> Tree:
    """Return tree `variant` (0 to NUM_TREES - 1), its foot at the origin."""
    height_m = 6.8 + 0.9 * (variant % 3)
    leaf = f"leaves{variant % 3}"
    return Tree(
        near=_grow(variant, leaf, height_m, cards=24, card_scale=1.0, sides=7),
        far=_grow(variant, leaf, height_m, cards=8, card_scale=1.65, sides=4),
    )


def _grow(variant: int, leaf: str, height_m: float, *, cards: int, card_scale: float, sides: int) -> MeshArrays:
    rng = np.random.default_rng(variant)
    mesh = Mesh()
    trunk_m = height_m * 0.34
    bend = rng.normal(0.0, 0.12, 2)
    top = np.array([bend[0], bend[1], trunk_m])
    thick = height_m / 8.0
    mesh.tube((0.0, 0.0, 0.0), top.tolist(), 0.17 * thick, 0.11 * thick, sides, "bark", tags.VEGETATION)
    boughs: list[tuple[NDArray, float]] = []
    for bough in range(5):
        angle = bough * 1.257 + rng.random()
        lift = trunk_m + height_m * (0.18 + 0.24 * rng.random())
        tip = np.array([np.cos(angle) * height_m * 0.2, np.sin(angle) * height_m * 0.2, lift])
        mesh.tube((top * 0.97).tolist(), tip.tolist(), 0.08 * thick, 0.03, max(3, sides - 2), "bark", tags.VEGETATION)
        boughs.append((tip, height_m * 0.19 * (0.85 + 0.4 * rng.random())))
    boughs.append((np.array([bend[0], bend[1], trunk_m + height_m * 0.42]), height_m * 0.24))
    crown = np.array([bend[0], bend[1], trunk_m + height_m * 0.28])
    for index, (centre, radius) in enumerate(boughs):
        leaves_rng = np.random.default_rng(1000 * variant + index)
        _add_leaf_cards(mesh, leaf, centre, radius, crown, height_m, cards, card_scale, leaves_rng)
    return mesh.build()


def _add_leaf_cards(
    mesh: Mesh,
    leaf: str,
    centre: NDArray,
    radius: float,
    crown: NDArray,
    height_m: float,
    cards: int,
    card_scale: float,
    rng: np.random.Generator,
) -> None:
    """Scatter square leaf cards on a ball; their normals point out of the crown, so that it shades as one body."""
    outward = rng.normal(size=(cards, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    outward[:, 2] *= 0.8
    at = centre + outward * (radius * (0.72 + 0.35 * rng.random(cards)))[:, None]
    normal = at - crown
    reach = np.linalg.norm(normal, axis=1)
    normal /= reach[:, None] + 1e-6
    side = np.cross(outward, rng.normal(size=(cards, 3)))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(outward, side)
    half = (height_m * 0.085 * card_scale * (0.8 + 0.5 * rng.random(cards)))[:, None]
    corner = np.stack(
        [
            at - side * half - up * half,
            at + side * half - up * half,
            at + side * half + up * half,
            at - side * half + up * half,
        ],
        1,
    )
    depth = 0.45 + 0.55 * np.clip(reach / (height_m * 0.36), 0, 1) * (0.7 + 0.3 * (normal[:, 2] * 0.5 + 0.5))
    colour = np.stack([depth * (0.92 + 0.16 * rng.random(cards)), depth, depth], 1)
    first = 4 * np.arange(cards)
    triangle = np.stack([first, first + 1, first + 2, first, first + 2, first + 3], 1)
    mesh.add(
        corner,
        triangle,
        leaf,
        tags.VEGETATION,
        uv=np.tile([(0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)], (cards, 1)),
        normal=np.repeat(normal, 4, axis=0),
        colour=np.repeat(colour, 4, axis=0),
    )


def grow_bush(variant: int, height_m: float = 1.3) -> MeshArrays:
    """Return a bush of leaf cards without a trunk, its foot at the origin."""
    mesh = Mesh()
    rng = np.random.default_rng(500 + variant)
    for _ in range(3):
        centre = np.array([rng.normal(0, 0.35), rng.normal(0, 0.35), height_m * 0.45])
        crown = np.array([0.0, 0.0, height_m * 0.3])
        _add_leaf_cards(mesh, f"leaves{variant % 3}", centre, height_m * 0.4, crown, 5.0 * height_m, 10, 0.8, rng)
    return mesh.build()


def clip_hedge(length_m: float, height_m: float, thickness_m: float) -> MeshArrays:
    """Return a clipped hedge along x from 0, its middle on y = 0."""
    mesh = Mesh()
    low, high = (0.0, -thickness_m / 2, 0.0), (length_m, thickness_m / 2, height_m)
    mesh.box(low, high, "hedge", tags.VEGETATION, tiles_per_m=0.7, colour=(0.8, 0.85, 0.7))
    return mesh.build()
