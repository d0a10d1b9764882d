"""The house around the code: the Makefile, the pins, the CI run, the images."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from bridge.protocol.sockets import load_public_key, load_secret_key

ROLES = {"town": "clients.commands.town", "server": "clients.commands.serve", "viewer": "clients.commands.drive"}
PACKAGES = ("bridge", "renderer", "clients", "configs")
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "yaml": "pyyaml", "zmq": "pyzmq"}
STANDARD_TARGETS = {"setup", "demo", "test", "check", "fix", "bench"}


def requirement_name(line: str) -> str:
    """Return the normalized distribution name of a requirement line."""
    name = re.match(r"[A-Za-z0-9._-]+", line.strip())
    assert name is not None, line
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def requirement_names(path: Path) -> list[str]:
    """Return the distribution names of a requirements or constraints file, in its order."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [requirement_name(line) for line in lines if line]


def make_targets(root: Path) -> set[str]:
    """Return the phony targets of the Makefile."""
    phony = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    return set(phony.group(1).split())


def test_make_offers_the_standard_targets_and_explains_them(root: Path) -> None:
    said = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, timeout=20, check=True).stdout
    assert make_targets(root) >= STANDARD_TARGETS
    assert {line.split()[1] for line in said.splitlines()} >= STANDARD_TARGETS


def test_make_names_the_remedy_where_no_python_fits(root: Path, tmp_path: Path) -> None:
    command = ["make", f"VENV={tmp_path / 'venv'}", "PYTHON=/no/such/python", "setup"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "found no Python 3.10, 3.11 or 3.12 at /no/such/python" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr


def test_make_names_the_remedy_where_venv_is_missing(root: Path, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac\n')
    python.chmod(0o755)
    command = ["make", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}", "setup"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "has no working venv module" in done.stderr


def test_ci_run_is_what_a_person_types(root: Path) -> None:
    run = root / ".ci" / "run"
    assert os.access(run, os.X_OK)
    made = re.findall(r"^make VENV=\"\$venv\" (\w+)$", run.read_text(), re.MULTILINE)
    assert made == ["check", "test"]


def test_every_dependency_is_pinned_exactly(root: Path, pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    wanted = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    wanted += pyproject["build-system"]["requires"]
    pins = [line for line in (root / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert {requirement_name(line) for line in wanted} <= {requirement_name(line) for line in pins}
    assert not [line for line in pins if not re.match(r"[\w.-]+==[\w.]+(; python_version (<|>=) \"3\.11\")?$", line)]


def test_the_licence_of_every_dependency_is_told(root: Path, pyproject: dict[str, Any]) -> None:
    told = re.sub(r"[-_.]+", "-", (root / "LICENSES.md").read_text().lower())
    project = pyproject["project"]
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(project["optional-dependencies"].values())]
    assert not [name for name in map(requirement_name, wanted) if not re.search(rf"(?<![\w-]){name}(?![\w-])", told)]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(package: str, root: Path) -> None:
    assert (root / package / "py.typed").is_file()


@pytest.fixture(scope="module")
def import_graph() -> grimp.ImportGraph:
    """Return who imports whom, libraries included."""
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize("role", ROLES)
def test_image_has_what_its_command_imports_and_no_more(
    role: str, root: Path, pyproject: dict[str, Any], import_graph: grimp.ImportGraph
) -> None:
    known = {requirement_name(line) for line in pyproject["project"]["dependencies"]}
    reached = {ROLES[role], "clients.cli", *import_graph.find_upstream_modules(ROLES[role])}
    reached |= import_graph.find_upstream_modules("clients.cli")
    libraries = {DISTRIBUTIONS.get(name, name) for name in reached if name.split(".")[0] not in PACKAGES}
    if "configs" in reached:
        libraries.add("pyyaml")  # imported by msgspec.yaml, when it decodes
    assert requirement_names(root / "docker" / "requirements" / f"{role}.txt") == sorted(libraries & known)


@pytest.mark.parametrize("role", ROLES)
def test_image_is_made_by_the_tested_script(role: str, root: Path) -> None:
    lines = (root / "docker" / f"{role}.Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("RUN")] == [
        f"RUN docker/install.sh {role} /opt/venv packages",
        f"RUN docker/install.sh {role} /opt/venv project",
    ]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.carla.yaml"])
def test_compose_builds_images_that_exist_and_publishes_nothing(name: str, root: Path) -> None:
    folder = root / "docker"
    services = yaml.safe_load((folder / name).read_text())["services"]
    assert {"keys", "server", "viewer"} < set(services)
    for service in services.values():
        assert "ports" not in service
        if "build" in service:
            assert (folder / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def make_keys(root: Path, *folders: Path) -> subprocess.CompletedProcess[str]:
    """Run the script that makes the inference server's key pair."""
    command = [sys.executable, str(root / "docker" / "make_keys.py"), *map(str, folders)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("public", ["", "public"])
def test_a_key_pair_is_made_once_and_its_secret_is_nobody_elses(root: Path, tmp_path: Path, public: str) -> None:
    secret_key = tmp_path / "secret" / "renderer.key_secret"
    folders = [secret_key.parent, *([tmp_path / public] if public else [])]
    assert make_keys(root, *folders).returncode == 0
    first = secret_key.read_bytes()
    assert secret_key.stat().st_mode & 0o077 == 0
    assert make_keys(root, *folders).returncode == 0
    assert secret_key.read_bytes() == first
    assert load_public_key(folders[-1] / "renderer.key").public == load_secret_key(secret_key).public


def test_without_folders_the_script_of_keys_says_what_it_takes(root: Path) -> None:
    done = make_keys(root)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
