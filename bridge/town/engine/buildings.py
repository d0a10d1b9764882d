"""Houses along the streets, built in lot coordinates: x along the frontage, y away from the street, z up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import tags
from bridge.town.engine.mesh import Mesh, MeshArrays
from bridge.town.lots import BUILDING_DEPTH_M, FLOOR_M, GROUND_FLOOR_M, HOUSE_FRONT_M, Lot, frontage_scale
from bridge.town.plots import Backdrop
from bridge.town.roads import KERB_HEIGHT_M

BAY_M = 2.6
STAIR_HOUSE_M = 4.5  # the narrowest building with one on its flat roof
STYLES_WITH_PITCHED_ROOF = (0, 1, 7)
STYLES_WITH_BALCONIES = (2, 4, 6)
HOUSE_FRONTS = {0: "house0", 1: "house1", 2: "house2", 7: "house3"}


@dataclass(frozen=True)
class House:
    """The measures of one building; `opens`: whether its sides at x = 0 and at its width can be seen."""

    width_m: float
    depth_m: float
    floors: int
    style: int
    curved: bool = False
    opens: tuple[bool, bool] = (False, False)
    is_home: bool = False

    @property
    def eaves_m(self) -> float:
        """The height of the eaves above the sidewalk."""
        return GROUND_FLOOR_M + self.floors * FLOOR_M

    @property
    def bays(self) -> int:
        """The number of window bays of the front."""
        return max(2, round(self.width_m / BAY_M))


def build_house(house: House, seed: int) -> MeshArrays:
    """Return a building whose front stands on y = 0, between x = 0 and its width."""
    rng = np.random.default_rng(seed)
    mesh = Mesh()
    tint = np.clip((0.88 + 0.18 * rng.random()) * (1 + 0.05 * rng.normal(size=3)), 0.6, 1.15)
    _facade_walls(mesh, house, tint, int(rng.integers(2)))
    front = _ground_floor(mesh, house, tint, rng)
    _cornices(mesh, house, tint)
    if house.style in STYLES_WITH_PITCHED_ROOF and not house.curved:
        _pitched_roof(mesh, house, rng)
    else:
        _flat_roof(mesh, house, tint, rng)
    if house.style in STYLES_WITH_BALCONIES and house.floors >= 2 and not house.curved:
        _balconies(mesh, house, rng)
    if front == "shop" and not house.curved:
        _awnings(mesh, house, rng)
    _drainpipe(mesh, house, rng)
    return mesh.build()


def place_on_lot(mesh: MeshArrays, lot: Lot) -> MeshArrays:
    """Return a mesh of lot coordinates in the world, bent along the frontage where the road bends."""
    road, scale = lot.road, frontage_scale(lot.road, lot.side)
    frontage = road.profile.frontage_m(lot.side)
    along, away = mesh.position[:, 0].astype(float), mesh.position[:, 1].astype(float)
    s = lot.s0_m + along / scale if lot.side > 0 else lot.s1_m - along / scale
    x, y, heading = road.sample(s, lot.side * (frontage + away))
    if lot.side < 0:
        heading = heading + np.pi
    cos_h, sin_h = np.cos(heading), np.sin(heading)
    nx, ny = mesh.normal[:, 0], mesh.normal[:, 1]
    normal = np.stack([cos_h * nx - sin_h * ny, sin_h * nx + cos_h * ny, mesh.normal[:, 2]], 1)
    position = np.stack([x, y, mesh.position[:, 2] + KERB_HEIGHT_M], 1)
    return MeshArrays(
        position.astype(np.float32),
        mesh.uv,
        normal.astype(np.float32),
        mesh.colour,
        mesh.triangle,
        mesh.material,
        mesh.tag,
    )


def _facade_walls(mesh: Mesh, house: House, tint: NDArray, phase: int) -> None:
    """Upper floors: windowed front and back in strips of two bays, plain party walls at the sides."""
    width, depth, bays = house.width_m, house.depth_m, house.bays
    strips = bays if house.curved else max(1, -(-bays // 2))
    corners = (((0.0, 0.0), (width, 0.0)), ((width, depth), (0.0, depth)))
    sides = (((width, 0.0), (width, depth)), ((0.0, depth), (0.0, 0.0)))
    for floor in range(0, house.floors, 2):
        count = min(2, house.floors - floor)
        z0 = GROUND_FLOOR_M + floor * FLOOR_M
        z1 = z0 + count * FLOOR_M
        for start, end in corners:
            for strip in range(strips):
                u0, u1 = strip / strips, (strip + 1) / strips
                a, b = _between(start, end, u0), _between(start, end, u1)
                left, right = (u0 * bays + phase) / 2, (u1 * bays + phase) / 2
                uv = ((left, 0.0), (right, 0.0), (right, -count / 2), (left, -count / 2))
                _wall(mesh, a, b, z0, z1, f"facade{house.style}", uv, tint)
        for (start, end), is_open in zip(sides, house.opens[::-1], strict=True):
            if is_open:
                _side_windows(mesh, house, start, end, (z0, z1, count), tint)
                continue
            uv = ((0.0, 0.0), (depth / 3, 0.0), (depth / 3, -count * FLOOR_M / 3), (0.0, -count * FLOOR_M / 3))
            _wall(mesh, start, end, z0, z1, f"wall{house.style}", uv, tint)
    for start, end in (
        corners[1],
        *(side for side, is_open in zip(sides, house.opens[::-1], strict=True) if not is_open),
    ):
        length = float(np.hypot(end[0] - start[0], end[1] - start[1])) / 3
        uv = ((0.0, GROUND_FLOOR_M / 3), (length, GROUND_FLOOR_M / 3), (length, 0.0), (0.0, 0.0))
        _wall(mesh, start, end, 0.0, GROUND_FLOOR_M, f"wall{house.style}", uv, tint)


def _side_windows(
    mesh: Mesh,
    house: House,
    start: tuple[float, float],
    end: tuple[float, float],
    storey: tuple[float, float, int],
    tint: NDArray,
) -> None:
    """Window a side that can be seen: one pair of storeys, and with the lowest the ground floor below it."""
    z0, z1, count = storey
    bays = max(1, round(house.depth_m / BAY_M))
    strips = max(1, -(-bays // 2))
    for strip in range(strips):
        a, b = _between(start, end, strip / strips), _between(start, end, (strip + 1) / strips)
        left, right = strip / strips * bays / 2, (strip + 1) / strips * bays / 2
        uv = ((left, 0.0), (right, 0.0), (right, -count / 2), (left, -count / 2))
        _wall(mesh, a, b, z0, z1, f"facade{house.style}", uv, tint)
        if z0 == GROUND_FLOOR_M:
            uv = ((left, 0.0), (right, 0.0), (right, -0.5), (left, -0.5))
            _wall(mesh, a, b, 0.0, z0, f"facade{house.style}", uv, tint)


def _wall(
    mesh: Mesh,
    a: tuple[float, float],
    b: tuple[float, float],
    z0: float,
    z1: float,
    material: str,
    uv: tuple[tuple[float, float], ...],
    tint: NDArray,
) -> None:
    mesh.quad((*a, z0), (*b, z0), (*b, z1), (*a, z1), material, tags.BUILDING, uv=uv, colour=tint.tolist())


def _between(a: tuple[float, float], b: tuple[float, float], u: float) -> tuple[float, float]:
    return (a[0] + (b[0] - a[0]) * u, a[1] + (b[1] - a[1]) * u)


def _ground_floor(mesh: Mesh, house: House, tint: NDArray, rng: np.random.Generator) -> str:
    """Add shop fronts, house fronts or an office's glazing; return which."""
    if house.is_home:
        kind, bay_m, tile = "house", HOUSE_FRONT_M, HOUSE_FRONTS[house.style]
    elif house.style == 5 or (house.style == 3 and rng.random() < 0.4):
        kind, bay_m, tile = "office", 4.2, "office"
    elif house.style in HOUSE_FRONTS and rng.random() < 0.45:
        kind, bay_m, tile = "house", HOUSE_FRONT_M, HOUSE_FRONTS[house.style]
    else:
        kind, bay_m, tile = "shop", 5.6, ""
    count = max(1, round(house.width_m / bay_m))
    pieces = 2 if house.curved else 1
    shop = int(rng.integers(8))
    for bay in range(count):
        if kind == "shop":
            shop = (shop + int(rng.integers(1, 7))) % 8
            tile = f"shop{shop}"
        for piece in range(pieces):
            u0, u1 = piece / pieces, (piece + 1) / pieces
            x0, x1 = (house.width_m * (bay + u) / count for u in (u0, u1))
            colour = tint if kind == "house" else np.ones(3)
            uv = ((u0, 1.0), (u1, 1.0), (u1, 0.0), (u0, 0.0))
            _wall(mesh, (x0, 0.0), (x1, 0.0), 0.0, GROUND_FLOOR_M, tile, uv, colour)
    if kind != "house":
        for edge in range(count + 1):
            x = house.width_m * edge / count
            low, high = (x - 0.2, -0.12, 0.0), (x + 0.2, 0.05, GROUND_FLOOR_M)
            mesh.box(low, high, "stone", tags.BUILDING, colour=tint.tolist(), tiles_per_m=0.3, faces="w")
    return kind


