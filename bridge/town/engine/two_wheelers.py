"""Bicycles and motorcycles with their riders."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import tags
from bridge.town.engine.mesh import Mesh, MeshArrays
from bridge.town.engine.people import seated_rider
from bridge.town.engine.shapes import Motion, Shape, pitched, standing, steered_and_rolled


def build_bicycle(size_m: tuple[float, float, float], rider: int) -> Shape:
    """Return a bicycle and its rider; `rider` chooses how the rider looks."""
    length, _, _ = size_m
    radius = 0.34
    reach = 0.5 * length - radius
    frame = Mesh()
    saddle, crank, head = (-0.22, 0, 0.92), (-0.08, 0, 0.3), (reach - 0.17, 0, 0.86)
    rear, front = (-reach, 0, radius), (reach, 0, radius)
    for a, b in (
        (crank, saddle),
        (crank, head),
        ((-0.2, 0, 0.8), head),
        (rear, crank),
        (rear, (-0.2, 0, 0.78)),
        (front, head),
    ):
        frame.tube(a, b, 0.018, 0.018, 6, "paint", tags.BICYCLE)
    frame.tube((head[0], -0.26, 1.0), (head[0], 0.26, 1.0), 0.016, 0.016, 6, "dark", tags.BICYCLE)
    frame.tube(head, (head[0], 0, 1.0), 0.016, 0.016, 6, "dark", tags.BICYCLE)
    frame.box((-0.36, -0.07, 0.92), (-0.1, 0.07, 0.97), "dark", tags.BICYCLE, faces="wtb")
    frame.put(seated_rider(rider, (-0.24, 0, 0.98), 0.38, (head[0] - 0.02, 1.02)))
    return _two_wheeler(frame.build(), _spoked_wheel(radius), size_m, radius, reach)


def build_motorcycle(size_m: tuple[float, float, float], rider: int) -> Shape:
    """Return a motorcycle or scooter and its rider."""
    length, _, _ = size_m
    radius = 0.31
    reach = 0.5 * length - radius
    body = Mesh()
    tag = tags.MOTORCYCLE
    body.box((-0.35, -0.16, 0.3), (0.3, 0.16, 0.62), "dark", tag, faces="wtb")
    _tapered(body, ((0.05, 0.12, 0.6), (0.2, 0.17, 0.78), (0.5, 0.13, 0.7)), 0.22, "paint", tag)
    _tapered(body, ((-reach - 0.05, 0.06, 0.72), (-0.35, 0.14, 0.66), (0.05, 0.13, 0.62)), 0.1, "paint", tag)
    body.box((-0.5, -0.13, 0.76), (0.05, 0.13, 0.84), "dark", tag, faces="wtb")
    head = (reach - 0.28, 0, 0.95)
    for y in (-0.09, 0.09):
        body.tube((reach, y, radius), (head[0], y, head[2]), 0.03, 0.03, 6, "chrome", tag)
    body.tube((head[0], -0.34, 1.0), (head[0], 0.34, 1.0), 0.018, 0.018, 6, "dark", tag)
    body.tube((head[0] + 0.05, 0, 0.86), (head[0] + 0.2, 0, 0.86), 0.09, 0.1, 8, "paint", tag)
    body.disc((head[0] + 0.205, 0, 0.86), (1, 0, 0), 0.09, 8, "headlamp", tag)
    tail = (
        (-reach - 0.1, 0.07, 0.66),
        (-reach - 0.1, -0.07, 0.66),
        (-reach - 0.1, -0.07, 0.74),
        (-reach - 0.1, 0.07, 0.74),
    )
    body.quad(*tail, "tail_lamp", tag)
    body.tube((-reach - 0.1, -0.18, 0.36), (0.1, -0.18, 0.3), 0.05, 0.04, 7, "chrome", tag)
    body.put(seated_rider(rider, (-0.22, 0, 0.88), 0.3, (head[0] - 0.04, 1.03)))
    tyre = Mesh()
    tyre.tube((0, 0.07, 0), (0, -0.07, 0), radius, radius, 14, "tyre", tag)
    for side in (1, -1):
        tyre.disc((0, side * 0.07, 0), (0, side, 0), radius, 14, "wheel", tag)
    return _two_wheeler(body.build(), tyre.build(), size_m, radius, reach)


def _tapered(mesh: Mesh, spine: tuple[tuple[float, float, float], ...], depth: float, material: str, tag: int) -> None:
    """Add boxes between spine points (x, half width, top), each `depth` deep."""
    for (x0, w0, z0), (x1, w1, z1) in itertools.pairwise(spine):
        top = ((x0, -w0, z0), (x1, -w1, z1), (x1, w1, z1), (x0, w0, z0))
        mesh.quad(*top, material, tag)
        for side in (1, -1):
            low = ((x0, side * w0, z0 - depth), (x1, side * w1, z1 - depth))
            high = ((x0, side * w0, z0), (x1, side * w1, z1))
            face = (low[1], low[0], high[0], high[1]) if side > 0 else (low[0], low[1], high[1], high[0])
            mesh.quad(*face, material, tag)


def _spoked_wheel(radius: float) -> MeshArrays:
    mesh = Mesh()
    mesh.disc((0, 0.004, 0), (0, 1, 0), radius, 18, "spokes", tags.BICYCLE)
    return mesh.build()


def _two_wheeler(
    body: MeshArrays, wheel: MeshArrays, size_m: tuple[float, float, float], radius: float, reach: float
) -> Shape:
    length, width, height = size_m

    rest = standing([(0, 0, 0), (reach, 0, radius), (-reach, 0, radius)])

    def part_poses(motion: Motion) -> NDArray[np.float64]:
        poses = rest.copy()
        poses[1, :, :3] = steered_and_rolled(motion.steer_rad, motion.roll_rad)
        poses[2, :, :3] = pitched(motion.roll_rad)
        return poses

    half = (0.5 * length, 0.5 * width, 0.5 * height)
    return Shape((body, wheel, wheel), part_poses, half, (0.45 * length, 0.12), 0.5, radius)
