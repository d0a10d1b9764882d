"""What a recorder's log holds, as the text that CARLA's own queries give."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.carla_wire import recorder_log as log
from bridge.carla_wire.recorder_log import PacketId
from bridge.town.recorded_log import EVENTS, LoggedFrame, RecordedLog

CATEGORIES = "ovwt"
"""Other, vehicle, walker, traffic light, by a log's actor kinds; 'h' is any hero, 'a' anything."""
LONGEST_REPORT = 32 * 1024 * 1024
"""Characters of frames in a report: a client whose replies wait in hundreds of MiB is closed."""
_LIGHTS = (
    (1, "Position"),
    (2, "LowBeam"),
    (4, "HighBeam"),
    (8, "Brake"),
    (16, "RightBlinker"),
    (32, "LeftBlinker"),
    (64, "Reverse"),
    (256, "Interior"),
    (128, "Fog"),
    (512, "Special1"),
    (1024, "Special2"),
)


def _head(recorded: RecordedLog) -> list[str]:
    date = time.strftime("%x %X", time.localtime(recorded.info.date_s))
    return [f"Version: {recorded.info.version}", f"Map: {recorded.info.map_name}", f"Date: {date}", ""]


def _foot(recorded: RecordedLog) -> list[str]:
    number = recorded.frames[-1].number if recorded.frames else 0
    return ["", f"Frames: {number}", f"Duration: {recorded.duration_s:g} seconds", ""]


def _triple(x: float, y: float, z: float) -> str:
    return f"({x:g}, {y:g}, {z:g})"


def file_info(recorded: RecordedLog, *, is_complete: bool) -> str:
    """Return who came, went and collided in which frame; if `is_complete` also every frame's states.

    Frames that would make it longer than LONGEST_REPORT are left out, and it says so.
    """
    lines = _head(recorded)
    characters = 0
    for index in range(len(recorded.frames)):
        frame = recorded.read(index, None if is_complete else EVENTS | {PacketId.COLLISIONS})
        told = [*_events(frame), *(_states(frame) if is_complete else ())]
        if told or is_complete:
            told.insert(0, f"Frame {frame.frame.number} at {frame.frame.elapsed_s:g} seconds")
            characters += sum(len(line) + 1 for line in told)
            if characters > LONGEST_REPORT:
                lines.append(f"Cut before frame {frame.frame.number}: the report is too long to send")
                break
            lines += told
    return "\n".join(lines + _foot(recorded))


def _events(frame: LoggedFrame) -> Iterator[str]:
    for added in frame.added:
        yield f" Create {added.actor_id}: {added.blueprint_id} ({added.kind}) at {_triple(*added.location_cm)}"
        for _kind, name, value in added.attributes:
            yield f"  {name} = {value}"
    for record in frame.of(PacketId.REMOVED):
        yield f" Destroy {record.actor_id}"
    for record in frame.of(PacketId.ATTACHED):
        yield f" Parenting {record.actor_id} with {record.parent_id} (parent)"
    for hit in frame.of(PacketId.COLLISIONS):
        first = f"{hit.actor_id}{' (hero) ' if hit.is_hero else ''}"
        yield f" Collision id {hit.number} between {first} with {hit.other_id}{' (hero) ' if hit.is_other_hero else ''}"


def _states(frame: LoggedFrame) -> Iterator[str]:
    places = frame.of(PacketId.PLACES)
    yield f" Positions: {len(places)}"
    for p in places:
        place, turn = _triple(p.x_cm, p.y_cm, p.z_cm), _triple(p.roll_deg, p.pitch_deg, p.yaw_deg)
        yield f"  Id: {p.actor_id} Location: {place} Rotation: {turn}"
    lights = frame.of(PacketId.TRAFFIC_LIGHTS)
    yield f" State traffic lights: {len(lights)}"
    for t in lights:
        yield f"  Id: {t.actor_id} state: {t.state} frozen: {int(t.is_frozen)} elapsedTime: {t.elapsed_s:g}"
    vehicles = frame.of(PacketId.VEHICLES)
    yield f" Vehicle animations: {len(vehicles)}"
    for v in vehicles:
        yield (
            f"  Id: {v.actor_id} Steering: {v.steer:g} Throttle: {v.throttle:g} Brake: {v.brake:g} "
            f"Handbrake: {int(v.hand_brake)} Gear: {v.gear}"
        )
    walkers = frame.of(PacketId.WALKERS)
    yield f" Walker animations: {len(walkers)}"
    for w in walkers:
        yield f"  Id: {w.actor_id} speed: {w.speed_cm_s:g}"
    lamps = frame.of(PacketId.VEHICLE_LIGHTS)
    yield f" Vehicle light animations: {len(lamps)}"
    for lamp in lamps:
        names = [name for bit, name in _LIGHTS if lamp.flags & bit]
        yield f"  Id: {lamp.actor_id} {' '.join(names) or 'None'}"
    yield from _additional(frame)


