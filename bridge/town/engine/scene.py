"""The static town: every road, house, tree and lamp of a street network as drawable pieces."""

from __future__ import annotations

import math

import numpy as np

from bridge.town.engine import furniture, ground
from bridge.town.engine.buildings import build_backdrop, lot_house, lot_width_m, place_on_lot
from bridge.town.engine.catalogue import PARKED_MODELS, build_shape
from bridge.town.engine.frames import street_from_body
from bridge.town.engine.materials import MATERIAL_IDS
from bridge.town.engine.mesh import Mesh, MeshArrays, join, turn_about_z
from bridge.town.engine.packing import FOREVER_M, Piece
from bridge.town.engine.shapes import Motion, Shape
from bridge.town.engine.trees import NUM_TREES, Tree, clip_hedge, grow_bush, grow_tree
from bridge.town.plan import BUILDING_DEPTH_M, PARKED_SHAPES, Lot, Plan, Thing, plan_scenery
from bridge.town.roads import KERB_HEIGHT_M, Road
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
    plan = plan_scenery(network.roads, network.crosswalks, network.seed)
    return [*_streets(network), *_lots(network, plan), *_things(plan), *_light_posts(network), *_skyline(network)]


def parked_boxes(network: StreetNetwork) -> np.ndarray:
    """Return (N,7) contact boxes of the parked cars, as `stamp_contacts` takes them."""
    plan = plan_scenery(network.roads, network.crosswalks, network.seed)
    cars = [thing for thing in plan.things if thing.kind == "parked"]
    rows = [
        (c.x_m, c.y_m, math.cos(c.heading_rad), math.sin(c.heading_rad), *_parked_shape(c).contact_m, 0.8) for c in cars
    ]
    return np.array(rows, np.float32).reshape(-1, 7)


def _streets(network: StreetNetwork) -> list[Piece]:
    mesh, paint = Mesh(), Mesh()
    rng = np.random.default_rng(network.seed + 1)
    for road in network.roads:
        ground.pave_road(mesh, road)
        ground.wear_road(mesh, road, rng)
        ground.paint_road(paint, road, network.crosswalks)
    land = Mesh()
    ground.far_ground(land)
    return [Piece(mesh.build()), Piece(paint.build()), Piece(land.build(), anchor_m=(0.0, 0.0))]


def _lots(network: StreetNetwork, plan: Plan) -> list[Piece]:
    pieces: list[Piece] = []
    floor = Mesh()
    trees = _forest()
    for lot in plan.lots:
        road = network.road(lot.road_id)
        if lot.kind == "building":
            pieces.append(Piece(lot_house(road, lot)))
            continue
        ground.lay_lot(floor, road, lot)
        pieces += _yard(road, lot) if lot.kind == "yard" else _park(road, lot, trees)
    pieces.append(Piece(floor.build()))
    return pieces


def _yard(road: Road, lot: Lot) -> list[Piece]:
    """A walled gap between two houses with a bush or two behind the wall."""
    rng = np.random.default_rng(lot.seed)
    width = lot_width_m(road, lot)
    front = furniture.yard_wall(width) if rng.random() < 0.6 else furniture.railings(width)
    local = Mesh()
    local.put(front.moved(np.eye(3), (0.0, 0.2, 0.0)))
    for x in np.arange(1.0, width - 0.5, 1.7):
        size = float(rng.uniform(1.2, 1.9))
        bush = grow_bush(int(rng.integers(3)))
        local.put(bush.moved(np.eye(3) * size, (float(x), float(rng.uniform(1.5, 3.5)), 0.0)))
    back = clip_hedge(width, 3.0, 1.2)
    local.put(back.moved(np.eye(3), (0.0, BUILDING_DEPTH_M, 0.0)))
    return [Piece(place_on_lot(local.build(), road, lot))]


