"""Segmentation networks that a user names: TorchScript or ONNX files, called in the ways that published ones want."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import UsageError, WeightsError
from bridge.protocol.labels import LABEL_SPACES, LabelSpace
from renderer.picture_features import load_script, normalized

SIZE_MULTIPLE_PX: Final = 32  # what encoders of five halvings want
_TRIAL_HW: Final = (256, 512)
_HINT: Final = "Give a network that takes (1,3,H,W) pictures and returns (1,classes,h,w) scores or (1,h,w) class ids"
# How many classes a network tells apart says which label space it was trained in; another one is named by the user.
SPACE_OF_CLASSES: Final[Mapping[int, LabelSpace]] = {
    11: "camvid", 12: "camvid", 13: "street", 19: "cityscapes-train", 29: "carla", 30: "carla", 34: "cityscapes",
    35: "cityscapes",
}  # fmt: skip

Answer = NDArray[Any]  # (1,C,h,w) scores, or (1,h,w) or (h,w) ids
_Ask = Callable[[NDArray[np.uint8]], Answer]  # of a (H,W,3) u8 RGB picture


@dataclass(frozen=True)
class SegmentationFile:
    """A named network with the sha256 of its file, and the label space that its ids are of."""

    name: str
    sha256: str
    licence: str
    label_space: str
    _ask: _Ask

    def label_map(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the (H,W) u8 ids, in `label_space`, that the network takes a (H,W,3) u8 RGB picture's pixels for."""
        answer = self._ask(rgb)
        height_px, width_px = rgb.shape[:2]
        if answer.ndim == 4:
            scores_1CHW = torch.from_numpy(np.ascontiguousarray(answer, np.float32))
            sized = F.interpolate(scores_1CHW, (height_px, width_px), mode="bilinear", align_corners=False)
            return np.asarray(sized[0].argmax(0).numpy(), np.uint8)
        ids = np.ascontiguousarray(answer.reshape(answer.shape[-2:]), np.uint8)
        return np.asarray(cv2.resize(ids, (width_px, height_px), interpolation=cv2.INTER_NEAREST), np.uint8)


def split_space(text: str) -> tuple[Path, str]:
    """Read FILE or FILE:SPACE; "" for a space that is not named."""
    file, _, space = text.rpartition(":")
    return (Path(file), space) if file and space in LABEL_SPACES else (Path(text), "")


def open_segmentation_file(path: Path, space: str = "") -> SegmentationFile:
    """Return the network of a TorchScript or ONNX file; `space` is its label space, "" where its classes tell.

    Raises UsageError for a file that cannot be read or ids of a space that nobody named, WeightsError for no network.
    """
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Name a TorchScript or ONNX file") from None
    ask, answer = _open_onnx(path) if path.suffix == ".onnx" else _open_script(path)
    return SegmentationFile(path.name, sha256, "the file's own", space or _space_of(path, answer), ask)


def _space_of(path: Path, answer: Answer) -> str:
    how = f"Say it as {path}:SPACE, one of {', '.join(LABEL_SPACES)}"
    if answer.ndim != 4:
        raise UsageError(f"{path} gives class ids, and nobody says of which label space", how)
    if answer.shape[1] not in SPACE_OF_CLASSES:
        raise UsageError(f"{path} tells {answer.shape[1]} classes apart, which is no label space's number", how)
    return SPACE_OF_CLASSES[answer.shape[1]]


def _open_script(path: Path) -> tuple[_Ask, Answer]:
    network = load_script(path)

    @torch.no_grad()
    def ask(rgb: NDArray[np.uint8]) -> Answer:
        return _first(network(normalized(_fitted(rgb, _multiple(rgb))))).cpu().numpy()

    return ask, _tried(path, ask)


def _open_onnx(path: Path) -> tuple[_Ask, Answer]:
    if importlib.util.find_spec("onnxruntime") is None:
        raise UsageError(f"{path} needs ONNX Runtime", "Install it: pip install onnxruntime")
    runtime: Any = importlib.import_module("onnxruntime")
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 (each of the runtime's errors is a class of its own)
        raise WeightsError(f"{path} is no ONNX network ({_reason(error)})", _HINT) from None
    wanted = session.get_inputs()[0]
    fixed = [side if isinstance(side, int) and side > 0 else 0 for side in wanted.shape[2:]]

    def ask(rgb: NDArray[np.uint8]) -> Answer:
        own_hw = _multiple(rgb)
        size_hw = (fixed[0] or own_hw[0], fixed[1] or own_hw[1]) if len(fixed) == 2 else own_hw
        rgb_13HW = _fitted(rgb, size_hw)
        given = rgb_13HW if "uint8" in wanted.type else normalized(rgb_13HW)
        return np.asarray(session.run(None, {wanted.name: given.numpy()})[0])

    return ask, _tried(path, ask)


def _multiple(rgb: NDArray[np.uint8]) -> tuple[int, int]:
    height_px, width_px = (max(1, round(side / SIZE_MULTIPLE_PX)) * SIZE_MULTIPLE_PX for side in rgb.shape[:2])
    return height_px, width_px


def _fitted(rgb: NDArray[np.uint8], size_hw: tuple[int, int]) -> Tensor:
    how = cv2.INTER_AREA if rgb.shape[0] > size_hw[0] else cv2.INTER_LINEAR
    sized = rgb if rgb.shape[:2] == size_hw else cv2.resize(rgb, size_hw[::-1], interpolation=how)
    return torch.from_numpy(np.ascontiguousarray(sized)).permute(2, 0, 1)[None].contiguous()


def _first(output: Any) -> Tensor:
    """A network's answer: itself, the first of several, or what torchvision calls "out"."""
    if isinstance(output, Mapping):
        output = output.get("out", next(iter(output.values())))
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise TypeError("its output is no tensor")
    return output


def _tried(path: Path, ask: _Ask) -> Answer:
    """What a network answers to a black picture; raises WeightsError if that is no map of classes."""
    try:
        answer = ask(np.zeros((*_TRIAL_HW, 3), np.uint8))
    except Exception as error:  # noqa: BLE001 (a network of a user's may fail in any way)
        raise WeightsError(f"{path} takes no pictures ({_reason(error)})", _HINT) from None
    is_map = answer.ndim == 4 and answer.shape[0] == 1 and answer.shape[1] > 1
    is_ids = answer.ndim in (2, 3) and min(answer.shape[-2:]) > 1 and (answer.ndim == 2 or answer.shape[0] == 1)
    if not (is_map or is_ids):
        raise WeightsError(f"{path} gives {answer.shape}, which is no map of classes", _HINT)
    return answer


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
