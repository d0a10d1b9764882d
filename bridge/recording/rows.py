"""The recording's table: one JSON line a frame with everything but the planes, and where the planes lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.frames import BodyPose, EgoState, FramePair
from bridge.protocol.messages import BodyMotion, Rows3x4

Place = tuple[Annotated[int, msgspec.Meta(ge=0)], Annotated[int, msgspec.Meta(ge=1)]]


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One frame of the table.

    `world_from_camera` and the bodies' poses are the upper 3x4, row by row, metres, without a digit lost · `ego` its
    speed in m/s, controls and gear · `records` of each lossless plane the offset and length of its bytes in the plane's
    file · `pictures` of each plane that is a video the number of its picture, from 0 · `sequence` the frames that share
    temporal state, None where nothing was synthesized · `reset` why it began anew · `stages_ms` what the inference
    server took · `synthesized_sha256` of the picture's (H,W,3) bytes.
    """

    frame_id: int
    time_s: float
    world_from_camera: Rows3x4
    bodies: tuple[BodyMotion, ...] = ()
    ego: EgoState
    records: dict[str, Place]
    pictures: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
    sequence: int | None = None
    reset: str = ""
    notice: str = ""
    age_ms: float = 0.0
    stages_ms: dict[str, float] = {}
    synthesized_sha256: str = ""


def make_row(
    pair: FramePair, records: Mapping[str, Place], pictures: Mapping[str, int], synthesized_sha256: str
) -> Row:
    """Return the row of a pair whose planes have been kept at these places."""
    sensor, rendered = pair.sensor, pair.rendered
    return Row(
        frame_id=sensor.frame_id,
        time_s=sensor.time_s,
        world_from_camera=_rows(sensor.world_from_camera),
        bodies=tuple(
            BodyMotion(instance_id=body.instance_id, world_from_body=_rows(body.world_from_body))
            for body in sensor.bodies
        ),
        ego=sensor.ego,
        records=dict(records),
        pictures=dict(pictures),
        sequence=None if rendered is None else rendered.sequence,
        reset="" if rendered is None else rendered.reset,
        notice=pair.notice,
        age_ms=round(pair.age_ms, 3),
        stages_ms={} if rendered is None else {name: round(ms, 3) for name, ms in rendered.stages_ms.items()},
        synthesized_sha256=synthesized_sha256,
    )


def body_poses(row: Row) -> tuple[BodyPose, ...]:
    """Return the movable actors of a row."""
    return tuple(BodyPose(body.instance_id, pose_matrix(body.world_from_body)) for body in row.bodies)


def pose_matrix(rows: Rows3x4) -> NDArray[np.float64]:
    """Return the (4,4) f64 matrix of the upper 3x4 of a pose."""
    matrix = np.eye(4)
    matrix[:3] = np.reshape(np.array(rows, np.float64), (3, 4))
    return matrix


def _rows(matrix: NDArray[np.float64]) -> Rows3x4:
    return tuple(matrix[:3, :4].ravel().tolist())
