"""The navigation mesh: round trip, neighbours, and the town's own."""

from __future__ import annotations

import struct

import pytest

from bridge.carla_wire.navmesh import Area, Quad, decode_navmesh, encode_navmesh
from bridge.town.navmesh import build_navigation
from bridge.town.streets import build_street_network

LEFT = Quad(((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 0.0)), Area.SIDEWALK)
RIGHT = Quad(((1.0, 0.0, 0.0), (2.0, 0.0, 0.0), (2.0, 1.0, 0.5), (1.0, 1.0, 0.0)), Area.CROSSWALK)
HEADER_BYTES, TILE_HEADER_BYTES = 48, 100


def sorted_corners(quads: list[Quad]) -> list[tuple[Area, list[tuple[float, ...]]]]:
    return [(quad.area, sorted(quad.corners)) for quad in quads]


def test_mesh_comes_back() -> None:
    assert sorted_corners(decode_navmesh(encode_navmesh([LEFT, RIGHT]))) == sorted_corners([LEFT, RIGHT])


def test_either_sense_of_rotation_gives_the_same_file_but_for_its_order() -> None:
    turned = Quad(LEFT.corners[::-1], LEFT.area)
    assert len(encode_navmesh([turned, RIGHT])) == len(encode_navmesh([LEFT, RIGHT]))


def test_quads_that_share_an_edge_are_linked() -> None:
    linked, apart = encode_navmesh([LEFT, RIGHT]), encode_navmesh([LEFT])
    links = [struct.unpack_from("<i", data, HEADER_BYTES + 8 * 4)[0] for data in (linked, apart)]
    assert links == [2, 0]


def test_what_is_no_mesh_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one quad"):
        encode_navmesh([])
    with pytest.raises(ValueError, match="no navigation mesh"):
        decode_navmesh(b"rubbish")


def test_the_towns_mesh_is_one_connected_whole() -> None:
    network = build_street_network(0)
    file = build_navigation(network)
    quads = decode_navmesh(file.data)
    assert {quad.area for quad in quads} == {Area.SIDEWALK, Area.CROSSWALK}
    reached, front = {0}, [0]
    corners = [frozenset((round(x, 2), round(y, 2)) for x, y, _z in quad.corners) for quad in quads]
    while front:
        here = front.pop()
        for other, points in enumerate(corners):
            if other not in reached and len(points & corners[here]) >= 2:
                reached.add(other)
                front.append(other)
    assert len(reached) == len(quads), "one can walk from everywhere to everywhere"
    assert build_navigation(network) == file
    assert file.name.startswith("Carla/Maps/Nav/Town_")
