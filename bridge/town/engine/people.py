"""Pedestrians and riders: bodies of rigid parts with a walk in closed form.

A walker's parts are trunk, two thighs, two shins and two arms; a stride of STRIDE_LENGTH_M is one full cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import tags
from bridge.town.engine.mesh import Mesh, MeshArrays
from bridge.town.engine.shapes import Motion, Shape, pitched, standing

STRIDE_LENGTH_M = 1.45
NUM_LOOKS = 16
_HIP_M, _KNEE_M, _SHOULDER_M = 0.92, 0.48, 1.42
_HIP_HALF_M, _SHOULDER_HALF_M = 0.095, 0.205
# Trunk, left thigh and shin, right thigh and shin, left and right arm.
_REST = standing(
    [
        (0.0, 0.0, 0.0),
        (0.0, _HIP_HALF_M, _HIP_M),
        (0.0, _HIP_HALF_M, _KNEE_M),
        (0.0, -_HIP_HALF_M, _HIP_M),
        (0.0, -_HIP_HALF_M, _KNEE_M),
        (0.0, _SHOULDER_HALF_M, _SHOULDER_M),
        (0.0, -_SHOULDER_HALF_M, _SHOULDER_M),
    ]
)


@dataclass(frozen=True)
class Look:
    """Colours (linear) and build of a person; heights scale the whole figure."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    top: tuple[float, float, float]
    legs: tuple[float, float, float]
    height_m: float
    skirt: bool
    long_hair: bool
    bag: bool


def look_of(number: int) -> Look:
    """Return the look of walker `number`: the same number always looks the same."""
    rng = np.random.default_rng(9000 + number % NUM_LOOKS)
    top = (rng.random(3) ** 1.5 * 0.6 + 0.05) * (0.6 + 0.6 * rng.random())
    top = 0.65 * top + 0.35 * top.mean()
    legs = np.array([[0.03, 0.04, 0.09], [0.05, 0.05, 0.06], [0.16, 0.13, 0.09], [0.02, 0.02, 0.025]])[rng.integers(4)]
    hair = np.array([[0.02, 0.015, 0.01], [0.09, 0.05, 0.025], [0.25, 0.17, 0.07], [0.3, 0.29, 0.28]])[rng.integers(4)]
    skin = np.array([1.0, 0.92, 0.88]) * (0.35 + 0.65 * rng.random())
    return Look(
        skin=tuple(skin.tolist()),
        hair=tuple(hair.tolist()),
        top=tuple(top.tolist()),
        legs=tuple(legs.tolist()),
        height_m=float(rng.uniform(1.6, 1.86)),
        skirt=bool(rng.random() < 0.25),
        long_hair=bool(rng.random() < 0.4),
        bag=bool(rng.random() < 0.4),
    )


def build_walker(number: int) -> Shape:
    """Return a pedestrian."""
    look = look_of(number)
    scale = look.height_m / 1.78
    grow = np.eye(3) * scale
    thigh, shin, arm = _thigh(look), _shin(look), _arm(look)
    parts = tuple(part.moved(grow, (0, 0, 0)) for part in (_trunk(look), thigh, shin, thigh, shin, arm, arm))

    def part_poses(motion: Motion) -> NDArray[np.float64]:
        return walk_poses(motion.stride_m, scale)

    return Shape(parts, part_poses, (0.28, 0.28, 0.5 * look.height_m), (0.2, 0.22), 0.45)


def walk_poses(stride_m: float, scale: float) -> NDArray[np.float64]:
    """Return the (7,3,4) part poses of someone who has walked so far; at 0 the figure stands with its legs closed."""
    phase = 2.0 * math.pi * stride_m / (STRIDE_LENGTH_M * scale)
    swing = 0.42 * math.sin(phase)
    bob = 0.018 * (math.cos(2.0 * phase) - 1.0)
    poses = _REST * np.array([1.0, 1.0, 1.0, scale])
    poses[:, 2, 3] += bob * scale
    shank = (_HIP_M - _KNEE_M) * scale
    for part, side, angle in ((1, 1, swing), (3, -1, -swing)):
        # A leg bends its knee while it swings forward.
        forward = math.cos(phase) * side
        bend = 0.1 * abs(math.sin(phase)) + 0.75 * max(0.0, forward) * (1.0 - 0.4 * abs(math.sin(phase)))
        bend *= min(1.0, abs(stride_m) * 4.0)
        poses[part, :, :3] = pitched(-angle)
        poses[part + 1, :, :3] = pitched(bend - angle)
        poses[part + 1, 0, 3] += shank * math.sin(angle)
        poses[part + 1, 2, 3] += shank * (1.0 - math.cos(angle))
    for part, angle in ((5, -swing), (6, swing)):
        poses[part, :, :3] = pitched(-0.75 * angle)
    return poses


