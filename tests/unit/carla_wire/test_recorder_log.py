"""CARLA's recorder format, there and back, and against bytes written out by hand from its documentation."""

from __future__ import annotations

import contextlib
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.carla_wire import recorder_log as log
from bridge.carla_wire.recorder_log import PacketId

FLOATS = st.floats(-1e6, 1e6, width=32)
THREES = st.tuples(FLOATS, FLOATS, FLOATS)
TEXTS = st.text(max_size=12)
OF_CODE = {"I": st.integers(0, 2**32 - 1), "i": st.integers(-(2**31), 2**31 - 1), "f": FLOATS, "?": st.booleans()}
OF_CODE |= {"B": st.integers(0, 255), "b": st.integers(-128, 127)}
ADDED = st.builds(
    log.Added,
    st.integers(0, 2**32 - 1),
    st.integers(0, 5),
    THREES,
    THREES,
    st.integers(0, 2**32 - 1),
    TEXTS,
    st.lists(st.tuples(st.integers(0, 255), TEXTS, TEXTS), max_size=3).map(tuple),
)


def codes_of(layout: struct.Struct) -> str:
    """The layout's codes, one a field: "<I3f?" is "Ifff?"."""
    spread, count = "", ""
    for code in layout.format.lstrip("<"):
        if code.isdigit():
            count += code
        else:
            spread, count = spread + code * int(count or 1), ""
    return spread


@pytest.mark.parametrize("packet_id", sorted(log.RECORDS))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_records_come_back(packet_id: PacketId, data: st.DataObject) -> None:
    kind, layout = log.RECORDS[packet_id]
    codes = codes_of(layout)
    assert len(codes) == len(kind._fields)
    rows = data.draw(st.lists(st.tuples(*(OF_CODE[code] for code in codes)), max_size=4))
    packet = log.encode_records(packet_id, [kind(*row) for row in rows])
    assert struct.unpack_from("<BI", packet) == (packet_id, len(packet) - 5)
    assert log.decode_records(packet_id, packet[5:]) == rows


@settings(max_examples=40, deadline=None)
@given(st.lists(ADDED, max_size=3), st.integers(0, 2**40), TEXTS)
def test_added_actors_and_headers_come_back(added: list[log.Added], date_s: int, name: str) -> None:
    assert log.decode_added(log.encode_added(added)[5:]) == added
    info = log.LogInfo(name, date_s)
    header = log.encode_info(info)
    assert log.decode_info(header + b"rest") == (info, len(header))


def test_header_is_that_of_carlas_documentation() -> None:
    # version 1 | 14 characters | 64 bits of date | 'Town06' is 06 00 54 6f 77 6e 30 36
    expected = b"\x01\x00" + b"\x0e\x00CARLA_RECORDER" + struct.pack("<q", 1234) + bytes.fromhex("0600546f776e3036")
    assert log.encode_info(log.LogInfo("Town06", 1234)) == expected


def test_positions_and_frames_have_carlas_sizes() -> None:
    assert log.encode_records(PacketId.PLACES, [log.Place(7, 1.0, 2.0, 3.0, 0.0, 0.0, 90.0)]) == (
        b"\x06" + struct.pack("<IH", 30, 1) + struct.pack("<I6f", 7, 1.0, 2.0, 3.0, 0.0, 0.0, 90.0)
    )
    frame = log.encode_frame(log.LogFrame(3, log.UNKNOWN_DURATION_S, 0.5))
    assert frame == b"\x00" + struct.pack("<I", 24) + struct.pack("<Qdd", 3, -1.0, 0.5)
    patched = bytearray(frame)
    patched[log.DURATION_OFFSET : log.DURATION_OFFSET + 8] = log.encode_duration(0.25)
    assert log.decode_frame(bytes(patched[5:])) == (3, 0.25, 0.5)
    assert log.encode_records(PacketId.TRAFFIC_LIGHTS, [log.TrafficLightRecord(1, True, 2.0, 2)])[1:5] == b"\x0c\0\0\0"


def test_what_is_cut_off_is_left_out() -> None:
    whole = log.encode_packet(PacketId.FRAME_END) + log.encode_packet(PacketId.PLACES, b"\0\0")
    for cut in range(1, 7):
        data = whole[: len(whole) - cut]
        assert [p.packet_id for p in log.scan_packets(io.BytesIO(data), 0, len(data))] == [PacketId.FRAME_END]


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x00\x05\x00PNG", b"\x01\x00\x03\x00abc" + bytes(20)])
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(log.RecorderLogError):
        log.decode_info(data)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80))
def test_rubbish_in_a_packet_raises_the_logs_own_error_at_most(payload: bytes) -> None:
    for decode in (log.decode_added, log.decode_frame, lambda p: log.decode_records(PacketId.VEHICLES, p)):
        with contextlib.suppress(log.RecorderLogError):
            decode(payload)
