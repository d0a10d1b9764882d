"""The navigation mesh that CARLA's clients load for their pedestrian AI: one Detour tile (version 7) in an MSET file.

Points are given in CARLA's world and stored in Detour's order x, up, y.
"""

from __future__ import annotations

import enum
import math
import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_SET_MAGIC, _SET_VERSION = int.from_bytes(b"MSET", "big"), 1
_TILE_MAGIC, _TILE_VERSION = int.from_bytes(b"DNAV", "big"), 7
_SET = struct.Struct("<3i 3f 2f 2i")
_TILE_REFERENCE = struct.Struct("<Ii")
_TILE = struct.Struct("<5iI9i10f")
_VERTEX = struct.Struct("<3f")
_POLYGON = struct.Struct("<I6H6HHBB")
_DETAIL = struct.Struct("<IIBBxx")
_LINK_BYTES = 12
_CORNERS = 4
# Two triangles a quad; the last byte of each marks its outer edges. Without the marks the client's AI crashes.
_DETAIL_TRIANGLES = bytes((0, 1, 2, 0b000101, 0, 2, 3, 0b010100))
_WALKABLE = (1.8, 0.3, 0.5)  # height, radius and climb of a pedestrian, metres
_MARGIN_M = (1.0, 2.0)  # below and above the mesh


class Area(enum.IntEnum):
    """What a polygon is to a pedestrian."""

    SIDEWALK = 1
    CROSSWALK = 2
    ROAD = 3
    GRASS = 4


Point = tuple[float, float, float]


@dataclass(frozen=True)
class Quad:
    """A walkable, convex quadrilateral; corners in CARLA's world, in either sense of rotation."""

    corners: tuple[Point, Point, Point, Point]
    area: Area


def encode_navmesh(quads: Sequence[Quad]) -> bytes:
    """Return the file of a mesh; quads that share two corners (to the millimetre) are neighbours.

    Raises ValueError for an empty mesh and for one with more than 65,535 corners or quads.
    """
    if not quads:
        raise ValueError("a navigation mesh needs at least one quad")
    vertices, polygons = _index(quads)
    if max(len(vertices), len(polygons)) > 0xFFFF:
        raise ValueError("a navigation mesh has at most 65535 corners and quads")
    neighbours = _neighbours(polygons)
    links = sum(1 for row in neighbours for neighbour in row if neighbour)
    low = [min(vertex[k] for vertex in vertices) for k in range(3)]
    high = [max(vertex[k] for vertex in vertices) for k in range(3)]
    low[1] -= _MARGIN_M[0]
    high[1] += _MARGIN_M[1]
    count = len(polygons)
    # fmt: off
    tile = _TILE.pack(
        _TILE_MAGIC, _TILE_VERSION, 0, 0, 0, 0,
        count, len(vertices), links, count, 0, 2 * count, 0, 0, count,
        *_WALKABLE, *low, *high, 1.0,
    )
    # fmt: on
    tile += b"".join(_VERTEX.pack(*vertex) for vertex in vertices)
    tile += b"".join(
        _POLYGON.pack(0, *polygon, 0, 0, *neighbours[i], 0, 0, 1 << quads[i].area, _CORNERS, quads[i].area)
        for i, polygon in enumerate(polygons)
    )
    tile += bytes(_LINK_BYTES * links)
    tile += b"".join(_DETAIL.pack(0, 2 * i, 0, 2) for i in range(count))
    tile += _DETAIL_TRIANGLES * count
    capacity = 1 << max(1, math.ceil(math.log2(count)))
    return (
        _SET.pack(_SET_MAGIC, _SET_VERSION, 1, *low, high[0] - low[0], high[2] - low[2], 1, capacity)
        + _TILE_REFERENCE.pack(capacity, len(tile))
        + tile
    )


def decode_navmesh(data: bytes) -> list[Quad]:
    """Return the quads of a mesh that `encode_navmesh` made; raises ValueError for another file."""
    if len(data) < _SET.size + _TILE_REFERENCE.size + _TILE.size or _SET.unpack_from(data)[0] != _SET_MAGIC:
        raise ValueError("this is no navigation mesh of one Detour tile")
    start = _SET.size + _TILE_REFERENCE.size
    head = _TILE.unpack_from(data, start)
    if head[:2] != (_TILE_MAGIC, _TILE_VERSION):
        raise ValueError("the tile is not of Detour's version 7")
    num_polygons, num_vertices = head[6], head[7]
    at = start + _TILE.size
    vertices = [_VERTEX.unpack_from(data, at + i * _VERTEX.size) for i in range(num_vertices)]
    at += num_vertices * _VERTEX.size
    quads = []
    for i in range(num_polygons):
        row = _POLYGON.unpack_from(data, at + i * _POLYGON.size)
        a, b, c, d = ((x, y, up) for x, up, y in (vertices[k] for k in row[1:5]))
        quads.append(Quad((a, b, c, d), Area(row[15])))
    return quads


def _index(quads: Sequence[Quad]) -> tuple[list[Point], list[tuple[int, ...]]]:
    """Return the distinct corners in Detour's order of axes, and each quad's corners in Detour's sense of rotation."""
    numbers: dict[Point, int] = {}
    vertices: list[Point] = []
    polygons: list[tuple[int, ...]] = []
    for quad in quads:
        indices = []
        for x, y, z in quad.corners:
            key = (round(x, 3), round(z, 3), round(y, 3))
            if key not in numbers:
                numbers[key] = len(vertices)
                vertices.append((x, z, y))
            indices.append(numbers[key])
        polygons.append(tuple(indices[::-1] if _turn(quad.corners) > 0.0 else indices))
    return vertices, polygons


def _turn(corners: Sequence[Point]) -> float:
    """Return twice the signed area of a quad on the ground."""
    return sum(
        corners[k][0] * corners[(k + 1) % _CORNERS][1] - corners[(k + 1) % _CORNERS][0] * corners[k][1]
        for k in range(_CORNERS)
    )


def _neighbours(polygons: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Return for each edge of each polygon the number of the polygon beyond it, counted from 1; 0 for none."""
    owners: dict[frozenset[int], list[int]] = defaultdict(list)
    for number, polygon in enumerate(polygons, 1):
        for k in range(_CORNERS):
            owners[frozenset((polygon[k], polygon[(k + 1) % _CORNERS]))].append(number)
    return [
        [
            next((o for o in owners[frozenset((polygon[k], polygon[(k + 1) % _CORNERS]))] if o != number), 0)
            for k in range(_CORNERS)
        ]
        for number, polygon in enumerate(polygons, 1)
    ]