def loft_rings(
    mesh: Mesh, rings: NDArray, material: str, tag: int, colour: tuple[float, float, float], sides: int = 10
) -> None:
    """Add a body of elliptical rings, rows (x, y, z of the middle, half depth along x, half width along y), upward."""
    turn = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    point = np.empty((len(rings), sides + 1, 3))
    point[..., 0] = rings[:, 0:1] + rings[:, 3:4] * np.cos(turn)
    point[..., 1] = rings[:, 1:2] + rings[:, 4:5] * np.sin(turn)
    point[..., 2] = rings[:, 2:3]
    uv = np.stack(np.broadcast_arrays(turn[None, :] / 3.0, rings[:, 2:3] * 1.5), -1)
    width = sides + 1
    start = (np.arange(len(rings) - 1)[:, None] * width + np.arange(sides)[None, :]).ravel()
    triangle = np.concatenate(
        [
            np.stack([start, start + 1, start + width + 1], 1),
            np.stack([start, start + width + 1, start + width], 1),
        ]
    )
    flat = np.stack(np.broadcast_arrays(np.cos(turn)[None], np.sin(turn)[None], 0.0 * rings[:, 2:3]), -1)
    mesh.add(point, triangle, material, tag, uv=uv, normal=flat.reshape(-1, 3), colour=colour)


def _trunk(look: Look, tag: int = tags.PEDESTRIAN) -> MeshArrays:
    """Hips, chest, neck and head, in the walker's frame."""
    mesh = Mesh()
    if look.skirt:
        skirt = [(0, 0, 0.52, 0.19, 0.21), (0, 0, 0.72, 0.17, 0.19), (0, 0, 0.95, 0.13, 0.17)]
        loft_rings(mesh, np.array(skirt), "cloth", tag, look.legs)
    hips = [(0, 0, 0.82, 0.09, 0.12), (0, 0, 0.88, 0.125, 0.17), (0, 0, 0.98, 0.12, 0.168)]
    loft_rings(mesh, np.array(hips), "cloth", tag, look.legs)
    chest = np.array(
        [
            (0.0, 0, 0.93, 0.13, 0.175),
            (0.0, 0, 1.06, 0.115, 0.155),
            (0.01, 0, 1.22, 0.135, 0.18),
            (0.01, 0, 1.36, 0.14, 0.205),
            (0.0, 0, 1.45, 0.115, 0.195),
            (0.0, 0, 1.5, 0.07, 0.1),
        ]
    )
    loft_rings(mesh, chest, "cloth", tag, look.top)
    neck = [(0.0, 0, 1.47, 0.06, 0.065), (0.01, 0, 1.56, 0.055, 0.06)]
    loft_rings(mesh, np.array(neck), "skin", tag, look.skin, 8)
    head = np.array(
        [
            (0.02, 0, 1.54, 0.05, 0.04),
            (0.02, 0, 1.58, 0.085, 0.065),
            (0.015, 0, 1.65, 0.1, 0.078),
            (0.01, 0, 1.71, 0.1, 0.08),
            (0.0, 0, 1.76, 0.075, 0.06),
            (0.0, 0, 1.785, 0.0, 0.0),
        ]
    )
    loft_rings(mesh, head, "skin", tag, look.skin)
    crown = [(-0.012, 0, 1.69, 0.1, 0.088), (-0.008, 0, 1.74, 0.098, 0.082), (-0.004, 0, 1.785, 0.06, 0.05)]
    crown.append((0.0, 0, 1.802, 0.0, 0.0))
    loft_rings(mesh, np.array(crown), "hair", tag, look.hair)
    back = [(-0.055, 0, 1.46 if look.long_hair else 1.6, 0.05, 0.07), (-0.04, 0, 1.72, 0.075, 0.084)]
    loft_rings(mesh, np.array(back), "hair", tag, look.hair, 8)
    if look.bag:
        bag = [(-0.19, 0, 1.05, 0.07, 0.13), (-0.2, 0, 1.2, 0.09, 0.15), (-0.17, 0, 1.4, 0.06, 0.12)]
        loft_rings(mesh, np.array(bag), "cloth", tag, (0.05, 0.06, 0.08), 8)
    return mesh.build()


