"""Which checkpoint files belong to one model: those of a folder and an epoch, and first-frame networks beside it.

Upstream's layout is `checkpoints/<name>/<epoch|latest>_net_<network>.pth` with `opt.txt` beside them, and the networks
that draw a sequence's first frames in `checkpoints/<something>_single/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from bridge.protocol.errors import WeightsError
from renderer.weights_archive import OPTIONS_NAME, SourceFile, is_checkpoint_name

EPOCH_OPTION: Final = "which_epoch"
LATEST: Final = "latest"
_FILE: Final = re.compile(r"(?P<epoch>latest|\d+)_net_(?P<network>.+?)\.(?:pth|pt)", re.IGNORECASE)
_ITERATION: Final = re.compile(r"epoch_(\d+)_iteration_(\d+)")
_OPTION: Final = re.compile(r"\s*(\w+)\s*:\s*(.*?)\s*(?:\[default:.*\])?\s*")
_MAX_OPTIONS_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class CheckpointGroup:
    """The files of one model; `beside` are those of first-frame folders next to its own; `options` are of its opt.txt.

    `folder` is the model's folder within what was given, and `name` the last part of it.
    """

    folder: PurePosixPath
    files: tuple[SourceFile, ...]
    beside: tuple[SourceFile, ...]
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """The folder's own name, "weights" for files at the top of an archive."""
        return self.folder.name or "weights"


def find_groups(
    files: Sequence[SourceFile], neighbours: Sequence[SourceFile], epoch: str = ""
) -> list[CheckpointGroup]:
    """Return the models in some files, by folder; `neighbours` are files of folders next to what was given.

    `epoch` chooses among several, "" the latest. Folders named `*_single` are models of their own only where there is
    nothing that they could belong to. Raises WeightsError if the epochs of a folder do not hold the same networks.
    """
    folders: dict[PurePosixPath, list[SourceFile]] = {}
    options: dict[PurePosixPath, Mapping[str, str]] = {}
    for file in files:
        if file.name.name == OPTIONS_NAME:
            options[file.folder] = read_options(file.path)
        else:
            folders.setdefault(file.folder, []).append(file)
    chosen = {folder: _one_epoch(folder, content, epoch) for folder, content in folders.items()}
    models = [folder for folder in chosen if not _is_first_frame_folder(folder)] or list(chosen)
    groups = []
    for folder in models:
        inside = [file for other, content in chosen.items() if other not in models for file in content]
        near = [file for file in inside if len(models) == 1 or _goes_with(file.folder, folder)]
        near += [file for file in neighbours if _goes_with(file.folder, folder)]
        groups.append(CheckpointGroup(folder, tuple(chosen[folder]), tuple(near), options.get(folder, {})))
    return [group for group in groups if any(is_checkpoint_name(file.name.name) for file in group.files)]


def first_frame_neighbours(paths: Sequence[Path]) -> list[SourceFile]:
    """Return the checkpoint files of folders named `*single*` next to the given folders or beside files' folders."""
    found: dict[Path, SourceFile] = {}
    for path in paths:
        own = path.resolve() if path.is_dir() else path.resolve().parent
        for folder in sorted(own.parent.glob("*single*")):
            try:
                files = [file for file in folder.iterdir() if file.is_file()] if folder != own else []
            except OSError:  # nobody named it: what cannot be read is not wanted
                continue
            for file in sorted(files):
                if is_checkpoint_name(file.name) or file.name.startswith("features"):
                    found[file] = SourceFile(PurePosixPath(folder.name) / file.name, file)
    return list(found.values())


def network_of(file: SourceFile) -> str:
    """Return the network that a file's name speaks of, such as "G0", "" if it follows no pattern."""
    match = _FILE.fullmatch(file.name.name)
    return match["network"] if match else ""


def read_options(path: Path) -> dict[str, str]:
    """Return the options of an opt.txt as texts, without what is not of the form `name: value`."""
    if path.stat().st_size > _MAX_OPTIONS_BYTES:
        raise WeightsError(f"{path} is too large for a list of options", "Delete it and import again")
    lines = path.read_text("utf-8", errors="replace").splitlines()
    matches = [match for line in lines if (match := _OPTION.fullmatch(line))]
    return {match[1]: match[2] for match in matches}


def _is_first_frame_folder(folder: PurePosixPath) -> bool:
    return folder.name == "single" or folder.name.endswith("_single")


def _goes_with(first_frames: PurePosixPath, model: PurePosixPath) -> bool:
    """Whether both names begin alike, as label2city_single and label2city_512 do."""
    prefix = first_frames.name.removesuffix("single").rstrip("_")
    return model.name.startswith(prefix)


def _one_epoch(folder: PurePosixPath, files: Sequence[SourceFile], wish: str) -> list[SourceFile]:
    """Return the files of one epoch, and those whose names say nothing of one."""
    epochs: dict[str, dict[str, SourceFile]] = {}
    rest = []
    for file in files:
        if match := _FILE.fullmatch(file.name.name):
            epochs.setdefault(match["epoch"].lower(), {})[match["network"]] = file
        else:
            rest.append(file)
    rest = _last_iteration(rest)
    if not epochs:
        return rest
    epoch = wish or (LATEST if LATEST in epochs else max(epochs, key=int))
    if epoch not in epochs:
        raise WeightsError(f"{folder} has no epoch {epoch}", f"It has {', '.join(sorted(epochs))}")
    generators = {network: other for other in epochs for network in epochs[other] if not network.startswith("D")}
    if missing := sorted(generators.keys() - epochs[epoch].keys()):
        raise WeightsError(
            f"{folder} mixes stages of training: network {missing[0]} is of epoch {generators[missing[0]]}, others of "
            f"{epoch}",
            "Keep the files of one epoch in a folder, or choose one with --set which_epoch=N",
        )
    return [*epochs[epoch].values(), *rest]


def _last_iteration(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Of imaginaire's snapshots, keep the newest."""
    dated = {file: match for file in files if (match := _ITERATION.search(file.name.name))}
    if not dated:
        return list(files)
    newest = max(dated, key=lambda file: (int(dated[file][1]), int(dated[file][2])))
    return [file for file in files if file not in dated or file == newest]