def _cornices(mesh: Mesh, house: House, tint: NDArray) -> None:
    """Add the string course over the ground floor, in pieces that follow a bend."""
    pieces = house.bays if house.curved else 1
    edges = np.linspace(-0.08, house.width_m + 0.08, pieces + 1)
    for x0, x1 in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        low, high = (x0, -0.3, GROUND_FLOOR_M - 0.12), (x1, 0.0, GROUND_FLOOR_M + 0.12)
        mesh.box(low, high, "stone", tags.BUILDING, tiles_per_m=0.3, faces="wtb", colour=(0.92 * tint).tolist())


def _flat_roof(mesh: Mesh, house: House, tint: NDArray, rng: np.random.Generator) -> None:
    """Add a parapet with a cornice, the roof behind it and sometimes a stair house."""
    width, depth, h = house.width_m, house.depth_m, house.eaves_m
    pieces = house.bays if house.curved else 1
    edges = np.linspace(-0.12, width + 0.12, pieces + 1)
    colour = (0.95 * tint).tolist()
    for x0, x1 in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        mesh.box(
            (x0, -0.4, h), (x1, 0.1, h + 0.25), "stone", tags.BUILDING, colour=colour, tiles_per_m=0.3, faces="wtb"
        )
        mesh.box((x0, -0.1, h + 0.25), (x1, 0.15, h + 0.95), f"wall{house.style}", tags.BUILDING, tiles_per_m=0.33)
        roof = ((x0, 0.1, h + 0.3), (x1, 0.1, h + 0.3), (x1, depth, h + 0.3), (x0, depth, h + 0.3))
        uv = ((x0 / 4, depth / 4), (x1 / 4, depth / 4), (x1 / 4, 0.0), (x0 / 4, 0.0))
        mesh.quad(*roof, "roof", tags.BUILDING, uv=uv)
    if rng.random() < 0.5 and width >= STAIR_HOUSE_M:
        x = float(rng.uniform(1.0, width - 3.5))
        low, high = (x, depth * 0.4, h + 0.3), (x + 2.2, depth * 0.4 + 2.4, h + 2.6)
        mesh.box(low, high, f"wall{house.style}", tags.BUILDING, tiles_per_m=0.3)


