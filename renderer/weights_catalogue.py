"""Finds weights by name or path, and makes sure that they are whole and those that their card describes."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from bridge.protocol.errors import WeightsError

SUFFIX: Final = ".safetensors"


class WeightsCard(msgspec.Struct, frozen=True, kw_only=True):
    """What the card beside a weights file (the same name, .json) must say; it may say more."""

    weights_sha256: str = ""
    licence: str = ""


def shipped_folder() -> Path:
    """Return the folder of the weights that ship with the project."""
    return Path(str(resources.files("renderer.weights")))


def find_weights(name: str) -> Path:
    """Return the path of shipped weights by file name, or of any weights file by path; raises WeightsError."""
    path = Path(name)
    if not path.is_absolute() and len(path.parts) == 1 and (shipped_folder() / name).is_file():
        return shipped_folder() / name
    if path.suffix != SUFFIX:
        raise WeightsError(f"{name} is not a file of weights", f"Name one that ends in {SUFFIX}")
    if not path.is_file():
        shipped = ", ".join(sorted(file.name for file in shipped_folder().glob(f"*{SUFFIX}"))) or "none"
        raise WeightsError(f"there are no weights {name}", f"The shipped ones are: {shipped}")
    return path


def read_card(weights: Path) -> WeightsCard:
    """Return the card beside a weights file, an empty one if there is none; raises WeightsError if it is unreadable."""
    path = weights.with_suffix(".json")
    if not path.is_file():
        return WeightsCard()
    try:
        return msgspec.json.decode(path.read_bytes(), type=WeightsCard)
    except (msgspec.DecodeError, OSError) as error:
        raise WeightsError(f"the model card {path} cannot be read ({error})", "Get it again") from None


def verify(weights: Path, card: WeightsCard) -> str:
    """Return the sha256 of a weights file; raises WeightsError if it is not the one on its card."""
    try:
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"the weights {weights} cannot be read ({error.strerror})", "Check the file") from None
    if card.weights_sha256 and card.weights_sha256 != sha256:
        raise WeightsError(
            f"the weights {weights} are damaged or others than their card says: sha256 {sha256[:12]} instead of "
            f"{card.weights_sha256[:12]}",
            "Get the file again, or the card that belongs to it",
        )
    return sha256
