"""The pictures of one frame pair's planes, made when a layout asks for them, and drawn into parts of a canvas."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.frames import FramePair, SensorFrame
from clients.viewer import planes
from clients.viewer.layouts import Mix, ViewPlane
from clients.viewer.motion import engine_motion

OVERLAY_OPACITY: Final = 0.6
MISSING_RGB: Final = 26  # what a plane that is not there looks like
LONGEST_STEP_S: Final = 0.5  # frames further apart have no motion to show


class PlanePictures:
    """Each plane of a pair as (H,W,3) u8 RGB, or None where the pair has not got it."""

    def __init__(self, pair: FramePair, before: SensorFrame | None, with_labels: bool) -> None:
        """`before` is the frame before, for the motion of rigs without a flow camera."""
        self._pair = pair
        self._sensor = pair.sensor
        self._before = before
        self._with_labels = with_labels

    @cached_property
    def original(self) -> NDArray[np.uint8]:
        """The camera's picture; a rig without one shows its label map in colours."""
        rgb = self._sensor.rgb if self._sensor.rgb is not None else self._labels
        if not self._with_labels:
            return rgb
        return np.asarray(cv2.addWeighted(self._labels, OVERLAY_OPACITY, rgb, 1.0 - OVERLAY_OPACITY, 0.0), np.uint8)

    @property
    def synthesized(self) -> NDArray[np.uint8]:
        """The synthesized picture, or the camera's where there is none."""
        if self._pair.rendered is not None:
            return self._pair.rendered.rgb
        return self._sensor.rgb if self._sensor.rgb is not None else self._labels

    def rgb(self, plane: ViewPlane) -> NDArray[np.uint8] | None:
        """Return a plane's picture."""
        sensor, rendered = self._sensor, self._pair.rendered
        if plane == "original":
            return self.original
        if plane == "synthesized":
            return self.synthesized
        if plane == "labels":
            return self._labels
        if plane == "instances":
            return None if sensor.instance_map is None else planes.instances_rgb(sensor.instance_map)
        if plane == "depth":
            return None if sensor.depth_m is None else planes.depth_rgb(sensor.depth_m)
        if plane == "flow":
            flow = sensor.flow_px if sensor.flow_px is not None else self._motion[0] if self._motion else None
            return None if flow is None else planes.flow_rgb(flow)
        mask = rendered.occlusion_mask if rendered is not None else None
        if mask is None and self._motion is not None:
            mask = self._motion[1]
        return None if mask is None else planes.occlusion_rgb(mask)

    def name(self, plane: ViewPlane) -> str:
        """Return what the plane is called, or why it is not there."""
        return plane if self.rgb_is_there(plane) else f"no {plane}"

    def rgb_is_there(self, plane: ViewPlane) -> bool:
        """Return whether the pair has that plane."""
        sensor, rendered = self._sensor, self._pair.rendered
        if plane == "instances":
            return sensor.instance_map is not None
        if plane == "depth":
            return sensor.depth_m is not None
        if plane == "flow":
            return sensor.flow_px is not None or self._motion is not None
        if plane == "occlusion":
            return (rendered is not None and rendered.occlusion_mask is not None) or self._motion is not None
        return True

    @cached_property
    def _labels(self) -> NDArray[np.uint8]:
        return planes.labels_rgb(self._sensor.label_map, self._sensor.label_space)

    @cached_property
    def _motion(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
        return None if self._before is None else engine_motion(self._before, self._sensor)


class View:
    """Draws pictures into parts of a canvas, with buffers that are used again, and remembers the frame before."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, tuple[int, ...]], NDArray[np.uint8]] = {}
        self._last: SensorFrame | None = None
        self._before: SensorFrame | None = None

    def before(self, sensor: SensorFrame) -> SensorFrame | None:
        """Return the frame that was shown before this one, None after a jump; the same frame may come again."""
        if self._last is not sensor:
            self._before, self._last = self._last, sensor
        before = self._before
        if before is None or not 0.0 < sensor.time_s - before.time_s < LONGEST_STEP_S:
            return None
        return before

    def draw(self, part_bgra: NDArray[np.uint8], rgb: NDArray[np.uint8] | None, *, sharp: bool = False) -> None:
        """Fill a part of a canvas with a picture, fitted to it; `sharp` keeps the edges between ids."""
        if rgb is None:
            part_bgra[:] = (MISSING_RGB, MISSING_RGB, MISSING_RGB, 255)
            return
        height, width = part_bgra.shape[:2]
        if rgb.shape[:2] == (height, width):
            cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA, dst=part_bgra)
            return
        # First into BGRA, which is small, and then to its size: one pass over the large picture.
        small = self._buffer("fitted", (*rgb.shape[:2], 4))
        cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA, dst=small)
        smaller = width < rgb.shape[1]
        method = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST_EXACT if sharp else cv2.INTER_LINEAR
        cv2.resize(small, (width, height), dst=part_bgra, interpolation=method)

    def draw_mixed(self, part_bgra: NDArray[np.uint8], pictures: PlanePictures, mix: Mix, split: float) -> None:
        """Fill a part with original and synthesized picture: left and right of a line, or blended."""
        original, synthesized = pictures.original, pictures.synthesized
        if mix == "blend":
            if synthesized.shape != original.shape:
                size_px = original.shape[1], original.shape[0]
                synthesized = np.asarray(cv2.resize(synthesized, size_px, interpolation=cv2.INTER_AREA), np.uint8)
            blended = self._buffer("blended", original.shape)
            cv2.addWeighted(original, split, synthesized, 1.0 - split, 0.0, dst=blended)
            self.draw(part_bgra, blended)
            return
        line = round(split * part_bgra.shape[1])
        if original.shape == synthesized.shape and original.shape[:2] == part_bgra.shape[:2]:
            for rgb, start, end in ((original, 0, line), (synthesized, line, part_bgra.shape[1])):
                if end > start:
                    cv2.cvtColor(rgb[:, start:end], cv2.COLOR_RGB2BGRA, dst=part_bgra[:, start:end])
            return
        self.draw(part_bgra, synthesized)
        whole = self._buffer("wiped", part_bgra.shape)
        self.draw(whole, original)
        part_bgra[:, :line] = whole[:, :line]

    def _buffer(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        buffer = self._buffers.get((name, shape))
        if buffer is None:
            if len(self._buffers) > 16:
                self._buffers.clear()  # windows that are dragged to another size leave many behind
            buffer = self._buffers[name, shape] = np.empty(shape, np.uint8)
        return buffer
