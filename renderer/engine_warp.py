"""A picture of one frame as the next frame sees it, by the engine's exact depth and poses; and how it then differs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.frames import SensorFrame
from renderer.temporal import EngineMotion, remember, warp_previous
from renderer.train.perceptual import FeatureNetwork


def follow(
    rgb_before: NDArray[np.uint8], before: SensorFrame, now: SensorFrame
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the picture of the frame before moved to where its surfaces are now, and where they were visible.

    (H,W,3) f32 of 255 and (H,W); raises ValueError for frames without depth, or of another size than the picture.
    """
    if before.depth_m is None or now.depth_m is None:
        raise ValueError("surfaces cannot be followed without depth")
    state = remember(_tensor(rgb_before), _plane(before.depth_m), _ids(before), _motion(before))
    warped_B3HW, valid_B1HW = warp_previous(state, _plane(now.depth_m), _ids(now), _motion(now))
    warped = np.asarray((warped_B3HW[0].permute(1, 2, 0).numpy() + 1) * 127.5, np.float32)
    return warped, valid_B1HW[0, 0].numpy() > 0


@torch.no_grad()
def perceptual_change(network: FeatureNetwork, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return how different two pictures look to a network: LPIPS (Zhang et al. 2018), all channels counted alike."""
    levels = zip(network.features(_tensor(first)), network.features(_tensor(second)), strict=True)
    return float(sum((_unit(one) - _unit(other)).square().sum(1).mean() for one, other in levels))


def _unit(features_BCHW: Tensor) -> Tensor:
    return features_BCHW / (features_BCHW.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _tensor(rgb: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def _plane(plane: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(plane, np.float32))[None, None]


def _ids(frame: SensorFrame) -> Tensor | None:
    return None if frame.instance_map is None else torch.from_numpy(frame.instance_map.astype(np.int32))[None, None]


def _motion(frame: SensorFrame) -> EngineMotion:
    return EngineMotion(
        frame.intrinsics.focal_px,
        frame.world_from_camera,
        {body.instance_id: body.world_from_body for body in frame.bodies},
    )
