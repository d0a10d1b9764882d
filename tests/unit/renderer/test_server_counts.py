"""What the inference server counts adds up, whatever its clients do."""

from __future__ import annotations

import time

import msgspec
import pytest

from bridge.protocol import wire
from bridge.protocol.errors import UsageError
from bridge.protocol.messages import Hello, Refusal
from clients.server_metrics import serve_server_metrics
from renderer.counts import MAX_KINDS, ServerCounts
from tests.unit.bridge.test_telemetry import scrape
from tests.unit.renderer.server_peers import (
    DEADLINE_S,
    StartServer,
    ask,
    connected,
    raw_peer,
    rendered,
    request,
    street,
)


def test_each_request_ends_once_and_is_told_to_prometheus(start_server: StartServer) -> None:
    pytest.importorskip("prometheus_client")
    server = start_server()
    counts = server.counts
    with serve_server_metrics(counts, 0) as port:
        with connected(server) as client, raw_peer(server) as stranger:
            for number in range(4):
                rendered(client, street(number))
            assert isinstance(ask(stranger, *request(street(0))), Refusal)  # it has not said hello
            ask(stranger, Hello(client="raw"))
            header, planes = request(street(1))
            wrong = msgspec.structs.replace(header, height_px=33)
            assert isinstance(ask(stranger, wrong, planes), Refusal)
            stranger.send_multipart([b"rubbish"])
            wire.decode(stranger.recv_multipart())
            values = dict(line.rsplit(" ", 1) for line in scrape(port) if not line.startswith("#"))
            with pytest.raises(UsageError, match="cannot be served"), serve_server_metrics(counts, port):
                pass
        deadline_s = time.monotonic() + DEADLINE_S
        while counts.num_sessions > 1 and time.monotonic() < deadline_s:
            time.sleep(0.01)
    assert counts.requests == counts.rendered + counts.refusals.total() == 6
    assert float(values["vidrive_server_requests_total"]) == 6
    assert float(values["vidrive_server_rendered_total"]) == 4
    assert float(values['vidrive_server_refusals_total{code="no-session"}']) == 1
    assert float(values["vidrive_server_sessions"]) == 2
    assert float(values['vidrive_server_resets_total{reason="first frame"}']) == 1
    assert counts.num_sessions == 1, "the client has said goodbye, the other one has not"


def test_what_comes_over_the_wire_does_not_fill_the_memory() -> None:
    counts = ServerCounts()
    for number in range(3 * MAX_KINDS):
        counts.note_refused(f"code-{number}")
        counts.note_rendered({"infer": 1.0}, f"{number} frames are missing")
    assert len(counts.refusals) == MAX_KINDS + 1
    assert counts.refusals.total() == counts.rendered == 3 * MAX_KINDS
    assert counts.resets == {"frames are missing": 3 * MAX_KINDS}
