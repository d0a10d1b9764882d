"""The wire format: pinned bytes of version 3, round trips, and everything that must be refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bridge.protocol import wire
from bridge.protocol.errors import ForeignProtocol, MessageTooLarge, WireError
from bridge.protocol.messages import (
    PROTOCOL_VERSION,
    BodyMotion,
    Bye,
    Hello,
    Look,
    Looked,
    Message,
    ModelCard,
    Motion,
    PlaneHeader,
    Refusal,
    Render,
    Rendered,
    Welcome,
)
from bridge.protocol.shared_memory import MemoryOffer

LABELS = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)
DEPTH = np.array([[1.5, 2, 1000], [0.5, 0, 4]], np.float32)
RENDER = Render(
    sequence=3,
    frame_id=7,
    width_px=3,
    height_px=2,
    planes=(wire.plane_header("labels", LABELS), wire.plane_header("depth_m", DEPTH)),
    motion=Motion(
        focal_px=1.5,
        world_from_camera=(0.0, 0.0, 1.0, 5.0, 1.0, 0.0, 0.0, 6.0, 0.0, -1.0, 0.0, 7.0),
        bodies=(BodyMotion(instance_id=9, world_from_body=(1.0, 0.0, 0.0, 0.0, 0.0, 1.0) + (0.0,) * 4 + (1.0, 0.0)),),
    ),
)
CARD = ModelCard(
    name="m",
    family="live",
    label_space="street",
    planes=("labels",),
    size_multiple_px=16,
    past_frames=1,
    weights_sha256="00",
    licence="Apache-2.0",
)

# A change of any of these bytes is a new protocol: raise PROTOCOL_VERSION, and pin again.
PINNED: dict[str, tuple[Message, str]] = {
    "hello": (
        Hello(client="c"),
        (
            "766964726976650385a474797065a568656c6c6fa6636c69656e74a163a56d6f64656ca0ad706963747572655f636f646563a37261"
            "77a66d656d6f7279c0"
        ),
    ),
    "welcome": (
        Welcome(server="s", card=CARD),
        (
            "766964726976650385a474797065a777656c636f6d65a6736572766572a173a4636172648aa46e616d65a16da666616d696c79a46c"
            "697665ab6c6162656c5f7370616365a6737472656574a6706c616e657391a66c6162656c73b073697a655f6d756c7469706c655f70"
            "7810ab706173745f6672616d657301ae776569676874735f736861323536a23030a76c6963656e6365aa4170616368652d322e30a6"
            "646576696365a3637075a56474797065a7666c6f61743332ad7368617265735f6d656d6f7279c2a66d6f64656c7390"
        ),
    ),
    "render": (
        RENDER,
        (
            "766964726976650389a474797065a672656e646572a873657175656e636503a86672616d655f696407a877696474685f707803a968"
            "65696768745f707802a6706c616e65739285a46e616d65a66c6162656c73a474797065a27538a57368617065920203a5636f646563"
            "a3726177ac6f66667365745f62797465730085a46e616d65a764657074685f6da474797065a3663332a57368617065920203a5636f"
            "646563a3726177ac6f66667365745f627974657300a66d6f74696f6e83a8666f63616c5f7078cb3ff8000000000000b1776f726c64"
            "5f66726f6d5f63616d6572619ccb0000000000000000cb0000000000000000cb3ff0000000000000cb4014000000000000cb3ff000"
            "0000000000cb0000000000000000cb0000000000000000cb4018000000000000cb0000000000000000cbbff0000000000000cb0000"
            "000000000000cb401c000000000000a6626f646965739192099ccb3ff0000000000000cb0000000000000000cb0000000000000000"
            "cb0000000000000000cb0000000000000000cb3ff0000000000000cb0000000000000000cb0000000000000000cb00000000000000"
            "00cb0000000000000000cb3ff0000000000000cb0000000000000000b4706963747572655f6f66667365745f6279746573c0a46c6f"
            "6f6b00"
        ),
    ),
    "look": (
        Look(number=2, model="other", style="7"),
        ("766964726976650384a474797065a46c6f6f6ba66e756d62657202a56d6f64656ca56f74686572a57374796c65a137"),
    ),
    "looked": (
        Looked(number=2, card=CARD),
        (
            "766964726976650383a474797065a66c6f6f6b6564a66e756d62657202a4636172648aa46e616d65a16da666616d696c79a46c6976"
            "65ab6c6162656c5f7370616365a6737472656574a6706c616e657391a66c6162656c73b073697a655f6d756c7469706c655f707810"
            "ab706173745f6672616d657301ae776569676874735f736861323536a23030a76c6963656e6365aa4170616368652d322e30a66465"
            "76696365a3637075a56474797065a7666c6f61743332"
        ),
    ),
    "rendered": (
        Rendered(sequence=3, frame_id=7, planes=(), stages_ms={"infer": 1.0}, reset="new sequence"),
        (
            "766964726976650386a474797065a872656e6465726564a873657175656e636503a86672616d655f696407a6706c616e657390a973"
            "74616765735f6d7381a5696e666572cb3ff0000000000000a57265736574ac6e65772073657175656e6365"
        ),
    ),
    "refusal": (
        Refusal(code="bad-size", message="no", hint="yes", frame_id=7),
        (
            "766964726976650385a474797065a77265667573616ca4636f6465a86261642d73697a65a76d657373616765a26e6fa468696e74a3"
            "796573a86672616d655f696407"
        ),
    ),
    "bye": (Bye(), "766964726976650381a474797065a3627965"),
}


def arrays_of(message: Message) -> tuple[NDArray, ...]:
    return (LABELS, DEPTH) if message is RENDER else ()


def test_version() -> None:
    assert PROTOCOL_VERSION == 3


@pytest.mark.parametrize("name", PINNED)
def test_bytes_are_pinned(name: str) -> None:
    message, pinned = PINNED[name]
    frames = wire.encode(message, arrays_of(message))
    assert bytes(frames[0]).hex() == pinned
    assert wire.encode_header(message) == frames[0]
    decoded, planes = wire.decode([bytes.fromhex(pinned), *frames[1:]])
    assert decoded == message
    assert len(planes) == len(arrays_of(message))


def test_planes_are_little_endian_rows() -> None:
    _, labels, depth = wire.encode(RENDER, (LABELS, DEPTH))
    assert bytes(labels).hex() == "000102030405"
    assert bytes(depth)[:8].hex() == "0000c03f" + "00000040"


def test_raw_planes_are_not_copied() -> None:
    _, labels, _ = wire.encode(RENDER, (LABELS, DEPTH))
    assert np.shares_memory(np.frombuffer(labels, np.uint8), LABELS)
    _, planes = wire.decode(wire.encode(RENDER, (LABELS, DEPTH)))
    assert np.shares_memory(planes["labels"], LABELS)
    assert not planes["labels"].flags.writeable


TYPES = {"u8": np.uint8, "u16": np.uint16, "f16": np.float16, "f32": np.float32}


@st.composite
def planes(draw: st.DrawFn) -> NDArray:
    shape = draw(st.lists(st.integers(1, 9), min_size=2, max_size=3))
    dtype = np.dtype(draw(st.sampled_from(list(TYPES.values()))))
    size = int(np.prod(shape)) * dtype.itemsize
    array = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype).reshape(shape)
    if draw(st.booleans()):  # arrays that are not in C order, and foreign byte order
        array = np.asfortranarray(array)
    return array.astype(dtype.newbyteorder(draw(st.sampled_from("<>"))))


@given(planes(), st.sampled_from(["raw", "lz4"]))
def test_planes_round_trip(array: NDArray, codec: str) -> None:
    header = wire.plane_header("labels", array, codec)
    message = Rendered(sequence=0, frame_id=0, planes=(header,), stages_ms={})
    decoded, back = wire.decode([bytes(frame) for frame in wire.encode(message, [array])])
    assert decoded == message
    assert back["labels"].dtype == array.dtype.newbyteorder("<")
    assert (
        back["labels"].astype("<" + array.dtype.str[1:]).tobytes()
        == np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    )


@given(planes(), st.integers(0, 64))
def test_shared_planes_round_trip(array: NDArray, place: int) -> None:
    memory = memoryview(bytearray(b"\xaa" * 4096))
    offset = place * array.dtype.itemsize
    header = wire.plane_header("labels", array, "shared", offset)
    frames = wire.encode(Rendered(sequence=0, frame_id=0, planes=(header,), stages_ms={}), [array], memory)
    assert frames[1] == b"", "nothing of it travels"
    _, back = wire.decode(frames, memory)
    assert back["labels"].tobytes() == np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    assert np.shares_memory(back["labels"], np.frombuffer(memory, np.uint8))
    untouched = memory[:offset].tobytes() + memory[offset + array.nbytes :].tobytes()
    assert set(untouched) == {0xAA}


@pytest.mark.parametrize("offset", [4096, 4091, 1 << 62])
def test_shared_planes_beyond_the_memory_are_refused(offset: int) -> None:
    memory = memoryview(bytearray(4096))
    header = wire.plane_header("labels", LABELS, "shared", offset)
    message = Rendered(sequence=0, frame_id=0, planes=(header,), stages_ms={})
    with pytest.raises(WireError, match="not in the shared memory"):
        wire.encode(message, [LABELS], memory)
    with pytest.raises(WireError, match="not in the shared memory"):
        wire.decode([wire.encode_header(message), b""], memory)


texts = st.text(max_size=20)
whole = st.integers(-(2**63), 2**64 - 1)
numbers = st.floats(allow_nan=False)
rows = st.lists(numbers, min_size=12, max_size=12).map(tuple)
sides = st.integers(1, 16384)
messages = st.one_of(
    st.builds(
        Hello,
        client=texts,
        model=texts,
        picture_codec=st.sampled_from(["raw", "jpeg"]),
        memory=st.none()
        | st.builds(MemoryOffer, process_id=whole, file_descriptor=whole, token=st.binary(max_size=20)),
    ),
    st.builds(
        Welcome,
        server=texts,
        shares_memory=st.booleans(),
        models=st.lists(texts, max_size=3).map(tuple),
        card=st.builds(
            ModelCard,
            name=texts,
            licence=texts,
            planes=st.just(("labels",)),
            size_multiple_px=whole,
            past_frames=whole,
        ),
    ),
    st.builds(
        Render,
        sequence=whole,
        frame_id=whole,
        width_px=sides,
        height_px=sides,
        planes=st.just(()),
        picture_offset_bytes=st.none() | st.integers(0, 2**64 - 1),
        look=st.integers(0, 2**64 - 1),
        motion=st.none()
        | st.builds(
            Motion,
            focal_px=numbers,
            world_from_camera=rows,
            bodies=st.lists(st.builds(BodyMotion, instance_id=whole, world_from_body=rows), max_size=3).map(tuple),
        ),
    ),
    st.builds(
        Rendered,
        sequence=whole,
        frame_id=whole,
        planes=st.just(()),
        stages_ms=st.dictionaries(texts, numbers, max_size=3),
        reset=texts,
    ),
    st.builds(Look, number=st.integers(0, 2**64 - 1), model=texts, style=texts),
    st.builds(Refusal, code=texts, message=texts, hint=texts, frame_id=whole),
    st.just(Bye()),
)


@given(messages)
def test_messages_round_trip(message: Message) -> None:
    assert wire.decode(wire.encode(message)) == (message, {})


@given(st.lists(st.binary(max_size=300), max_size=12))
def test_noise_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        wire.decode(frames)


@settings(max_examples=400)
@given(st.data())
def test_damaged_messages_are_refused_or_whole(data: st.DataObject) -> None:
    """A message with some bytes changed either raises WireError or decodes to something within the limits."""
    frames = [bytearray(frame) for frame in wire.encode(RENDER, (LABELS, DEPTH))]
    for _ in range(data.draw(st.integers(1, 4))):
        frame = data.draw(st.sampled_from(frames))
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        frames[data.draw(st.integers(0, len(frames) - 1))] = bytearray(data.draw(st.binary(max_size=40)))
    try:
        message, decoded = wire.decode([bytes(frame) for frame in frames])
    except WireError as error:
        assert error.what
        assert error.hint
        return
    assert isinstance(message, Render)
    assert {name: plane.shape for name, plane in decoded.items()} == {h.name: h.shape for h in message.planes}


def changed(**fields: object) -> list[wire.Buffer]:
    """The frames of RENDER, with the first plane's header changed after it was encoded."""
    first = msgspec.structs.replace(RENDER.planes[0], **fields)
    message = msgspec.structs.replace(RENDER, planes=(first, RENDER.planes[1]))
    return [wire.encode_header(message), *wire.encode(RENDER, (LABELS, DEPTH))[1:]]


