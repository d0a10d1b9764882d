"""A generator with random weights, served in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from bridge.protocol.messages import ModelCard
from renderer.backends.runner import EagerRunner
from renderer.models.live import LiveGenerator, save_live
from renderer.models.reprojecting import ReprojectingModel
from renderer.server import RenderServer

CARD = ModelCard(
    name="tiny",
    family="live",
    label_space="street",
    planes=("labels", "depth_m", "instances"),
    size_multiple_px=16,
    past_frames=1,
    weights_sha256="",
    licence="none",
)


def tiny_generator(seed: int = 0) -> LiveGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LiveGenerator().eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_model() -> ReprojectingModel:
    device = torch.device("cpu")
    return ReprojectingModel(CARD, EagerRunner(tiny_generator(), device, torch.float32), device)


@pytest.fixture
def tiny_weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_live(path, tiny_generator(), {})
    return path


StartServer = Callable[..., RenderServer]


@pytest.fixture
def start_server(tiny_model: ReprojectingModel) -> Iterator[StartServer]:
    """Start servers of the tiny model in threads; all are stopped and closed in the end."""
    started: list[tuple[RenderServer, threading.Thread]] = []

    def start(endpoint: str = "tcp://127.0.0.1:*", **options: object) -> RenderServer:
        server = RenderServer(options.pop("model", tiny_model), endpoint, **options)
        thread = threading.Thread(target=server.serve)
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()
        server.close()