def _thigh(look: Look, tag: int = tags.PEDESTRIAN) -> MeshArrays:
    """An upper leg that hangs from the hip at the origin."""
    mesh = Mesh()
    rings = [
        (0, 0, -0.46, 0.062, 0.06),
        (0.005, 0, -0.3, 0.074, 0.07),
        (0, 0, -0.05, 0.092, 0.088),
        (0, 0, 0.03, 0.07, 0.07),
    ]
    material, colour = ("skin", look.skin) if look.skirt else ("cloth", look.legs)
    loft_rings(mesh, np.array(rings), material, tag, colour, 8)
    return mesh.build()


def _shin(look: Look, tag: int = tags.PEDESTRIAN) -> MeshArrays:
    """A lower leg with its shoe, hanging from the knee at the origin."""
    mesh = Mesh()
    rings = [
        (-0.01, 0, -0.41, 0.045, 0.042),
        (-0.012, 0, -0.2, 0.062, 0.056),
        (0, 0, 0.0, 0.06, 0.058),
        (0, 0, 0.03, 0.05, 0.05),
    ]
    material, colour = ("skin", look.skin) if look.skirt else ("cloth", look.legs)
    loft_rings(mesh, np.array(rings), material, tag, colour, 8)
    shoe = [(0.045, 0, -0.475, 0.13, 0.045), (0.045, 0, -0.445, 0.13, 0.047), (0.015, 0, -0.4, 0.07, 0.042)]
    loft_rings(mesh, np.array(shoe), "dark", tag, (1.0, 1.0, 1.0), 8)
    return mesh.build()


def _arm(look: Look, tag: int = tags.PEDESTRIAN) -> MeshArrays:
    """An arm that hangs from the shoulder at the origin, slightly bent."""
    mesh = Mesh()
    sleeve = [
        (0.07, 0, -0.53, 0.036, 0.036),
        (0.01, 0, -0.27, 0.046, 0.046),
        (0, 0, -0.02, 0.062, 0.058),
        (0, 0, 0.03, 0.03, 0.03),
    ]
    loft_rings(mesh, np.array(sleeve), "cloth", tag, look.top, 8)
    hand = [(0.1, 0, -0.64, 0.02, 0.016), (0.09, 0, -0.59, 0.038, 0.024), (0.07, 0, -0.52, 0.03, 0.026)]
    loft_rings(mesh, np.array(hand), "skin", tag, look.skin, 6)
    return mesh.build()


def seated_rider(
    number: int, hip: tuple[float, float, float], lean_rad: float, grip: tuple[float, float]
) -> MeshArrays:
    """Return a rider on a saddle at `hip`, leaning forward, hands at `grip` (x, z), tagged as a rider."""
    look = look_of(number)
    x, _, z = hip
    mesh = Mesh()
    lean = np.array(pitched(lean_rad))
    trunk = _trunk(Look(look.skin, look.hair, look.top, look.legs, 1.75, False, False, False), tags.RIDER)
    low = trunk.moved(np.eye(3), (0, 0, -0.9)).moved(lean, (x, 0, z))
    mesh.put(low)
    shoulder = lean @ np.array([0.0, 0.0, _SHOULDER_M - 0.9]) + np.array([x, 0.0, z])
    for side in (1, -1):
        at = (float(shoulder[0]), side * 0.2, float(shoulder[2]))
        elbow = (0.5 * (at[0] + grip[0]), side * 0.27, 0.5 * (at[2] + grip[1]) - 0.1)
        hand = (grip[0], side * 0.24, grip[1])
        mesh.tube(elbow, at, 0.042, 0.055, 7, "cloth", tags.RIDER, colour=look.top)
        mesh.tube(hand, elbow, 0.036, 0.042, 7, "cloth", tags.RIDER, colour=look.top, cap=False)
        knee = (x + 0.36, side * 0.13, z - 0.12 - 0.1 * side)
        foot = (x + 0.2, side * 0.12, z - 0.52 - 0.12 * side)
        mesh.tube(knee, (x, side * 0.1, z), 0.062, 0.085, 7, "cloth", tags.RIDER, colour=look.legs)
        mesh.tube(foot, knee, 0.045, 0.06, 7, "cloth", tags.RIDER, colour=look.legs)
        low_foot = (foot[0] - 0.06, foot[1] - 0.045, foot[2] - 0.07)
        mesh.box(low_foot, (foot[0] + 0.18, foot[1] + 0.045, foot[2] + 0.02), "dark", tags.RIDER, faces="wtb")
    return mesh.build()
