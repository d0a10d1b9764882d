"""Cars and vans: a lofted hull, a glazed cabin on top, wheels that steer and roll."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import tags
from bridge.town.engine.mesh import Mesh, MeshArrays, smooth_normals
from bridge.town.engine.shapes import Motion, Shape, pitched, standing, steered_and_rolled

CREASE_DEG = 42.0
GLASS_SHARE = 0.84  # of the cabin's height; roof rails and headers above


@dataclass(frozen=True)
class CarForm:
    """A car's proportions. Along x: fractions of the length, 0 = middle, +0.5 = nose; heights: fractions of the height.

    `rear_glass`, `roof_rear`, `roof_front`, `windscreen`: where the cabin begins and ends at the belt and at the roof;
    `belt`: height of the windows' lower edge; `nose`, `tail`: heights of bonnet tip and boot lid; `pillars`: the share
    of the cabin's side that is painted at its rear end; `panel`: whether the sides behind the front doors are closed.
    """

    rear_glass: float = -0.40
    roof_rear: float = -0.23
    roof_front: float = 0.05
    windscreen: float = 0.22
    belt: float = 0.635
    nose: float = 0.50
    tail: float = 0.62
    clearance_m: float = 0.2
    wheel_radius_m: float = 0.33
    front_axle: float = 0.30
    rear_axle: float = -0.30
    cabin_taper: float = 0.78
    pillar: float = 0.13
    panel: bool = False
    tag: int = tags.CAR


FORMS: dict[str, CarForm] = {
    "sedan": CarForm(),
    "compact": CarForm(-0.485, -0.40, 0.07, 0.28, 0.62, 0.52, 0.6, wheel_radius_m=0.31, pillar=0.1),
    "estate": CarForm(-0.485, -0.425, 0.05, 0.22, 0.63, 0.51, 0.6, pillar=0.06),
    "suv": CarForm(-0.485, -0.43, 0.06, 0.23, 0.6, 0.52, 0.56, 0.27, 0.38, cabin_taper=0.84, pillar=0.07),
    "coupe": CarForm(-0.45, -0.19, 0.0, 0.19, 0.665, 0.52, 0.64, 0.16, 0.34, cabin_taper=0.74, pillar=0.22),
    "van": CarForm(-0.492, -0.48, 0.27, 0.42, 0.5, 0.42, 0.5, 0.24, 0.35, 0.32, -0.29, 0.9, 0.03, panel=True),
    "minibus": CarForm(-0.49, -0.46, 0.36, 0.47, 0.53, 0.46, 0.5, 0.22, 0.33, 0.31, -0.3, 0.88, 0.04),
    "pickup": CarForm(-0.13, -0.09, 0.06, 0.24, 0.6, 0.5, 0.57, 0.3, 0.4, 0.31, -0.31, 0.84, 0.06),
}


def build_car(form: CarForm, size_m: tuple[float, float, float]) -> Shape:
    """Return a car of this form and outer size (length, width, height)."""
    length, width, _ = size_m
    body = Mesh()
    hull = Mesh()
    _hull(hull, form, size_m)
    _cabin(hull, form, size_m)
    body.put(smooth_normals(hull.build(), CREASE_DEG))
    _front_and_tail(body, form, size_m)
    _details(body, form, size_m)
    for axle in (form.front_axle, form.rear_axle):
        for side in (1, -1):
            _arch(body, form, (axle * length, side * 0.5 * width), side)
    return with_wheels(
        body.build(),
        size_m,
        radius_m=form.wheel_radius_m,
        front_x=form.front_axle * length,
        rear_x=form.rear_axle * length,
        tag=form.tag,
    )


def with_wheels(
    body: MeshArrays,
    size_m: tuple[float, float, float],
    *,
    radius_m: float,
    front_x: float,
    rear_x: float,
    tag: int,
    tyre_m: float = 0.2,
) -> Shape:
    """Return a shape of a body, two steered front wheels and a rear axle."""
    length, width, height = size_m
    offset = 0.5 * width - 0.5 * tyre_m + 0.015
    left = wheel(radius_m, tyre_m, tag, faces=(1,))
    right = wheel(radius_m, tyre_m, tag, faces=(-1,))
    axle = Mesh()
    axle.put(left.moved(np.eye(3), (0.0, offset, 0.0)))
    axle.put(right.moved(np.eye(3), (0.0, -offset, 0.0)))

    rest = standing([(0, 0, 0), (front_x, offset, radius_m), (front_x, -offset, radius_m), (rear_x, 0, radius_m)])

    def part_poses(motion: Motion) -> NDArray[np.float64]:
        poses = rest.copy()
        poses[1:3, :, :3] = steered_and_rolled(motion.steer_rad, motion.roll_rad)
        poses[3, :, :3] = pitched(motion.roll_rad)
        return poses

    return Shape(
        parts=(body, left, right, axle.build()),
        part_poses=part_poses,
        half_extents_m=(0.5 * length, 0.5 * width, 0.5 * height),
        contact_m=(0.47 * length, 0.46 * width),
        contact_strength=0.82,
        wheel_radius_m=radius_m,
    )


def wheel(radius_m: float, tyre_m: float, tag: int, faces: tuple[int, ...]) -> MeshArrays:
    """Return a wheel around y with its face (spokes) on the given sides: +1 left, -1 right."""
    mesh = Mesh()
    half = 0.5 * tyre_m
    mesh.tube((0, half, 0), (0, -half, 0), radius_m, radius_m, 16, "tyre", tag)
    for side in faces:
        mesh.disc((0, side * half, 0), (0, side, 0), radius_m, 16, "wheel", tag)
        mesh.disc((0, -side * half, 0), (0, -side, 0), radius_m, 10, "dark", tag)
    return mesh.build()


def _hull(mesh: Mesh, form: CarForm, size_m: tuple[float, float, float]) -> None:
    """Loft the lower body: sill, sides, shoulders, bonnet and boot."""
    length, width, height = size_m
    station = np.array([-0.5, -0.492, -0.47, -0.42, -0.33, -0.2, 0.0, 0.14, 0.25, 0.34, 0.42, 0.468, 0.492, 0.5])
    plan = np.array([0.80, 0.88, 0.945, 0.985, 1.0, 1.0, 1.0, 1.0, 1.0, 0.99, 0.96, 0.90, 0.83, 0.74])
    # Hatchbacks and vans keep the belt's height to the tail; others step down to the boot lid.
    if form.rear_glass < -0.44:
        knots = [(-0.5, form.tail - 0.06), (-0.485, form.belt)]
    else:
        deck = form.rear_glass
        knots = [
            (-0.5, form.tail - 0.09),
            (-0.485, form.tail),
            (deck - 0.02, form.tail + 0.012),
            (deck + 0.08, form.belt),
        ]
    knots += [(form.windscreen, form.belt - 0.01), (max(0.43, form.windscreen + 0.03), form.nose + 0.03)]
    knots += [(0.487, form.nose), (0.5, form.nose - 0.05)]
    shoulder = np.interp(station, [x for x, _ in knots], [z for _, z in knots])
    bottom = np.interp(station, [-0.5, -0.47, -0.4, 0.4, 0.47, 0.5], [0.12, 0.04, 0.0, 0.0, 0.04, 0.12])
    sections = []
    for x, share, top, rise in zip(station, plan, shoulder, bottom, strict=True):
        half, z0, z1 = 0.5 * width * share, form.clearance_m + rise, top * height
        middle = z0 + 0.45 * (z1 - z0)
        crown = 0.035 if abs(x) < 0.49 else 0.01
        side = [
            (0.88 * half, z0),
            (0.975 * half, z0 + 0.1),
            (half, middle),
            (0.985 * half, z1 - 0.12),
            (0.955 * half, z1 - 0.04),
            (0.88 * half, z1),
            (0.45 * half, z1 + 0.8 * crown),
        ]
        ring = [(-y, z) for y, z in side] + [(0.0, z1 + crown)] + [(y, z) for y, z in reversed(side)]
        sections.append([(x * length, y, z) for y, z in ring])
    loft(mesh, np.array(sections), "paint", form.tag)


def loft(mesh: Mesh, sections: NDArray, material: str, tag: int) -> None:
    """Add a skin through (stations, points, 3), stations from tail to nose, points from right over the top to left.

    Both ends are closed with flat fans.
    """
    count, points = sections.shape[:2]
    for i in range(count - 1):
        for j in range(points - 1):
            mesh.quad(sections[i, j], sections[i + 1, j], sections[i + 1, j + 1], sections[i, j + 1], material, tag)
    for end in (0, count - 1):
        fan = np.concatenate([sections[end].mean(0, keepdims=True), sections[end]])
        order = [(0, 1 + k, 1 + (k + 1) % points) for k in range(points)]
        triangle = order if end == 0 else [(a, c, b) for a, b, c in order]
        mesh.add(fan, triangle, material, tag, normal=(-1.0 if end == 0 else 1.0, 0.0, 0.0))


def _cabin(mesh: Mesh, form: CarForm, size_m: tuple[float, float, float]) -> None:
    """Add windows, pillars and roof on top of the hull."""
    length, width, height = size_m
    belt_z, roof_z = form.belt * height, height - 0.045
    belt_y, roof_y = 0.885 * 0.5 * width, form.cabin_taper * 0.5 * width
    x_rear, x_front = form.rear_glass * length, form.windscreen * length
    top_rear, top_front = form.roof_rear * length, form.roof_front * length
    breaks = [(0.0, form.pillar, "paint"), (form.pillar, 0.48, "glass"), (0.48, 0.535, "dark"), (0.535, 0.93, "glass")]
    if form.panel:
        breaks = [(0.0, 0.35, "paint"), (0.35, 0.7, "paint"), (0.7, 0.94, "glass")]
    breaks.append((breaks[-1][1], 1.0, "paint"))
    for side in (1, -1):
        low = ((x_rear, side * belt_y, belt_z - 0.03), (x_front, side * belt_y, belt_z - 0.03))
        high = ((top_rear, side * roof_y, roof_z), (top_front, side * roof_y, roof_z))
        for k0, k1, material in breaks:
            for h0, h1, look in ((0.0, GLASS_SHARE, material), (GLASS_SHARE, 1.0, "paint")):
                a, b = (_on_panel(low, high, k, h0) for k in (k0, k1))
                d, c = (_on_panel(low, high, k, h1) for k in (k0, k1))
                mesh.quad(*((b, a, d, c) if side > 0 else (a, b, c, d)), look, form.tag)
    rear = "paint" if form.panel else "glass"
    for x_low, x_high, bulge, material in ((x_front, top_front, 0.1, "glass"), (x_rear, top_rear, -0.06, rear)):
        for h0, h1, look in ((0.0, GLASS_SHARE + 0.04, material), (GLASS_SHARE + 0.04, 1.0, "paint")):
            for k in range(4):
                corner = []
                for u, h in ((k, h0), (k + 1, h0), (k + 1, h1), (k, h1)):
                    across = u / 2.0 - 1.0
                    bow = bulge * (1.0 - across**2) * (1.0 - 0.4 * h)
                    y = across * (belt_y + (roof_y - belt_y) * h)
                    z = belt_z - 0.03 + (roof_z - belt_z + 0.03) * h + 0.2 * abs(bow)
                    corner.append((x_low + (x_high - x_low) * h + bow, y, z))
                a, b, c, d = corner if bulge > 0 else (corner[1], corner[0], corner[3], corner[2])
                mesh.quad(a, b, c, d, look, form.tag)
    _roof(mesh, form, (top_rear, top_front), roof_y, roof_z)


def _on_panel(
    low: tuple[tuple[float, float, float], ...], high: tuple[tuple[float, float, float], ...], k: float, h: float
) -> tuple[float, ...]:
    """Return the point at share k from rear to front and h from belt to roof of a cabin's side."""
    foot = [a + (b - a) * k for a, b in zip(*low, strict=True)]
    head = [a + (b - a) * k for a, b in zip(*high, strict=True)]
    return tuple(a + (b - a) * h for a, b in zip(foot, head, strict=True))


