"""Fixtures of the commands' tests: a small vid2vid as upstream writes it, and `vidrive weights` in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clients.cli import main
from renderer.models.vid2vid_networks import Vid2vid
from tests.e2e.published_checkpoints import CONFIG, Networks, Run, Weights


@pytest.fixture(scope="module")
def networks() -> Networks:
    """The tensors of each network of a small vid2vid, by upstream's keys, with the statistics that its files have."""
    torch.manual_seed(0)
    found: Networks = {}
    for key, value in Vid2vid(CONFIG).state_dict().items():
        role, _, rest = key.partition(".")
        network = found.setdefault(role, {})
        network[rest] = value
        if value.dim() == 1 and rest.endswith("weight"):
            network[rest.removesuffix("weight") + "running_mean"] = torch.zeros_like(value)
            network[rest.removesuffix("weight") + "running_var"] = torch.ones_like(value)
    return found


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data" / "vidrive" / "weights"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("VIDRIVE_WEIGHTS", raising=False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("renderer.backends.host.prepare_process", lambda: None)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def weights(store: Path, capfd: pytest.CaptureFixture[str]) -> Weights:
    def run(*words: str | Path) -> Run:
        code = main(["weights", *map(str, words)])
        said = capfd.readouterr()
        return Run(code, said.out, said.err)

    return run