def _pitched_roof(mesh: Mesh, house: House, rng: np.random.Generator) -> None:
    """Add two slopes, gables, one or two chimneys and dormers."""
    width, depth, h = house.width_m, house.depth_m, house.eaves_m
    ridge_y, ridge_z = 0.5 * depth, h + 0.36 * depth
    material = "tiles" if rng.random() < 0.4 else "slate"
    slope = float(np.hypot(ridge_y + 0.35, ridge_z - h)) / 3.0
    uv = ((0.0, slope), (width / 3, slope), (width / 3, 0.0), (0.0, 0.0))
    eave = h - 0.02
    front = ((-0.1, -0.4, eave), (width + 0.1, -0.4, eave), (width + 0.1, ridge_y, ridge_z), (-0.1, ridge_y, ridge_z))
    back_y = depth + 0.4
    back = (
        (width + 0.1, back_y, eave),
        (-0.1, back_y, eave),
        (-0.1, ridge_y, ridge_z),
        (width + 0.1, ridge_y, ridge_z),
    )
    for face in (front, back):
        mesh.quad(*face, material, tags.BUILDING, uv=uv)
    mesh.box((-0.1, -0.42, h - 0.2), (width + 0.1, -0.3, h - 0.02), "stone", tags.BUILDING, faces="wb")
    for x, order in ((0.0, (0, 2, 1)), (width, (0, 1, 2))):
        gable = np.array([(x, 0.0, h), (x, depth, h), (x, ridge_y, ridge_z)])
        uv3 = ((0.0, 0.0), (depth / 3, 0.0), (depth / 6, -0.36 * depth / 3))
        mesh.add(gable, [order], f"wall{house.style}", tags.BUILDING, uv=uv3)
    for x in (0.35, width - 1.25):
        if rng.random() < 0.75:
            low, high = (x, ridge_y - 0.35, ridge_z - 0.8), (x + 0.9, ridge_y + 0.35, ridge_z + 1.3)
            mesh.box(low, high, f"wall{house.style}", tags.BUILDING, tiles_per_m=0.33)
            for pot in (x + 0.25, x + 0.65):
                top = (pot, ridge_y, ridge_z + 1.8)
                mesh.tube((pot, ridge_y, ridge_z + 1.3), top, 0.13, 0.1, 6, "tiles", tags.BUILDING)
    for x in np.arange(2.0, width - 2.4, 4.2):
        if rng.random() < 0.5:
            _dormer(mesh, house, float(x), h + 0.55)


