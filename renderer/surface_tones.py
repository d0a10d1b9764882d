"""Tones that follow from where a surface is in the world: windows of houses, leaves in shade, glass and paint of cars.

A label map has none of them, and a generator that makes them up anew in each frame flickers, or smears when it is kept
from it. Here they come from exact depth and poses, by rules: the same spot of a wall has the same tone from wherever it
is seen. The rules are general (storeys of 3.1 m), and nothing of the simulator's own picture is used.

World and body axes are CARLA's: x forward, y right, z up, metres; a vehicle's origin is on the ground under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.labels import label_id
from renderer.rough_depth import GroundConfig, nearness
from renderer.temporal import SKY_DEPTH_M, EngineMotion
from renderer.tones import BRIGHT, COOL, DARK, NEUTRAL, NUM_BRIGHTNESSES, PLAIN, WARM

_SPACE: Final = "street"
_SKY: Final = label_id(_SPACE, "sky")
_ROAD: Final = label_id(_SPACE, "road")
_BUILDING: Final = label_id(_SPACE, "building")
_VEGETATION: Final = label_id(_SPACE, "vegetation")
_CAR: Final = label_id(_SPACE, "car")
_PERSON: Final = label_id(_SPACE, "pedestrian")
_RIDER: Final = label_id(_SPACE, "rider")
_NUM_CLASSES: Final = 13
_FARTHEST_M: Final = 250.0

_STOREY_M: Final = 3.1
_BAY_M: Final = 2.6
_SHOP_BAY_M: Final = 5.2
_FRAME_M: Final = 0.14
_PLOT_M: Final = 15.6  # of street front that has one look; not bounded where walls stand, at round numbers
_WHEEL_M: Final = 0.64
_LOWEST_M, _HIGHEST_M = 1.3, 3.2  # that a vehicle's top is taken to be
_TWIGS_BELOW: Final = 0.5  # of noise of unit deviation; the sky shines through above
_CROWN_M: Final = 2.6  # above the road: trunks are below
_TRUNK_M: Final = 0.7
_FARTHEST_TRUNK_M: Final = 50.0
_BARK: Final = DARK + NUM_BRIGHTNESSES * NEUTRAL
_CELL_M: Final = 0.4  # of ground that cars cover; they park farther apart
_PLOT_CELLS: Final = 16
_FARTHEST_PAINT_M: Final = 60.0
_FARTHEST_WHEEL_M: Final = 30.0
_FAR: Final = 4096.0  # added before a fraction is taken, so that it is of a positive number
_GROUND: Final = GroundConfig(  # of CamVid's camera
    ground_ids=(_ROAD, label_id(_SPACE, "sidewalk"), label_id(_SPACE, "road line")),
    sky_id=_SKY,
    horizon=0.49,
    focal_per_width=1.2,
    camera_height_m=1.5,
    farthest_m=80.0,
)
_LEVEL_CAMERA: Final = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
_PAINTS: Final = (  # what the photos' cars have these tones as: white, red, navy, white, black, light blue
    BRIGHT + NUM_BRIGHTNESSES * NEUTRAL,
    PLAIN + NUM_BRIGHTNESSES * WARM,
    PLAIN + NUM_BRIGHTNESSES * COOL,
    BRIGHT + NUM_BRIGHTNESSES * NEUTRAL,
    PLAIN + NUM_BRIGHTNESSES * NEUTRAL,
    BRIGHT + NUM_BRIGHTNESSES * COOL,
)
_TAIL_LAMP: Final = PLAIN + NUM_BRIGHTNESSES * WARM
SKY_TINT: Final = COOL
_Points: TypeAlias = tuple[Tensor, Tensor, Tensor]


def surface_tones(
    labels_BHW: Tensor,
    depth_B1HW: Tensor,
    instances_B1HW: Tensor | None,
    motion: EngineMotion,
    *,
    leafless: bool = False,
    bark: bool = True,
) -> Tensor:
    """Return the labels (1,H,W) u8 of the space "street" with tones, from depth (m), instance ids and poses.

    H and W are even: tones are found at half the size, on the pixels that the generator's head reads. `leafless`:
    plants are bare, and the sky shines through them. `bark`: trunks are told from leaves.
    """
    labels_hw = labels_BHW[0, 1::2, 1::2]
    labels_N, depth_N = labels_hw.reshape(-1), depth_B1HW[0, 0, 1::2, 1::2].reshape(-1)
    instances_N = None if instances_B1HW is None else instances_B1HW[0, 0, 1::2, 1::2].reshape(-1)
    places = _Places(motion, depth_N, (labels_hw.shape[0], labels_hw.shape[1]))
    tones_N = torch.zeros(labels_N.shape, device=labels_N.device)
    tones_N = torch.where(labels_N == _SKY, float(NUM_BRIGHTNESSES * SKY_TINT), tones_N)
    near_N = depth_N < _FARTHEST_M
    walls = torch.nonzero((labels_N == _BUILDING) & near_N).squeeze(1)
    tones_N[walls] = _wall_tones(places, walls)
    ground_m = _ground_m(places, labels_N)
    plants = torch.nonzero((labels_N == _VEGETATION) & near_N).squeeze(1)
    leaves = _leaf_tones(places, plants, leafless)
    trunks = _is_trunk(places, plants, labels_N, ground_m) if bark else torch.zeros_like(plants, dtype=torch.bool)
    tones_N[plants] = torch.where(trunks, float(_BARK), leaves)
    cars = torch.nonzero((labels_N == _CAR) & near_N).squeeze(1)
    tones_N[cars] = _car_tones(places, instances_N, cars, ground_m)
    if instances_N is not None:
        people = torch.nonzero(((labels_N == _PERSON) | (labels_N == _RIDER)) & near_N).squeeze(1)
        tones_N[people] = _clothes_tones(places, instances_N, people)
    return _at_full_size(labels_BHW, tones_N.to(torch.uint8).view(labels_hw.shape), labels_hw)


def tones_of_labels(labels_BHW: Tensor, *, leafless: bool = False, bark: bool = True) -> Tensor:
    """Return the labels (1,H,W) u8 with tones where nothing is known of depth and poses: as if a car's camera saw them.

    Depth is roughly that which the label map alone says; the tones of a moving picture stick to the screen. For
    `leafless` and `bark` see `surface_tones`.
    """
    height_px, width_px = labels_BHW.shape[1:]
    near = nearness(labels_BHW[0].cpu().numpy(), _GROUND)
    depth = np.where(near > 1 / SKY_DEPTH_M, 1 / np.maximum(near, 1 / SKY_DEPTH_M), SKY_DEPTH_M).astype(np.float32)
    depth_B1HW = torch.from_numpy(depth).to(labels_BHW.device).view(1, 1, height_px, width_px)
    motion = EngineMotion(_GROUND.focal_per_width * width_px, _LEVEL_CAMERA)
    return surface_tones(labels_BHW, depth_B1HW, None, motion, leafless=leafless, bark=bark)


def _at_full_size(labels_BHW: Tensor, tones_hw: Tensor, labels_hw: Tensor) -> Tensor:
    """Give each pixel the tone of its block of four, where that was found on a pixel of its class."""
    both = (tones_hw * _NUM_CLASSES, labels_hw)
    tones_HW, classes_HW = (plane.repeat_interleave(2, 0).repeat_interleave(2, 1) for plane in both)
    return labels_BHW + torch.where(labels_BHW == classes_HW, tones_HW, 0)


def _ground_m(places: _Places, labels_N: Tensor) -> float:
    """Return the height of the road in the world, 0 where none is seen."""
    road = torch.nonzero((labels_N == _ROAD) & (places.depth_N < 40.0)).squeeze(1)[::16]
    return float(places.world(road)[2].median()) if road.numel() else 0.0


class _Places:
    """Where pixels of half the frame's size are in the world; one class of pixels at a time."""

    def __init__(self, motion: EngineMotion, depth_N: Tensor, size_hw: tuple[int, int]) -> None:
        self.motion = motion
        self.depth_N = depth_N
        self.height_px, self.width_px = size_hw
        self.pixel_per_m = 2.0 / motion.focal_px  # of depth: metres that a pixel covers

    def world(self, pixels: Tensor, matrix: NDArray[np.floating] | None = None) -> list[Tensor]:
        """Return x, y and z (N,) of pixels in the world, or in what `matrix` (4x4) makes of the world."""
        m = self.motion.world_from_camera if matrix is None else matrix @ self.motion.world_from_camera
        depth = self.depth_N[pixels]
        scaled = depth * self.pixel_per_m
        columns, rows = pixels % self.width_px, torch.div(pixels, self.width_px, rounding_mode="floor")
        # The pixels read lie a quarter of a pixel of this size right of and below the middles of their blocks.
        x = (columns.float() + (0.75 - self.width_px / 2)) * scaled
        y = (rows.float() + (0.75 - self.height_px / 2)) * scaled
        return [x * float(a) + y * float(b) + depth * float(c) + float(t) for a, b, c, t in m[:3]]


