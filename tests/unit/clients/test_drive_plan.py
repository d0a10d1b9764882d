"""What the flags of a drive come to, and which of their mistakes are told before anything has begun."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bridge.protocol.errors import OutputError, UsageError
from clients.commands import drive
from clients.drive_plan import DrivePlan, make_plan


def plan(*words: str) -> DrivePlan:
    parser = argparse.ArgumentParser()
    drive.add_arguments(parser)
    args = parser.parse_args(words)
    return make_plan("drive", args, carla=("127.0.0.1", 1), endpoint="tcp://127.0.0.1:1", model=args.model)


def test_look_and_pad() -> None:
    made = plan("--model", "other", "--style", "7", "--pad", "wheel")
    assert (made.model, made.style, made.pad) == ("other", "7", "wheel")


def test_a_pad_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.yaml cannot be read.*gamepad, wheel"):
        plan("--pad", str(tmp_path / "nothing.yaml"))


def test_a_name_without_an_ending_is_a_recording(tmp_path: Path) -> None:
    video, folder = plan("--record", str(tmp_path / "a.mp4")), plan("--record", str(tmp_path / "a"))
    assert (video.record, video.recording) == (tmp_path / "a.mp4", None)
    assert folder.record is None
    assert folder.recording is not None
    assert folder.recording.folder == tmp_path / "a"
    assert {video.session.mode, folder.session.mode} == {"record"}


def test_a_folder_with_something_in_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match="is not empty"):
        plan("--record", str(tmp_path))
