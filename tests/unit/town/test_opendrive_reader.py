"""Clients' OpenDRIVE texts as the town's roads: what is read, what is refused, and that the wheel's map agrees."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import carla
import numpy as np
import pytest

from bridge.town.client_world import build_client_world, sidewalks_of
from bridge.town.engine.client_scene import MEADOW_M, client_pieces
from bridge.town.navmesh import build_navigation
from bridge.town.opendrive_reader import MOST_ACROSS_M, OpenDriveRefused, read_opendrive
from bridge.town.roads import KERB_HEIGHT_M
from bridge.town.streets import build_street_network

LINE = '<geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry>'
LANES = """<laneSection s="0">
  <left><lane id="2" type="sidewalk"><width sOffset="0" a="2.5" b="0" c="0" d="0"/></lane>
    <lane id="1" type="driving"><width sOffset="0" a="3.25" b="0" c="0" d="0"/>
      <roadMark sOffset="0" type="solid"/></lane></left>
  <center><lane id="0" type="none"><roadMark sOffset="0" type="broken"/></lane></center>
  <right><lane id="-1" type="driving"><width sOffset="0" a="3.25" b="{b}" c="0" d="0"/></lane>
    <lane id="-2" type="none"><width sOffset="0" a="4" b="0" c="0" d="0"/></lane></right>