def _wall_tones(places: _Places, pixels: Tensor) -> Tensor:
    """Windows with pale frames in storeys and bays, wide ones at street level; nothing on what is no upright wall."""
    x, y, z = places.world(pixels)
    width_px = places.width_px
    beside_x, beside_y, _ = places.world(torch.where(pixels % width_px > 0, pixels - 1, pixels + 1))
    above_x, above_y, above_z = places.world(torch.where(pixels >= width_px, pixels - width_px, pixels + width_px))
    along_x, along_y = (beside_x - x).abs_(), (beside_y - y).abs_()
    upright = torch.maximum((above_x - x).abs_(), (above_y - y).abs_()) < 0.4 * (above_z - z).abs_()
    faces_y = along_x >= along_y
    along, across = torch.where(faces_y, x, y), torch.where(faces_y, y, x)
    pixel_m = places.depth_N[pixels] * places.pixel_per_m
    wide_m = torch.maximum(torch.maximum(along_x, along_y), pixel_m)  # of the wall in a pixel, seen askance
    house = torch.floor(across / _PLOT_M + 0.28) * 7.31 + torch.floor(along / _PLOT_M) * 3.77
    chance = _hash(house)
    shop = z < _STOREY_M
    bay_m = torch.where(shop, _SHOP_BAY_M, _BAY_M)
    u = (torch.frac(along / bay_m + _FAR) - 0.5).abs_() * bay_m  # from the middle of a bay
    v = torch.frac(z / _STOREY_M + _FAR) * _STOREY_M  # above the floor
    half_m = torch.where(shop, 2.0, 0.48 + 0.18 * chance)
    low_m, high_m = torch.where(shop, 0.55, 0.85), torch.where(shop, 2.45, 2.35)
    inside_m = torch.minimum(half_m - u, torch.minimum(v - low_m, high_m - v))
    bar = torch.where(shop, (u - 1.1).abs_() < 0.07, (u < 0.04) | ((v - 1.6).abs_() < 0.05)) & (wide_m < 0.09)
    tones = torch.where(inside_m > -torch.clamp(0.7 * pixel_m, min=_FRAME_M), float(BRIGHT), float(PLAIN))
    tones = torch.where((inside_m > 0) & ~bar, float(DARK), tones)
    sign = torch.where(torch.frac(chance * 7.0) > 0.5, float(BRIGHT), float(DARK))
    tones = torch.where(shop & (v > 2.6) & (v < 3.0), sign, tones)
    tones = torch.where((wide_m < 0.28 * bay_m) & upright, tones, float(PLAIN))
    tint = torch.where(chance < 0.45, float(WARM), torch.where(chance > 0.92, float(COOL), float(NEUTRAL)))
    return tones + NUM_BRIGHTNESSES * tint