def _roof(mesh: Mesh, form: CarForm, span_x: tuple[float, float], half_y: float, z: float) -> None:
    """Add a slightly domed roof."""
    rows, columns = 5, 5
    along, across = np.linspace(0, 1, rows), np.linspace(-1, 1, columns)
    point = np.empty((rows, columns, 3))
    bow = 1 - across[None, :] ** 2
    edge = np.sin(np.pi * along)[:, None]
    x_bow = 0.06 * (along[:, None] - 0.35) * bow
    point[..., 0] = span_x[0] + (span_x[1] - span_x[0]) * along[:, None] + x_bow
    point[..., 1] = half_y * across
    point[..., 2] = z + 0.045 * np.clip(0.45 * bow + 0.55 * edge * (0.4 + 0.6 * bow), 0, 1)
    for i in range(rows - 1):
        for j in range(columns - 1):
            mesh.quad(point[i, j], point[i + 1, j], point[i + 1, j + 1], point[i, j + 1], "paint", form.tag)


def _front_and_tail(mesh: Mesh, form: CarForm, size_m: tuple[float, float, float]) -> None:
    """Add lamps, grille, bumpers' dark parts and number plates."""
    length, width, height = size_m
    nose, tail = 0.5 * length + 0.012, -0.5 * length - 0.012
    lamp_z = form.nose * height - 0.16
    half = 0.5 * width
    for side in (1, -1):
        outer, inner = side * 0.72 * half, side * 0.40 * half
        y0, y1 = sorted((inner, outer))
        _patch(mesh, nose, (y0, y1), (lamp_z - 0.06, lamp_z + 0.05), "headlamp", form.tag)
        swept = ((nose, outer), (nose - 0.07, side * 0.885 * half))
        a, b = swept if side > 0 else swept[::-1]
        z0, z1 = lamp_z - 0.05, lamp_z + 0.055
        mesh.quad((*a, z0), (*b, z0), (*b, z1), (*a, z1), "headlamp", form.tag)
        indicator = "indicator_left" if side > 0 else "indicator_right"
        y0, y1 = sorted((side * 0.64 * half, side * 0.76 * half))
        _patch(mesh, nose + 0.004, (y0, y1), (lamp_z - 0.055, lamp_z - 0.015), indicator, form.tag)
        z = form.tail * height - 0.24
        for inner_y, outer_y, low, high, lamp in (
            (0.46, 0.80, z + 0.045, z + 0.13, "tail_lamp"),
            (0.62, 0.80, z, z + 0.045, indicator),
            (0.46, 0.62, z, z + 0.045, "reverse_lamp"),
        ):
            y0, y1 = sorted((side * inner_y * half, side * outer_y * half))
            _patch(mesh, tail, (y0, y1), (low, high), lamp, form.tag)
    _patch(mesh, nose, (-0.34 * half, 0.34 * half), (lamp_z - 0.05, lamp_z + 0.03), "dark", form.tag)
    _patch(mesh, nose, (-0.6 * half, 0.6 * half), (form.clearance_m + 0.13, form.clearance_m + 0.24), "dark", form.tag)
    _patch(mesh, nose + 0.012, (-0.26, 0.26), (form.clearance_m + 0.2, form.clearance_m + 0.31), "plate", form.tag)
    _patch(mesh, tail, (-0.7 * half, 0.7 * half), (form.clearance_m + 0.12, form.clearance_m + 0.25), "dark", form.tag)
    plate_z = form.tail * height - 0.27
    _patch(mesh, tail - 0.012, (-0.26, 0.26), (plate_z, plate_z + 0.11), "plate", form.tag)


