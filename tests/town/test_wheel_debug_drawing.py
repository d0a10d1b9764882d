"""Debug drawings of the unmodified carla wheel in the town's pictures."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.carla_wire import debug_shapes as shapes
from bridge.carla_wire import layouts

FLOATS = st.floats(allow_nan=False, width=32)
VECTORS = st.builds(layouts.Vector3D, FLOATS, FLOATS, FLOATS)
LINES = st.builds(shapes.DebugLine, VECTORS, VECTORS, FLOATS)
BOXES = st.builds(layouts.BoundingBox, VECTORS, VECTORS)
PRIMITIVES = st.one_of(
    st.builds(shapes.DebugPoint, VECTORS, FLOATS),
    LINES,
    st.builds(shapes.DebugArrow, LINES, FLOATS),
    st.builds(shapes.DebugBox, BOXES, st.builds(layouts.Rotation, FLOATS, FLOATS, FLOATS), FLOATS),
    st.builds(shapes.DebugString, VECTORS, st.text(max_size=5), st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(PRIMITIVES)
def test_primitives_come_back(primitive: shapes.Primitive) -> None:
    assert shapes.decode_primitive(shapes.encode_primitive(primitive)) == primitive


def test_drawings_with_numbers_that_are_none_are_refused_and_cameras_go_on(client, town) -> None:
    pytest.importorskip("carla")
    seen = client("""
world = client.get_world()
enter_sync(world)
frames = queue.Queue()
eye = world.spawn_actor(camera_blueprint(world.get_blueprint_library(), "rgb", 64, 32), carla.Transform())
eye.listen(frames.put)
nan, at = float("nan"), carla.Location(x=8)
draw, red = world.debug, carla.Color(255, 0, 0)
draw.draw_point(at, nan, red, 60.0)
draw.draw_line(at, carla.Location(x=float("inf")), 0.1, red, 60.0)
draw.draw_line(at, carla.Location(x=1e30), 0.1, red, 60.0)
draw.draw_box(carla.BoundingBox(at, carla.Vector3D(1, nan, 1)), carla.Rotation(), 0.1, red, 60.0)
draw.draw_point(at, 0.5, red, 60.0)
world.tick()
answer(width=frames.get(timeout=5.0).width)
""")
    assert seen["width"] == 64
    assert len(town.simulation.episode.drawings.shown(0.0)) == 1, "only the last one is drawn"


def test_lines_points_boxes_and_arrows_are_seen_where_nothing_hides_them(client) -> None:
    pytest.importorskip("carla")
    seen = client("""
import numpy as np
world = client.get_world()
enter_sync(world)
library, frames = world.get_blueprint_library(), queue.Queue()
eye = world.spawn_actor(camera_blueprint(library, "rgb", 64, 32), carla.Transform(carla.Location(x=0, y=0, z=2)))
eye.listen(frames.put)
def picture():
    world.tick()
    image = frames.get(timeout=5.0)
    return np.frombuffer(image.raw_data, np.uint8).reshape(32, 64, 4)[..., 2::-1].copy()
def count(rgb, color):
    return int((rgb == np.array(color)).all(-1).sum())
red, green, blue, white = (255, 1, 2), (3, 255, 4), (5, 6, 255), (250, 251, 252)
at = lambda x, y, z: carla.Location(x=x, y=y, z=z)
plain = picture()
draw = world.debug
draw.draw_line(at(10, -5, 3), at(10, 5, 3), 0.05, carla.Color(*red), 0.2)
draw.draw_line(at(20, -5, 1.5), at(20, 5, 1.5), 0.05, carla.Color(*green), 0.2)
draw.draw_point(at(8, 2, 1.5), 0.6, carla.Color(*blue), 0.2)
draw.draw_box(carla.BoundingBox(at(9, 0, 4), carla.Vector3D(1, 2, 1)), carla.Rotation(), 0.01, carla.Color(*white), 0.2)
first = picture()
rows = sorted(set(np.argwhere((first == np.array(red)).all(-1))[:, 0].tolist()))
numbers = [count(first, c) for c in (red, green, blue, white)]
for _ in range(5):
    last = picture()
draw.draw_arrow(at(10, -3, 3), at(10, 3, 3), 0.05, 1.0, carla.Color(*red), 0.0)
draw.draw_string(at(10, 0, 3), "text", False, carla.Color(*green), 1.0)
for _ in range(8):
    arrow = picture()
answer(plain=[count(plain, c) for c in (red, green, blue, white)], numbers=numbers, rows=rows,
       over=[count(last, c) for c in (red, green, blue, white)], arrow=count(arrow, red), text=count(arrow, green),
       same=bool((plain == last).all()))
eye.stop(); eye.destroy()
""")
    # the flat painter's ground, the lower half of the picture, is 12.5 m away everywhere
    assert seen["plain"] == seen["over"] == [0, 0, 0, 0] and seen["same"] is True
    red, green, blue, white = seen["numbers"]
    assert seen["rows"] == [12] and 15 <= red <= 34, "some of it is behind the box"
    assert green == 0, "what the ground hides is not drawn"
    assert 4 <= blue <= 12 and white > 20
    assert seen["arrow"] > 19 and seen["text"] == 0
