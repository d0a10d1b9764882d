"""A recording as a Rerun log: planes, poses, bodies and timings, on the simulator's clock.

Needs the extra `vidrive[rerun]`; written for rerun-sdk 0.39 and later.
"""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np

from bridge.protocol.errors import OutputError, UsageError
from bridge.protocol.frames import FramePair
from bridge.protocol.labels import class_names, palette
from bridge.recording.rows import Row
from clients.progress import Progress
from clients.recordings.pairs import RecordedPairs
from clients.viewer.planes import flow_rgb

JPEG_QUALITY: Final = 90
LEAST_ROOM_BYTES: Final = 64_000_000  # what it collects before it writes, many times over
CAMERA: Final = "world/camera"


def export_rerun(pairs: RecordedPairs, out: Path) -> int:
    """Write an .rrd file and return the number of frames; raises UsageError where rerun-sdk is not installed."""
    try:
        sdk: Any = importlib.import_module("rerun")  # its annotations differ from version to version
    except ImportError:
        raise UsageError(
            "this export needs the package rerun-sdk, which is not installed", "pip install 'vidrive[rerun]'"
        ) from None
    if out.suffix.lower() != ".rrd":
        raise UsageError(f"{out} is not a Rerun file", "Name a file that ends in .rrd")
    unfinished = out.with_name(f".{out.name}.unfinished.rrd")
    try:
        unfinished.open("wb").close()
        log = sdk.RecordingStream("vidrive", recording_id=pairs.recording.manifest.created_utc)
        _check_room(out)
        log.save(str(unfinished), default_blueprint=_views(importlib.import_module("rerun.blueprint")))
        _log_fixed(sdk, log, pairs)
        with Progress(len(pairs)) as progress:
            for index, row in enumerate(pairs.recording.rows):
                _log_frame(sdk, log, row, pairs.pair(index))
                _check_room(out)
                progress.advance()
        log.flush()
        log.disconnect()
        unfinished.replace(out)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{out} cannot be written ({reason})", "Choose another --out, or make room") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return len(pairs)


def _check_room(out: Path) -> None:
    """Raise OSError before the disk is full: after that Rerun's own writer would never come back."""
    free_bytes = shutil.disk_usage(out.parent).free
    if free_bytes < LEAST_ROOM_BYTES:
        raise OSError(f"only {free_bytes / 1e6:.0f} MB are left on the disk, and it needs {LEAST_ROOM_BYTES / 1e6:.0f}")


def _views(views: Any) -> Any:
    """What is shown where when the file is opened: both pictures, the planes, the world, and the curves."""
    pictures = views.Vertical(
        views.Spatial2DView(origin=f"{CAMERA}/rgb", name="original"),
        views.Spatial2DView(origin="synthesized", name="synthesized"),
        views.Tabs(
            *(views.Spatial2DView(origin=f"{CAMERA}/{plane}", name=plane) for plane in ("labels", "instances", "depth"))
        ),
    )
    curves = views.Vertical(
        views.Spatial3DView(origin="world", name="world"),
        views.TimeSeriesView(origin="drive/stages_ms", name="stages, ms"),
        views.TimeSeriesView(origin="drive", contents=["drive/*"], name="drive"),
        views.TextLogView(origin="events", name="events"),
        row_shares=[3, 2, 2, 1],
    )
    return views.Blueprint(views.Horizontal(pictures, curves))


def _log_fixed(sdk: Any, log: Any, pairs: RecordedPairs) -> None:
    """What holds for the whole recording: CARLA's world, the lens, the classes."""
    recording = pairs.recording
    height_px, width_px = recording.size_hw
    log.log("world", sdk.ViewCoordinates.FLU, static=True)
    lens = sdk.Pinhole(
        focal_length=recording.intrinsics.focal_px, width=width_px, height=height_px, camera_xyz=sdk.ViewCoordinates.RDF
    )
    log.log(CAMERA, lens, static=True)
    colors = palette(recording.manifest.label_space)
    classes = [
        (class_id, name, tuple(colors[class_id].tolist()))
        for class_id, name in class_names(recording.manifest.label_space).items()
    ]
    log.log("/", sdk.AnnotationContext(classes), static=True)


def _log_frame(sdk: Any, log: Any, row: Row, pair: FramePair) -> None:
    sensor = pair.sensor
    log.set_time("simulation", duration=row.time_s)
    log.set_time("frame", sequence=row.frame_id)
    pose = sensor.world_from_camera
    log.log(CAMERA, sdk.Transform3D(translation=_mirrored(pose[:3, 3]), mat3x3=_mirror() @ pose[:3, :3]))
    log.log(f"{CAMERA}/labels", sdk.SegmentationImage(sensor.label_map))
    if sensor.instance_map is not None:
        log.log(f"{CAMERA}/instances", sdk.SegmentationImage(sensor.instance_map))
    if sensor.depth_m is not None:
        log.log(f"{CAMERA}/depth", sdk.DepthImage(sensor.depth_m, meter=1.0))
    if sensor.flow_px is not None:
        log.log(f"{CAMERA}/flow", sdk.Image(flow_rgb(sensor.flow_px)))
    if sensor.rgb is not None:
        log.log(f"{CAMERA}/rgb", sdk.Image(sensor.rgb).compress(jpeg_quality=JPEG_QUALITY))
    if pair.rendered is not None:
        log.log("synthesized", sdk.Image(pair.rendered.rgb).compress(jpeg_quality=JPEG_QUALITY))
    if sensor.bodies:
        places = [_mirrored(body.world_from_body[:3, 3]) for body in sensor.bodies]
        labels = [str(body.instance_id) for body in sensor.bodies]
        log.log("world/bodies", sdk.Points3D(places, labels=labels, radii=0.5))
    ego = {"speed_m_s": sensor.ego.speed_m_s, "throttle": sensor.ego.throttle, "steer": sensor.ego.steer}
    for name, value in {**ego, "brake": sensor.ego.brake, "gear": sensor.ego.gear, "age_ms": row.age_ms}.items():
        log.log(f"drive/{name}", sdk.Scalars(float(value)))
    for event in (f"temporal state begins anew: {row.reset}" if row.reset else "", row.notice):
        if event:
            log.log("events", sdk.TextLog(event))
    for name, value_ms in row.stages_ms.items():
        log.log(f"drive/stages_ms/{name}", sdk.Scalars(float(value_ms)))


def _mirror() -> np.ndarray:
    """CARLA's world is left-handed (y right), Rerun's right-handed (y left)."""
    return np.diag([1.0, -1.0, 1.0])


def _mirrored(place_m: np.ndarray) -> np.ndarray:
    return _mirror() @ place_m
