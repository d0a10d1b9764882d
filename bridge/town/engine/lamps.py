"""Lamps as lights: where street lamps stand, what vehicles' lamps do, and the lists that the shader reads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.town import views
from bridge.town.engine import layout
from bridge.town.engine.kernels_lamps import sort_lights
from bridge.town.engine.mesh import Mesh, MeshArrays
from bridge.town.engine.tags import POLE
from bridge.town.streets import StreetNetwork
from bridge.town.views import Body, LampState

SIGNAL_GLOW = 45.0
LAMP_GLASS_GLOW = 16.0
STREET_LAMP_LIGHT = 90.0
STREET_LAMP_REACH_M = 26.0
HEADLIGHT_LIGHT = {views.LOW_BEAM: 150.0, views.HIGH_BEAM: 300.0, views.FOG_LIGHTS: 60.0}
HEADLIGHT_REACH_M = {views.LOW_BEAM: 42.0, views.HIGH_BEAM: 75.0, views.FOG_LIGHTS: 20.0}
_BEAM_COLOUR = np.array([1.0, 0.95, 0.84])
_BEAM_OUTER_DEG, _BEAM_INNER_DEG, _BEAM_DOWN_DEG = 38.0, 7.0, 4.0
_TAIL_COLOUR, _TAIL_REACH_M = np.array([1.0, 0.06, 0.04]), 7.0
_BLINKS_HZ = 1.5


class Lights:
    """The lights of a frame: rows as `layout` says, and which of them reach each square of ground."""

    def __init__(self, grid_shape: tuple[int, int], grid_per_m: float) -> None:
        rows, columns = (math.ceil(count / grid_per_m / layout.LIGHT_CELL_M) for count in grid_shape)
        self.rows = np.zeros((1, layout.LIGHT_COLUMNS), np.float32)
        self.cells = np.zeros((rows, columns, 1 + layout.LIGHTS_PER_CELL), np.int32)

    def set(self, rows: NDArray[np.float32], origin: NDArray[np.float32]) -> None:
        """Take the frame's lights; `origin` (2,): where the first square begins."""
        self.rows = rows if len(rows) else np.zeros((1, layout.LIGHT_COLUMNS), np.float32)
        reach = 1.0 / np.sqrt(np.maximum(rows[:, layout.L_PER_REACH_SQUARED], 1e-9))
        is_beam = rows[:, layout.L_COS_OUTER] > 0.5
        ahead = np.where(is_beam, 0.52 * reach, 0.0)
        circles = np.empty((len(rows), 3), np.float32)
        circles[:, 0] = rows[:, layout.L_X] + ahead * rows[:, layout.L_DX]
        circles[:, 1] = rows[:, layout.L_Y] + ahead * rows[:, layout.L_DY]
        circles[:, 2] = np.where(is_beam, 0.62 * reach, reach)
        sort_lights(circles, origin[0], origin[1], self.cells)


def lamp_places(network: StreetNetwork) -> NDArray[np.float64]:
    """Return (N,4): where each street lamp shines, in the street frame, and its arm's heading in radians."""
    rows = [(lamp.x_m, -lamp.y_m, lamp.z_m, math.pi - math.radians(lamp.yaw_deg)) for lamp in network.lamps]
    return np.array(rows, np.float64).reshape(-1, 4)


def lamp_glass() -> MeshArrays:
    """Return the glass of a street lamp, around its light source."""
    mesh = Mesh()
    mesh.box((-0.3, -0.12, -0.05), (0.3, 0.12, 0.02), "lamp_glass", POLE, faces="wb")
    return mesh.build()


def lamp_glow(states: Sequence[LampState], count: int, dark: float) -> NDArray[np.float32]:
    """Return (count,4): every street lamp's linear colour and strength, 0 when it is off.

    Lamps without a state, or with none of their own, are on when it is dark.
    """
    glow = np.empty((count, 4), np.float32)
    for number in range(count):
        state = states[number] if number < len(states) else LampState()
        on = dark > 0.25 if state.is_on is None else state.is_on
        glow[number, :3] = (np.array(state.color_rgb) / 255.0) ** 2.2
        glow[number, 3] = max(0.0, state.intensity) if on else 0.0
    return glow


