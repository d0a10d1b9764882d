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

from bridge.edits.track import EditTrack
from bridge.loop import break_between
from bridge.protocol.errors import UsageError
from bridge.protocol.frames import CameraIntrinsics, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.messages import Hello, ModelCard, PlaneName
from bridge.recording.rows import Row
from bridge.recording.writer import digest
from bridge.render_request import make_request, refuse_mismatch
from clients.progress import Progress
from clients.recordings.output import open_pictures
from clients.recordings.pairs import RecordedPairs
from renderer.backends.choice import recorded_backend
from renderer.inputs import check_request, model_input
from renderer.models.base import Model
from renderer.models.imported import ModelOptions
from renderer.models.registry import load_model
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

    `track` are the edits of its frames, None for those that it was recorded with.

    Raises a VidriveError for a recording, model or output that cannot be used; what was written before stays.
    """
    with RecordedPairs(folder, track) as pairs:
        recording = pairs.recording
        if recording.note:
            _log.warning("%s", recording.note)
        card = recording.manifest.card
        backend = recorded_backend(card.dtype if card is not None and card.name == model_name else "")
        model = load_model(model_name, device_name, options, backend)
        size_hw = picture_size(model.card, recording.size_hw, wish_hw)
        same: list[bool] = []
        with open_pictures(out, recording.manifest.fixed_delta_s, size_hw) as sink, Progress(len(pairs)) as progress:
            for row, pair in zip(recording.rows, render_pairs(pairs, model, size_hw), strict=True):
                assert pair.rendered is not None
                sink.write(row.frame_id, row.time_s, pair.rendered.rgb)
                if row.synthesized_sha256:
                    same.append(digest(pair.rendered.rgb) == row.synthesized_sha256)
                progress.advance()
        _log.info("%s: %d frames by %s", out, len(pairs), model.card.name)
        if track is None and same_weights(recording.manifest.card, model.card) and size_hw == recording.size_hw:
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


def render_pairs(pairs: RecordedPairs, model: Model, size_hw: tuple[int, int]) -> Iterator[FramePair]:
    """Yield every frame of a recording with the picture that a model makes of it, in order.

    Temporal state carries on where it did in the drive, and begins anew where it did. Raises RenderRefused if the
    recording has not the planes that the model needs, and LabelError for labels that it cannot map.
    """
    card = model.card
    session = Session(Hello(client="recording"))
    sequence = 0
    before: tuple[Row, SensorFrame] | None = None
    for index, row in enumerate(pairs.recording.rows):
        frame = pairs.sensor_frame(index)
        if frame.label_map.shape != size_hw:
            frame = resized(frame, size_hw)
        if before is None or begins_anew(*before, row, frame):
            sequence += 1
        before = row, frame
        refuse_mismatch(card, frame)
        request, arrays = make_request(card, frame, sequence, "raw")
        check_request(card, request)
        planes: dict[PlaneName, NDArray] = {h.name: array for h, array in zip(request.planes, arrays, strict=True)}
        tensors = model_input(card, planes, request.motion, model.device)
        output, reset = session.render(model, tensors, request)
        rendered = RenderedFrame(frame.frame_id, sequence, output.rgb, output.stages_ms, reset=reset)
        yield FramePair(frame, rendered, 0.0)


def begins_anew(row_before: Row, frame_before: SensorFrame, row: Row, frame: SensorFrame) -> bool:
    """Return whether temporal state did not carry on from one frame of a recording to the next, or could not."""
    if row.sequence is None and row_before.sequence is None:
        return bool(break_between(frame_before, frame))
    return bool(row.sequence != row_before.sequence or row.reset)


def same_weights(recorded: ModelCard | None, card: ModelCard) -> bool:
    """Return whether a model is the one of a recording, in the same precision on the same kind of device."""
    if recorded is None:
        return False
    return (recorded.weights_sha256, recorded.device, recorded.dtype) == (card.weights_sha256, card.device, card.dtype)


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
