"""The static town: every road, house, tree and lamp of a street network as drawable pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bridge.town.engine import furniture, ground, paint
from bridge.town.engine.buildings import build_backdrop, lot_house, place_on_lot
from bridge.town.engine.catalogue import PARKED_MODELS, build_shape
from bridge.town.engine.frames import street_from_body
from bridge.town.engine.materials import MATERIAL_IDS
from bridge.town.engine.mesh import Mesh, MeshArrays, join, turn_about_z
from bridge.town.engine.packing import FOREVER_M, Piece
from bridge.town.engine.premises import build_villa, build_works
from bridge.town.engine.shapes import Motion, Shape
from bridge.town.engine.trees import NUM_TREES, Tree, clip_hedge, grow_bush, grow_tree
from bridge.town.environment import DECALS, LAND, Numbering
from bridge.town.kerbside import PARKED_SHAPES, Thing
from bridge.town.lots import BUILDING_DEPTH_M, Lot
from bridge.town.plan import Plan
from bridge.town.roads import KERB_HEIGHT_M
from bridge.town.streets import StreetNetwork

TREE_DETAIL_M = 55.0
SMALL_THINGS_M = 130.0
# Parked cars' paint, linear.
PAINTS = (
    (0.62, 0.64, 0.66),
    (0.03, 0.03, 0.035),
    (0.75, 0.76, 0.77),
    (0.38, 0.03, 0.03),
    (0.05, 0.10, 0.28),
    (0.20, 0.21, 0.23),
    (0.70, 0.69, 0.64),
    (0.05, 0.13, 0.09),
    (0.10, 0.19, 0.33),
    (0.42, 0.36, 0.22),
)


def static_pieces(network: StreetNetwork) -> list[Piece]:
    """Return everything of a network that never moves."""
    plan = network.plan
    return [*_streets(network), *_lots(plan), *_things(plan), *_posts(network), *_skyline(plan)]


def parked_boxes(network: StreetNetwork) -> np.ndarray:
    """Return (N,7) contact boxes of the parked cars, as `stamp_contacts` takes them."""
    cars = [thing for thing in network.plan.things if thing.kind == "parked"]
    rows = [
        (c.x_m, c.y_m, math.cos(c.heading_rad), math.sin(c.heading_rad), *_parked_shape(c).contact_m, 0.8) for c in cars
    ]
    return np.array(rows, np.float32).reshape(-1, 7)


def _streets(network: StreetNetwork) -> list[Piece]:
    mesh, markings, wear, near, land = Mesh(), Mesh(), Mesh(), Mesh(), Mesh()
    rng = np.random.default_rng((network.seed, 11))
    sites = (*network.traffic_lights, *network.signs)
    for road in network.roads:
        ground.pave_road(mesh, road)
        paint.wear_road(wear, road, rng)
        paint.paint_road(markings, road, network.crosswalks, sites)
    for junction in network.junctions:
        ground.pave_junction(mesh, junction)
        paint.paint_arrows(markings, junction)
    ground.near_ground(near, network.surface)
    ground.far_ground(land, network.surface)
    decals = [Piece(wear.build(), thing=DECALS)]
    far = Piece(land.build(), anchor_m=(0.0, 0.0), thing=LAND)
    return [Piece(mesh.build()), *decals, Piece(markings.build()), Piece(near.build(), thing=LAND), far]


def _lots(plan: Plan) -> list[Piece]:
    pieces: list[Piece] = []
    floor = Mesh()
    trees = _forest()
    numbers = Numbering(len(plan.things), len(plan.lots))
    for index, lot in enumerate(plan.lots):
        if lot.kind == "building":
            standing = [Piece(lot_house(lot))]
        elif lot.kind == "yard":
            standing = _yard(lot)
        elif lot.kind == "park":
            standing = _park(lot, trees)
        elif lot.kind == "works":
            standing = [Piece(place_on_lot(build_works(lot), lot))]
        else:
            standing = _villa(lot, trees)
        if lot.kind != "building":
            ground.lay_lot(floor, lot)
        pieces += [replace(piece, thing=numbers.of_lot_triangles(index, piece.mesh.tag)) for piece in standing]
    pieces.append(Piece(floor.build(), thing=LAND))
    return pieces


def _yard(lot: Lot) -> list[Piece]:
    """A walled gap between two houses with a bush or two behind the wall."""
    rng = np.random.default_rng(lot.seed)
    width = lot.width_m
    front = furniture.yard_wall(width) if rng.random() < 0.6 else furniture.railings(width)
    local = Mesh()
    local.put(front.moved(np.eye(3), (0.0, 0.2, 0.0)))
    for x in np.arange(1.0, width - 0.5, 1.7):
        size = float(rng.uniform(1.2, 1.9))
        bush = grow_bush(int(rng.integers(3)))
        local.put(bush.moved(np.eye(3) * size, (float(x), float(rng.uniform(1.5, 3.5)), 0.0)))
    back = clip_hedge(width, 3.0, 1.2)
    local.put(back.moved(np.eye(3), (0.0, BUILDING_DEPTH_M, 0.0)))
    return [Piece(place_on_lot(local.build(), lot))]


def _park(lot: Lot, trees: list[Tree]) -> list[Piece]:
    """Railings, a hedge, a lawn with trees, a hedge at its back."""
    rng = np.random.default_rng(lot.seed)
    width = lot.width_m
    local = Mesh()
    for x in np.arange(0.0, width - 1.0, 8.0):
        length = min(8.0, width - float(x))
        local.put(furniture.railings(length).moved(np.eye(3), (float(x), 0.25, 0.0)))
        local.put(clip_hedge(length, 1.15, 0.7).moved(np.eye(3), (float(x), 1.1, 0.0)))
        local.put(clip_hedge(length, 3.6, 1.5).moved(np.eye(3), (float(x), 25.0, 0.0)))
    for y in (0.0, 24.0):
        end = clip_hedge(1.2, 2.2, 1.0)
        local.put(end.moved(np.eye(3), (0.0 if y == 0.0 else width - 1.2, 2.0, 0.0)))
    pieces = [Piece(place_on_lot(local.build(), lot))]
    for x in np.arange(4.0, width - 3.0, 7.5):
        for y in (4.5, 11.0, 18.0):
            if rng.random() < 0.75:
                at = (float(x + rng.uniform(-2, 2)), float(y + rng.uniform(-1.5, 1.5)))
                turn = turn_about_z(rng.uniform(0, 6.28)) * rng.uniform(0.9, 1.35)
                pieces += _tree_pieces(
                    trees[int(rng.integers(NUM_TREES))], turn, lambda m, at=at: _shifted_on_lot(m, at, lot)
                )
    return pieces


def _villa(lot: Lot, trees: list[Tree]) -> list[Piece]:
    """A villa, with a tree in its garden now and then."""
    pieces = [Piece(place_on_lot(build_villa(lot), lot))]
    rng = np.random.default_rng(lot.seed + 1)
    if rng.random() < 0.55:
        at = (float(rng.uniform(1.8, 3.2)), float(rng.uniform(2.4, 3.4)))
        turn = turn_about_z(rng.uniform(0, 6.28)) * rng.uniform(0.55, 0.8)
        tree = trees[int(rng.integers(NUM_TREES))]
        pieces += _tree_pieces(tree, turn, lambda mesh: _shifted_on_lot(mesh, at, lot))
    return pieces


def _shifted_on_lot(mesh: MeshArrays, at: tuple[float, float], lot: Lot) -> MeshArrays:
    return place_on_lot(mesh.moved(np.eye(3), (*at, 0.0)), lot)


def _forest() -> list[Tree]:
    return [grow_tree(variant) for variant in range(NUM_TREES)]


def _tree_pieces(tree: Tree, turn: np.ndarray, place) -> list[Piece]:
    near, far = place(tree.near.moved(turn, (0, 0, 0))), place(tree.far.moved(turn, (0, 0, 0)))
    anchor = (float(near.position[:, 0].mean()), float(near.position[:, 1].mean()))
    return [Piece(near, 0.0, TREE_DETAIL_M, anchor), Piece(far, TREE_DETAIL_M, FOREVER_M, anchor)]


def _things(plan: Plan) -> list[Piece]:
    trees = _forest()
    lamp, bench, bin_, bollard = furniture.street_lamp(), furniture.bench(), furniture.bin_(), furniture.bollard()
    post_box, pit = furniture.post_box(), furniture.tree_pit()
    planters = [furniture.planter(k) for k in range(2)]
    shelter = furniture.bus_shelter()
    single = {"lamp": lamp, "bench": bench, "bin": bin_, "bollard": bollard, "postbox": post_box}
    tall: list[tuple[MeshArrays, int]] = []
    small: list[tuple[MeshArrays, int]] = []
    pieces: list[Piece] = []
    numbers = Numbering(len(plan.things), len(plan.lots))
    for index, thing in enumerate(plan.things):
        at = (thing.x_m, thing.y_m, thing.z_m)
        turn = turn_about_z(thing.heading_rad)
        number = numbers.of_thing(index)
        if thing.kind == "tree":
            grown = _tree_pieces(trees[thing.variant], turn * thing.scale, lambda m, at=at: m.moved(np.eye(3), at))
            pieces += [replace(piece, thing=number) for piece in grown]
            small.append((pit.moved(turn_about_z(0.0), at), number))
        elif thing.kind == "parked":
            tall.append((_parked_car(thing), number))
        elif thing.kind == "planter":
            small.append((planters[thing.variant].moved(turn, at), number))
        elif thing.kind in ("lamp", "shelter"):
            tall.append(((lamp if thing.kind == "lamp" else shelter).moved(turn, at), number))
        else:
            small.append((single[thing.kind].moved(turn, at), number))
    return [*pieces, *_joined(tall), *_joined(small, SMALL_THINGS_M)]


def _joined(meshes: Sequence[tuple[MeshArrays, int]], far_m: float = FOREVER_M) -> list[Piece]:
    """Return meshes, each with its thing's number, as one piece; none of none."""
    if not meshes:
        return []
    things = np.repeat([number for _, number in meshes], [len(mesh.triangle) for mesh, _ in meshes])
    return [Piece(join([mesh for mesh, _ in meshes]), 0.0, far_m, thing=things.astype(np.int32))]