def body_lamps(body: Body, elapsed_s: float) -> NDArray[np.float32]:
    """Return how bright each kind of a body's lamps shines: those of `layout` from LOOK_LAMPS on."""
    lights = body.lights
    level = np.zeros(layout.LOOK_COLUMNS - layout.LOOK_LAMPS, np.float32)
    head, tail, left, right, reverse = (
        column - layout.LOOK_LAMPS
        for column in (
            layout.LOOK_HEAD,
            layout.LOOK_TAIL,
            layout.LOOK_LEFT,
            layout.LOOK_RIGHT,
            layout.LOOK_REVERSE,
        )
    )
    if lights & views.POSITION:
        level[head], level[tail] = 0.7, 3.0
    if lights & (views.LOW_BEAM | views.FOG_LIGHTS):
        level[head], level[tail] = 6.0, 3.5
    if lights & views.HIGH_BEAM:
        level[head], level[tail] = 12.0, 3.5
    if lights & views.BRAKE:
        level[tail] = max(9.0, level[tail])
    if lights & views.REVERSE:
        level[reverse] = 3.0
    if elapsed_s * _BLINKS_HZ % 1.0 < 0.5:
        level[left] = 5.0 if lights & views.LEFT_BLINKER else 0.0
        level[right] = 5.0 if lights & views.RIGHT_BLINKER else 0.0
    return level


def lights_of(
    lamps: NDArray[np.float64],
    glow: NDArray[np.float32],
    bodies: Sequence[Body],
    half_extents_m: Sequence[tuple[float, float, float]],
) -> NDArray[np.float32]:
    """Return the (L,12) lights of street lamps at `lamps` (N,3), and of the bodies' head and brake lamps."""
    on = glow[:, 3] > 0.0
    street = np.zeros((int(on.sum()), layout.LIGHT_COLUMNS), np.float32)
    street[:, layout.L_X : layout.L_Z + 1] = lamps[on]
    street[:, layout.L_RED : layout.L_BLUE + 1] = STREET_LAMP_LIGHT * glow[on, :3] * glow[on, 3:]
    street[:, layout.L_DZ] = -1.0
    street[:, layout.L_COS_OUTER], street[:, layout.L_PER_CONE] = 0.05, 1.0 / 0.5
    street[:, layout.L_PER_REACH_SQUARED] = STREET_LAMP_REACH_M**-2
    beams = [
        row
        for body, half in zip(bodies, half_extents_m, strict=True)
        if body.lights & (views.LOW_BEAM | views.HIGH_BEAM | views.FOG_LIGHTS | views.BRAKE)
        for row in _beams(body, half)
    ]
    return np.concatenate([np.array(beams, np.float32).reshape(-1, layout.LIGHT_COLUMNS), street])


def _beams(body: Body, half_extents_m: tuple[float, float, float]) -> list[NDArray[np.float32]]:
    """Return the one light that both headlamps make together, and that of the brake lamps."""
    pose = body.pose
    yaw, pitch = -math.radians(pose.yaw_deg), math.radians(pose.pitch_deg)
    forward = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
    middle = np.array([pose.x_m, -pose.y_m, pose.z_m + min(1.0, 0.42 * 2 * half_extents_m[2])])
    rows = []
    kind = next((k for k in (views.HIGH_BEAM, views.LOW_BEAM, views.FOG_LIGHTS) if body.lights & k), 0)
    if kind:
        down = math.radians(_BEAM_DOWN_DEG if kind != views.HIGH_BEAM else 1.0)
        aim = forward * math.cos(down) - np.array([0.0, 0.0, math.sin(down)])
        colour = HEADLIGHT_LIGHT[kind] * _BEAM_COLOUR
        place = middle + forward * (half_extents_m[0] + 0.05)
        rows.append(_spot(place, colour, aim, (_BEAM_OUTER_DEG, _BEAM_INNER_DEG), HEADLIGHT_REACH_M[kind]))
    if body.lights & views.BRAKE:
        place = middle - forward * (half_extents_m[0] + 0.05)
        rows.append(_spot(place, 2.2 * _TAIL_COLOUR, -forward, (80.0, 20.0), _TAIL_REACH_M))
    return rows


def _spot(
    place: NDArray, colour: NDArray, aim: NDArray, cone_deg: tuple[float, float], reach_m: float
) -> NDArray[np.float32]:
    outer, inner = (math.cos(math.radians(angle)) for angle in cone_deg)
    return np.array([*place, *colour, *aim, outer, 1.0 / (inner - outer), reach_m**-2], np.float32)
