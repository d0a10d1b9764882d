"""What a model is given for one frame: checked planes as tensors on its device.

Labels stay 8-bit class ids until they are on the device; one-hots and embeddings are made there by the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.errors import LabelError, RenderRefused
from bridge.protocol.labels import check_labels
from bridge.protocol.messages import ModelCard, Motion, PlaneName, Render
from renderer.backends.transfer import stage, upload
from renderer.temporal import EngineMotion

MAX_PIXELS: Final = 4096 * 2304


@dataclass(frozen=True)
class ModelInput:
    """One frame on the model's device, batch 1.

    labels_BHW uint8 ids of the model's label space · depth_B1HW float32 metres · instances_B1HW int32, 0 = nothing
    that moves · motion of camera and bodies. Without depth and motion a model starts from the labels alone.

    For models of edge maps and poses dense_BCHW float32 holds this frame's planes, and the labels are ids of face
    parts or zeros. first_B3HW float32 [-1, 1] is a given picture of this frame, taken in place of a synthesized one
    where a sequence begins; reference_B3HW float32 [-1, 1] a real picture of it, whose look a model may encode.
    `following` is the next frame of the sequence where it is known already, so that a model may work ahead.
    """

    labels_BHW: Tensor
    depth_B1HW: Tensor | None = None
    instances_B1HW: Tensor | None = None
    motion: EngineMotion | None = None
    dense_BCHW: Tensor | None = None
    first_B3HW: Tensor | None = None
    reference_B3HW: Tensor | None = None
    following: ModelInput | None = None


def one_hot(labels_BHW: Tensor, num_labels: int) -> Tensor:
    """Return (B,num_labels,H,W) float32, 1 in the channel of each pixel's id; ids are below `num_labels`."""
    batch, height_px, width_px = labels_BHW.shape
    planes = torch.zeros(batch, num_labels, height_px, width_px, device=labels_BHW.device)
    return planes.scatter_(1, labels_BHW[:, None].long(), 1.0)


def instance_edges(instances_B1HW: Tensor) -> Tensor:
    """Return (B,1,H,W) float32: 1 where the left, right, upper or lower neighbour has another instance id."""
    edges = torch.zeros(instances_B1HW.shape, device=instances_B1HW.device)
    across = instances_B1HW[..., 1:] != instances_B1HW[..., :-1]
    down = instances_B1HW[..., 1:, :] != instances_B1HW[..., :-1, :]
    edges[..., 1:].masked_fill_(across, 1.0)
    edges[..., :-1].masked_fill_(across, 1.0)
    edges[..., 1:, :].masked_fill_(down, 1.0)
    edges[..., :-1, :].masked_fill_(down, 1.0)
    return edges


def regions(labels_BHW: Tensor, instances_B1HW: Tensor | None) -> Tensor:
    """Return (B,1,H,W) int32 ids of what looks alike: a pixel's instance id, or its class id where it has none (0).

    Instance maps of Cityscapes name every pixel, by its class where that is not counted; those of a simulator name
    what moves, and become like them. Networks that were trained on the former see the borders they know.
    """
    labels_B1HW = labels_BHW[:, None].to(torch.int32)
    if instances_B1HW is None:
        return labels_B1HW
    return torch.where(instances_B1HW == 0, labels_B1HW, instances_B1HW.to(torch.int32))


def check_request(card: ModelCard, request: Render) -> None:
    """Raise RenderRefused if a request's header does not fit the model: size, planes, motion."""
    size_hw, multiple = (request.height_px, request.width_px), card.size_multiple_px
    if size_hw[0] % multiple or size_hw[1] % multiple:
        raise RenderRefused(
            "bad-size",
            f"model {card.name} needs sides that are multiples of {multiple} px, not {size_hw[1]}x{size_hw[0]}",
            "Choose another size",
        )
    if size_hw[0] * size_hw[1] > MAX_PIXELS:
        raise RenderRefused("bad-size", f"a frame of {size_hw[1]}x{size_hw[0]} is too large", "Choose a smaller size")
    sent = {header.name: header for header in request.planes}
    if missing := [name for name in card.planes if name not in sent]:
        raise RenderRefused(
            "missing-plane", f"model {card.name} needs the planes {', '.join(missing)} too", "Send what its card lists"
        )
    if foreign := [name for name in sent if name not in card.planes]:
        raise RenderRefused(
            "foreign-plane", f"model {card.name} has no use for {', '.join(foreign)}", "Send what its card lists"
        )
    for header in request.planes:
        if header.shape[:2] != size_hw or len(header.shape) != (3 if header.name in ("rgb", "flow_px") else 2):
            raise RenderRefused(
                "bad-plane",
                f"plane {header.name} has shape {header.shape} in a frame of (height, width) {size_hw}",
                "Send planes of the frame's size",
            )
    if "depth_m" in card.planes and request.motion is None:
        raise RenderRefused("missing-motion", f"model {card.name} needs the camera's motion too", "Send poses")


