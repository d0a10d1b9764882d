"""Which camera would see the street as real cameras do: height, pitch and field of view, found by reprojection.

A recording's depth says where every pixel's surface is, so its label maps can be seen from a camera that is higher,
pitched or zoomed without driving again. What the recording's camera never saw stays unlabelled, and counts nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.capture.presets import Count, RigPreset, SessionPreset
from bridge.edits.rules import NO_EDITS, Edits
from bridge.protocol.errors import OutputError, RecordingError, UsageError
from bridge.protocol.labels import map_labels
from bridge.recording.reader import Recording
from clients.gap.comparison import MapSet
from clients.gap.label_maps import COMMON_SPACE, renamed
from clients.gap.measures import objects_per_frame, priors
from clients.gap.statistics import GRID_HW, NUM_CLASSES, Counts, grid_of

FIT_NAME: Final = "fit.yaml"
NUM_FRAMES: Final = 24  # of the recordings together, taken evenly
UNLABELLED: Final = 255
_TARGET_WIDTH_PX: Final = 96  # few enough that every pixel is hit by some of the recording's
_STEPS: Final = ((0.5, 4.0, 16.0), (0.25, 2.0, 8.0), (0.12, 1.0, 4.0), (0.06, 0.5, 2.0))  # m, degrees, degrees
_MAX_ROUNDS: Final = 6  # of each step
_LIMITS: Final = ((0.6, 3.5), (-20.0, 20.0), (30.0, 120.0))  # what a car can carry, and a street needs
_MAX_FACTOR: Final = 4.0  # traffic is changed by at most this much at once
_NEARBY_M: Final = 120.0  # where walkers begin who are to be seen: a street or two

Vector = tuple[float, float, float]


class Fit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `vidrive record --fit` changes of the preset: the camera's mount and lens, and the traffic."""

    z_m: Annotated[float, msgspec.Meta(ge=0.1, le=10.0)]
    pitch_deg: Annotated[float, msgspec.Meta(ge=-60.0, le=60.0)]
    fov_deg: Annotated[float, msgspec.Meta(gt=1.0, lt=179.0)]
    num_vehicles: Count
    num_walkers: Count
    walkers_within_m: Annotated[float, msgspec.Meta(ge=0.0, le=10_000.0)] = 0.0

    def rig(self, rig: RigPreset) -> RigPreset:
        """Return a rig with this camera."""
        mount = msgspec.structs.replace(rig.mount, z_m=self.z_m, pitch_deg=self.pitch_deg)
        return msgspec.structs.replace(rig, mount=mount, fov_deg=self.fov_deg)

    def session(self, session: SessionPreset) -> SessionPreset:
        """Return a session with this traffic."""
        return msgspec.structs.replace(
            session,
            num_vehicles=self.num_vehicles,
            num_walkers=self.num_walkers,
            walkers_within_m=self.walkers_within_m,
        )


@dataclass(frozen=True)
class Fitted:
    """A fit, and the spatial prior's distance from the real one (of 2) with the recording's camera and with its own."""

    fit: Fit
    before: float
    after: float
    num_tried: int


def read_fit(path: Path) -> Fit:
    """Return a fit file; raises UsageError for one that is missing or none."""
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Fit)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror})", f"Name a {FIT_NAME} that vidrive gap made"
        ) from None
    except (msgspec.DecodeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} is no fit ({reason})", f"Name a {FIT_NAME} that vidrive gap made") from None


def write_fit(fit: Fit, folder: Path) -> Path:
    """Write a fit file into a folder; raises OutputError if that cannot be."""
    path = folder / FIT_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"# Found by `vidrive gap --fit-camera`; `vidrive record --fit FILE` drives with it.\n"
                         + msgspec.yaml.encode(fit))  # fmt: skip
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Choose another --out") from None
    return path


