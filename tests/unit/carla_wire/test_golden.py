"""The codecs against bytes that the real 0.9.16 wheel sent and accepted."""

from __future__ import annotations

import json
from pathlib import Path

import msgpack
import pytest

from bridge.carla_wire import rpc, snapshot
from bridge.carla_wire.methods import METHODS

FIXTURES = Path(__file__).parents[2] / "fixtures" / "carla"
EXCHANGES = [
    (method, bytes.fromhex(exchange["request_hex"]), bytes.fromhex(exchange["reply_hex"]))
    for method, exchanges in json.loads((FIXTURES / "golden_rpc.json").read_text()).items()
    for exchange in exchanges
]
NAMES = [f"{index}-{method}" for index, (method, _request, _reply) in enumerate(EXCHANGES)]


@pytest.mark.parametrize(("method", "request_bytes", "reply"), EXCHANGES, ids=NAMES)
def test_request_of_the_wheel_decodes_and_encodes_back(method: str, request_bytes: bytes, reply: bytes) -> None:
    (request,) = rpc.RequestReader().feed(request_bytes)
    assert request.method == method
    arguments = METHODS[method].decode_arguments(request.arguments)
    again = rpc.encode_request(request.msgid, method, arguments, is_async=request.is_async)
    assert msgpack.unpackb(again) == msgpack.unpackb(request_bytes)


@pytest.mark.parametrize(("method", "request_bytes", "reply"), EXCHANGES, ids=NAMES)
def test_reply_that_the_wheel_accepted_is_what_we_send(method: str, request_bytes: bytes, reply: bytes) -> None:
    request = rpc.decode_request(request_bytes)
    layout = METHODS[method]
    if request.is_async:
        assert rpc.encode_acknowledgement(request.msgid) == reply
        return
    try:
        value = layout.decode_reply(reply)
    except RuntimeError as error:
        assert layout.encode_error(request.msgid, str(error)) == reply
    else:
        assert msgpack.unpackb(layout.encode_reply(request.msgid, value)) == msgpack.unpackb(reply)


def test_every_method_of_the_wheel_has_a_layout_with_its_number_of_arguments() -> None:
    listed = json.loads((FIXTURES / "rpc_methods.json").read_text())["methods"]
    expected = {row["name"]: len(row["cxx_args"]) for row in listed if row["kind"] != "server-only"}
    assert {name: len(layout.argument_types) for name, layout in METHODS.items()} == expected


def test_snapshot_that_the_wheel_decoded() -> None:
    golden = json.loads((FIXTURES / "golden_snapshot.json").read_text())
    message = bytes.fromhex(golden["hex"])
    header, episode, actors = snapshot.decode_snapshot(message)
    seen = golden["decoded_by_wheel"]
    assert (header.frame, header.timestamp_s) == (seen["frame"], seen["elapsed"])
    assert (episode.delta_s, episode.platform_timestamp_s) == (seen["delta"], seen["platform"])
    assert sorted(actor.actor_id for actor in actors) == sorted(actor["id"] for actor in seen["actors"])
    control = snapshot.VehicleTail.unpack(next(actor for actor in actors if actor.actor_id == 4).tail)
    assert (control.throttle, control.steer, control.gear, control.speed_limit_kmh) == (0.5, -0.25, 1, 30.0)
    light = snapshot.TrafficLightTail.unpack(next(actor for actor in actors if actor.actor_id == 3).tail)
    assert (light.green_s, light.red_s, light.pole_index, light.is_frozen) == (10.0, 2.0, 1, False)
    assert snapshot.encode_snapshot(header.frame, header.timestamp_s, episode, actors) == message
