"""The last picture, moved to where the engine says that everything is now.

The temporal input of a recurrent generator is its previous picture, resampled backward: for each pixel of this frame,
exact depth and exact poses say where its surface was in the previous picture. Surfaces of movable bodies follow their
body; the sky, which is infinitely far, follows the camera's rotation alone. A pixel whose surface was not visible in
the previous picture (outside, behind the camera, or hidden) is not valid.

Conventions: pixel (u, v) has its centre at (u + 0.5, v + 0.5), so resampling is `align_corners=False`; a displacement
is in pixels, previous minus current. Matrices are float64, 4x4, from optical camera axes or body axes to the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SKY_DEPTH_M: Final = 999.0  # CARLA's far plane is 1000 m: depths from here on are the sky, infinitely far
NEAREST_DEPTH_M: Final = 1e-3
NEAREST_RATIO: Final = 1e-6  # of a surface's depth in the previous frame to its depth now, to be in front of the camera
RELATIVE_TOLERANCE: Final = 0.05  # of inverse depth, between where a surface must have been and what was seen there
ABSOLUTE_TOLERANCE_PER_M: Final = 2e-4  # the same near the sky, where inverse depth goes to zero

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class EngineMotion:
    """Where the camera and the movable bodies are at one frame; `bodies` maps instance id to world_from_body."""

    focal_px: float
    world_from_camera: Matrix
    bodies: Mapping[int, Matrix] = field(default_factory=dict)


@dataclass(frozen=True)
class TemporalState:
    """All that one sequence remembers: its last picture and the geometry that belongs to it.

    rgb_B3HW float32 [-1, 1] · inverse_depth_B1HW float32 in 1/m, 0 = sky · owner_B1HW float32, the instance id of each
    pixel, 0 = nothing that moves · motion of that frame. All on the model's device; batch is 1. The last three are
    None for frames that came without geometry: nothing can be warped then.
    """

    rgb_B3HW: Tensor
    inverse_depth_B1HW: Tensor | None = None
    owner_B1HW: Tensor | None = None
    motion: EngineMotion | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rgb_B3HW.shape[2], self.rgb_B3HW.shape[3]


def inverse_depth(depth_B1HW: Tensor) -> Tensor:
    """Return 1/depth in 1/m, and 0 for the sky (depth >= 999 m)."""
    inverse = depth_B1HW.clamp(min=NEAREST_DEPTH_M).reciprocal_()
    return functional.threshold(inverse, 1.0 / SKY_DEPTH_M, 0.0, inplace=True)


def remember(
    rgb_B3HW: Tensor, depth_B1HW: Tensor | None, instances_B1HW: Tensor | None, motion: EngineMotion | None
) -> TemporalState:
    """Return the state after a frame: its picture [-1, 1] and, where there are any, its depth (m), ids and poses."""
    if depth_B1HW is None or motion is None:
        return TemporalState(rgb_B3HW)
    return TemporalState(rgb_B3HW, inverse_depth(depth_B1HW), owners(instances_B1HW, depth_B1HW), motion)


def owners(instances_B1HW: Tensor | None, like_B1HW: Tensor) -> Tensor:
    """Return instance ids as float32 (exact up to 2^24), zeros where a rig has no instance plane."""
    return torch.zeros_like(like_B1HW) if instances_B1HW is None else instances_B1HW.to(torch.float32)


def warp_previous(
    state: TemporalState, depth_B1HW: Tensor, instances_B1HW: Tensor | None, motion: EngineMotion
) -> tuple[Tensor, Tensor]:
    """Return the previous picture as seen from this frame, and where that is valid.

    `depth_B1HW` float32 metres along the optical axis, `instances_B1HW` integer ids or None, both of this frame and of
    the state's size. Returns warped_B3HW float32 [-1, 1] and valid_B1HW float32, 1 where the same surface was visible
    in the previous picture and 0 elsewhere, where `warped` is 0. With nothing moved it is the previous picture, bit
    for bit. Raises ValueError for another size.
    """
    _check_size(state, depth_B1HW)
    if state.inverse_depth_B1HW is None or state.owner_B1HW is None or state.motion is None:
        return torch.zeros_like(state.rgb_B3HW), torch.zeros_like(depth_B1HW)
    return _resample(state, *_placed(state.motion, depth_B1HW, instances_B1HW, motion))


def engine_flow(
    state: TemporalState, depth_B1HW: Tensor, instances_B1HW: Tensor | None, motion: EngineMotion
) -> tuple[Tensor, Tensor]:
    """Return where in the previous picture each pixel's surface was, and where it was visible there.

    Takes what `warp_previous` takes. Returns flow_B2HW float32, pixels, x right, y down, previous minus current, and
    valid_B1HW float32, 1 or 0: `sample_at(rgb, flow) * valid` is what `warp_previous` returns. Without the previous
    frame's geometry nothing is valid. Raises ValueError for another size.
    """
    _check_size(state, depth_B1HW)
    if state.inverse_depth_B1HW is None or state.owner_B1HW is None or state.motion is None:
        return torch.cat([torch.zeros_like(depth_B1HW)] * 2, dim=1), torch.zeros_like(depth_B1HW)
    places, expected_owner_HW = _placed(state.motion, depth_B1HW, instances_B1HW, motion)
    geometry_B2HW = torch.cat([state.inverse_depth_B1HW, state.owner_B1HW], dim=1)
    if places.moved:
        geometry_B2HW = _grid_sample(geometry_B2HW, _grid(places.du_HW, places.dv_HW), "bilinear")
    return torch.stack([places.du_HW, places.dv_HW])[None], _valid(geometry_B2HW, places, expected_owner_HW)


def sample_at(rgb_B3HW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """Return a picture [-1, 1] sampled at each pixel plus its flow, bicubic; border pixels go on beyond the border."""
    du_HW, dv_HW = flow_B2HW[0]
    return _sample_rgb(rgb_B3HW, du_HW, dv_HW)


def _check_size(state: TemporalState, depth_B1HW: Tensor) -> None:
    if tuple(depth_B1HW.shape) != (1, 1, *state.size_hw):
        raise ValueError(f"depth is {tuple(depth_B1HW.shape)}, the state's size is {state.size_hw}")


def _placed(
    before: EngineMotion, depth_B1HW: Tensor, instances_B1HW: Tensor | None, motion: EngineMotion
) -> tuple[_Places, Tensor]:
    """Return where each pixel's surface was in the frame before, and which instance (H,W) must have been there."""
    inverse_HW = inverse_depth(depth_B1HW)[0, 0]
    owner_HW = owners(instances_B1HW, depth_B1HW)[0, 0]
    previous_from_camera = np.linalg.inv(before.world_from_camera) @ motion.world_from_camera
    if np.array_equal(before.world_from_camera, motion.world_from_camera):
        previous_from_camera = np.eye(4)
    places = _Places.of_static(inverse_HW, previous_from_camera, motion.focal_px)
    return places, places.place_bodies(owner_HW, before, motion)


