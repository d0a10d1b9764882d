"""Street furniture: lamps, traffic lights, signs, benches, bins, bollards, post boxes, planters, fences."""

from __future__ import annotations

from bridge.town.engine import tags
from bridge.town.engine.mesh import Mesh, MeshArrays
from bridge.town.engine.trees import grow_bush

_GREY = (0.5, 0.5, 0.52)
LAMP_NAMES = ("red", "yellow", "green")
# The two heads of a traffic light: beside the kerb and over the lane, as (y, height of the lowest edge).
HEADS_M = ((0.0, 2.5), (4.4, 4.9))


def street_lamp() -> MeshArrays:
    """Return a lamp whose arm reaches to -x (over the road)."""
    mesh = Mesh()
    mesh.tube((0, 0, 0), (0, 0, 0.8), 0.11, 0.09, 8, "metal", tags.POLE, colour=_GREY)
    mesh.tube((0, 0, 0.8), (0, 0, 7.6), 0.075, 0.05, 8, "metal", tags.POLE, colour=_GREY)
    mesh.tube((0, 0, 7.5), (-1.8, 0, 7.95), 0.045, 0.04, 6, "metal", tags.POLE, colour=_GREY)
    mesh.box((-2.4, -0.16, 7.86), (-1.7, 0.16, 8.0), "dark", tags.POLE, faces="wtb")
    return mesh.build()


def traffic_light_post() -> MeshArrays:
    """Return pole, arm and housings; traffic comes from -x, the arm reaches to +y (left, over the lane)."""
    mesh = Mesh()
    dark = (0.35, 0.35, 0.36)
    mesh.tube((0, 0, 0), (0, 0, 5.5), 0.075, 0.06, 8, "metal", tags.POLE, colour=dark)
    mesh.tube((0, 0, 5.4), (0, 4.5, 5.65), 0.05, 0.04, 6, "metal", tags.POLE, colour=dark)
    for y, z in HEADS_M:
        mesh.box((-0.18, y - 0.17, z), (0.08, y + 0.17, z + 1.0), "dark", tags.TRAFFIC_LIGHT, faces="wtb")
        back = 0.02
        plate = (
            (back, y + 0.3, z - 0.12),
            (back, y - 0.3, z - 0.12),
            (back, y - 0.3, z + 1.12),
            (back, y + 0.3, z + 1.12),
        )
        mesh.quad(*plate, "dark", tags.TRAFFIC_LIGHT)
        mesh.quad(plate[1], plate[0], plate[3], plate[2], "dark", tags.TRAFFIC_LIGHT)
    return mesh.build()


def traffic_light_lenses(lamp: str) -> MeshArrays:
    """Return both heads' lenses of one colour ("red", "yellow" or "green"), for the post's frame."""
    mesh = Mesh()
    row = 2 - LAMP_NAMES.index(lamp)
    for y, z in HEADS_M:
        centre = (-0.19, y, z + 0.2 + 0.3 * row)
        mesh.disc(centre, (-1, 0, 0), 0.115, 12, f"lens_{lamp}", tags.TRAFFIC_LIGHT)
        hood = (-0.36, y, z + 0.26 + 0.3 * row)
        mesh.tube((-0.18, y, z + 0.26 + 0.3 * row), hood, 0.13, 0.1, 8, "dark", tags.TRAFFIC_LIGHT)
    return mesh.build()


def sign(face: str) -> MeshArrays:
    """Return a sign on a post that faces -x; `face` is the name of its material."""
    mesh = Mesh()
    mesh.tube((0, 0, 0), (0, 0, 2.9), 0.035, 0.035, 6, "metal", tags.POLE)
    half, z, x = 0.36, 2.55, -0.05
    corners = ((x, half, z - half), (x, -half, z - half), (x, -half, z + half), (x, half, z + half))
    mesh.quad(*corners, face, tags.TRAFFIC_SIGN)
    x = -0.04
    if face == "sign_yield":
        back = ((x, 0.3, z + 0.26), (x, 0.0, z - 0.3), (x, -0.3, z + 0.26))
        mesh.add(back, ((0, 1, 2),), "metal", tags.TRAFFIC_SIGN, normal=(1.0, 0.0, 0.0))
    else:
        mesh.disc((x, 0, z), (1, 0, 0), 0.33, 14, "metal", tags.TRAFFIC_SIGN)
    return mesh.build()


def bench() -> MeshArrays:
    """Return a bench along y that faces -x."""
    mesh = Mesh()
    for x in (-0.2, 0.0, 0.2):
        mesh.box((x - 0.08, -0.85, 0.42), (x + 0.08, 0.85, 0.47), "wood", tags.STATIC, faces="wtb")
    for z in (0.6, 0.8):
        mesh.box((0.28, -0.85, z), (0.32, 0.85, z + 0.14), "wood", tags.STATIC, faces="wtb")
    for y in (-0.65, 0.65):
        mesh.box((-0.25, y - 0.03, 0), (0.3, y + 0.03, 0.42), "dark", tags.STATIC)
        mesh.box((0.27, y - 0.03, 0.42), (0.33, y + 0.03, 0.94), "dark", tags.STATIC)
    return mesh.build()