def _leaf_tones(places: _Places, pixels: Tensor, leafless: bool) -> Tensor:
    """Clumps of leaves in light and shade, or of twigs before the sky: noise in the world, of a size of some pixels."""
    x, y, z = places.world(pixels)
    level = torch.log2((places.depth_N[pixels] * places.pixel_per_m * 5.0).clamp_(0.12, 3.0))
    coarse = torch.ceil(level)
    share = coarse - level  # of the finer of two sizes of clumps
    per_m = torch.exp2(-coarse)
    per_m = 2 * per_m if leafless else per_m
    noise = torch.lerp(_noise(x, y, z, per_m), _noise(x, y, z, 2 * per_m), share)
    tones = torch.where(noise < -0.25, float(DARK), float(PLAIN))
    if leafless:
        return torch.where(noise > _TWIGS_BELOW, float(BRIGHT), tones)
    return torch.where(noise > 1.6, float(BRIGHT), tones) + NUM_BRIGHTNESSES * COOL


def _is_trunk(places: _Places, pixels: Tensor, labels_N: Tensor, ground_m: float) -> Tensor:
    """Return which pixels of plants are of a trunk: low, and with no plant beside them on either side."""
    low = torch.nonzero(places.depth_N[pixels] < _FARTHEST_TRUNK_M).squeeze(1)
    low = low[places.world(pixels[low])[2] - ground_m < _CROWN_M]
    stem = pixels[low]
    reach_px = (_TRUNK_M / (places.depth_N[stem] * places.pixel_per_m)).ceil().long()
    columns = stem % places.width_px
    trunk = (columns >= reach_px) & (columns + reach_px < places.width_px)
    for beside in (stem - reach_px, stem + reach_px):
        trunk &= labels_N[beside.clamp(0, labels_N.numel() - 1)] != _VEGETATION
    found = torch.zeros(pixels.shape, dtype=torch.bool, device=pixels.device)
    found[low] = trunk
    return found


