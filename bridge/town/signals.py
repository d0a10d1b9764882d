"""Which lights and signs stand at a town's junctions and along its streets, and whom they concern."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.town.junctions import Arm, Junction
from bridge.town.pose import Pose
from bridge.town.profiles import LANE_WIDTH_M
from bridge.town.roads import KERB_HEIGHT_M, Road

SignalKind = Literal["light", "stop", "yield", "speed"]

STOP_LINE_M = 6.4
"""How far before a junction vehicles stop: a zebra crossing has room between."""
POLE_BEHIND_KERB_M = 0.75
"""CARLA moves signals that stand nearer to a driving lane than seven tenths of its width from its middle."""
_LIGHT_M = 0.6
_SIGN_M = 5.6
_SPEED_SIGN_M = 14.0


@dataclass(frozen=True)
class Signal:
    """A traffic light or sign, where it stands on its road and which of its lanes it governs.

    `side` is that of the lanes (-1: traffic along s, +1: against); (s, t) the pole's foot; `stop_s_m` where vehicles
    stop (or where the sign holds from); `group` numbers the lights of one crossing, `phase` those that are green
    together; `value` is the speed limit in km/h of a speed sign, else -1.
    """

    sign_id: str
    kind: SignalKind
    road: Road
    side: int
    s_m: float
    t_m: float
    stop_s_m: float
    group: int = -1
    phase: int = 0
    value: float = -1.0

    @property
    def lane_ids(self) -> tuple[int, ...]:
        """The governed lanes' OpenDRIVE ids, innermost first."""
        return tuple(self.side * (index + 1) for index in range(self.road.profile.num_driving(self.side)))


@dataclass(frozen=True)
class Crosswalk:
    """A zebra crossing: on which road, the middle of it along the road, and how wide its stripes' band is."""

    road_id: int
    s_m: float
    width_m: float
    has_lights: bool


@dataclass(frozen=True)
class SignalSite:
    """Where a light or sign stands and whom it concerns, in CARLA's world.

    `pose`: the pole's foot at the kerb, its yaw the driving direction of the lanes it governs (the lamps and the face
    look the other way); `stop_pose`: the middle of those lanes at the stop line, same yaw; `half_width_m` reaches from
    there to the lanes' edges; `road_id`, `lane_ids`, `s_m` and the stop line's `stop_s_m` are OpenDRIVE's.
    """

    sign_id: str
    kind: SignalKind
    pose: Pose
    stop_pose: Pose
    half_width_m: float
    road_id: int
    lane_ids: tuple[int, ...]
    s_m: float
    stop_s_m: float
    group: int
    phase: int
    value: float


def junction_signals(junctions: Iterable[Junction]) -> list[Signal]:
    """Return the lights of junctions that have them, one phase per arm, and the signs of the others' stems."""
    signals: list[Signal] = []
    for junction in junctions:
        arms = junction.arms
        if junction.control == "lights":
            for phase, arm in enumerate(arms):
                sign_id = f"{10 * junction.junction_id + phase}"
                signals.append(_at_arm(sign_id, "light", arm, _LIGHT_M, group=junction.junction_id, phase=phase))
        elif junction.stem is not None:
            sign_id = f"{10 * junction.junction_id}"
            signals.append(_at_arm(sign_id, junction.control, junction.stem, _SIGN_M))
    return signals


def _at_arm(sign_id: str, kind: SignalKind, arm: Arm, before_m: float, *, group: int = -1, phase: int = 0) -> Signal:
    side = arm.arriving_side
    t = side * (arm.road.profile.kerb_m(side) + POLE_BEHIND_KERB_M)
    s, stop_s = arm.s_before_m(before_m), arm.s_before_m(STOP_LINE_M)
    return Signal(sign_id, kind, arm.road, side, s, t, stop_s, group, phase)


def crossing_signals(road: Road, crosswalk: Crosswalk, group: int) -> list[Signal]:
    """Return the two lights of a crossing between junctions: they change together."""
    before = 0.5 * crosswalk.width_m
    return [
        Signal(
            f"{10 * group + (0 if side < 0 else 1)}",
            "light",
            road,
            side,
            crosswalk.s_m + side * (before + 0.5),
            side * (road.profile.kerb_m(side) + POLE_BEHIND_KERB_M),
            crosswalk.s_m + side * (before + 1.7),
            group,
        )
        for side in (-1, 1)
    ]


def speed_signs(junctions: Iterable[Junction]) -> list[Signal]:
    """Return a speed limit sign behind each junction, on every street that leaves it."""
    signs: list[Signal] = []
    for junction in junctions:
        for arm in junction.arms:
            if arm.road.length_m < _SPEED_SIGN_M + 4.0:
                continue
            side = -arm.arriving_side
            s = arm.s_before_m(_SPEED_SIGN_M)
            t = side * (arm.road.profile.kerb_m(side) + POLE_BEHIND_KERB_M)
            sign_id = f"{100 * junction.junction_id + arm.number}"
            signs.append(Signal(sign_id, "speed", arm.road, side, s, t, s, value=arm.road.speed_limit_kmh))
    return signs


def site_of(signal: Signal) -> SignalSite:
    """Return a signal's poses in CARLA's world."""
    road, turn = signal.road, 0.0 if signal.side < 0 else math.pi
    x, y, heading = road.point(signal.s_m, signal.t_m)
    half_width = 0.5 * LANE_WIDTH_M * len(signal.lane_ids)
    stop_x, stop_y, stop_heading = road.point(signal.stop_s_m, signal.side * half_width)
    return SignalSite(
        sign_id=signal.sign_id,
        kind=signal.kind,
        pose=carla_pose(x, y, heading + turn, KERB_HEIGHT_M),
        stop_pose=carla_pose(stop_x, stop_y, stop_heading + turn),
        half_width_m=half_width,
        road_id=road.road_id,
        lane_ids=signal.lane_ids,
        s_m=signal.s_m,
        stop_s_m=signal.stop_s_m,
        group=signal.group,
        phase=signal.phase,
        value=signal.value,
    )


def carla_pose(x_m: float, y_m: float, heading_rad: float, z_m: float = 0.0) -> Pose:
    """Return the pose in CARLA's world of a point and heading of OpenDRIVE's frame."""
    yaw_deg = -math.degrees(heading_rad)
    return Pose(x_m, -y_m, z_m, yaw_deg=(yaw_deg + 180.0) % 360.0 - 180.0)


def phases_of(lights: Sequence[SignalSite]) -> dict[int, list[list[SignalSite]]]:
    """Return the lights of each group by phase."""
    groups: dict[int, list[list[SignalSite]]] = {}
    for light in lights:
        phases = groups.setdefault(light.group, [])
        while len(phases) <= light.phase:
            phases.append([])
        phases[light.phase].append(light)
    return groups