def model_input(
    card: ModelCard, planes: Mapping[PlaneName, NDArray], motion: Motion | None, device: torch.device
) -> ModelInput:
    """Return checked tensors of one frame; raises RenderRefused for values that no model can use.

    `labels` (H,W) u8, `instances` (H,W) u16 or u8, `depth_m` (H,W) f32 or f16, `rgb` (H,W,3) u8: the simulator's own
    picture, with which a sequence begins for models that ask for it.
    """
    rgb = planes.get("rgb")
    if planes["labels"].dtype != np.uint8:
        raise RenderRefused("bad-plane", f"the label map is {planes['labels'].dtype}", "Send 8-bit class ids")
    labels_HW = stage(planes["labels"], np.uint8, device)  # copied, then checked: nobody else's to change any more
    try:
        check_labels(labels_HW.numpy(), card.label_space)
    except LabelError as error:
        raise RenderRefused("bad-labels", error.what, error.hint) from None
    if rgb is not None and (rgb.dtype != np.uint8 or rgb.shape[2:] != (3,)):
        raise RenderRefused("bad-plane", f"the picture is {rgb.dtype} {rgb.shape}", "Send 8-bit RGB")
    return ModelInput(
        labels_BHW=upload(labels_HW, device)[None],
        depth_B1HW=_depth(planes.get("depth_m"), device),
        instances_B1HW=_instances(planes.get("instances"), device),
        motion=None if motion is None else engine_motion(motion),
        first_B3HW=None if rgb is None else signed_picture(rgb, device),
    )


def _depth(plane: NDArray | None, device: torch.device) -> Tensor | None:
    if plane is None:
        return None
    depth_HW = stage(plane, np.float32, device)
    depth = depth_HW.numpy()
    # The extremes carry every NaN and infinity along.
    if plane.dtype.kind != "f" or not (math.isfinite(depth.min()) and math.isfinite(depth.max())):
        raise RenderRefused("bad-plane", "the depth plane holds what is not a finite number", "Send depth in metres")
    return upload(depth_HW, device)[None, None]


def _instances(plane: NDArray | None, device: torch.device) -> Tensor | None:
    if plane is None:
        return None
    if plane.dtype.kind != "u":
        raise RenderRefused("bad-plane", f"the instance map is {plane.dtype}", "Send 16-bit ids")
    if device.type == "cuda" and plane.dtype == np.uint16:  # half the bytes on the way; the sign is made there
        return _tensor(plane.view(np.int16), np.int16, device).to(torch.int32).bitwise_and_(0xFFFF)[None, None]
    return _tensor(plane, np.int32, device)[None, None]


def signed_picture(rgb: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return a picture (H,W,3) u8 as (1,3,H,W) float32 in [-1, 1]."""
    return _tensor(rgb, np.uint8, device).permute(2, 0, 1)[None].float().div_(255).sub_(0.5).div_(0.5)


def engine_motion(motion: Motion) -> EngineMotion:
    """Return the poses of a request as matrices; raises RenderRefused for poses that cannot be inverted."""
    if not (math.isfinite(motion.focal_px) and motion.focal_px > 0):
        raise RenderRefused("bad-motion", f"a focal length of {motion.focal_px} px", "Send the camera's own")
    camera, *bodies = _matrices([motion.world_from_camera, *(body.world_from_body for body in motion.bodies)])
    ids = [body.instance_id for body in motion.bodies]
    return EngineMotion(motion.focal_px, camera, dict(zip(ids, bodies, strict=True)))


def _matrices(rows: Sequence[tuple[float, ...]]) -> NDArray[np.float64]:
    """Return (N,4,4) of N poses of 3x4 numbers each."""
    matrices = np.zeros((len(rows), 4, 4))
    matrices[:, :3] = np.reshape(np.array(rows), (-1, 3, 4))
    matrices[:, 3, 3] = 1.0
    if not np.isfinite(matrices).all() or (np.abs(np.linalg.det(matrices[:, :3, :3])) < 1e-6).any():
        raise RenderRefused("bad-motion", "a pose that is not a rigid motion", "Send 3x4 rows of world_from_camera")
    return matrices


def _tensor(array: NDArray, dtype: type[np.generic], device: torch.device) -> Tensor:
    """Copy a (read-only, borrowed) plane into a tensor of our own."""
    return upload(stage(array, dtype, device), device)