def _patch(mesh: Mesh, x: float, across: tuple[float, float], up: tuple[float, float], material: str, tag: int) -> None:
    """Add an upright rectangle that looks along +x or -x, away from the middle."""
    (y0, y1), (z0, z1) = across, up
    if x > 0:
        mesh.quad((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1), material, tag)
    else:
        mesh.quad((x, y1, z0), (x, y0, z0), (x, y0, z1), (x, y1, z1), material, tag)


def _details(mesh: Mesh, form: CarForm, size_m: tuple[float, float, float]) -> None:
    """Add underbody, mirrors, sills, handles and door gaps."""
    length, width, height = size_m
    half = 0.5 * width
    low, high = (
        (-0.47 * length, -0.86 * half, form.clearance_m - 0.05),
        (0.47 * length, 0.86 * half, form.clearance_m + 0.05),
    )
    mesh.box(low, high, "dark", form.tag, faces="wtb")
    belt = form.belt * height
    x_mirror = form.windscreen * length - 0.34
    for side in (1, -1):
        y0, y1 = sorted((side * 0.86 * half, side * half))
        mesh.box((x_mirror - 0.08, y0, belt), (x_mirror + 0.06, y1, belt + 0.13), "paint", form.tag, faces="wtb")
        y = side * (half + 0.003)
        for x in (0.2, 0.19, -0.04, -0.05) if not form.panel else (0.24, 0.23):
            door = (x * length, x * length - 0.012)
            _side_patch(mesh, door, y, (form.clearance_m + 0.2, belt - 0.14), side, form.tag)
        for x in (-0.02, -0.2) if not form.panel else (0.14,):
            _side_patch(mesh, (x * length, x * length - 0.16), y, (belt - 0.19, belt - 0.16), side, form.tag)
        _side_patch(
            mesh, (0.22 * length, -0.22 * length), y, (form.clearance_m + 0.03, form.clearance_m + 0.12), side, form.tag
        )


