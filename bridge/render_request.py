"""A sensor frame as a request to a model: just the planes that its card asks for, in its label space."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol import wire
from bridge.protocol.errors import RenderRefused
from bridge.protocol.frames import SensorFrame
from bridge.protocol.labels import map_labels
from bridge.protocol.messages import BodyMotion, Codec, ModelCard, Motion, PlaneHeader, PlaneName, Render
from bridge.protocol.shared_memory import PicturePlaces

_FIELDS: Final[dict[PlaneName, str]] = {
    "labels": "label_map",
    "instances": "instance_map",
    "depth_m": "depth_m",
    "flow_px": "flow_px",
    "rgb": "rgb",
}


def refuse_mismatch(card: ModelCard, frame: SensorFrame) -> None:
    """Raise RenderRefused, with all reasons, if a frame does not have what a model's card asks for."""
    reasons = [
        f"it needs the plane {plane}, which this rig does not capture"
        for plane in card.planes
        if _plane_of(frame, plane) is None
    ]
    height_px, width_px = frame.label_map.shape
    multiple = card.size_multiple_px
    if width_px % multiple or height_px % multiple:
        reasons.append(f"it needs sides that are multiples of {multiple} px, and the frame is {width_px}x{height_px}")
    for plane in card.planes:
        array = _plane_of(frame, plane)
        if array is not None and array.shape[:2] != (height_px, width_px):
            reasons.append(f"plane {plane} is {array.shape}, the label map {(height_px, width_px)}")
    if reasons:
        raise RenderRefused(
            "mismatch", f"model {card.name} cannot render these frames: {'; '.join(reasons)}", "Change the rig or size"
        )


def _plane_of(frame: SensorFrame, plane: PlaneName) -> NDArray | None:
    return getattr(frame, _FIELDS[plane]) if plane in _FIELDS else None


def make_request(
    card: ModelCard,
    frame: SensorFrame,
    sequence: int,
    codec: Codec,
    look: int = 0,
    places: PicturePlaces | None = None,
) -> tuple[Render, list[NDArray]]:
    """Return the request to render a frame, and its planes in the order of the request's headers.

    Labels are mapped into the model's space; `codec` is that of labels and instances, or of all planes if it is
    "shared": then the request says where in the shared memory they and the picture lie, of whose `places` it takes a
    free one. Raises LabelError for ids that the frame's label space does not have.
    """
    arrays: list[NDArray] = []
    for plane in card.planes:
        array = _plane_of(frame, plane)
        if array is None:
            raise ValueError(f"frame {frame.frame_id} has no plane {plane}")
        if plane == "labels":
            array = map_labels(frame.label_map, frame.label_space, card.label_space)
        arrays.append(array)
    height_px, width_px = frame.label_map.shape
    places = places or PicturePlaces()
    sizes_bytes = [array.nbytes for array in arrays]
    laid_out = places.free(sizes_bytes, height_px * width_px * 3) if codec == "shared" else None
    offsets, picture_offset = laid_out or (None, None)
    headers: list[PlaneHeader] = []
    for index, (plane, array) in enumerate(zip(card.planes, arrays, strict=True)):
        if offsets is not None:
            headers.append(wire.plane_header(plane, array, "shared", offsets[index]))
        elif codec == "shared" or plane not in ("labels", "instances"):
            headers.append(wire.plane_header(plane, array))
        else:
            headers.append(wire.plane_header(plane, array, codec))
    message = Render(
        sequence=sequence,
        frame_id=frame.frame_id,
        width_px=width_px,
        height_px=height_px,
        planes=tuple(headers),
        motion=_motion(frame),
        picture_offset_bytes=picture_offset,
        look=look,
    )
    return message, arrays


def _motion(frame: SensorFrame) -> Motion:
    return Motion(
        focal_px=frame.intrinsics.focal_px,
        world_from_camera=_rows(frame.world_from_camera),
        bodies=tuple(
            BodyMotion(instance_id=b.instance_id, world_from_body=_rows(b.world_from_body)) for b in frame.bodies
        ),
    )


def _rows(matrix: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(matrix[:3, :4].ravel().tolist())
