"""`vidrive serve` as a process: killed and started again, asked for what cannot be, sent 2 GB."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bridge.protocol.frames import CameraIntrinsics, RenderedFrame, SensorFrame
from bridge.render_client import RenderClient
from clients.cli import main
from renderer.models.live import LiveGenerator, save_live

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_live(path, LiveGenerator(), {})
    return path


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "clients", "serve", *map(str, words)]


@contextmanager
def serving(weights: Path, endpoint: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its endpoint, once it is ready; killed in the end."""
    with subprocess.Popen(
        command("--model", weights, "--listen", endpoint, *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("ready "), process.communicate(timeout=DEADLINE_S)[1]
            yield process, line.split()[1]
        finally:
            process.kill()


def street(frame_id: int) -> SensorFrame:
    height_px, width_px = 32, 64
    depth = np.full((height_px, width_px), 1000, np.float32)
    depth[height_px // 2 :] = 9
    return SensorFrame(
        frame_id=frame_id,
        time_s=frame_id * 0.05,
        label_map=np.full((height_px, width_px), 3, np.uint8),
        label_space="street",
        intrinsics=CameraIntrinsics(width_px, height_px, 90),
        world_from_camera=np.array([[0, 0, 1, 0.1 * frame_id], [1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]]),
        captured_s=0.0,
        instance_map=np.zeros((height_px, width_px), np.uint16),
        depth_m=depth,
    )


def rendered(client: RenderClient, frame_id: int) -> RenderedFrame:
    assert client.submit(street(frame_id), 0)
    answers = client.poll(DEADLINE_S)
    assert len(answers) == 1
    assert isinstance(answers[0], RenderedFrame)
    return answers[0]


def test_killed_and_started_again_it_is_used_within_two_seconds(weights: Path) -> None:
    with serving(weights, "tcp://127.0.0.1:*") as (process, endpoint), RenderClient(endpoint) as client:
        client.wait_connected(DEADLINE_S)
        for frame_id in (1, 2, 3):
            assert rendered(client, frame_id).frame_id == frame_id
        assert client.submit(street(4), 0)
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
        killed_s = time.monotonic()
        answers = []
        while client.connected:  # frame 4 may have been answered just in time
            answers += client.poll(0.1)
            assert time.monotonic() - killed_s < 2.0
        answers += client.poll()
        assert {answer.frame_id for answer in answers} <= {4}
        assert client.in_flight is None
        assert not client.submit(street(5), 0)
        with serving(weights, endpoint):
            ready_s = time.monotonic()
            client.wait_connected(DEADLINE_S)
            fresh = rendered(client, 9)
            assert time.monotonic() - ready_s < 2.0
            assert (fresh.frame_id, fresh.reset) == (9, "first frame")
            assert client.poll(0.1) == []


def test_frozen_it_is_noticed_and_thawed_it_is_used_again(weights: Path) -> None:
    with serving(weights, "tcp://127.0.0.1:*") as (process, endpoint), RenderClient(endpoint) as client:
        client.wait_connected(DEADLINE_S)
        rendered(client, 1)
        process.send_signal(signal.SIGSTOP)
        frozen_s = time.monotonic()
        assert client.submit(street(2), 0)
        while client.connected:
            assert client.poll(0.1) == []
            assert time.monotonic() - frozen_s < 3.0
        process.send_signal(signal.SIGCONT)
        client.wait_connected(DEADLINE_S)
        fresh = rendered(client, 3)
        assert (fresh.frame_id, fresh.reset) == (3, "first frame")
        assert client.poll(0.1) == []


def test_prometheus_is_answered_beside_its_clients(weights: Path) -> None:
    pytest.importorskip("prometheus_client")
    with serving(weights, "tcp://127.0.0.1:*", "--metrics", "0") as (process, endpoint):
        assert process.stderr is not None
        told = next(line for line in process.stderr if "metrics are at " in line)
        port = int(told.rsplit(":", 1)[1].split("/")[0])
        with RenderClient(endpoint) as client:
            client.wait_connected(DEADLINE_S)
            for frame_id in (1, 2, 3):
                rendered(client, frame_id)
            with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
                connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
                page = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("vidrive_server"))
    assert float(values["vidrive_server_requests_total"]) == 3
    assert float(values["vidrive_server_rendered_total"]) == 3
    assert float(values["vidrive_server_sessions"]) == 1
    assert float(values['vidrive_server_resets_total{reason="first frame"}']) == 1
    assert float(values['vidrive_server_stage_milliseconds{quantile="0.5",stage="infer"}']) > 0


def test_it_says_how_it_runs_and_ends_on_sigterm(weights: Path) -> None:
    with serving(weights, "tcp://127.0.0.1:*") as (process, endpoint):
        process.terminate()
        _, log = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 143
        assert f"renderer random is listening on {endpoint} (cpu, " in log
        assert " thread" in log
        assert "Traceback" not in log


def test_two_gigabytes_drop_that_connection_only(weights: Path) -> None:
    """By hand, as no well-behaved peer would: ZMTP's greeting and handshake, then a frame that announces 2 GB."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    with serving(weights, "tcp://127.0.0.1:*") as (process, endpoint), RenderClient(endpoint) as client:
        client.wait_connected(DEADLINE_S)
        rendered(client, 1)
        host, port = endpoint.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), DEADLINE_S) as stranger:
            stranger.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready)
            stranger.sendall(b"\x02" + (2 << 30).to_bytes(8, "big") + os.urandom(1 << 16))
            try:
                while stranger.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        assert rendered(client, 2).reset == ""
        assert process.poll() is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "nightmare"], "there is no model 'nightmare'. Use one of street-photo"),
        (["--model", "missing.safetensors"], "there are no weights missing.safetensors"),
        (["--model", "corrupt.safetensors"], "are damaged"),
        (["--model", "truncated.safetensors"], "are damaged"),
        (["--model", "swapped.safetensors"], "damaged or others than their card says"),
        (["--listen", "tcp://0.0.0.0:0"], "can be reached from other machines"),
        (["--listen", "5790"], "'5790' is not an endpoint"),
        (["--listen", "tcp://0.0.0.0:0", "--curve-secret", "no.key_secret"], "is not a readable CURVE key file"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path,
    weights: Path,
    words: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "corrupt.safetensors").write_bytes(b"\x10" + os.urandom(500))
    (tmp_path / "truncated.safetensors").write_bytes(weights.read_bytes()[:-1000])
    (tmp_path / "swapped.safetensors").write_bytes(weights.read_bytes())
    (tmp_path / "swapped.json").write_text('{"weights_sha256": "' + "0" * 64 + '"}')
    # In this process, which has paid for importing torch; `prepare_process` refuses just that.
    monkeypatch.setattr("renderer.backends.host.prepare_process", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    code = main(["serve", "--model", str(weights), "--listen", "tcp://127.0.0.1:*", *words])
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert sentence in line
    assert "Traceback" not in err
