"""Roads to OpenDRIVE 1.4 text, as CARLA's client parses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from bridge.town.roads import Lane, Road, RoadLink

GEO_REFERENCE = "+proj=tmerc +lat_0=52.2 +lon_0=0.12 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"
TRAFFIC_LIGHT_TYPE = "1000001"
_GEO_PLACEHOLDER = "GEO-REFERENCE"


@dataclass(frozen=True)
class RoadSignal:
    """A traffic light on a road, at (s, t); it governs `lane_id` (negative: traffic along s, positive: against s)."""

    sign_id: str
    road_id: int
    s_m: float
    t_m: float
    lane_id: int


@dataclass(frozen=True)
class RoadCrosswalk:
    """Zebra stripes across the whole carriageway: from `s_m - width_m / 2` to `s_m + width_m / 2`."""

    road_id: int
    s_m: float
    width_m: float


def opendrive_text(
    name: str,
    roads: Sequence[Road],
    speed_limit_kmh: float,
    signals: Sequence[RoadSignal] = (),
    crosswalks: Sequence[RoadCrosswalk] = (),
) -> str:
    """Return the OpenDRIVE 1.4 document of a road network; traffic keeps right."""
    root = ET.Element("OpenDRIVE")
    header = ET.SubElement(root, "header", revMajor="1", revMinor="4", name=name, version="1", vendor="vidrive")
    ET.SubElement(header, "geoReference").text = _GEO_PLACEHOLDER
    for road in roads:
        element = _add_road(root, road, speed_limit_kmh)
        _add_crosswalks(element, road, [c for c in crosswalks if c.road_id == road.road_id])
        _add_signals(element, [s for s in signals if s.road_id == road.road_id])
    text = ET.tostring(root, encoding="unicode")
    # ElementTree writes no CDATA, and CARLA's reader expects the projection inside one.
    return '<?xml version="1.0" standalone="yes"?>\n' + text.replace(_GEO_PLACEHOLDER, f"<![CDATA[{GEO_REFERENCE}]]>")


def _number(value: float) -> str:
    return f"{value:.12g}"


def _add_road(root: ET.Element, road: Road, speed_limit_kmh: float) -> ET.Element:
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
    ET.SubElement(kind, "speed", max=_number(speed_limit_kmh), unit="km/h")
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


def _add_link(parent: ET.Element, tag: str, link: RoadLink | None) -> None:
    if link is not None:
        ET.SubElement(parent, tag, elementType="road", elementId=str(link.road_id), contactPoint=link.contact)


def _add_lanes(element: ET.Element, road: Road) -> None:
    lanes = ET.SubElement(element, "lanes")
    ET.SubElement(lanes, "laneOffset", s="0.0", a="0.0", b="0.0", c="0.0", d="0.0")
    section = ET.SubElement(lanes, "laneSection", s="0.0")
    left = ET.SubElement(section, "left")
    for number in range(len(road.profile.left), 0, -1):
        _add_lane(left, road, number, road.profile.left[number - 1])
    centre = ET.SubElement(ET.SubElement(section, "center"), "lane", id="0", type="none", level="false")
    _add_mark(centre, road.profile.centre_mark)
    right = ET.SubElement(section, "right")
    for number, lane in enumerate(road.profile.right, start=1):
        _add_lane(right, road, -number, lane)


def _add_lane(parent: ET.Element, road: Road, lane_id: int, lane: Lane) -> None:
    element = ET.SubElement(parent, "lane", id=str(lane_id), type=lane.kind, level="false")
    link = ET.SubElement(element, "link")
    if road.predecessor is not None:
        ET.SubElement(link, "predecessor", id=str(lane_id if road.predecessor.contact == "end" else -lane_id))
    if road.successor is not None:
        ET.SubElement(link, "successor", id=str(lane_id if road.successor.contact == "start" else -lane_id))
    ET.SubElement(element, "width", sOffset="0.0", a=_number(lane.width_m), b="0.0", c="0.0", d="0.0")
    _add_mark(element, lane.mark)


def _add_mark(parent: ET.Element, mark: str) -> None:
    width = "0.12" if mark != "none" else "0.0"
    # Lane changes are only offered where both sides run the same way, which this profile has nowhere.
    ET.SubElement(
        parent,
        "roadMark",
        sOffset="0.0",
        type=mark,
        weight="standard",
        color="standard",
        width=width,
        laneChange="none",
    )


def _add_crosswalks(element: ET.Element, road: Road, crosswalks: Sequence[RoadCrosswalk]) -> None:
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


def _add_signals(element: ET.Element, signals: Sequence[RoadSignal]) -> None:
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
            orientation="+" if signal.lane_id < 0 else "-",
            dynamic="yes",
            country="OpenDRIVE",
            type=TRAFFIC_LIGHT_TYPE,
            subtype="-1",
            value="-1.0",
            text="",
            height="1.0",
            width="0.3",
        )
        ET.SubElement(item, "validity", fromLane=str(signal.lane_id), toLane=str(signal.lane_id))
