"""Where the inference server listens: ports, ipc paths and keys."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq.auth

from bridge.protocol.errors import RenderServerError, UsageError
from bridge.protocol.sockets import check_listen
from bridge.render_client import RenderClient
from renderer.models.reprojecting import ReprojectingModel
from renderer.server import RenderServer
from tests.unit.renderer.server_peers import StartServer, connected, rendered, street


def test_other_machines_need_a_key() -> None:
    for endpoint in ("tcp://0.0.0.0:5790", "tcp://*:5790", "tcp://192.168.1.2:5790", "tcp://127.example.org:5790"):
        with pytest.raises(UsageError, match=r"--curve-secret"):
            check_listen(endpoint, None)
    for endpoint in ("tcp://127.0.0.1:*", "tcp://localhost:5790", "tcp://[::1]:5790", "ipc:///tmp/x"):
        check_listen(endpoint, None)
    with pytest.raises(UsageError, match="not an endpoint"):
        check_listen("127.0.0.1:5790", None)


def test_a_port_in_use_is_a_sentence(start_server: StartServer, tiny_model: ReprojectingModel) -> None:
    server = start_server()
    with pytest.raises(UsageError, match="cannot listen"):
        RenderServer(tiny_model, server.endpoint)


def test_ipc_endpoints(start_server: StartServer, tmp_path: Path) -> None:
    with connected(start_server(f"ipc://{tmp_path}/renderer")) as client:
        rendered(client, street(1))


def test_curve_keys(start_server: StartServer, tmp_path: Path) -> None:
    public, secret = map(Path, zmq.auth.create_certificates(tmp_path, "renderer"))
    other, _ = map(Path, zmq.auth.create_certificates(tmp_path, "other"))
    server = start_server("tcp://127.0.0.1:*", secret_key=secret)
    with connected(server, server_key=public) as client:
        rendered(client, street(1))
    for key in (other, None):
        with RenderClient(server.endpoint, server_key=key) as client, pytest.raises(RenderServerError):
            client.wait_connected(0.5)
    with pytest.raises(UsageError, match="no secret key"):
        RenderServer(start_server()._model, "tcp://127.0.0.1:*", secret_key=public)
    with pytest.raises(UsageError, match="not a readable CURVE key file"):
        RenderClient(server.endpoint, server_key=tmp_path / "missing.key")
