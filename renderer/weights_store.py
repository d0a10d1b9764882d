"""The user's own weights: a folder a model, with its card, its licence and one safetensors file.

A folder appears under its name when everything in it is written, and not before: what an import leaves when it is
killed lies in a folder that is never listed, and the next import clears it away.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from bridge.protocol.errors import OutputError, WeightsError
from bridge.protocol.messages import PlaneName

FOLDER_VARIABLE: Final = "VIDRIVE_WEIGHTS"
CARD_NAME: Final = "card.json"
TENSORS_NAME: Final = "weights.safetensors"
LICENCE_NAME: Final = "LICENCE.txt"
_STAGING_PREFIX: Final = ".importing-"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BLOCK_BYTES: Final = 1 << 22


class SourceEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that weights were imported from, and the role that its network has."""

    name: str
    role: str
    bytes: int
    sha256: str


class ImportedCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of imported weights; `config` is the configuration of `family`, as its own type reads it.

    `preset` is the published configuration that it equals, "" for none. GFLOP and MiB are of one frame at the native
    size (height, width), the first of a scene and a steady one, in float32.
    """

    name: str
    family: str
    preset: str
    config: dict[str, Any]
    label_space: str
    planes: tuple[PlaneName, ...]
    size_multiple_px: int
    native_size_hw: tuple[int, int]
    past_frames: int
    dense_channels: int
    licence: str
    parameters: dict[str, int]
    cost_gflop: dict[str, float]
    activations_mib: dict[str, float]
    weights_bytes: int
    weights_sha256: str
    sources: tuple[SourceEntry, ...]
    notes: tuple[str, ...]

    @property
    def num_parameters(self) -> int:
        """Parameters of all networks together."""
        return sum(self.parameters.values())


def store_folder() -> Path:
    """Return where imported weights are: $VIDRIVE_WEIGHTS, else vidrive/weights in the user's data folder (XDG)."""
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "vidrive" / "weights"


def imported_names() -> tuple[str, ...]:
    """Return the names of the imported weights, sorted."""
    folder = store_folder()
    if not folder.is_dir():
        return ()
    return tuple(sorted(child.name for child in folder.iterdir() if _NAME.fullmatch(child.name) and _has_card(child)))


def is_imported(name: str) -> bool:
    """Tell whether weights were imported under a name."""
    return _NAME.fullmatch(name) is not None and _has_card(store_folder() / name)


def _has_card(folder: Path) -> bool:
    return (folder / CARD_NAME).is_file()


def read_imported_card(name: str) -> ImportedCard:
    """Return the card of imported weights; raises WeightsError if there are none or it is damaged."""
    if not is_imported(name):
        known = ", ".join(imported_names()) or "none yet"
        raise WeightsError(f"no weights were imported as {name!r}", f"Imported are: {known}")
    path = store_folder() / name / CARD_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=ImportedCard)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise WeightsError(f"the card {path} cannot be read ({error})", "Import the weights again") from None


def dense_channels(name: str) -> int:
    """Return how many planes of edge maps or poses a model reads, 0 for one of label maps or not imported."""
    return read_imported_card(name).dense_channels if is_imported(name) else 0


def tensors_path(name: str) -> Path:
    """Return the safetensors file of imported weights."""
    return store_folder() / name / TENSORS_NAME


def verify_imported(name: str) -> ImportedCard:
    """Return the card of imported weights whose bytes are those that it names; raises WeightsError otherwise."""
    card = read_imported_card(name)
    path = tensors_path(name)
    try:
        size_bytes = path.stat().st_size
        sha256 = sha256_of(path) if size_bytes == card.weights_bytes else ""
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read ({error.strerror})", "Import them again") from None
    if size_bytes != card.weights_bytes:
        raise WeightsError(
            f"the weights {path} have {size_bytes} bytes instead of {card.weights_bytes}",
            f"Delete {path.parent} and import them again",
        )
    if sha256 != card.weights_sha256:
        raise WeightsError(
            f"the weights {path} were changed: sha256 {sha256[:12]} instead of {card.weights_sha256[:12]}",
            f"Delete {path.parent} and import them again",
        )
    return card


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def check_name(name: str) -> None:
    """Raise WeightsError for a name that no folder may have, or that is taken."""
    if not _NAME.fullmatch(name):
        raise WeightsError(
            f"{name!r} cannot be the name of weights", "Use up to 64 letters, digits, dots, dashes and underscores"
        )
    if (store_folder() / name).exists():
        raise WeightsError(
            f"there are weights named {name} already", f"Give another --name, or delete {store_folder() / name}"
        )


@contextmanager
def staging_folder() -> Iterator[Path]:
    """Give a new folder beside the weights, deleted at the end whatever happens; those of killed imports go too.

    A lock is held on each for as long as its import lives, so that none is taken from under a living one.
    """
    store = store_folder()
    try:
        store.mkdir(parents=True, exist_ok=True)
        with _locked(store):
            _clear_abandoned(store)
            folder = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=store))
            lock = _lock(folder)
    except OSError as error:
        raise OutputError(
            f"{store} cannot be written ({error.strerror})", f"Make room, or set {FOLDER_VARIABLE} to another folder"
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, *, wait: bool = True) -> int:
    """Return an open descriptor of a folder that is locked by it; raises BlockingIOError if it may not wait."""
    import fcntl  # not on Windows, where imported weights can still be used

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = _lock(folder)
    try:
        yield
    finally:
        os.close(lock)


def _clear_abandoned(store: Path) -> None:
    for folder in store.glob(f"{_STAGING_PREFIX}*"):
        try:
            lock = _lock(folder, wait=False)
        except (BlockingIOError, FileNotFoundError):  # its import is alive, or has just ended
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def publish(staged: Path, card: ImportedCard, licence_text: str) -> Path:
    """Put a folder with its tensors in place under the card's name, at once or not at all; returns where it is.

    Raises WeightsError if the name was taken meanwhile, and OutputError if it cannot be written.
    """
    target = store_folder() / card.name
    try:
        _finish(staged, card, licence_text)
        staged.rename(target)
    except OSError as error:
        check_name(card.name)
        raise OutputError(
            f"{target} cannot be written ({error.strerror})",
            f"Make room, delete what is in its place, or set {FOLDER_VARIABLE} to another folder",
        ) from None
    return target


def _finish(staged: Path, card: ImportedCard, licence_text: str) -> None:
    """Write what belongs beside the tensors, and have all of it on the disk."""
    (staged / LICENCE_NAME).write_text(licence_text)
    (staged / CARD_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    for path in (*staged.iterdir(), staged):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