def _park(road: Road, lot: Lot, trees: list[Tree]) -> list[Piece]:
    """Railings, a hedge, a lawn with trees, a hedge at its back."""
    rng = np.random.default_rng(lot.seed)
    width = lot_width_m(road, lot)
    local = Mesh()
    for x in np.arange(0.0, width - 1.0, 8.0):
        length = min(8.0, width - float(x))
        local.put(furniture.railings(length).moved(np.eye(3), (float(x), 0.25, 0.0)))
        local.put(clip_hedge(length, 1.15, 0.7).moved(np.eye(3), (float(x), 1.1, 0.0)))
        local.put(clip_hedge(length, 3.6, 1.5).moved(np.eye(3), (float(x), 25.0, 0.0)))
    for y in (0.0, 24.0):
        end = clip_hedge(1.2, 2.2, 1.0)
        local.put(end.moved(np.eye(3), (0.0 if y == 0.0 else width - 1.2, 2.0, 0.0)))
    pieces = [Piece(place_on_lot(local.build(), road, lot))]
    for x in np.arange(4.0, width - 3.0, 7.5):
        for y in (4.5, 11.0, 18.0):
            if rng.random() < 0.75:
                at = (float(x + rng.uniform(-2, 2)), float(y + rng.uniform(-1.5, 1.5)))
                turn = turn_about_z(rng.uniform(0, 6.28)) * rng.uniform(0.9, 1.35)
                pieces += _tree_pieces(
                    trees[int(rng.integers(NUM_TREES))], turn, lambda m, at=at: _shifted_on_lot(m, at, road, lot)
                )
    return pieces


def _shifted_on_lot(mesh: MeshArrays, at: tuple[float, float], road: Road, lot: Lot) -> MeshArrays:
    return place_on_lot(mesh.moved(np.eye(3), (*at, 0.0)), road, lot)


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
    signs, planters = [furniture.sign(k) for k in range(3)], [furniture.planter(k) for k in range(2)]
    single = {"lamp": lamp, "bench": bench, "bin": bin_, "bollard": bollard, "postbox": post_box}
    tall: list[MeshArrays] = []
    small: list[MeshArrays] = []
    pieces: list[Piece] = []
    for thing in plan.things:
        at = (thing.x_m, thing.y_m, thing.z_m)
        turn = turn_about_z(thing.heading_rad)
        if thing.kind == "tree":
            pieces += _tree_pieces(trees[thing.variant], turn * thing.scale, lambda m, at=at: m.moved(np.eye(3), at))
            small.append(pit.moved(turn_about_z(0.0), at))
        elif thing.kind == "parked":
            tall.append(_parked_car(thing))
        elif thing.kind == "sign":
            tall.append(signs[thing.variant].moved(turn, at))
        elif thing.kind == "planter":
            small.append(planters[thing.variant].moved(turn, at))
        elif thing.kind == "lamp":
            tall.append(lamp.moved(turn, at))
        else:
            small.append(single[thing.kind].moved(turn, at))
    return [*pieces, Piece(join(tall)), Piece(join(small), 0.0, SMALL_THINGS_M)]


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


def _light_posts(network: StreetNetwork) -> list[Piece]:
    if not network.traffic_lights:
        return []
    post = furniture.traffic_light_post()
    poses = [street_from_body(site.pose) for site in network.traffic_lights]
    return [Piece(join([post.moved(pose[:3, :3], pose[:3, 3]) for pose in poses]))]


def _skyline(network: StreetNetwork) -> list[Piece]:
    """Taller blocks and trees behind the frontages, on both sides of every straight road."""
    rng = np.random.default_rng(network.seed + 2)
    trees = _forest()
    blocks: list[MeshArrays] = []
    woods: list[MeshArrays] = []
    for road in network.roads:
        if road.segments[0].curvature_per_m != 0.0:
            continue
        for side, behind in ((-1, 30.0), (-1, 62.0), (1, 38.0)):
            for s in np.arange(-10.0, road.length_m + 12.0, 31.0):
                if rng.random() < (0.62 if side < 0 else 0.3):
                    t = side * (road.profile.frontage_m(side) + behind + rng.uniform(0, 10))
                    x, y, heading = road.point(float(s + rng.uniform(-6, 6)), float(t))
                    at = (x, y, KERB_HEIGHT_M - 0.3)
                    blocks.append(build_backdrop(rng).moved(turn_about_z(heading), at))
        for side in (1, -1):
            for s in np.arange(5.0, road.length_m, 13.0):
                t = side * (road.profile.frontage_m(side) + BUILDING_DEPTH_M + rng.uniform(5.0, 13.0))
                x, y, _ = road.point(float(s + rng.uniform(-5, 5)), float(t))
                turn = turn_about_z(rng.uniform(0, 6.28)) * rng.uniform(0.9, 1.5)
                woods.append(trees[int(rng.integers(NUM_TREES))].far.moved(turn, (x, y, -0.1)))
    return [Piece(join(blocks)), Piece(join(woods))]
