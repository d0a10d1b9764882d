"""The documents are true: commands parse, names exist, links lead somewhere."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from clients import cli

DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "NOTES.md",
    "LICENSES.md",
    "BENCHMARKS.md",
    "bridge/town/README.md",
    "docs/gap-degradations.md",
    "docs/gap-real-drives.md",
    "docs/gap-town.md",
    "docs/guide.md",
    "docs/keys.md",
    "docs/recordings.md",
    "docs/training.md",
    "docs/viewer.md",
    "renderer/weights/street-photo.md",
    "renderer/weights/street-photo-segmentation.md",
    "renderer/weights/street-town.md",
    "renderer/weights/street-town-segmentation.md",
)
FENCE = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of every command in a document's ```sh blocks, without comments, continuations and a final &."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words[:-1] if words[-1] == "&" else words


def commands(root: Path, program: str) -> list[tuple[str, list[str]]]:
    """Return (document, words) of every command of a program in all documents."""
    found = [(name, words) for name in DOCUMENTS for words in shell_lines((root / name).read_text())]
    return [(name, words) for name, words in found if Path(words[0]).name == program]


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the words of a vidrive command as the command line does; SystemExit if they do not fit."""
    command = importlib.import_module(f"clients.commands.{words[0]}")
    parser = argparse.ArgumentParser(prog=words[0], exit_on_error=True)
    command.add_arguments(parser)
    return parser.parse_args(words[1:])


def test_vidrive_commands_in_the_documents_parse(root: Path) -> None:
    found = commands(root, "vidrive")
    assert {words[1] for _, words in found} >= {"drive", "serve", "render", "town"}
    for document, words in found:
        assert words[1] in cli.COMMANDS, f"{document}: {shlex.join(words)}"
        parse(words[1:])


def test_make_commands_in_the_documents_exist(root: Path) -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    found = commands(root, "make")
    assert {word for _, words in found for word in words} >= {"demo", "test"}
    for document, words in found:
        targets = {word for word in words[1:] if "=" not in word}
        assert targets <= set(phony.group(1).split()), f"{document}: {shlex.join(words)}"


def test_scripts_in_the_documents_exist(root: Path) -> None:
    for name in DOCUMENTS:
        for words in shell_lines((root / name).read_text()):
            if "/" in words[0]:
                assert (root / words[0]).is_file() or words[0].startswith(".venv/"), f"{name}: {shlex.join(words)}"


@pytest.mark.parametrize("compose", ["compose.yaml", "compose.carla.yaml"])
def test_commands_of_the_containers_parse(compose: str, root: Path) -> None:
    folder = root / "docker"
    services = yaml.safe_load((folder / compose).read_text())["services"]
    assert parse(services["viewer"]["command"]).headless
    for role in ("town", "server"):
        last = (folder / f"{role}.Dockerfile").read_text().strip().splitlines()[-1]
        words = json.loads(last.removeprefix("CMD "))
        words = services.get(role, {}).get("command", words)
        assert words[0] == "vidrive"
        parse(words[1:])


def test_every_command_is_explained_somewhere(root: Path) -> None:
    text = "".join((root / name).read_text() for name in ("README.md", "ARCHITECTURE.md", "docs/guide.md"))
    assert not [name for name in cli.COMMANDS if f"vidrive {name}" not in text]


def resolve(dotted: str) -> object:
    """Return what a dotted name names: the longest module of it, then attributes; ImportError or AttributeError."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            found: object = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(dotted)


def test_every_name_of_the_journey_exists(root: Path) -> None:
    text = (root / "ARCHITECTURE.md").read_text()
    journey = text.partition("## The journey of one frame")[2].partition("\n## ")[0]
    names = re.findall(r"`((?:bridge|renderer|clients|configs)\.[\w.]+)`", journey)
    assert len(names) >= 12
    for name in names:
        resolve(name)


def test_every_folder_and_file_that_architecture_names_exists(root: Path) -> None:
    text = (root / "ARCHITECTURE.md").read_text()
    paths = re.findall(r"`((?:bridge|renderer|clients|configs|tests|docker)/[\w./-]*)`", text)
    assert paths
    assert not [path for path in paths if not (root / path).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str, root: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (root / document).read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert not [target for target in local if not ((root / document).parent / target).exists()]