def _dormer(mesh: Mesh, house: House, x: float, z: float) -> None:
    y0, y1 = 0.7, 3.6
    mesh.box((x, y0, z), (x + 1.5, y1, z + 1.35), "slate", tags.BUILDING, tiles_per_m=0.4)
    uv = ((0.03, 0.42), (0.47, 0.42), (0.47, 0.04), (0.03, 0.04))
    y = y0 - 0.02
    pane = ((x, y, z), (x + 1.5, y, z), (x + 1.5, y, z + 1.35), (x, y, z + 1.35))
    mesh.quad(*pane, f"facade{house.style}", tags.BUILDING, uv=uv)


def _balconies(mesh: Mesh, house: House, rng: np.random.Generator) -> None:
    """Add slabs with iron railings in front of some windows."""
    step = int(rng.integers(2, 4))
    for floor in range(house.floors):
        for bay in range(1, house.bays - 1, step):
            if rng.random() < 0.3:
                continue
            x, z = (bay + 0.5) * house.width_m / house.bays, GROUND_FLOOR_M + floor * FLOOR_M + 0.15
            x0, x1 = x - 1.1, x + 1.1
            mesh.box((x0, -0.9, z), (x1, 0.0, z + 0.14), "stone", tags.BUILDING, tiles_per_m=0.3, faces="wtb")
            z0, z1 = z + 0.14, z + 1.1
            for a, b in (((x0, -0.88), (x1, -0.88)), ((x0, 0.0), (x0, -0.88)), ((x1, -0.88), (x1, 0.0))):
                span = float(np.hypot(b[0] - a[0], b[1] - a[1])) / 2.0
                uv = ((0.0, 0.92), (span, 0.92), (span, 0.06), (0.0, 0.06))
                mesh.quad((*a, z0), (*b, z0), (*b, z1), (*a, z1), "railings", tags.BUILDING, uv=uv)