def _parked_shape(thing: Thing) -> Shape:
    models = PARKED_MODELS[PARKED_SHAPES[thing.variant % len(PARKED_SHAPES)]]
    return build_shape("vehicle." + models[thing.variant // 7 % len(models)])


def _parked_car(thing: Thing) -> MeshArrays:
    """A car at rest, its paint in the vertex colours (the static world's object has none)."""
    shape = _parked_shape(thing)
    paint = np.array(PAINTS[thing.variant // 31 % len(PAINTS)], np.float32)
    parts = []
    for part, pose in zip(shape.parts, shape.part_poses(Motion()), strict=True):
        colour = part.colour.copy()
        colour[part.triangle[part.material == MATERIAL_IDS["paint"]].ravel()] = paint
        painted = MeshArrays(part.position, part.uv, part.normal, colour, part.triangle, part.material, part.tag)
        parts.append(painted.moved(pose[:, :3], pose[:, 3]))
    return join(parts).moved(turn_about_z(thing.heading_rad), (thing.x_m, thing.y_m, thing.z_m))


def _posts(network: StreetNetwork) -> list[Piece]:
    """The posts of lights and signs."""
    posts: list[MeshArrays] = []
    for site in (*network.traffic_lights, *network.signs):
        pose = street_from_body(site.pose)
        face = f"sign_speed{site.value:.0f}" if site.kind == "speed" else f"sign_{site.kind}"
        post = furniture.traffic_light_post() if site.kind == "light" else furniture.sign(face)
        posts.append(post.moved(pose[:3, :3], pose[:3, 3]))
    return [Piece(join(posts))] if posts else []


def _skyline(plan: Plan) -> list[Piece]:
    """Plain blocks and trees behind the houses."""
    trees = _forest()
    numbers = Numbering(len(plan.things), len(plan.lots))
    blocks: list[tuple[MeshArrays, int]] = []
    for index, backdrop in enumerate(plan.backdrops):
        place, number = backdrop.place, numbers.of_backdrop(index)
        at = (place.x_m, place.y_m, KERB_HEIGHT_M - 0.1)
        if backdrop.floors:
            blocks.append((build_backdrop(backdrop).moved(turn_about_z(place.yaw_rad), at), number))
        else:
            turn = turn_about_z(0.001 * (backdrop.seed % 6283)) * (0.9 + 0.6 * (backdrop.seed % 97) / 97.0)
            blocks.append((trees[backdrop.seed % NUM_TREES].far.moved(turn, at), number))
    return _joined(blocks)
