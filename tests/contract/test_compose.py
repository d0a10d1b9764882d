"""The compose files are what docker compose reads; skipped where it is not installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

DOCKER = Path(__file__).parents[2] / "docker"


def _compose(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", "compose", *arguments], capture_output=True, text=True, timeout=30, check=False)


def _has_compose() -> bool:
    try:
        return _compose("version").returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("name", sorted(path.name for path in DOCKER.glob("compose*.yaml")))
def test_docker_compose_accepts_the_file(name: str) -> None:
    if not _has_compose():
        pytest.skip("docker compose is not installed")
    checked = _compose("-f", str(DOCKER / name), "config", "--quiet")
    assert checked.returncode == 0, checked.stderr
