"""Who may import whom: the contracts of pyproject.toml hold, have no exceptions, and the four import names are ours."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IMPORT_NAMES = ("bridge", "renderer", "clients", "configs")
# A library that reaches the outside and the only folder that imports it.
HOMES = {"carla": "bridge/capture", "torch": "renderer", "pygame": "clients", "av": "clients"}
# What fetches over a network: weights and data come with the project or from the person who runs it.
FETCHERS = ("urllib.request", "http.client", "requests", "httpx", "huggingface_hub", "torch.hub")


def imported_names(path: Path) -> Iterator[str]:
    """Yield the dotted names that a source file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources() -> list[Path]:
    """Return every source file of the four packages."""
    return [path for name in IMPORT_NAMES for path in sorted((ROOT / name).rglob("*.py"))]


def test_import_contracts_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(tool), "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_contracts_have_no_exceptions(pyproject: dict[str, Any]) -> None:
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    assert len(contracts) >= 8
    assert not [contract["name"] for contract in contracts if "ignore_imports" in contract]


@pytest.mark.parametrize("library", HOMES)
def test_library_is_imported_in_its_home_only(library: str) -> None:
    importers = [path for path in sources() if any(name.split(".")[0] == library for name in imported_names(path))]
    home = ROOT / HOMES[library]
    assert importers, f"nothing imports {library}: this test looks in the wrong place"
    assert not [str(path) for path in importers if home not in path.parents]


def test_nothing_fetches_over_the_network() -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in [*sources(), *sorted((ROOT / "tests").rglob("*.py"))]
        for name in imported_names(path)
        if any(name == fetcher or name.startswith(f"{fetcher}.") for fetcher in FETCHERS)
    ]
    assert not found


@pytest.mark.parametrize("name", IMPORT_NAMES)
def test_import_name_is_the_folder(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__file__ is not None
    assert Path(package.__file__).parent == ROOT / name


def test_wheel_has_the_four_folders_under_their_own_names(pyproject: dict[str, Any]) -> None:
    assert pyproject["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": list(IMPORT_NAMES)}
