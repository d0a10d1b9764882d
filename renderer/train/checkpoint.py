"""Checkpoints of a run: written so that at every moment a whole one is there, read without executing anything."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import torch
from safetensors import SafetensorError

from bridge.protocol.errors import OutputError, UsageError

CHECKPOINT_NAME: Final = "checkpoint.pt"
_PREVIOUS_NAME: Final = "checkpoint.previous.pt"
_LITTLE_BYTES: Final = 1 << 16  # what a full disk may have left, too little for what was to be written
_UNREADABLE: Final = (OSError, RuntimeError, EOFError, KeyError, ValueError, TypeError, pickle.UnpicklingError)


class Resumable(Protocol):
    """A trainer: what it was set to do, and all that a run changes."""

    @property
    def preset(self) -> msgspec.Struct:
        """What decides how the run goes."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return all that a later run needs to go on."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state; raises KeyError, ValueError or RuntimeError for another's."""
        ...


@contextmanager
def replacing(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a path to write to; afterwards the file is at `path`, whole, or what was there before still is.

    What was there before is kept as `previous`, if that is given. Raises OutputError where it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
        if previous is not None and path.exists():
            path.replace(previous)
        unfinished.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors report a full disk as their own
        full = shutil.disk_usage(path.parent).free < _LITTLE_BYTES if path.parent.is_dir() else False
        reason = "there is no space left" if full else str(error).splitlines()[0]
        raise OutputError(f"{path} cannot be written ({reason})", "Choose another --out folder") from None
    finally:
        unfinished.unlink(missing_ok=True)


def save_checkpoint(folder: Path, trainer: Resumable, state: Mapping[str, Any] | None = None) -> None:
    """Write the run's state to FOLDER/checkpoint.pt; the one before stays as checkpoint.previous.pt.

    `state` is the trainer's, where it has been asked for already.
    """
    state = trainer.state_dict() if state is None else state
    with replacing(folder / CHECKPOINT_NAME, folder / _PREVIOUS_NAME) as unfinished:
        torch.save({"preset": _text(trainer.preset), "trainer": state}, unfinished)


def load_checkpoint(folder: Path, trainer: Resumable, say: Callable[[str], None] | None = None) -> Path:
    """Bring a trainer to the state of the newest whole checkpoint of a folder; return which file that was.

    One that is damaged is passed over, with a sentence to `say`. Raises UsageError where there is none, or where it is
    of another preset.
    """
    paths = [path for name in (CHECKPOINT_NAME, _PREVIOUS_NAME) if (path := folder / name).is_file()]
    if not paths:
        raise UsageError(f"{folder} holds no checkpoint", "Leave --resume out to begin a run")
    reasons = []
    for path in paths:
        reason = _try_load(path, trainer)
        if reason is None:
            return path
        reasons.append(f"{path.name}: {reason}")
        if say is not None and path is not paths[-1]:
            say(f"{path.name} is damaged ({reason}) and not used; the one before it is")
    raise UsageError(f"no checkpoint in {folder} can be read ({'; '.join(reasons)})", "Begin the run anew")


def _try_load(path: Path, trainer: Resumable) -> str | None:
    """Bring a trainer to the state of a checkpoint; return why not, if it is not a whole one."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        _refuse_other_preset(path, checkpoint["preset"], trainer.preset)
        trainer.load_state_dict(checkpoint["trainer"])
    except _UNREADABLE as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def _text(preset: msgspec.Struct) -> str:
    return msgspec.json.encode(preset).decode()


def _refuse_other_preset(path: Path, text: Any, preset: msgspec.Struct) -> None:
    with suppress(msgspec.ValidationError):  # what presets have had only since then was as it is by default
        text = _text(msgspec.json.decode(text, type=type(preset)))
    before: dict[str, Any] = msgspec.json.decode(text)
    now: dict[str, Any] = msgspec.json.decode(_text(preset))
    if changed := sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key)):
        raise UsageError(
            f"{path} was made with other settings of {', '.join(changed)}",
            "Resume with the preset and the --steps that the run began with",
        )