@dataclass
class _Places:
    """Where each pixel's surface was: its displacement in pixels and its inverse depth, all (H, W) float32."""

    du_HW: Tensor
    dv_HW: Tensor
    inverse_HW: Tensor
    nearness_HW: Tensor  # its depth in the previous frame, in units of its depth now; not positive: behind the camera
    current_inverse_HW: Tensor
    moved: bool

    @classmethod
    def of_static(cls, inverse_HW: Tensor, previous_from_camera: Matrix, focal_px: float) -> _Places:
        """Reproject every pixel as if nothing but the camera had moved.

        With the ray (x, y, 1) of a pixel, inverse depth q, R = I + D and translation t of previous_from_camera, the
        previous ray times depth is R (x, y, 1) + t q. Its denominator and both displacements are a sum of a row, a
        column and multiples of q: no matrix product per pixel. Differences to the current ray are formed in float64
        before they meet a pixel, so that small motions keep their precision.
        """
        if np.array_equal(previous_from_camera, np.eye(4)):
            zero_HW = torch.zeros_like(inverse_HW)
            return cls(
                zero_HW,
                zero_HW.clone(),
                inverse_HW.clone(),
                torch.ones_like(zero_HW),
                inverse_HW,
                False,
            )
        height_px, width_px = inverse_HW.shape
        x = (np.arange(width_px) + 0.5 - width_px / 2) / focal_px
        y = (np.arange(height_px) + 0.5 - height_px / 2) / focal_px
        d, t = previous_from_camera[:3, :3] - np.eye(3), previous_from_camera[:3, 3]

        def row(values: NDArray) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(inverse_HW.device)[None, :]

        def column(values: NDArray) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(inverse_HW.device)[:, None]

        z_HW = (row(1.0 + d[2, 2] + d[2, 0] * x) + column(d[2, 1] * y)).add_(inverse_HW, alpha=float(t[2]))
        scale_HW = z_HW.clamp(min=NEAREST_RATIO).reciprocal_()
        du_HW = row(d[0, 2] + d[0, 0] * x - x * (d[2, 2] + d[2, 0] * x)) + column(d[0, 1] * y)
        du_HW.addcmul_(row(x), column(-d[2, 1] * y)).addcmul_(row(t[0] - x * t[2]), inverse_HW)
        dv_HW = row(d[1, 0] * x) + column(d[1, 2] + d[1, 1] * y - y * (d[2, 2] + d[2, 1] * y))
        dv_HW.addcmul_(row(-d[2, 0] * x), column(y)).addcmul_(column(t[1] - y * t[2]), inverse_HW)
        du_HW.mul_(scale_HW).mul_(focal_px)
        dv_HW.mul_(scale_HW).mul_(focal_px)
        return cls(du_HW, dv_HW, scale_HW.mul_(inverse_HW), z_HW, inverse_HW, True)

    def place_bodies(self, owner_HW: Tensor, before: EngineMotion, now: EngineMotion) -> Tensor:
        """Move the pixels of bodies that are known in both frames; return the owner each pixel must have had.

        The owner of a movable pixel whose body is not known in both frames is -1: it can have no valid source.
        """
        pixels = torch.nonzero(owner_HW.view(-1)).squeeze(1)
        if pixels.numel() == 0:
            return owner_HW
        ids = owner_HW.view(-1).index_select(0, pixels)
        known = sorted(before.bodies.keys() & now.bodies.keys())
        steps = np.stack([np.zeros((4, 4)), *(_body_step(before, now, body) for body in known)])
        slots = torch.zeros(int(ids.max()) + 1, dtype=torch.long, device=ids.device)
        for slot, body in enumerate(known, start=1):
            if 0 < body < slots.numel():
                slots[body] = slot
        slot_of_pixel = slots.index_select(0, ids.long())
        expected_owner_HW = owner_HW.clone()
        expected_owner_HW.view(-1).scatter_(0, pixels, torch.where(slot_of_pixel > 0, ids, -1.0))
        steps_12K = torch.from_numpy(steps[:, :3].reshape(-1, 12).T.astype(np.float32)).to(ids.device)
        self._place(pixels, steps_12K.index_select(1, slot_of_pixel).view(3, 4, -1), now.focal_px)
        self.moved = self.moved or bool(steps.any())
        return expected_owner_HW

    def _place(self, pixels: Tensor, step_34N: Tensor, focal_px: float) -> None:
        """Overwrite the places of some pixels by their own previous_from_camera minus identity."""
        height_px, width_px = self.inverse_HW.shape
        x = ((pixels % width_px).to(torch.float32) + (0.5 - width_px / 2)) / focal_px
        y = ((pixels // width_px).to(torch.float32) + (0.5 - height_px / 2)) / focal_px
        q = self.current_inverse_HW.view(-1).index_select(0, pixels)
        dx, dy, dz = (a * x + b * y + c + t * q for a, b, c, t in step_34N)
        z = dz + 1.0
        scale = z.clamp(min=NEAREST_RATIO).reciprocal()
        self.du_HW.view(-1).scatter_(0, pixels, (dx - x * dz) * scale * focal_px)
        self.dv_HW.view(-1).scatter_(0, pixels, (dy - y * dz) * scale * focal_px)
        self.inverse_HW.view(-1).scatter_(0, pixels, scale * q)
        self.nearness_HW.view(-1).scatter_(0, pixels, z)


def _body_step(before: EngineMotion, now: EngineMotion, body: int) -> Matrix:
    """previous_from_camera of a rigid body's surface, minus identity: camera -> body -> previous camera."""
    if np.array_equal(before.bodies[body], now.bodies[body]) and np.array_equal(
        before.world_from_camera, now.world_from_camera
    ):
        return np.zeros((4, 4))
    body_from_camera = np.linalg.inv(now.bodies[body]) @ now.world_from_camera
    return np.linalg.inv(before.world_from_camera) @ before.bodies[body] @ body_from_camera - np.eye(4)


def _resample(state: TemporalState, places: _Places, expected_owner_HW: Tensor) -> tuple[Tensor, Tensor]:
    assert state.inverse_depth_B1HW is not None and state.owner_B1HW is not None
    rgb_B3HW, geometry_B2HW = state.rgb_B3HW, torch.cat([state.inverse_depth_B1HW, state.owner_B1HW], dim=1)
    if places.moved:
        rgb_B3HW, geometry_B2HW = _sample(rgb_B3HW, geometry_B2HW, places)
    valid_B1HW = _valid(geometry_B2HW, places, expected_owner_HW)
    return rgb_B3HW * valid_B1HW, valid_B1HW


def _valid(geometry_B2HW: Tensor, places: _Places, expected_owner_HW: Tensor) -> Tensor:
    """Return (1,1,H,W) float32, 1 where the surface that must have been at a place is the one that was seen there."""
    seen_HW, owner_HW = geometry_B2HW[0]
    # How far each condition is from failing; one comparison in the end, as comparisons cost more than arithmetic here.
    margin_HW = places.inverse_HW.abs().mul_(RELATIVE_TOLERANCE).add_(ABSOLUTE_TOLERANCE_PER_M)
    margin_HW -= (seen_HW - places.inverse_HW).abs_()
    margin_HW = torch.minimum(margin_HW, 0.5 - (owner_HW - expected_owner_HW).abs_())
    margin_HW = torch.minimum(margin_HW, places.nearness_HW - NEAREST_RATIO)
    if places.moved:
        margin_HW = torch.minimum(margin_HW, _inside(places))
    return (margin_HW >= 0).to(torch.float32)[None, None]


def _inside(places: _Places) -> Tensor:
    """How many pixels the source is inside the picture, not negative up to the border pixels' outer edges.

    Half a pixel beyond the outermost centres the border pixel itself is repeated, which is what lies there.
    """
    height_px, width_px = places.du_HW.shape
    device = places.du_HW.device
    columns = torch.arange(width_px, device=device, dtype=torch.float32)[None, :] - (width_px - 1) / 2
    rows = torch.arange(height_px, device=device, dtype=torch.float32)[:, None] - (height_px - 1) / 2
    inside_u = width_px / 2 - (places.du_HW + columns).abs_()
    return torch.minimum(inside_u, height_px / 2 - (places.dv_HW + rows).abs_())


def _sample(rgb_B3HW: Tensor, geometry_B2HW: Tensor, places: _Places) -> tuple[Tensor, Tensor]:
    """Sample at current pixel plus displacement: geometry bilinear, the picture bicubic (Keys 1981, a = -0.75).

    A picture is resampled again every frame: bilinear weights would blur it within a second of driving.
    """
    grid_HW2 = _grid(places.du_HW, places.dv_HW)
    geometry_B2HW = _grid_sample(geometry_B2HW, grid_HW2, "bilinear")
    return _sample_rgb(rgb_B3HW, places.du_HW, places.dv_HW, grid_HW2), geometry_B2HW


def _sample_rgb(rgb_B3HW: Tensor, du_HW: Tensor, dv_HW: Tensor, grid_HW2: Tensor | None = None) -> Tensor:
    if rgb_B3HW.device.type == "cpu":
        return _remap_cubic(rgb_B3HW, du_HW, dv_HW).clamp_(-1.0, 1.0)
    grid_HW2 = _grid(du_HW, dv_HW) if grid_HW2 is None else grid_HW2
    return _grid_sample(rgb_B3HW, grid_HW2, "bicubic").clamp_(-1.0, 1.0)


def _grid(du_HW: Tensor, dv_HW: Tensor) -> Tensor:
    """Return (H,W,2) where each pixel plus its displacement is, -1..1 from edge to edge of the picture."""
    height_px, width_px = du_HW.shape
    device = du_HW.device
    grid_HW2 = torch.empty(height_px, width_px, 2, device=device)
    columns = (torch.arange(width_px, device=device, dtype=torch.float32) * 2 + 1) / width_px - 1
    rows = (torch.arange(height_px, device=device, dtype=torch.float32) * 2 + 1) / height_px - 1
    torch.add(columns[None, :], du_HW, alpha=2.0 / width_px, out=grid_HW2[..., 0])
    torch.add(rows[:, None], dv_HW, alpha=2.0 / height_px, out=grid_HW2[..., 1])
    return grid_HW2


def _grid_sample(planes_BCHW: Tensor, grid_HW2: Tensor, mode: str) -> Tensor:
    return functional.grid_sample(planes_BCHW, grid_HW2[None], mode=mode, padding_mode="border", align_corners=False)


def _remap_cubic(rgb_B3HW: Tensor, du_HW: Tensor, dv_HW: Tensor) -> Tensor:
    """What `grid_sample` does bicubic, to the last bits, in 40 % of its time on a CPU."""
    height_px, width_px = du_HW.shape
    u_HW = (du_HW + torch.arange(width_px, dtype=torch.float32)[None, :]).numpy()
    v_HW = (dv_HW + torch.arange(height_px, dtype=torch.float32)[:, None]).numpy()
    rgb_HW3 = rgb_B3HW[0].permute(1, 2, 0).contiguous().numpy()
    moved_HW3 = cv2.remap(rgb_HW3, u_HW, v_HW, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(moved_HW3).permute(2, 0, 1)[None]
