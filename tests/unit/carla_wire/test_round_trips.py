"""Each encoder of the CARLA wire against its decoder."""

from __future__ import annotations

import struct
import types
import typing

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge.carla_wire import commands, images, layouts, rpc, snapshot, streams
from bridge.carla_wire.methods import METHODS

FLOATS = st.floats(allow_nan=False, width=32)
TRIPLES = st.tuples(FLOATS, FLOATS, FLOATS)
SIXES = st.tuples(*[FLOATS] * 6)
U32S = st.integers(0, 2**32 - 1)
BOUNDS = {layouts.U8: 2**8, layouts.U16: 2**16, layouts.U32: 2**32, layouts.U64: 2**63}


def values_of(kind: typing.Any) -> st.SearchStrategy[typing.Any]:
    """A strategy of values that a layout type allows."""
    if kind in BOUNDS:
        return st.integers(0, BOUNDS[kind] - 1)
    if kind == layouts.I32:
        return st.integers(-(2**31), 2**31 - 1)
    if kind == layouts.Optional:
        return st.one_of(st.none(), FLOATS).map(layouts.optional)
    if kind == commands.WireCommand:
        return st.builds(commands.SetAutopilot, U32S, st.booleans()).map(commands.encode_command)
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return st.integers(1, 5)
    if origin is list:
        return st.lists(values_of(typing.get_args(kind)[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*(values_of(part) for part in typing.get_args(kind)))
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(values_of(part) for part in typing.get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, layouts.Layout):
        hints = typing.get_type_hints(kind, include_extras=True)
        return st.tuples(*(values_of(hints[name]) for name in kind.__struct_fields__)).map(lambda v: kind(*v))
    plain = {float: FLOATS, int: U32S, bool: st.booleans(), str: st.text(max_size=8), bytes: st.binary(max_size=32)}
    if kind is msgspec.Raw:
        return st.just(msgspec.Raw(b"\x93\x01\x02\x03"))
    return plain[kind]


def plain(value: object) -> object:
    """A value as the lists and numbers that travel, for comparison."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


@pytest.mark.parametrize("method", sorted(METHODS))
@settings(max_examples=8, deadline=None)
@given(data=st.data(), msgid=U32S, is_async=st.booleans())
def test_arguments_of_every_method_come_back(method: str, data: st.DataObject, msgid: int, is_async: bool) -> None:
    layout = METHODS[method]
    arguments = tuple(data.draw(values_of(kind)) for kind in layout.argument_types)
    request = rpc.decode_request(rpc.encode_request(msgid, method, arguments, is_async=is_async))
    assert (request.msgid, request.method, request.is_async) == (msgid, method, is_async)
    assert plain(layout.decode_arguments(request.arguments)) == plain(arguments)


@pytest.mark.parametrize("kind", commands.COMMAND_TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_every_command_comes_back(kind: type[commands.Command], data: st.DataObject) -> None:
    command = data.draw(values_of(kind))
    back = commands.decode_command(commands.encode_command(command))
    assert type(back) is kind
    assert plain(back) == plain(command)


def test_command_with_an_unknown_index_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="Batch command 22"):
        commands.decode_command(((22, msgspec.Raw(b"\x90")),))


@given(st.lists(st.sampled_from(["version", "tick_cue", "get_map_data"]), min_size=1, max_size=5), st.data())
def test_requests_are_cut_from_any_chunks(methods: list[str], data: st.DataObject) -> None:
    stream = b"".join(rpc.encode_request(i, method, ()) for i, method in enumerate(methods))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = rpc.RequestReader()
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    requests = [request for chunk in chunks for request in reader.feed(chunk)]
    assert [(request.msgid, request.method) for request in requests] == list(enumerate(methods))


@pytest.mark.parametrize(
    "noise",
    [b"\xc1\xc1", b"GET / HTTP/1.1\r\n\r\n", b"\x93\x02\xa1x\x90", b"\x94\x00\x01\xa1x\x90", b"\x91" * 2000 + b"\x01"],
)
def test_noise_is_no_request(noise: bytes) -> None:
    with pytest.raises(rpc.MalformedRequest):
        list(rpc.RequestReader().feed(noise))


def test_request_that_never_ends_is_refused() -> None:
    reader = rpc.RequestReader(max_bytes=1000)
    assert list(reader.feed(b"\x94\x00\x01\xa1x\xc6\x7f\xff\xff\xff")) == []
    with pytest.raises(rpc.MalformedRequest, match="longer than 1000 bytes"):
        list(reader.feed(bytes(2000)))


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("tick_cue", 5.0),
        ("get_weather_parameters", [1.0] * 13 + ["wet"]),
        ("get_episode_settings", [0, 0, [False], 1, 0.01, 10, 0.0, 0, 3000.0, 2000.0, 1]),
        ("version", None),
        ("get_actors_by_id", [[1, 0, [0, "spectator", []], [[0, 0, 0], [1, 1, 1], [0, 0, 0], 1], [7], b""]]),
        ("apply_batch", [[[1, "id"]]]),
    ],
)
def test_reply_that_would_hurt_the_client_is_not_encoded(method: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        METHODS[method].encode_reply(1, value)


@given(U32S, st.integers(0, 2**16 - 1))
def test_tokens_come_back(stream_id: int, port: int) -> None:
    token = streams.StreamToken(stream_id, port)
    assert len(token.pack()) == streams.TOKEN_BYTES
    assert streams.StreamToken.unpack(token.pack()) == token


def test_token_for_udp_or_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="24 bytes"):
        streams.StreamToken.unpack(bytes(8))
    with pytest.raises(ValueError, match="not TCP"):
        streams.StreamToken.unpack(struct.pack("<IHBB16s", 1, 2001, 2, 0, b""))


@given(st.sampled_from(list(streams.SensorType)), st.integers(0, 2**63), st.floats(allow_nan=False), SIXES)
def test_sensor_headers_come_back(kind: streams.SensorType, frame: int, time_s: float, pose: typing.Any) -> None:
    header = streams.SensorHeader(kind, frame, time_s, pose)
    assert len(header.pack()) == streams.SENSOR_HEADER_BYTES
    assert streams.SensorHeader.unpack(header.pack()) == header


@pytest.mark.parametrize("kind", [6, 12, 16, 22, 255])
def test_sensor_types_that_end_the_client_are_refused(kind: int) -> None:
    with pytest.raises(ValueError, match="is not a valid SensorType"):
        streams.SensorHeader(kind, 1, 0.0).pack()


def test_empty_stream_message_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        streams.pack_size(b"")
    assert streams.unpack_size(streams.pack_size(b"abc", memoryview(np.zeros((2, 2), np.float32)))) == 19


@given(TRIPLES, TRIPLES, FLOATS)
def test_measurements_come_back(first: typing.Any, second: typing.Any, number: float) -> None:
    place = layouts.GeoLocation(*first)
    assert streams.decode_gnss(streams.encode_measurement(place)) == place
    felt = streams.InertialMeasurement(layouts.Vector3D(*first), layouts.Vector3D(*second), number)
    assert streams.decode_inertial(streams.encode_measurement(felt)) == felt
    actor = layouts.Actor(3, 0, layouts.ActorDescription(1, "vehicle.a.b"), layouts.BoundingBox(actor_id=3))
    hit = streams.CollisionEvent(actor, actor, layouts.Vector3D(*second))
    assert streams.decode_collision(streams.encode_measurement(hit)) == hit
    ahead = streams.ObstacleEvent(actor, actor, number)
    assert streams.decode_obstacle(streams.encode_measurement(ahead)) == ahead


@given(
    st.integers(0, 2**63),
    FLOATS,
    st.lists(
        st.builds(snapshot.ActorState, U32S, SIXES, TRIPLES, TRIPLES, TRIPLES, st.binary(min_size=54, max_size=54))
    ),
)
def test_snapshots_come_back(frame: int, delta_s: float, actors: list[snapshot.ActorState]) -> None:
    episode = snapshot.EpisodeState(7, 1.5, delta_s, snapshot.MAP_CHANGED)
    message = snapshot.encode_snapshot(frame, 2.5, episode, actors)
    header, episode_back, actors_back = snapshot.decode_snapshot(message)
    assert (header.frame, header.timestamp_s, header.sensor_type) == (frame, 2.5, streams.SensorType.WORLD_SNAPSHOT)
    assert (episode_back, actors_back) == (episode, actors)


def test_truncated_snapshot_is_refused() -> None:
    message = snapshot.encode_snapshot(
        1, 0.0, snapshot.EpisodeState(1, 0.0, 0.05), [snapshot.ActorState(1, (0.0,) * 6)]
    )
    with pytest.raises(ValueError, match="whole number"):
        snapshot.decode_snapshot(message[:-10])


def test_tails_come_back() -> None:
    vehicle = snapshot.VehicleTail(0.5, -0.25, 0.0, True, False, True, -1, 40.0, 0, True, 9, 0)
    assert snapshot.VehicleTail.unpack(vehicle.pack()) == vehicle
    walker = snapshot.WalkerTail(1.0, 0.0, 0.0, 1.5, True)
    assert snapshot.WalkerTail.unpack(walker.pack()) == walker
    light = snapshot.TrafficLightTail(b"1010", 10.0, 3.0, 2.0, 0.5, 1, True, 2)
    assert snapshot.TrafficLightTail.unpack(light.pack()) == light
    with pytest.raises(ValueError, match="longer than 32"):
        snapshot.TrafficLightTail(b"x" * 33, 1.0, 1.0, 1.0, 0.0, 0, False, 0).pack()


@given(hnp.arrays(np.float32, (3, 5), elements=st.floats(0.0, 1000.0, width=32)))
def test_depth_comes_back_to_half_a_code(depth_m: np.ndarray) -> None:
    bgra = images.encode_depth(depth_m)
    assert np.abs(images.decode_depth(bgra) - depth_m).max() <= 0.5 * 1000.0 / (2**24 - 1) + 1e-9
    code = np.rint(depth_m.astype(np.float64) / 1000.0 * (2**24 - 1)).astype(np.int64)
    expected = np.stack([code >> 16, code >> 8 & 255, code & 255, np.full_like(code, 255)], axis=-1)
    assert (bgra == expected).all()


@given(hnp.arrays(np.float32, (3, 5, 3), elements=st.floats(-1.0, 1.0, width=32)))
def test_normals_come_back_to_half_a_code(normals: np.ndarray) -> None:
    bgra = images.encode_normals(normals)
    assert np.abs(images.decode_normals(bgra) - normals).max() <= 0.5 / 127.5 + 1e-6
    assert (bgra[..., 3] == 255).all()
    up = images.encode_normals(np.array([[[0, 0, 1]]], np.float32))
    assert up[0, 0].tolist() == [255, 128, 128, 255], "z is blue"


@given(hnp.arrays(np.uint8, (3, 5)), hnp.arrays(np.int32, (3, 5), elements=st.integers(0, 2**16 - 1)))
def test_labels_come_back(tags: np.ndarray, actor_ids: np.ndarray) -> None:
    semantic = images.encode_semantic(tags)
    assert (images.decode_semantic(semantic) == tags).all()
    assert (semantic[..., :2] == 0).all() and (semantic[..., 3] == 255).all()
    instance = images.encode_instance(tags, actor_ids)
    tags_back, ids_back = images.decode_instance(instance)
    assert (tags_back == tags).all() and (ids_back == actor_ids).all()
    assert (instance[..., 3] == 255).all()


def test_flow_spans_two_units_and_points_up() -> None:
    flow_px = np.zeros((4, 8, 2), np.float32)
    flow_px[..., 0], flow_px[..., 1] = 4.0, 2.0
    flow = images.encode_flow(flow_px)
    assert (flow[..., 0] == 1.0).all() and (flow[..., 1] == -1.0).all()
    assert (images.decode_flow(flow) == flow_px).all()


def test_image_buffer_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="output must be"):
        images.encode_semantic(np.zeros((2, 2), np.uint8), np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(ValueError, match="differ in size"):
        images.encode_instance(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.int32))
    header = images.ImageHeader(512, 256, 90.0)
    assert images.ImageHeader.unpack(header.pack()) == header
