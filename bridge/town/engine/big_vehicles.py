"""Trucks and buses: boxes with rounded edges, glazing laid on, wheels."""

from __future__ import annotations

import numpy as np

from bridge.town.engine import tags
from bridge.town.engine.cars import CREASE_DEG, loft, with_wheels
from bridge.town.engine.mesh import Mesh, smooth_normals
from bridge.town.engine.shapes import Shape


def build_bus(size_m: tuple[float, float, float]) -> Shape:
    """Return a city bus: two rows of windows, doors on the right, a destination display."""
    length, width, height = size_m
    mesh = Mesh()
    _rounded_box(mesh, (-0.5 * length, 0.5 * length), width, (0.35, height), "paint", tags.BUS)
    half, skin = 0.5 * width, 0.008
    panes = max(4, round(length / 1.5))
    edges = np.linspace(-0.46 * length, 0.44 * length, panes + 1)
    low, high = 0.42 * height, 0.8 * height
    for side in (1, -1):
        for x0, x1 in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            _side_pane(mesh, (x0 + 0.04, x1 - 0.04), side * (half + skin), (low, high), side, "glass", tags.BUS)
        _side_pane(
            mesh,
            (-0.47 * length, 0.45 * length),
            side * (half + 0.004),
            (low - 0.05, high + 0.05),
            side,
            "dark",
            tags.BUS,
        )
    for x in (0.36 * length, -0.06 * length):
        _side_pane(mesh, (x, x + 1.2), -(half + 0.012), (0.45, high), -1, "glass", tags.BUS)
        _side_pane(mesh, (x + 0.57, x + 0.63), -(half + 0.016), (0.45, high), -1, "dark", tags.BUS)
    nose, tail = 0.5 * length + skin, -0.5 * length - skin
    _end_pane(mesh, nose, 0.44 * width, (0.38 * height, 0.78 * height), "glass", tags.BUS)
    _end_pane(mesh, nose, 0.36 * width, (0.83 * height, 0.93 * height), "dark", tags.BUS)
    _end_pane(mesh, tail, 0.36 * width, (0.5 * height, 0.8 * height), "glass", tags.BUS)
    _lamps(mesh, (nose, tail), half, 0.6, tags.BUS)
    _arches(mesh, (0.3 * length, -0.26 * length), half, 0.48, tags.BUS)
    return with_wheels(
        mesh.build(), size_m, radius_m=0.48, front_x=0.3 * length, rear_x=-0.26 * length, tag=tags.BUS, tyre_m=0.28
    )


def build_truck(size_m: tuple[float, float, float], *, cargo: str = "cloth") -> Shape:
    """Return a lorry: a painted cab and a box body (`cargo` is the box's material)."""
    length, width, height = size_m
    mesh = Mesh()
    cab_rear = 0.5 * length - min(2.1, 0.3 * length)
    cab_height = min(height, 2.9) * 0.96
    _rounded_box(mesh, (cab_rear, 0.5 * length), 0.96 * width, (0.5, cab_height), "paint", tags.TRUCK)
    box_low = 0.95
    low, high = (-0.5 * length, -0.5 * width, box_low), (cab_rear - 0.15, 0.5 * width, height)
    colour = (0.82, 0.82, 0.8) if cargo == "cloth" else (1.0, 1.0, 1.0)
    mesh.box(low, high, cargo, tags.TRUCK, colour=colour, tiles_per_m=0.3, faces="wtb")
    frame = (-0.48 * length, -0.36 * width, 0.5), (cab_rear + 0.4, 0.36 * width, box_low)
    mesh.box(*frame, "dark", tags.TRUCK, faces="wtb")
    half, nose, tail = 0.48 * width, 0.5 * length + 0.008, -0.5 * length - 0.008
    window = (0.56 * cab_height, 0.9 * cab_height)
    _end_pane(mesh, nose, 0.43 * width, window, "glass", tags.TRUCK)
    _end_pane(mesh, nose, 0.36 * width, (0.3 * cab_height, 0.42 * cab_height), "dark", tags.TRUCK)
    for side in (1, -1):
        pane = (0.5 * length - 1.35, 0.5 * length - 0.3)
        _side_pane(mesh, pane, side * (half + 0.008), (0.58 * cab_height, 0.9 * cab_height), side, "glass", tags.TRUCK)
        y0, y1 = sorted((side * half, side * 0.5 * width))
        at = 0.5 * length - 0.28
        mesh.box((at, y0, 0.6 * cab_height), (at + 0.1, y1, 0.85 * cab_height), "dark", tags.TRUCK, faces="wtb")
        y0, y1 = sorted((side * 0.4 * width, side * 0.49 * width))
        mesh.box((-0.1 * length, y0, 0.45), (0.12 * length, y1, box_low), "metal", tags.TRUCK, faces="wtb")
    _lamps(mesh, (nose, tail), half, 0.66, tags.TRUCK)
    front, rear = 0.5 * length - 1.15, -0.3 * length
    _arches(mesh, (front, rear), half, 0.46, tags.TRUCK)
    return with_wheels(mesh.build(), size_m, radius_m=0.46, front_x=front, rear_x=rear, tag=tags.TRUCK, tyre_m=0.28)