def _side_patch(mesh: Mesh, along: tuple[float, float], y: float, up: tuple[float, float], side: int, tag: int) -> None:
    x1, x0 = along
    z0, z1 = up
    if side > 0:
        mesh.quad((x1, y, z0), (x0, y, z0), (x0, y, z1), (x1, y, z1), "dark", tag)
    else:
        mesh.quad((x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1), "dark", tag)


def _arch(mesh: Mesh, form: CarForm, at: tuple[float, float], side: int) -> None:
    """Add the dark of a wheel arch: a half disc just outside the hull."""
    x, y = at
    reach, z = form.wheel_radius_m + 0.075, form.wheel_radius_m
    turn = np.linspace(-0.25, np.pi + 0.25, 15)
    rim = np.stack([x + reach * np.cos(turn), np.full(15, y + side * 0.006), z + reach * np.sin(turn)], 1)
    fan = np.concatenate([[(x, y + side * 0.006, z - 0.05)], rim])
    order = [(0, k + 2, k + 1) if side > 0 else (0, k + 1, k + 2) for k in range(14)]
    mesh.add(fan, order, "dark", form.tag, normal=(0.0, float(side), 0.0))


def truck_form(form: CarForm) -> CarForm:
    """Return the same form tagged as a truck."""
    return replace(form, tag=tags.TRUCK)