def bus_shelter() -> MeshArrays:
    """Return a glazed shelter along y, open to -x, with a bench and a timetable."""
    mesh = Mesh()
    grey = (0.25, 0.26, 0.28)
    for x, y in ((0.6, -1.9), (0.6, 1.9), (-0.5, -1.9), (-0.5, 1.9)):
        mesh.tube((x, y, 0), (x, y, 2.35), 0.04, 0.04, 6, "metal", tags.STATIC, colour=grey)
    mesh.box((-0.8, -2.05, 2.35), (0.72, 2.05, 2.46), "dark", tags.STATIC, faces="wtb")
    mesh.box((0.58, -1.86, 0.35), (0.61, 1.86, 2.2), "glass", tags.STATIC, faces="w")
    mesh.box((-0.45, 1.88, 0.35), (0.58, 1.91, 2.2), "glass", tags.STATIC, faces="w")
    mesh.box((-0.45, -1.94, 0.3), (0.58, -1.86, 2.2), "plate", tags.STATIC, faces="w")
    mesh.box((0.15, -1.5, 0.44), (0.5, 1.1, 0.49), "wood", tags.STATIC, faces="wtb")
    for y in (-1.3, 0.9):
        mesh.box((0.3, y - 0.03, 0.0), (0.36, y + 0.03, 0.44), "dark", tags.STATIC)
    return mesh.build()


def bin_() -> MeshArrays:
    """Return a litter bin."""
    mesh = Mesh()
    mesh.tube((0, 0, 0), (0, 0, 0.85), 0.22, 0.26, 10, "cloth", tags.STATIC, colour=(0.05, 0.09, 0.07))
    mesh.tube((0, 0, 0.85), (0, 0, 1.02), 0.27, 0.18, 10, "dark", tags.STATIC, cap=True)
    return mesh.build()


def bollard() -> MeshArrays:
    """Return a bollard."""
    mesh = Mesh()
    mesh.tube((0, 0, 0), (0, 0, 0.95), 0.075, 0.06, 8, "dark", tags.POLE, cap=True)
    mesh.tube((0, 0, 0.78), (0, 0, 0.86), 0.072, 0.07, 8, "cloth", tags.POLE, colour=(0.8, 0.8, 0.78))
    return mesh.build()


def post_box() -> MeshArrays:
    """Return a pillar box."""
    mesh = Mesh()
    mesh.tube((0, 0, 0), (0, 0, 0.12), 0.27, 0.27, 12, "dark", tags.STATIC)
    mesh.tube((0, 0, 0.12), (0, 0, 1.4), 0.24, 0.24, 12, "postbox", tags.STATIC)
    mesh.tube((0, 0, 1.4), (0, 0, 1.55), 0.28, 0.12, 12, "postbox", tags.STATIC, cap=True)
    return mesh.build()


def planter(variant: int) -> MeshArrays:
    """Return a stone trough with bushes, its long side along y."""
    mesh = Mesh()
    mesh.box((-0.35, -0.7, 0), (0.35, 0.7, 0.55), "stone", tags.STATIC, tiles_per_m=0.5)
    for y in (-0.35, 0.35):
        bush = grow_bush(variant, 0.75)
        mesh.put(bush.moved([[0.8, 0, 0], [0, 0.8, 0], [0, 0, 0.8]], (0, y, 0.45)))
    return mesh.build()


def railings(length_m: float) -> MeshArrays:
    """Return an iron fence along x on a low wall, seen from both sides."""
    mesh = Mesh()
    mesh.box((0, -0.15, 0), (length_m, 0.15, 0.45), "wall1", tags.WALL, tiles_per_m=0.4)
    tiles = length_m / 2.0
    uv = ((0.0, 1.0), (tiles, 1.0), (tiles, 0.0), (0.0, 0.0))
    face = ((0, 0, 0.4), (length_m, 0, 0.4), (length_m, 0, 1.75), (0, 0, 1.75))
    mesh.quad(*face, "railings", tags.FENCE, uv=uv)
    return mesh.build()


def yard_wall(length_m: float) -> MeshArrays:
    """Return a brick wall along x with a stone cap."""
    mesh = Mesh()
    mesh.box((0, -0.15, 0), (length_m, 0.15, 2.0), "wall0", tags.WALL, tiles_per_m=0.4)
    mesh.box((0, -0.2, 2.0), (length_m, 0.2, 2.1), "stone", tags.WALL, tiles_per_m=0.4, faces="wtb")
    return mesh.build()


def tree_pit() -> MeshArrays:
    """Return the bare earth around a street tree."""
    mesh = Mesh()
    z = 0.012
    mesh.quad((-0.6, -0.6, z), (0.6, -0.6, z), (0.6, 0.6, z), (-0.6, 0.6, z), "dirt", tags.TERRAIN)
    return mesh.build()
