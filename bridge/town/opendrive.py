"""Roads to OpenDRIVE 1.4 text, as CARLA's client parses it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from bridge.town.junctions import Junction
from bridge.town.roads import JunctionLink, Lane, LaneProfile, Mark, Road, RoadLink
from bridge.town.signals import Crosswalk, Signal, SignalKind

GEO_REFERENCE = "+proj=tmerc +lat_0=52.2 +lon_0=0.12 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"
SIGNAL_TYPES: dict[SignalKind, str] = {"light": "1000001", "speed": "274", "stop": "206", "yield": "205"}
_GEO_PLACEHOLDER = "GEO-REFERENCE"


def opendrive_text(
    name: str,
    roads: Sequence[Road],
    junctions: Sequence[Junction],
    signals: Sequence[Signal] = (),
    crosswalks: Sequence[Crosswalk] = (),
) -> str:
    """Return the OpenDRIVE 1.4 document of a road network; traffic keeps right."""
    root = ET.Element("OpenDRIVE")
    header = ET.SubElement(root, "header", revMajor="1", revMinor="4", name=name, version="1", vendor="vidrive")
    ET.SubElement(header, "geoReference").text = _GEO_PLACEHOLDER
    for road in [*roads, *(road for junction in junctions for road in junction.connecting)]:
        element = _add_road(root, road)
        _add_crosswalks(element, road, [c for c in crosswalks if c.road_id == road.road_id])
        _add_signals(element, [s for s in signals if s.road.road_id == road.road_id])
    controllers = _controllers(signals)
    for sequence, (controller, members) in enumerate(controllers.items()):
        item = ET.SubElement(root, "controller", id=controller, name=f"ctrl{controller}", sequence=str(sequence))
        for signal in members:
            ET.SubElement(item, "control", signalId=signal.sign_id, type="0")
    for junction in junctions:
        _add_junction(root, junction, controllers)
    text = ET.tostring(root, encoding="unicode")
    # ElementTree writes no CDATA, and CARLA's reader expects the projection inside one.
    return '<?xml version="1.0" standalone="yes"?>\n' + text.replace(_GEO_PLACEHOLDER, f"<![CDATA[{GEO_REFERENCE}]]>")


def _controllers(signals: Iterable[Signal]) -> dict[str, list[Signal]]:
    """Return the lights that are green together, by their controller's id."""
    controllers: dict[str, list[Signal]] = {}
    for signal in signals:
        if signal.kind == "light":
            controllers.setdefault(f"{100 * signal.group + signal.phase}", []).append(signal)
    return controllers


def _add_junction(root: ET.Element, junction: Junction, controllers: dict[str, list[Signal]]) -> None:
    element = ET.SubElement(root, "junction", id=str(junction.junction_id), name=f"junction{junction.junction_id}")
    for number, road in enumerate(junction.connecting):
        if not isinstance(road.predecessor, RoadLink) or road.lane_links is None:
            continue
        connection = ET.SubElement(
            element,
            "connection",
            id=str(number),
            incomingRoad=str(road.predecessor.road_id),
            connectingRoad=str(road.road_id),
            contactPoint="start",
        )
        ET.SubElement(connection, "laneLink", attrib={"from": str(road.lane_links[0]), "to": "-1"})
    mine = [key for key, members in controllers.items() if members[0].group == junction.junction_id]
    for sequence, controller in enumerate(mine):
        ET.SubElement(element, "controller", id=controller, type="0", sequence=str(sequence))


def _number(value: float) -> str:
    return f"{value:.12g}"


def _add_road(root: ET.Element, road: Road) -> ET.Element:
    element = ET.SubElement(
        root,
        "road",
        name=f"Road {road.road_id}",
        length=_number(road.length_m),
        id=str(road.road_id),
        junction=str(road.junction_id),
    )
    link = ET.SubElement(element, "link")
    _add_link(link, "predecessor", road.predecessor)
    _add_link(link, "successor", road.successor)
    kind = ET.SubElement(element, "type", s="0.0", type="town")
    ET.SubElement(kind, "speed", max=_number(road.speed_limit_kmh), unit="km/h")
    plan = ET.SubElement(element, "planView")
    s = 0.0
    for segment in road.segments:
        geometry = ET.SubElement(
            plan,
            "geometry",
            s=_number(s),
            x=_number(segment.x_m),
            y=_number(segment.y_m),
            hdg=_number(segment.heading_rad),
            length=_number(segment.length_m),
        )
        if segment.curvature_per_m == 0.0:
            ET.SubElement(geometry, "line")
        else:
            ET.SubElement(geometry, "arc", curvature=_number(segment.curvature_per_m))
        s += segment.length_m
    elevation = ET.SubElement(element, "elevationProfile")
    ET.SubElement(elevation, "elevation", s="0.0", a="0.0", b="0.0", c="0.0", d="0.0")
    ET.SubElement(element, "lateralProfile")
    _add_lanes(element, road)
    return element