def _rounded_box(
    mesh: Mesh, along: tuple[float, float], width: float, up: tuple[float, float], material: str, tag: int
) -> None:
    """Add a box with softened edges."""
    x0, x1 = along
    z0, z1 = up
    sections = []
    for x, shrink in ((x0, 0.06), (x0 + 0.04, 0.015), (x0 + 0.14, 0.0), (x1 - 0.2, 0.0), (x1 - 0.06, 0.02), (x1, 0.08)):
        half, low, high = 0.5 * width - shrink, z0 + shrink, z1 - shrink
        side = [(half - 0.05, low), (half, low + 0.06), (half, high - 0.16), (half - 0.05, high - 0.05)]
        side.append((half - 0.16, high))
        ring = [(-y, z) for y, z in side] + [(y, z) for y, z in reversed(side)]
        sections.append([(x, y, z) for y, z in ring])
    box = Mesh()
    loft(box, np.array(sections), material, tag)
    mesh.put(smooth_normals(box.build(), CREASE_DEG))


def _side_pane(
    mesh: Mesh, along: tuple[float, float], y: float, up: tuple[float, float], side: int, material: str, tag: int
) -> None:
    (x0, x1), (z0, z1) = along, up
    a, b = (x1, x0) if side > 0 else (x0, x1)
    mesh.quad((a, y, z0), (b, y, z0), (b, y, z1), (a, y, z1), material, tag)


def _end_pane(mesh: Mesh, x: float, half_y: float, up: tuple[float, float], material: str, tag: int) -> None:
    z0, z1 = up
    y0, y1 = (-half_y, half_y) if x > 0 else (half_y, -half_y)
    mesh.quad((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1), material, tag)


def _lamps(mesh: Mesh, ends: tuple[float, float], half: float, z: float, tag: int) -> None:
    nose, tail = ends
    for side in (1, -1):
        y0, y1 = sorted((side * 0.62 * half, side * 0.88 * half))
        mesh.quad((nose, y0, z), (nose, y1, z), (nose, y1, z + 0.18), (nose, y0, z + 0.18), "headlamp", tag)
        lamp = ((tail, y1, z), (tail, y0, z), (tail, y0, z + 0.2), (tail, y1, z + 0.2))
        mesh.quad(*lamp, "tail_lamp", tag)
        indicator = "indicator_left" if side > 0 else "indicator_right"
        low, high = z - 0.1, z - 0.02
        mesh.quad((nose, y0, low), (nose, y1, low), (nose, y1, high), (nose, y0, high), indicator, tag)
        mesh.quad((tail, y1, low), (tail, y0, low), (tail, y0, high), (tail, y1, high), indicator, tag)
        middle = 0.5 * (y0 + y1) - side * 0.2 * half
        foot = (tail, middle + 0.08, z), (tail, middle - 0.08, z)
        head = (tail, middle - 0.08, z + 0.12), (tail, middle + 0.08, z + 0.12)
        mesh.quad(foot[0], foot[1], head[0], head[1], "reverse_lamp", tag)
    mesh.quad((nose, -0.26, z), (nose, 0.26, z), (nose, 0.26, z + 0.11), (nose, -0.26, z + 0.11), "plate", tag)
    mesh.quad((tail, 0.26, z), (tail, -0.26, z), (tail, -0.26, z + 0.11), (tail, 0.26, z + 0.11), "plate", tag)


def _arches(mesh: Mesh, axles: tuple[float, float], half: float, radius: float, tag: int) -> None:
    reach = radius + 0.09
    turn = np.linspace(-0.2, np.pi + 0.2, 13)
    for x in axles:
        for side in (1, -1):
            y = side * (half + 0.01)
            rim = np.stack([x + reach * np.cos(turn), np.full(13, y), radius + reach * np.sin(turn)], 1)
            fan = np.concatenate([[(x, y, radius - 0.05)], rim])
            order = [(0, k + 2, k + 1) if side > 0 else (0, k + 1, k + 2) for k in range(12)]
            mesh.add(fan, order, "dark", tag, normal=(0.0, float(side), 0.0))