def header_with(**fields: object) -> list[wire.Buffer]:
    raw = msgspec.msgpack.decode(wire.encode_header(RENDER)[len(wire.MAGIC) + 1 :])
    head = wire.MAGIC + bytes([PROTOCOL_VERSION]) + msgspec.msgpack.encode({**raw, **fields})
    return [head, *wire.encode(RENDER, (LABELS, DEPTH))[1:]]


GOOD = wire.encode(RENDER, (LABELS, DEPTH))
REFUSED: dict[str, tuple[list[wire.Buffer], type[WireError], str]] = {
    "nothing": ([], WireError, "0 byte frames"),
    "too many frames": ([*GOOD, *[b""] * 10], WireError, "13 byte frames"),
    "a plane short": (GOOD[:2], WireError, "announces 2 planes and carries 1"),
    "another protocol": ([b"GET / HTTP/1.1", *GOOD[1:]], ForeignProtocol, "does not speak"),
    "another version": ([wire.MAGIC + b"\x01" + bytes(GOOD[0])[8:]], ForeignProtocol, "version 1"),
    "header too large": ([bytes(GOOD[0]) + bytes(wire.MAX_HEADER_BYTES)], MessageTooLarge, "header of"),
    "plane too large": (changed(shape=(1 << 20, 1 << 20)), MessageTooLarge, "plane labels of"),
    "astronomic shape": (changed(shape=(1 << 62, 1 << 62, 1 << 62)), MessageTooLarge, "plane labels of"),
    "negative shape": (changed(shape=(-2, -3)), WireError, "shape"),
    "empty shape": (changed(shape=()), WireError, "shape"),
    "no rows": (changed(shape=(0, 3)), WireError, "shape"),
    "other size": (changed(shape=(3, 3)), WireError, "6 bytes instead of 9"),
    "other type": (changed(type="f32"), WireError, "6 bytes instead of 24"),
    "not LZ4": (changed(codec="lz4"), WireError, "LZ4"),
    "JPEG of labels": (changed(codec="jpeg"), WireError, "JPEG of shape"),
    "not JPEG": (changed(codec="jpeg", shape=(1, 2, 3)), WireError, "not a JPEG"),
    "a plane twice": (changed(name="depth_m"), WireError, "twice"),
    "unknown field": (header_with(colour="red"), WireError, "colour"),
    "unknown message": (header_with(type="dance"), WireError, "dance"),
    "frame id of text": (header_with(frame_id="7"), WireError, "frame_id"),
    "no width": (header_with(width_px=0), WireError, "width_px"),
    "shared without memory": (changed(codec="shared"), WireError, "labels has bytes beside"),
    "shared, and no memory": ([*changed(codec="shared")[:1], b"", GOOD[2]], WireError, "not in the shared memory"),
    "shared before its beginning": (changed(codec="shared", offset_bytes=-1), WireError, "offset_bytes"),
    "short pose": (header_with(motion={"focal_px": 1.0, "world_from_camera": [1.0] * 11}), WireError, "12"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    frames, kind, sentence = REFUSED[name]
    with pytest.raises(kind, match=sentence) as caught:
        wire.decode(frames)
    assert caught.value.hint


def test_what_the_peer_would_hang_up_on_is_not_sent() -> None:
    depth_m = np.broadcast_to(np.float32(1.0), (4097, 4096))  # of no memory, but more than 64 MiB on the wire
    header = wire.plane_header("depth_m", depth_m)
    message = Render(sequence=1, frame_id=1, width_px=4096, height_px=4097, planes=(header,))
    with pytest.raises(MessageTooLarge, match="plane depth_m of 67125248 bytes") as caught:
        wire.encode(message, [depth_m])
    assert "smaller size" in caught.value.hint


def test_an_lz4_bomb_is_bounded() -> None:
    """A few bytes that claim to unpack to more than the plane's size do not get the memory."""
    import lz4.block

    bomb = lz4.block.compress(bytes(1 << 22), store_size=False)
    frames = changed(codec="lz4")
    with pytest.raises(WireError, match="LZ4"):
        wire.decode([frames[0], bomb, frames[2]])


def picture(size_hw: tuple[int, int] = (16, 32)) -> NDArray[np.uint8]:
    rgb = np.zeros((*size_hw, 3), np.uint8)
    rgb[..., 0] = 255
    return rgb


def test_red_stays_red_as_jpeg() -> None:
    rgb = picture()
    header = wire.plane_header("rgb", rgb, "jpeg")
    message = Rendered(sequence=0, frame_id=0, planes=(header,), stages_ms={})
    _, planes = wire.decode(wire.encode(message, [rgb]))
    assert planes["rgb"].shape == rgb.shape
    assert np.abs(planes["rgb"].astype(int) - rgb).max() <= 3


def test_a_jpeg_of_another_size_is_refused_unread() -> None:
    large = picture((64, 64))
    jpeg = wire.encode(
        Rendered(sequence=0, frame_id=0, planes=(wire.plane_header("rgb", large, "jpeg"),), stages_ms={}), [large]
    )[1]
    header = PlaneHeader(name="rgb", type="u8", shape=(16, 32, 3), codec="jpeg")
    message = Rendered(sequence=0, frame_id=0, planes=(header,), stages_ms={})
    with pytest.raises(WireError, match="not a JPEG of size"):
        wire.decode([wire.encode_header(message), jpeg])


def test_encode_checks_arrays_against_headers() -> None:
    with pytest.raises(ValueError, match="2 plane headers for 1 arrays"):
        wire.encode(RENDER, (LABELS,))
    with pytest.raises(ValueError, match="its header says"):
        wire.encode(RENDER, (LABELS[:1], DEPTH))
    with pytest.raises(WireError, match="float64"):
        wire.plane_header("depth_m", DEPTH.astype(np.float64))
