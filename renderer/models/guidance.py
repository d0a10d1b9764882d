"""The colours that the world is known to have, for pictures that agree with each other however the camera comes back.

World-consistent vid2vid (Mallya et al. 2020, section 3.1) keeps a cloud of points, each with the colour that it was
first drawn in, and shows the generator those that a frame sees. There the cloud comes from structure from motion; here
exact depth and poses make it: each pixel whose surface is not in the cloud yet becomes a point, in the axes of the body
it belongs to, or of the world. The sky has no place and is never a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderer.temporal import (
    ABSOLUTE_TOLERANCE_PER_M,
    NEAREST_DEPTH_M,
    RELATIVE_TOLERANCE,
    EngineMotion,
    inverse_depth,
    owners,
)

MAX_POINTS: Final = 4_000_000  # the oldest are forgotten first: 112 MB


@dataclass(frozen=True)
class WorldColours:
    """Points in the order in which they were first drawn, on the model's device.

    places_N3 float32 metres, in the axes of their body, or in the world's from `origin_m` on · owners_N int64 instance
    ids, 0 = nothing that moves · colours_N3 float32 [-1, 1].
    """

    origin_m: NDArray[np.float64]
    places_N3: Tensor
    owners_N: Tensor
    colours_N3: Tensor


@dataclass(frozen=True)
class Geometry:
    """Where the surfaces of a frame are: depth_B1HW float32 metres, instances_B1HW ids or None, and the poses."""

    depth_B1HW: Tensor
    instances_B1HW: Tensor | None
    motion: EngineMotion

    def owner_of_pixels(self) -> Tensor:
        """Return the instance id of each pixel, (H*W,) int64."""
        return owners(self.instances_B1HW, self.depth_B1HW).flatten().long()


def recall(world: WorldColours | None, geometry: Geometry) -> Tensor:
    """Return (1,4,H,W) float32: the known colour [-1, 1] of each pixel's surface, and 1 where there is one, else 0s.

    Where several points fall on a pixel, the one that was drawn first counts. A point counts only on a pixel of its
    own body and depth, within the tolerances of `renderer.temporal`.
    """
    height_px, width_px = geometry.depth_B1HW.shape[2:]
    guidance_4N = geometry.depth_B1HW.new_zeros(4, height_px * width_px)
    if world is None or not len(world.owners_N):
        return guidance_4N.view(1, 4, height_px, width_px)
    order, pixels = _visible(world, geometry)
    nothing = len(world.owners_N)
    first = torch.full((height_px * width_px,), nothing, device=pixels.device)
    first.scatter_reduce_(0, pixels, order, "amin")
    seen = (first < nothing).nonzero().flatten()
    guidance_4N[:3, seen] = world.colours_N3[first[seen]].t()
    guidance_4N[3, seen] = 1.0
    return guidance_4N.view(1, 4, height_px, width_px)


def _visible(world: WorldColours, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Return the indices of the points that a frame sees, and the pixel, flat, on which each falls."""
    height_px, width_px = geometry.depth_B1HW.shape[2:]
    inverse_N = inverse_depth(geometry.depth_B1HW).flatten()
    owner_N = geometry.owner_of_pixels()
    orders: list[Tensor] = []
    places: list[Tensor] = []
    camera_from_world = np.linalg.inv(geometry.motion.world_from_camera)
    for owner, world_from_owner in _axes(world.origin_m, geometry.motion, world.owners_N):
        order = (world.owners_N == owner).nonzero().flatten()
        x, y, z = _moved(world.places_N3[order], camera_from_world @ world_from_owner).unbind(1)
        scale = geometry.motion.focal_px / z.clamp(min=NEAREST_DEPTH_M)
        u, v = (x * scale + width_px / 2).floor(), (y * scale + height_px / 2).floor()
        inside = (z > NEAREST_DEPTH_M) & (u >= 0) & (u < width_px) & (v >= 0) & (v < height_px)
        order, z = order[inside], z[inside]
        pixels = (v[inside] * width_px + u[inside]).long()
        here = inverse_N[pixels]
        same = (here - 1 / z).abs() <= here * RELATIVE_TOLERANCE + ABSOLUTE_TOLERANCE_PER_M
        same &= (here > 0) & (owner_N[pixels] == owner)
        orders.append(order[same])
        places.append(pixels[same])
    return torch.cat(orders), torch.cat(places)


def remember(
    world: WorldColours | None, guidance_B4HW: Tensor, picture_B3HW: Tensor, geometry: Geometry
) -> WorldColours:
    """Return the cloud with a point for each pixel of a picture [-1, 1] whose surface had no known colour yet."""
    origin_m = geometry.motion.world_from_camera[:3, 3].copy() if world is None else world.origin_m
    width_px = geometry.depth_B1HW.shape[3]
    depth_N, owner_N = geometry.depth_B1HW.flatten(), geometry.owner_of_pixels()
    fresh_N = (guidance_B4HW[0, 3].flatten() == 0) & (inverse_depth(geometry.depth_B1HW).flatten() > 0)
    places, ids, colours = ([], [], []) if world is None else ([world.places_N3], [world.owners_N], [world.colours_N3])
    colours_N3 = picture_B3HW[0].flatten(1).t()
    for owner, world_from_owner in _axes(origin_m, geometry.motion, owner_N[fresh_N]):
        pixels = (fresh_N & (owner_N == owner)).nonzero().flatten()
        rays_N3 = _rays(pixels, width_px, geometry)
        owner_from_camera = np.linalg.inv(world_from_owner) @ geometry.motion.world_from_camera
        places.append(_moved(rays_N3 * depth_N[pixels, None], owner_from_camera))
        ids.append(torch.full_like(pixels, owner))
        colours.append(colours_N3[pixels])
    if not places:
        empty = depth_N.new_zeros(0, 3)
        return WorldColours(origin_m, empty, owner_N[:0], empty)
    kept = slice(-MAX_POINTS, None)
    return WorldColours(origin_m, torch.cat(places)[kept], torch.cat(ids)[kept], torch.cat(colours)[kept])


def _axes(
    origin_m: NDArray[np.float64], motion: EngineMotion, owners_N: Tensor
) -> list[tuple[int, NDArray[np.float64]]]:
    """Return, for each owner that occurs and whose pose is known, its id and world_from_owner; 0 is the world."""
    world_from_origin = np.eye(4)
    world_from_origin[:3, 3] = origin_m
    poses = {**motion.bodies, 0: world_from_origin}
    return [(owner, poses[owner]) for owner in torch.unique(owners_N).tolist() if owner in poses]


def _rays(pixels: Tensor, width_px: int, geometry: Geometry) -> Tensor:
    """Return (N,3): the optical ray of each pixel's centre, with depth 1."""
    height_px = geometry.depth_B1HW.shape[2]
    x = (pixels % width_px + (0.5 - width_px / 2)) / geometry.motion.focal_px
    y = (pixels // width_px + (0.5 - height_px / 2)) / geometry.motion.focal_px
    return torch.stack([x, y, torch.ones_like(x)], dim=1)


def _moved(places_N3: Tensor, matrix: NDArray[np.float64]) -> Tensor:
    rotation = torch.from_numpy(matrix[:3, :3].astype(np.float32)).to(places_N3.device)
    return places_N3 @ rotation.t() + torch.from_numpy(matrix[:3, 3].astype(np.float32)).to(places_N3.device)