def fit_camera(
    recordings: Sequence[Recording],
    synthetic: MapSet,
    real: MapSet,
    session: SessionPreset,
    edits: Edits = NO_EDITS,
    progress: Callable[[int], None] = lambda done: None,
) -> Fitted:
    """Search the camera whose spatial class priors are closest to the real set's, and scale the session's traffic.

    `session` is what the recordings were driven with, all with one camera; `edits` rename classes. Raises
    RecordingError for other cameras or a recording without depth.
    """
    rig = recordings[0].manifest.rig
    for other in recordings[1:]:
        if other.manifest.rig != rig:
            raise RecordingError(
                f"{other.folder} has another camera than {recordings[0].folder}", "Fit to recordings of one camera"
            )
    start: Vector = (rig.mount.z_m, rig.mount.pitch_deg, rig.fov_deg)
    num_frames = math.ceil(NUM_FRAMES / len(recordings))
    views = [view for recording in recordings for view in _views(recording, num_frames, edits)]
    theirs = priors(real.whole)
    tried: dict[Vector, float] = {}

    def distance(camera: Vector) -> float:
        if camera not in tried:
            tried[camera] = _distance(views, start, camera, theirs)
            progress(1)
        return tried[camera]

    best = start
    for steps in _STEPS:
        for _ in range(_MAX_ROUNDS):
            closer = min(_neighbours(best, steps, start), key=distance)
            if distance(closer) >= distance(best):
                break
            best = closer
    ratios = _traffic(synthetic.whole, real.whole)
    fit = Fit(
        z_m=round(best[0], 3),
        pitch_deg=round(best[1], 3),
        fov_deg=round(best[2], 3),
        num_vehicles=min(500, round(session.num_vehicles * ratios["cars"])),
        num_walkers=min(500, round(session.num_walkers * ratios["people"])),
        # More walkers alone would have to fill the whole map, at the simulator's cost.
        walkers_within_m=session.walkers_within_m or (_NEARBY_M if ratios["people"] == _MAX_FACTOR else 0.0),
    )
    return Fitted(fit, tried.get(start, distance(start)), distance(best), len(tried))


def told(fitted: Fitted, rig: RigPreset, session: SessionPreset) -> list[str]:
    """Return what a fit changes, with its evidence."""
    fit = fitted.fit
    nearby = f", who begin within {fit.walkers_within_m:.0f} m of the drive's start" if fit.walkers_within_m else ""
    return [
        f"Camera at {fit.z_m:.2f} m (was {rig.mount.z_m:.2f}), pitch {fit.pitch_deg:+.1f}° (was "
        f"{rig.mount.pitch_deg:+.1f}°), field of view {fit.fov_deg:.0f}° (was {rig.fov_deg:.0f}°): by reprojection the "
        f"spatial prior comes from {fitted.before:.3f} to {fitted.after:.3f} ({fitted.num_tried} cameras tried)",
        f"Traffic of {fit.num_vehicles} vehicles (was {session.num_vehicles}) and {fit.num_walkers} walkers (was "
        f"{session.num_walkers}){nearby}: as many more or fewer as the real set shows",
    ]


def _neighbours(camera: Vector, steps: Vector, start: Vector) -> list[Vector]:
    found = []
    for axis, (step, (low, high)) in enumerate(zip(steps, _LIMITS, strict=True)):
        for signed in (-step, step):
            moved = list(camera)
            lowest = max(low, start[axis]) if axis == 0 else low  # below it may be the car's own bonnet
            moved[axis] = float(np.clip(camera[axis] + signed, lowest, high))
            found.append((moved[0], moved[1], moved[2]))
    return found


def _traffic(ours: Counts, theirs: Counts) -> dict[str, float]:
    """How many times as many of each thing the real set shows, within limits; 1 where it is within a third."""
    synthetic, real = objects_per_frame(ours), objects_per_frame(theirs)
    ratios = {}
    for name in synthetic:
        ratio = real[name] / max(synthetic[name], 0.05)
        ratios[name] = (
            float(np.clip(ratio, 1 / _MAX_FACTOR, _MAX_FACTOR)) if abs(math.log(max(ratio, 1e-3))) > 0.3 else 1.0
        )
    return ratios