def _awnings(mesh: Mesh, house: House, rng: np.random.Generator) -> None:
    """Add sun blinds and hanging signs to some shops."""
    count = max(1, round(house.width_m / 5.6))
    for bay in range(count):
        x0, x1 = house.width_m * bay / count + 0.4, house.width_m * (bay + 1) / count - 0.4
        if rng.random() < 0.3:
            cloth = _cloth_colour(rng)
            low, high, reach = 2.55, 3.05, -1.25
            top = ((x0, reach, low), (x1, reach, low), (x1, -0.02, high), (x0, -0.02, high))
            mesh.quad(*top, "cloth", tags.BUILDING, colour=cloth)
            under = ((x1, reach, low), (x0, reach, low), (x0, -0.02, high - 0.01), (x1, -0.02, high - 0.01))
            mesh.quad(*under, "cloth", tags.BUILDING, colour=[0.5 * c for c in cloth])
            valance = ((x0, reach, low - 0.22), (x1, reach, low - 0.22), (x1, reach, low), (x0, reach, low))
            mesh.quad(*valance, "cloth", tags.BUILDING, colour=[0.85 * c for c in cloth])
        if rng.random() < 0.35:
            colour = _cloth_colour(rng)
            mesh.box((x1 - 0.05, -0.95, 3.0), (x1, -0.2, 3.6), "cloth", tags.BUILDING, colour=colour, faces="wtb")


def _cloth_colour(rng: np.random.Generator) -> list[float]:
    """Return a muted colour (linear) for blinds and hanging signs."""
    colours = ((0.30, 0.04, 0.04), (0.03, 0.14, 0.09), (0.05, 0.09, 0.22), (0.45, 0.38, 0.24), (0.12, 0.12, 0.13))
    return [c * float(rng.uniform(0.8, 1.25)) for c in colours[int(rng.integers(len(colours)))]]


def _drainpipe(mesh: Mesh, house: House, rng: np.random.Generator) -> None:
    if rng.random() < 0.6:
        x = 0.25 if rng.random() < 0.5 else house.width_m - 0.25
        foot, head = (x, -0.07, GROUND_FLOOR_M), (x, -0.07, house.eaves_m)
        mesh.tube(foot, head, 0.06, 0.06, 5, "dark", tags.BUILDING)


def build_backdrop(backdrop: Backdrop) -> MeshArrays:
    """Return a plain block for the skyline, centred on its own origin."""
    mesh = Mesh()
    rng = np.random.default_rng(backdrop.seed)
    width, depth = 2.0 * backdrop.place.half_x_m, 2.0 * backdrop.place.half_y_m
    floors = 2 * backdrop.floors
    style = int(rng.choice([2, 3, 4, 5, 6]))
    height = floors * FLOOR_M
    corners = [(-width / 2, -depth / 2), (width / 2, -depth / 2), (width / 2, depth / 2), (-width / 2, depth / 2)]
    tint = np.full(3, 0.8 + 0.25 * rng.random())
    for index, a in enumerate(corners):
        b = corners[(index + 1) % 4]
        bays = round(float(np.hypot(b[0] - a[0], b[1] - a[1])) / BAY_M) / 2
        uv = ((0.0, 0.0), (bays, 0.0), (bays, -floors / 2), (0.0, -floors / 2))
        _wall(mesh, a, b, 0.0, height, f"facade{style}", uv, tint)
    a, b, c, d = ((*corner, height) for corner in corners)
    mesh.quad(a, b, c, d, "roof", tags.BUILDING, uv=((0.0, 5.0), (5.0, 5.0), (5.0, 0.0), (0.0, 0.0)))
    low, high = (-2.0, -2.0, height), (2.5, 2.0, height + 2.8)
    mesh.box(low, high, "wall3", tags.BUILDING, tiles_per_m=0.3)
    return mesh.build()


def lot_house(lot: Lot) -> MeshArrays:
    """Return the building of a lot, in the world."""
    at_s0, at_s1 = lot.opens
    opens = (at_s0, at_s1) if lot.side > 0 else (at_s1, at_s0)
    house = House(lot.width_m, BUILDING_DEPTH_M, lot.floors, lot.style, not lot.road.is_straight, opens)
    return place_on_lot(build_house(house, lot.seed), lot)