def _additional(frame: LoggedFrame) -> Iterator[str]:
    moving = frame.of(PacketId.KINEMATICS)
    if moving:
        yield f" Dynamic actors: {len(moving)}"
    for k in moving:
        linear, angular = _triple(k.vx_m_s, k.vy_m_s, k.vz_m_s), _triple(k.wx_deg_s, k.wy_deg_s, k.wz_deg_s)
        yield f"  Id: {k.actor_id} linear_velocity: {linear} angular_velocity: {angular}"
    boxes = frame.of(PacketId.BOXES)
    if boxes:
        yield f" Actor bounding boxes: {len(boxes)}"
    for b in boxes:
        half = _triple(b.half_x_cm, b.half_y_cm, b.half_z_cm)
        yield f"  Id: {b.actor_id} origin: {_triple(b.x_cm, b.y_cm, b.z_cm)} extension: {half}"
    times = frame.of(PacketId.LIGHT_TIMES)
    if times:
        yield f" Traffic Light time events: {len(times)}"
    for t in times:
        yield f"  Id: {t.actor_id} green_time: {t.green_s:g} yellow_time: {t.yellow_s:g} red_time: {t.red_s:g}"


def collisions(recorded: RecordedLog, first: str, second: str) -> str:
    """Return the collisions between two categories of actors (see CATEGORIES), each when it begins."""
    lines = [*_head(recorded), f"{'Time':>8} {'Types':>6} {'Id':>6} {'Actor 1':<35} {'Id':>6} {'Actor 2':<35}"]
    actors: dict[int, log.Added] = {}
    going_on = set[tuple[int, int]]()
    for index in range(len(recorded.frames)):
        frame = recorded.read(index, EVENTS | {PacketId.COLLISIONS})
        actors |= {added.actor_id: added for added in frame.added}
        before, going_on = going_on, set()
        for hit in frame.of(PacketId.COLLISIONS):
            kinds = (_category(actors.get(hit.actor_id)), _category(actors.get(hit.other_id)))
            if not (_fits(first, kinds[0], hit.is_hero) and _fits(second, kinds[1], hit.is_other_hero)):
                continue
            pair = (hit.actor_id, hit.other_id)
            going_on.add(pair)
            if pair not in before:
                names = [actors[i].blueprint_id if i in actors else "" for i in pair]
                lines.append(
                    f"{frame.frame.elapsed_s:>8.0f}   {kinds[0]} {kinds[1]}  {_id(pair[0]):>6} {names[0]:<35} "
                    f"{_id(pair[1]):>6} {names[1]:<35}"
                )
    return "\n".join(lines + _foot(recorded))


def _id(actor_id: int) -> str:
    return "-1" if actor_id == log.NOT_AN_ACTOR else str(actor_id)


def _category(actor: log.Added | None) -> str:
    return "o" if actor is None or actor.kind >= len(CATEGORIES) else CATEGORIES[actor.kind]


def _fits(wanted: str, category: str, is_hero: bool) -> bool:
    return wanted in ("a", category) or (wanted == "h" and is_hero)


@dataclass
class _Standing:
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    since_s: float = 0.0
    for_s: float = 0.0


def blocked(recorded: RecordedLog, min_time_s: float, min_distance_cm: float) -> str:
    """Return the actors that moved less than a distance (cm) for at least a time, the longest first."""
    names: dict[int, str] = {}
    standing: dict[int, _Standing] = {}
    found: list[tuple[float, str]] = []

    def tell(actor_id: int, still: _Standing) -> None:
        if still.for_s >= min_time_s:
            name = names.get(actor_id, "")
            found.append((still.for_s, f"{still.since_s:>8.0f} {actor_id:>6} {name:<35} {still.for_s:>10.0f}"))

    for index in range(len(recorded.frames)):
        frame = recorded.read(index, EVENTS | {PacketId.PLACES})
        names |= {added.actor_id: added.blueprint_id for added in frame.added}
        duration_s = max(0.0, frame.frame.duration_s)
        for p in frame.of(PacketId.PLACES):
            still, place = standing.setdefault(p.actor_id, _Standing()), (p.x_cm, p.y_cm, p.z_cm)
            if sum((a - b) ** 2 for a, b in zip(place, still.place, strict=True)) < min_distance_cm**2:
                still.since_s = frame.frame.elapsed_s if still.for_s == 0.0 else still.since_s
                still.for_s += duration_s
            else:
                tell(p.actor_id, still)
                standing[p.actor_id] = _Standing(place)
    for actor_id, still in standing.items():
        tell(actor_id, still)
    found.sort(key=lambda row: -row[0])
    head = [*_head(recorded), f"{'Time':>8} {'Id':>6} {'Actor':<35} {'Duration':>10}"]
    return "\n".join(head + [row for _time, row in found] + _foot(recorded))
