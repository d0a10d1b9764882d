"""The look of a multi-modal model's pictures, as a person chooses it: a seed, a picture, a vector, or between two.

A style is chosen once and holds for a whole sequence: a look drawn anew for each frame, as the published test scripts
do it, makes video flicker. What a style means to a model is its family's matter: SPADE's latent vector, pix2pixHD's
features of each region, one of the looks that a live model has names for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError
from renderer.label_pictures import read_label_map

MAX_SEED: Final = 2**32 - 1
_GRAMMAR: Final = (
    "Write a name, a number, a picture, PICTURE+LABELS with its label map, a .npy file of the vector, "
    "or two of these and a share: A,B,0.25"
)
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True)
class SeededStyle:
    """A look drawn at random; the same seed gives the same look on every machine. 0 <= seed <= 2^32 - 1."""

    seed: int


@dataclass(frozen=True)
class NamedStyle:
    """A look that the model has a name for."""

    name: str


@dataclass(frozen=True)
class PictureStyle:
    """The look of a picture, rgb (H,W,3) u8; labels (H,W) u8 of it, in the model's label space, where there are any."""

    rgb: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class VectorStyle:
    """A latent vector itself, (N,) f32."""

    values: NDArray[np.float32]


@dataclass(frozen=True)
class BlendedStyle:
    """A look on the straight line from one to another; `share` 0 is the first and 1 the second."""

    first: Style
    second: Style
    share: float


Style: TypeAlias = SeededStyle | NamedStyle | PictureStyle | VectorStyle | BlendedStyle


def read_style(text: str, *, files: bool = True) -> Style:
    """Return the style that a person wrote; raises UsageError for what is none, or a file that cannot be read.

    "7" a seed · "dusk" a name · "dusk.jpg" a picture · "dusk.jpg+dusk_labels.png" a picture and its label map ·
    "z.npy" a vector · "A,B,0.25" a quarter of the way from A to B, each any of the former. No files are looked for
    without `files`.
    """
    if files and Path(text).is_file():
        return _read_file(Path(text), None)
    picture, plus, labels = text.rpartition("+")
    if files and plus and Path(picture).exists():
        return _read_file(Path(picture), Path(labels))
    ends = text.rsplit(",", 1)
    if len(ends) == 2:
        return _read_blend(text, *ends, files=files)
    if _NAME.fullmatch(text):
        return NamedStyle(text)
    if text.isdecimal() and text.isascii():
        if int(text) > MAX_SEED:
            raise UsageError(f"the seed {text} is too large", f"Choose one up to {MAX_SEED}")
        return SeededStyle(int(text))
    raise UsageError(f"there is no style {text!r}", _GRAMMAR)


def _read_blend(text: str, both: str, share_text: str, *, files: bool) -> BlendedStyle:
    try:
        share = float(share_text)
    except ValueError:
        share = float("nan")
    cuts = [place for place, letter in enumerate(both) if letter == ","]
    if not 0.0 <= share <= 1.0 or not cuts:
        raise UsageError(f"--style {text} is no way between two looks", _GRAMMAR)
    # A comma may be part of a file's name: the first cut whose left side is a style is taken.
    ends = [(both[:cut], both[cut + 1 :]) for cut in cuts]
    first, second = next((end for end in ends if _is_style(end[0], files)), ends[0])
    return BlendedStyle(read_style(first, files=files), read_style(second, files=files), share)


def _is_style(text: str, files: bool) -> bool:
    known = text.isdecimal() or _NAME.fullmatch(text) is not None
    return known or (files and (Path(text).exists() or Path(text.rpartition("+")[0]).is_file()))


def _read_file(path: Path, labels: Path | None) -> Style:
    if path.suffix == ".npy" and labels is None:
        return VectorStyle(_read_vector(path))
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if bgr is None:
        raise UsageError(f"the style {path} is not a picture that can be read", _GRAMMAR)
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    if labels is None:
        return PictureStyle(rgb)
    ids = read_label_map(labels)
    if ids.shape != rgb.shape[:2]:
        raise UsageError(
            f"the style's label map is {ids.shape[1]}x{ids.shape[0]}, and its picture {rgb.shape[1]}x{rgb.shape[0]}",
            "Give a label map of the picture's size",
        )
    return PictureStyle(rgb, ids)


def _read_vector(path: Path) -> NDArray[np.float32]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise UsageError(f"the style {path} is not a .npy file of numbers", "Write it with numpy.save") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise UsageError(f"the style {path} does not hold finite numbers only", "Write it with numpy.save")
    return values.astype(np.float32).ravel()


def style_shares(style: Style | None, styles: Sequence[str], model: str) -> list[float]:
    """Return each named look's share of a style, their sum 1; None is the first. A seed counts them from 0, round.

    Raises UsageError for a style that is none of them nor between two.
    """
    if isinstance(style, BlendedStyle):
        ends = (style_shares(end, styles, model) for end in (style.first, style.second))
        return [(1 - style.share) * first + style.share * second for first, second in zip(*ends, strict=True)]
    if style is None or isinstance(style, SeededStyle):
        chosen = 0 if style is None else style.seed % len(styles)
    elif isinstance(style, NamedStyle) and style.name in styles:
        chosen = styles.index(style.name)
    else:
        raise UsageError(
            f"the model {model} has no such style", f"It has {', '.join(styles)}, and ways between two: A,B,0.25"
        )
    return [float(index == chosen) for index in range(len(styles))]


def refuse_name(style: NamedStyle) -> NoReturn:
    """Raise UsageError: a name means nothing to the model."""
    raise UsageError(f"the model has no style of the name {style.name!r}", _GRAMMAR)


def refuse(model: str) -> None:
    """Raise UsageError: the model has one look only."""
    raise UsageError(f"the model {model} has one look and no other style", "Leave out --style")