@dataclass(frozen=True)
class _View:
    """What one frame's camera saw: (H,W) u8 labels of the common space, and (3,N) f32 surfaces in the camera's axes."""

    labels: NDArray[np.uint8]
    points: NDArray[np.float32]
    size_hw: tuple[int, int]


def _views(recording: Recording, num_frames: int, edits: Edits) -> list[_View]:
    if "depth_m" not in recording.manifest.planes:
        raise RecordingError(f"{recording.folder} has no depth to look from elsewhere by", "Record with vidrive record")
    chosen = np.unique(np.linspace(0, len(recording) - 1, min(num_frames, len(recording))).round().astype(int))
    space = recording.manifest.label_space
    names = renamed(edits, space)
    views = []
    for index in chosen:
        labels, depth = (recording.plane(name, int(index)) for name in ("labels", "depth_m"))
        if labels is None or depth is None:
            continue
        height_px, width_px = labels.shape
        focal_px = recording.intrinsics.focal_px
        x = (np.arange(width_px) + 0.5 - width_px / 2) / focal_px
        y = (np.arange(height_px) + 0.5 - height_px / 2) / focal_px
        points = np.stack([x[None] * depth, y[:, None] * depth, depth]).reshape(3, -1).astype(np.float32)
        mapped = map_labels(np.asarray(cv2.LUT(labels, names), np.uint8), space, COMMON_SPACE)
        views.append(_View(mapped.ravel(), points, (height_px, width_px)))
    return views


def _distance(views: Sequence[_View], start: Vector, camera: Vector, theirs: NDArray[np.float64]) -> float:
    grid = np.zeros((*GRID_HW, NUM_CLASSES))
    for view in views:
        grid += grid_of(seen_from(view.labels, view.points, view.size_hw, start, camera))
    ours = grid / np.maximum(grid.sum(2, keepdims=True), 1.0)
    return float(np.abs(ours - theirs).sum(2).mean())


def seen_from(
    labels: NDArray[np.uint8], points: NDArray[np.float32], size_hw: tuple[int, int], start: Vector, camera: Vector
) -> NDArray[np.uint8]:
    """Return a label map as another camera sees it, (h,96) u8, UNLABELLED where the first one did not see.

    `labels` (N,) and `points` (3,N) are what the camera `start` saw, in its own optical axes; cameras are height in
    metres, pitch in degrees (up is positive), and horizontal field of view in degrees.
    """
    up_m = camera[0] - start[0]
    turn = _pitch(camera[1]).T @ _pitch(start[1])
    shift = _pitch(camera[1]).T @ np.array([0.0, up_m, 0.0])  # a camera that is higher sees everything lower
    x, y, z = turn.astype(np.float32) @ points + shift[:, None].astype(np.float32)
    width_px = _TARGET_WIDTH_PX
    height_px = round(width_px * size_hw[0] / size_hw[1])
    focal_px = width_px / (2 * math.tan(math.radians(camera[2]) / 2))
    ahead = z > 0.1
    columns = np.floor(x[ahead] / z[ahead] * focal_px + width_px / 2)
    rows = np.floor(y[ahead] / z[ahead] * focal_px + height_px / 2)
    inside = (columns >= 0) & (columns < width_px) & (rows >= 0) & (rows < height_px)
    cells = (rows[inside] * width_px + columns[inside]).astype(np.int64)
    far_first = np.argsort(-z[ahead][inside], kind="stable")
    seen = np.full(height_px * width_px, UNLABELLED, np.uint8)
    seen[cells[far_first]] = labels[ahead][inside][far_first]  # of several the last one stays: the nearest
    return seen.reshape(height_px, width_px)


def _pitch(pitch_deg: float) -> NDArray[np.float64]:
    """Level axes (x right, y down, z ahead) from the optical axes of a camera that looks up by an angle."""
    c, s = math.cos(math.radians(pitch_deg)), math.sin(math.radians(pitch_deg))
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
