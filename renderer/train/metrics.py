"""The numbers of a run, a JSON object a line in metrics.jsonl, and in TensorBoard's files where that is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import OutputError, UsageError
from renderer.train.checkpoint import replacing

METRICS_NAME: Final = "metrics.jsonl"
_TENSORBOARD_FOLDER: Final = "tensorboard"


class Metrics:
    """Writes the numbers of a run that goes on from `step`: what was written beyond it, before a kill, is dropped."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool) -> None:
        self._path = folder / METRICS_NAME
        self._board = _open_tensorboard(folder / _TENSORBOARD_FOLDER, step) if tensorboard else None
        kept = [line for line in self._lines() if _step_of(line) <= step] if step else []
        with replacing(self._path) as unfinished:
            unfinished.write_bytes(b"".join(line + b"\n" for line in kept))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the numbers of a step."""
        line = msgspec.json.encode({"step": step, **values}) + b"\n"
        try:
            with self._path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written ({error.strerror})", "Choose another --out") from None
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def show(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Add a preview, (H,W,3) u8 RGB, to TensorBoard's files, if they are written."""
        if self._board is not None:
            self._board.add_image("preview", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Finish TensorBoard's files."""
        if self._board is not None:
            self._board.close()

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []


def _step_of(line: bytes) -> float:
    """Return the step of a line; of one that is torn, a step that is never reached."""
    try:
        return int(msgspec.json.decode(line)["step"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return float("inf")


def _open_tensorboard(folder: Path, step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "report.tensorboard needs the package tensorboard, which is not installed",
            f"pip install 'vidrive[tensorboard]', or leave it out: the same numbers are in {METRICS_NAME}",
        )
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)
