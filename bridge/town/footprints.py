"""Oriented rectangles on the ground: which bodies stand in each other's way."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Footprint(NamedTuple):
    """A rectangle on the ground: middle and half sizes in metres, yaw in radians, CARLA's axes."""

    x_m: float
    y_m: float
    half_x_m: float
    half_y_m: float
    yaw_rad: float

    def reach_along(self, yaw_rad: float) -> float:
        """Return how far the rectangle reaches from its middle along a direction."""
        turn = yaw_rad - self.yaw_rad
        return self.half_x_m * abs(math.cos(turn)) + self.half_y_m * abs(math.sin(turn))

    def corners(self) -> list[tuple[float, float]]:
        """Return the four corners in turn."""
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        signs = ((1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0))
        halves = [(u * self.half_x_m, v * self.half_y_m) for u, v in signs]
        return [(self.x_m + u * cos - v * sin, self.y_m + u * sin + v * cos) for u, v in halves]

    def contains(self, x_m: float, y_m: float) -> bool:
        """Tell whether a point lies in the rectangle."""
        dx, dy = x_m - self.x_m, y_m - self.y_m
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return abs(dx * cos + dy * sin) <= self.half_x_m and abs(dy * cos - dx * sin) <= self.half_y_m


def overlaps(a: Footprint, b: Footprint) -> bool:
    """Tell whether two rectangles share any ground (separating axes)."""
    dx, dy = b.x_m - a.x_m, b.y_m - a.y_m
    if math.hypot(dx, dy) > math.hypot(a.half_x_m, a.half_y_m) + math.hypot(b.half_x_m, b.half_y_m):
        return False
    for yaw in (a.yaw_rad, a.yaw_rad + math.pi / 2.0, b.yaw_rad, b.yaw_rad + math.pi / 2.0):
        gap = abs(dx * math.cos(yaw) + dy * math.sin(yaw)) - a.reach_along(yaw) - b.reach_along(yaw)
        if gap > 0.0:
            return False
    return True


def overlaps_any(box: Footprint, static_boxes: NDArray[np.float64]) -> bool:
    """Tell whether a rectangle touches one of `static_boxes` (N, 5): x, y, half x, half y in metres, yaw in radians."""
    if not len(static_boxes):
        return False
    reach = math.hypot(box.half_x_m, box.half_y_m) + np.hypot(static_boxes[:, 2], static_boxes[:, 3])
    near = np.hypot(static_boxes[:, 0] - box.x_m, static_boxes[:, 1] - box.y_m) <= reach
    return any(overlaps(box, Footprint(*row)) for row in static_boxes[near].tolist())