_WAVES: Final = torch.randn(3, 8, generator=torch.Generator().manual_seed(11)) * 2.6
_PHASES: Final = torch.rand(8, generator=torch.Generator().manual_seed(12)) * 6.2832


def _noise(x: Tensor, y: Tensor, z: Tensor, per_m: Tensor) -> Tensor:
    """Return smooth noise of about unit period and deviation: a sum of plane waves."""
    waves = (torch.stack([x, y, z], 1) * per_m[:, None]) @ _WAVES.to(x.device) + _PHASES.to(x.device)
    return waves.sin_().sum(1) * 0.5


def _hash(values: Tensor) -> Tensor:
    """Return what looks like chance, [0, 1), of each value."""
    return torch.frac(torch.sin(values * 12.9898) * 437.58547).abs_()


def _car_tones(places: _Places, instances_N: Tensor | None, pixels: Tensor, ground_m: float) -> Tensor:
    """Paint, glass as a band around the body, shade below it, wheels, lamps at both ends.

    Without instances vehicles are told from each other by nothing, and have no paint.
    """
    x, y, z = places.world(pixels)
    height_m = z - ground_m
    tones = _body_tones(height_m, torch.full_like(height_m, 1.5), float(PLAIN))
    if instances_N is not None:
        ids = instances_N[pixels]
        posed = _seen(ids, places.motion.bodies)
        _paint_standing(tones, places, pixels, (x, y, height_m), ~torch.isin(ids, ids.new_tensor(list(posed))))
        _lay_bodies(tones, places, ids, pixels)
    tyre, hub = _wheels(places, pixels, height_m)
    tones = torch.where(tyre, float(DARK), tones)
    return torch.where(hub, float(BRIGHT), tones)


def _lay_bodies(tones: Tensor, places: _Places, ids: Tensor, pixels: Tensor) -> None:
    """Lay tones of vehicles whose pose is known, in place."""
    for body, world_from_body in _seen(ids, places.motion.bodies).items():
        mine = torch.nonzero(ids == body).squeeze(1)
        x, y, z = places.world(pixels[mine], np.linalg.inv(world_from_body))
        top_m = z.max().clamp(_LOWEST_M, _HIGHEST_M).expand_as(z)
        part = _body_tones(z, top_m, float(_PAINTS[body % len(_PAINTS)]))
        lamp = (x.abs() > x.abs().max() - 0.3) & (y.abs() > 0.6 * y.abs().max())
        lamp &= (z > 0.38 * top_m) & (z < 0.56 * top_m)
        tones[mine] = torch.where(lamp, torch.where(x < 0, float(_TAIL_LAMP), float(BRIGHT)), part)