</laneSection>"""


def document(plan: str = LINE, length: float = 100.0, lanes: str = LANES.format(b=0), more: str = "") -> str:
    return (
        '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="" version="1"/>'
        f'<road name="" length="{length}" id="7" junction="-1"><link/>'
        '<type s="0" type="town"><speed max="30" unit="mph"/></type>'
        f"<planView>{plan}</planView>{more}<lanes>{lanes}</lanes></road></OpenDRIVE>"
    )


def test_a_street_with_lanes_a_sidewalk_and_marks() -> None:
    pieces = read_opendrive(document())
    assert sum(piece.road.length_m for piece in pieces) == pytest.approx(100.0)
    profile = pieces[0].road.profile
    assert [(lane.kind, lane.width_m, lane.mark) for lane in profile.left] == [
        ("driving", 3.25, "solid"),
        ("sidewalk", 2.5, "none"),
    ]
    assert len(profile.right) == 1, "beyond the outermost surface there is grass"
    assert profile.centre_mark == "broken"
    assert pieces[0].road.speed_limit_kmh == pytest.approx(48.28, abs=0.01)


def test_the_ground_is_level_but_for_sidewalks() -> None:
    network = build_client_world(document())
    x, y = np.full(4, 50.0), -np.array([-1.5, 2.0, 4.5, 8.0])  # in the right lane, in the left, on the sidewalk, beyond
    assert network.ground_height_m(x, y).tolist() == [0.0, 0.0, KERB_HEIGHT_M, 0.0]
    assert network.speed_limit_at_kmh(50.0, 1.0) == pytest.approx(48.28, abs=0.01)
    assert build_navigation(network).name.startswith("Carla/Maps/Nav/OpenDriveMap_")
    bare = build_client_world(document(lanes=LANES.format(b=0).replace("sidewalk", "driving")))
    assert build_navigation(bare).name == "" and not sidewalks_of(bare.roads[0])


def test_what_is_drawn_lies_on_the_roads() -> None:
    meshes = [piece.mesh for piece in client_pieces(build_client_world(document()))]
    assert {tag for mesh in meshes for tag in mesh.tag.tolist()} == {1, 2, 10, 24}
    road = next(mesh for mesh in meshes if (mesh.tag == 1).any())
    asphalt = road.position[road.triangle[road.tag == 1].ravel()]
    assert asphalt[:, 1].min() == pytest.approx(-3.25) and asphalt[:, 1].max() == pytest.approx(3.25)
    assert min(mesh.position[:, 2].min() for mesh in meshes) == pytest.approx(MEADOW_M)
    dashes = next(mesh for mesh in meshes if (mesh.tag == 24).all())
    middle = dashes.position[np.abs(dashes.position[:, 1]) < 0.1]
    assert (np.floor(np.unique(np.round(middle[:, 0], 3)) / 3.0 - 1e-6).astype(int) % 2 == 0).mean() > 0.4


@pytest.mark.parametrize(
    "plan",
    [
        '<geometry s="0" x="3" y="4" hdg="1" length="60"><arc curvature="0.02"/></geometry>',
        '<geometry s="0" x="3" y="4" hdg="1" length="60"><spiral curvStart="0" curvEnd="0.03"/></geometry>',
        '<geometry s="0" x="3" y="4" hdg="1" length="60"><paramPoly3 pRange="normalized" aU="0" bU="59" cU="0" dU="0"'
        ' aV="0" bV="0" cV="9" dV="-2"/></geometry>',
    ],
    ids=["arc", "spiral", "paramPoly3"],
)
def test_reference_lines_run_where_the_wheels_map_has_them(plan: str) -> None:
    text = document(plan, 60.0)
    wheel = carla.Map("drawn", text)
    for piece in read_opendrive(text):
        for share in (0.0, 0.5):
            s = share * piece.road.length_m
            x, y, heading = piece.road.point(s)
            at = wheel.get_waypoint_xodr(7, -1, piece.from_s_m + s)
            assert at is not None
            place, yaw = at.transform.location, np.radians(at.transform.rotation.yaw)
            want = (x + 1.625 * np.sin(heading), y - 1.625 * np.cos(heading))
            assert np.hypot(place.x - want[0], -place.y - want[1]) < 0.15
            assert np.cos(yaw + heading) > 0.999


def test_widening_lanes_are_cut_into_short_pieces() -> None:
    pieces = read_opendrive(document(lanes=LANES.format(b=0.02)))
    assert max(piece.road.length_m for piece in pieces) <= 2.0
    widths = [piece.road.profile.right[0].width_m for piece in pieces]
    assert widths[0] == pytest.approx(3.27) and widths[-1] == pytest.approx(5.23)


def test_the_towns_own_text_makes_its_roads_again() -> None:
    home = build_street_network(0)
    network = build_client_world(home.opendrive)
    points = np.array([(pose.x_m, pose.y_m) for pose in home.spawn_points])
    assert network.is_on_road(points[:, 0], points[:, 1]).all()
    wheel = carla.Map("again", network.opendrive)
    for pose in network.spawn_points[::7]:
        at = wheel.get_waypoint(carla.Location(pose.x_m, pose.y_m, 0.0), project_to_road=False)
        assert at is not None and np.cos(np.radians(at.transform.rotation.yaw - pose.yaw_deg)) > 0.99


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no XML"),
        ("<x/>", "not <OpenDRIVE>"),
        ("<OpenDRIVE/>", "no road with a driving lane"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><OpenDRIVE/>', "document type"),
        (document(plan=""), "Road 7 .* no plan view"),
        (document(plan=LINE.replace("100", "nan")), "no number"),
        (document(plan=LINE.replace("line", "loop")), "no line, arc, spiral or polynomial"),
        (document(lanes=""), "no lane section"),
        (document(plan=LINE.replace("100", "90000"), length=90000.0), "90000|9e"),
        (document(plan=LINE.replace("100", "5000"), length=5000.0), f"more than {MOST_ACROSS_M:.0f} m"),
        (document(more='<elevationProfile><elevation s="0" a="0" b="0.05" c="0" d="0"/></elevationProfile>'), "flat"),
        (document().replace('type="driving"', 'type="rail"'), "no road with a driving lane"),
        (document().replace('a="3.25"', 'a="1"'), "wide enough"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(OpenDriveRefused, match=sentence):
        build_client_world(text)


LONG_ARC = '<geometry s="0" x="0" y="0" hdg="0" length="7000"><arc curvature="0.01"/></geometry>'
LONG_SPIRAL = LONG_ARC.replace('<arc curvature="0.01"/>', '<spiral curvStart="0.01" curvEnd="0.02"/>')


def many_offsets() -> str:
    offsets = "".join(f'<laneOffset s="{k / 10}" a="0.1"/>' for k in range(40_000))
    return document(LONG_ARC, 7000.0, offsets + LANES.format(b=0))


def many_heights() -> str:
    return document(LONG_ARC, 7000.0, more="<elevationProfile>" + '<elevation a="0"/>' * 60_000 + "</elevationProfile>")


def many_sections() -> str:
    return document(LONG_SPIRAL, 7000.0, LANES.format(b=0) * 5000)


def many_widths() -> str:
    widths = "".join(f'<width sOffset="{k / 10}" a="3"/>' for k in range(40_000))
    return document(LONG_SPIRAL, 7000.0, LANES.format(b=0).replace("</lane>", widths + "</lane>", 1))


def many_roads() -> str:
    return document().replace("</road>", "</road>" + '<road id="8"><planView/></road>' * 50_000)


@pytest.mark.parametrize("text", [many_offsets, many_heights, many_sections, many_widths, many_roads])
def test_no_text_holds_a_town_up_for_long(text: Callable[[], str]) -> None:
    began_s = time.process_time()
    with contextlib.suppress(OpenDriveRefused):
        read_opendrive(text())
    assert time.process_time() - began_s < 10.0
