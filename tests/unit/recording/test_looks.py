"""Which look each frame of a recording had."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from bridge.protocol.errors import RecordingError
from bridge.protocol.frames import FramePair
from bridge.protocol.messages import ModelCard
from bridge.recording.looks import LOOKS_NAME, RecordedLook
from bridge.recording.writer import RecordingWriter, prepare_folder
from clients.recordings.pairs import RecordedPairs
from clients.recordings.replay import hud_of
from tests.unit.recording.recorded_drives import CARD, make_manifest, make_pair

OTHER = msgspec.structs.replace(CARD, name="other", weights_sha256="1" * 64)


def drawn(frame_id: int, card: ModelCard | None, style: str = "") -> FramePair:
    pair = make_pair(frame_id)
    assert pair.rendered is not None
    return dataclasses.replace(pair, rendered=dataclasses.replace(pair.rendered, card=card, style=style))


def recorded(folder: Path, *pairs: FramePair) -> Path:
    prepare_folder(folder)
    with RecordingWriter(folder, make_manifest()) as writer:
        for pair in pairs:
            writer.accept(pair)
    return folder


def test_each_frame_has_its_look(tmp_path: Path) -> None:
    away = dataclasses.replace(make_pair(104), rendered=None)
    folder = recorded(
        tmp_path / "drive", drawn(100, CARD), drawn(101, OTHER), drawn(102, OTHER), drawn(103, OTHER, "7"), away,
        drawn(105, CARD),
    )  # fmt: skip
    lines = (folder / LOOKS_NAME).read_bytes().splitlines()
    assert [msgspec.json.decode(line)["frame_id"] for line in lines] == [101, 103, 105]
    with RecordedPairs(folder) as pairs:
        looks = [pairs.looks.at(row.frame_id) for row in pairs.recording.rows]
        assert looks == [
            RecordedLook(CARD),
            RecordedLook(OTHER),
            RecordedLook(OTHER),
            RecordedLook(OTHER, "7"),
            RecordedLook(OTHER, "7"),
            RecordedLook(CARD),
        ]
        hud = hud_of(pairs.recording, "tiny")
        told = [(state.model, state.look) for state in (hud(pairs.pair(index), "") for index in range(6))]
        assert told == [("tiny", ""), ("other", ""), ("other", ""), ("other", "style 7"), ("tiny", ""), ("tiny", "")]


def test_without_a_change_there_is_no_file(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "drive", drawn(100, CARD), drawn(101, CARD), drawn(102, None))
    assert not (folder / LOOKS_NAME).exists()
    with RecordedPairs(folder) as pairs:
        assert {pairs.looks.at(row.frame_id) for row in pairs.recording.rows} == {RecordedLook(CARD)}


def test_an_unfinished_line_is_left_out_and_a_damaged_one_is_a_sentence(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "drive", drawn(100, CARD), drawn(101, OTHER))
    whole = (folder / LOOKS_NAME).read_bytes()
    (folder / LOOKS_NAME).write_bytes(whole + whole[:20])
    with RecordedPairs(folder) as pairs:
        assert pairs.looks.at(101) == RecordedLook(OTHER)
    (folder / LOOKS_NAME).write_bytes(b"{}\n")
    with pytest.raises(RecordingError, match=r"looks\.jsonl is damaged"):
        RecordedPairs(folder)