def _paint_standing(tones: Tensor, places: _Places, pixels: Tensor, at: _Points, standing: Tensor) -> None:
    """Lay tones of vehicles without a pose, in place: what a map has parked. They may all have one instance id.

    What stands apart in the world is another car: seen from above, cells that it covers touch. Each cell votes for the
    paint of the plot of ground that it is on, so that a car keeps its paint while more of it comes into view.
    """
    mine = torch.nonzero(standing & (places.depth_N[pixels] < _FARTHEST_PAINT_M)).squeeze(1)
    if not mine.numel():
        return
    x, y, z = (axis[mine] for axis in at)
    cells = torch.stack([x, y], 1).div(_CELL_M).floor().int().cpu().numpy()
    low = cells.min(0)
    covered = np.zeros(cells.max(0) - low + 1, np.uint8)
    columns, rows = (cells - low).T
    covered[columns, rows] = 1
    num_cars, cars = cv2.connectedComponents(covered)
    paints = np.array(_PAINTS, np.int64)
    plots = (np.argwhere(covered) + low) // _PLOT_CELLS
    votes = (plots[:, 0] * 7 + plots[:, 1] * 5) % paints.size
    counts = np.bincount(cars[covered > 0] * paints.size + votes, minlength=num_cars * paints.size)
    paint_of_car = paints[counts.reshape(num_cars, paints.size).argmax(1)]
    car = torch.from_numpy(cars[columns, rows].astype(np.int64)).to(z.device)
    top_m = torch.zeros(num_cars, device=z.device).scatter_reduce(0, car, z, "amax").clamp_(_LOWEST_M, _HIGHEST_M)
    tones[mine] = _body_tones(z, top_m[car], torch.from_numpy(paint_of_car).to(z)[car])


def _wheels(places: _Places, pixels: Tensor, height_m: Tensor) -> tuple[Tensor, Tensor]:
    """Return which pixels of vehicles are of a tyre, and of the hub in it: what stands on the road is a wheel.

    A column of the picture in which a vehicle comes down to the ground shows a wheel there, as far up as one reaches,
    unless bumper or body hang over in front of it.
    """
    columns, depth = pixels % places.width_px, places.depth_N[pixels]
    near = (depth < _FARTHEST_WHEEL_M) & (height_m > -0.15)  # below the road's height it is a hill that tells nothing

    def beside(lowest_m: float) -> Tensor:
        """Whether pixels are in the plane of what comes as low in their column."""
        down = near & (height_m < lowest_m)
        none = torch.full((places.width_px,), torch.inf, device=depth.device)
        foot_W = none.scatter_reduce(0, columns[down], depth[down], "amin")
        return (depth - foot_W[columns]).abs() < 0.3

    tyre = near & (height_m < _WHEEL_M) & beside(0.14)
    return tyre, tyre & (height_m > 0.32 * _WHEEL_M) & (height_m < 0.7 * _WHEEL_M) & beside(0.06)


_JACKETS: Final = (  # those that the photos' people show as more than black
    PLAIN + NUM_BRIGHTNESSES * WARM,
    BRIGHT + NUM_BRIGHTNESSES * NEUTRAL,
    BRIGHT + NUM_BRIGHTNESSES * WARM,
    PLAIN + NUM_BRIGHTNESSES * NEUTRAL,
)
_SKIN: Final = BRIGHT + NUM_BRIGHTNESSES * WARM


def _clothes_tones(places: _Places, instances_N: Tensor, pixels: Tensor) -> Tensor:
    """Dark hair and trousers, a face, and a jacket of each person's own, by height above the feet."""
    z = places.world(pixels)[2]
    tones = torch.full_like(z, float(DARK))
    ids = instances_N[pixels].long()
    for person in torch.unique(ids).tolist():
        mine = torch.nonzero(ids == person).squeeze(1)
        feet_m = float(z[mine].min())
        share = (z[mine] - feet_m) / max(float(z[mine].max()) - feet_m, 1.0)
        above = torch.where(share > 0.84, float(_SKIN), float(_JACKETS[person % len(_JACKETS)]))
        tones[mine] = torch.where((share > 0.5) & (share < 0.95), above, float(DARK))
    return tones


def _body_tones(z: Tensor, top_m: Tensor, paint: Tensor | float) -> Tensor:
    glass = (z > 0.62 * top_m) & (z < 0.92 * top_m)
    tones = torch.where(glass | (z < 0.2 * top_m), float(DARK), paint)
    return torch.where((z > 0.53 * top_m) & (z < 0.59 * top_m), float(BRIGHT), tones)  # where the sky is mirrored


def _seen(ids: Tensor, bodies: Mapping[int, NDArray[np.float64]]) -> dict[int, NDArray[np.float64]]:
    present = set(torch.unique(ids).tolist())
    return {body: matrix for body, matrix in bodies.items() if body in present}