def _add_link(parent: ET.Element, tag: str, link: RoadLink | JunctionLink | None) -> None:
    if isinstance(link, JunctionLink):
        ET.SubElement(parent, tag, elementType="junction", elementId=str(link.junction_id))
    elif link is not None:
        ET.SubElement(parent, tag, elementType="road", elementId=str(link.road_id), contactPoint=link.contact)


def _add_lanes(element: ET.Element, road: Road) -> None:
    lanes = ET.SubElement(element, "lanes")
    ET.SubElement(lanes, "laneOffset", s="0.0", a="0.0", b="0.0", c="0.0", d="0.0")
    section = ET.SubElement(lanes, "laneSection", s="0.0")
    if road.profile.left:
        left = ET.SubElement(section, "left")
        for number in range(len(road.profile.left), 0, -1):
            _add_lane(left, road, number)
    centre = ET.SubElement(ET.SubElement(section, "center"), "lane", id="0", type="none", level="false")
    _add_mark(centre, road.profile.centre_mark)
    right = ET.SubElement(section, "right")
    for number in range(1, len(road.profile.right) + 1):
        _add_lane(right, road, -number)


def _add_lane(parent: ET.Element, road: Road, lane_id: int) -> None:
    lane = _lane(road.profile, lane_id)
    element = ET.SubElement(parent, "lane", id=str(lane_id), type=lane.kind, level="false")
    link = ET.SubElement(element, "link")
    before, after = road.lane_links or (None, None)
    if isinstance(road.predecessor, RoadLink):
        mirrored = lane_id if road.predecessor.contact == "end" else -lane_id
        ET.SubElement(link, "predecessor", id=str(mirrored if before is None else before))
    if isinstance(road.successor, RoadLink):
        mirrored = lane_id if road.successor.contact == "start" else -lane_id
        ET.SubElement(link, "successor", id=str(mirrored if after is None else after))
    ET.SubElement(element, "width", sOffset="0.0", a=_number(lane.width_m), b="0.0", c="0.0", d="0.0")
    # Lanes may be changed where both sides of a broken mark run the same way.
    outer = _lane(road.profile, lane_id + (1 if lane_id > 0 else -1))
    is_between = lane.kind == outer.kind == "driving" and lane.mark == "broken"
    _add_mark(element, lane.mark, lane_change="both" if is_between else "none")


def _lane(profile: LaneProfile, lane_id: int) -> Lane:
    """Return a lane by its OpenDRIVE id; beyond the outermost there is none."""
    lanes = profile.left if lane_id > 0 else profile.right
    return lanes[abs(lane_id) - 1] if abs(lane_id) <= len(lanes) else Lane("sidewalk", 0.0)


def _add_mark(parent: ET.Element, mark: Mark, lane_change: str = "none") -> None:
    ET.SubElement(
        parent,
        "roadMark",
        sOffset="0.0",
        type=mark,
        weight="standard",
        color="standard",
        width="0.12" if mark != "none" else "0.0",
        laneChange=lane_change,
    )


def _add_crosswalks(element: ET.Element, road: Road, crosswalks: Sequence[Crosswalk]) -> None:
    if not crosswalks:
        return
    objects = ET.SubElement(element, "objects")
    left_m, right_m = road.profile.kerb_m(1), road.profile.kerb_m(-1)
    for index, crosswalk in enumerate(crosswalks):
        half = 0.5 * crosswalk.width_m
        item = ET.SubElement(
            objects,
            "object",
            id=f"{road.road_id}{index}",
            name="SimpleCrosswalk",
            type="crosswalk",
            s=_number(crosswalk.s_m),
            t="0.0",
            zOffset="0.0",
            hdg="0.0",
            pitch="0.0",
            roll="0.0",
            orientation="none",
            length=_number(left_m + right_m),
            width=_number(crosswalk.width_m),
        )
        outline = ET.SubElement(item, "outline")
        corners = ((-half, -right_m), (half, -right_m), (half, left_m), (-half, left_m), (-half, -right_m))
        for u, v in corners:
            ET.SubElement(outline, "cornerLocal", u=_number(u), v=_number(v), z="0.0")


def _add_signals(element: ET.Element, signals: Sequence[Signal]) -> None:
    if not signals:
        return
    parent = ET.SubElement(element, "signals")
    for signal in signals:
        item = ET.SubElement(
            parent,
            "signal",
            id=signal.sign_id,
            name=f"Signal_{signal.sign_id}",
            s=_number(signal.s_m),
            t=_number(signal.t_m),
            zOffset="0.0",
            hOffset="0.0",
            roll="0.0",
            pitch="0.0",
            orientation="+" if signal.side < 0 else "-",
            dynamic="yes" if signal.kind == "light" else "no",
            country="OpenDRIVE",
            type=SIGNAL_TYPES[signal.kind],
            subtype="-1",
            value=_number(signal.value),
            unit="km/h",
            text="",
            height="1.0",
            width="0.3",
        )
        lanes = signal.lane_ids
        ET.SubElement(item, "validity", fromLane=str(min(lanes)), toLane=str(max(lanes)))
