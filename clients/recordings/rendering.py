"""A recording through a model again, offline, with everything that the inference server had: planes, poses, sequences.

What a server does with a request is done here with each row: the same checks, the same tensors, the same session. So
the same weights in the same precision on the same kind of CPU give the recorded pictures bit for bit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.breaks import break_between
from bridge.edits.track import EditTrack
from bridge.protocol.errors import UsageError
from bridge.protocol.frames import CameraIntrinsics, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.messages import Hello, ModelCard, PlaneName
from bridge.recording.rows import Row
from bridge.recording.writer import digest
from bridge.render_request import make_request, refuse_mismatch
from clients.progress import Progress
from clients.recordings.look_models import ModelOf, models_of, same_weights
from clients.recordings.output import open_pictures
from clients.recordings.pairs import RecordedPairs
from renderer.inputs import check_request, model_input
from renderer.models.base import Model
from renderer.models.imported import ModelOptions
from renderer.sessions import Session
from renderer.synthesize import output_size

SHAPE_TOLERANCE: Final = 0.01
_log: Final = logging.getLogger("vidrive")


def render_recording(
    folder: Path,
    out: Path,
    model_name: str,
    device_name: str,
    wish_hw: tuple[int, int] | None = None,
    options: ModelOptions | None = None,
    track: EditTrack | None = None,
) -> None:
    """Render a recording to a folder of PNGs or an .mp4 in simulation time, and say how it went.

    The model "recorded" is for each frame the one that it was recorded with. `track` are the edits of its frames, None
    for those that it was recorded with.

    Raises a VidriveError for a recording, model or output that cannot be used; what was written before stays.
    """
    with RecordedPairs(folder, track) as pairs:
        recording = pairs.recording
        if recording.note:
            _log.warning("%s", recording.note)
        model_of = models_of(pairs, model_name, device_name, options)
        size_hw = picture_size(model_of(recording.rows[0])[0].card, recording.size_hw, wish_hw)
        names: dict[str, None] = {}
        same: list[bool] = []
        with open_pictures(out, recording.manifest.fixed_delta_s, size_hw) as sink, Progress(len(pairs)) as progress:
            for row, pair in zip(recording.rows, render_pairs(pairs, model_of, size_hw), strict=True):
                rendered = pair.rendered
                assert rendered is not None
                assert rendered.card is not None
                sink.write(row.frame_id, row.time_s, rendered.rgb)
                names[rendered.card.name] = None
                look = pairs.looks.at(row.frame_id)
                repeats = look is not None and look.style == rendered.style and same_weights(look.card, rendered.card)
                if row.synthesized_sha256 and repeats:
                    same.append(digest(rendered.rgb) == row.synthesized_sha256)
                progress.advance()
        _log.info("%s: %d frames by %s", out, len(pairs), " and ".join(names))
        if track is None and same and size_hw == recording.size_hw:
            _log.info("%d of %d pictures are the recorded ones, bit for bit", sum(same), len(same))


def picture_size(card: ModelCard, recorded_hw: tuple[int, int], wish_hw: tuple[int, int] | None) -> tuple[int, int]:
    """Return height and width at which a model renders a recording: those wished for, rounded as the model needs.

    Raises UsageError for another shape than the recording's: its poses and depth would not fit the picture.
    """
    size_hw = output_size(card, wish_hw or recorded_hw)
    recorded = recorded_hw[1] / recorded_hw[0]
    if abs(size_hw[1] / size_hw[0] - recorded) > SHAPE_TOLERANCE * recorded:
        raise UsageError(
            f"the recording is {recorded_hw[1]}x{recorded_hw[0]}, and {size_hw[1]}x{size_hw[0]} is of another shape",
            f"Choose a --size of its shape whose sides are multiples of {card.size_multiple_px}",
        )
    return size_hw


def render_pairs(pairs: RecordedPairs, model_of: ModelOf, size_hw: tuple[int, int]) -> Iterator[FramePair]:
    """Yield every frame of a recording with the picture that its model makes of it, in order.

    Temporal state carries on where it did in the drive, and begins anew where it did, or with another model. Raises
    RenderRefused if the recording has not the planes that a model needs, LabelError for labels that it cannot map and
    UsageError where models draw in different sizes.
    """
    session = Session(Hello(client="recording"))
    sequence = 0
    before: tuple[Row, SensorFrame] | None = None
    model_before: Model | None = None
    for index, row in enumerate(pairs.recording.rows):
        model, style = model_of(row)
        if model is not model_before and picture_size(model.card, pairs.recording.size_hw, size_hw) != size_hw:
            raise UsageError(
                f"{model.card.name} does not draw {size_hw[1]}x{size_hw[0]}",
                f"Choose a --size whose sides are multiples of {model.card.size_multiple_px}",
            )
        frame = pairs.sensor_frame(index)
        if frame.label_map.shape != size_hw:
            frame = resized(frame, size_hw)
        if before is None or model is not model_before or begins_anew(*before, row, frame):
            sequence += 1
        before, model_before = (row, frame), model
        rendered = _render(session, model, frame, sequence)
        yield FramePair(frame, replace(rendered, style=style), 0.0)


def _render(session: Session, model: Model, frame: SensorFrame, sequence: int) -> RenderedFrame:
    refuse_mismatch(model.card, frame)
    request, arrays = make_request(model.card, frame, sequence, "raw")
    check_request(model.card, request)
    planes: dict[PlaneName, NDArray] = {h.name: array for h, array in zip(request.planes, arrays, strict=True)}
    tensors = model_input(model.card, planes, request.motion, model.device)
    output, reset = session.render(model, tensors, request)
    return RenderedFrame(frame.frame_id, sequence, output.rgb, output.stages_ms, reset=reset, card=model.card)


def begins_anew(row_before: Row, frame_before: SensorFrame, row: Row, frame: SensorFrame) -> bool:
    """Return whether temporal state did not carry on from one frame of a recording to the next, or could not."""
    if row.sequence is None and row_before.sequence is None:
        return bool(break_between(frame_before, frame))
    return bool(row.sequence != row_before.sequence or row.reset)


def resized(frame: SensorFrame, size_hw: tuple[int, int]) -> SensorFrame:
    """Return a frame whose planes have another size of the same shape, pixels taken from the nearest."""
    scale = size_hw[1] / frame.label_map.shape[1]
    flow = _nearest(frame.flow_px, size_hw)
    return replace(
        frame,
        label_map=_nearest(frame.label_map, size_hw),
        rgb=_nearest(frame.rgb, size_hw),
        instance_map=_nearest(frame.instance_map, size_hw),
        depth_m=_nearest(frame.depth_m, size_hw),
        flow_px=None if flow is None else flow * np.float32(scale),
        intrinsics=CameraIntrinsics(size_hw[1], size_hw[0], frame.intrinsics.fov_deg),
    )


def _nearest(plane: NDArray | None, size_hw: tuple[int, int]) -> NDArray | None:
    if plane is None:
        return None
    return np.asarray(cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT))
