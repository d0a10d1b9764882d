"""The edits of a drive are recorded beside its planes, and a replay repeats them, drops them, or takes others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.edits.desk import EditDesk
from bridge.edits.editor import Editor
from bridge.edits.rules import NO_EDITS, Edits, Rule
from bridge.edits.track import TRACK_NAME, find_track, read_track
from bridge.protocol.errors import RecordingError
from bridge.protocol.frames import FramePair
from bridge.recording.writer import RecordingWriter, prepare_folder
from clients.recordings.pairs import RecordedPairs
from tests.unit.recording.recorded_drives import make_manifest, make_pair


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[FramePair]]:
    """Return a recording in whose middle somebody switched rules, painted and undid, and what the generator saw."""
    folder = tmp_path_factory.mktemp("drive") / "recording"
    desk, editor = EditDesk(), Editor()
    prepare_folder(folder)
    seen: list[FramePair] = []
    with RecordingWriter(folder, make_manifest()) as writer:
        for number in range(12):
            pair = make_pair(100 + number)
            if number == 2:
                desk.edits = Edits(rules=(Rule(classes=("building", "wall"), to="vegetation"),))
            elif number in (4, 5):
                desk.begin_stroke()
                desk.paint(pair.sensor, (30.3, 20.7 - number), 6.0, "water")
            elif number == 7:
                desk.change_object(pair.sensor, (20.0, 10.0), "truck")
                desk.remove_object(pair.sensor, (40.0, 20.0))
            elif number == 9:
                desk.undo()
            elif number == 10:
                desk.toggle()
            seen.append(replace(pair, sensor=editor.apply(pair.sensor, desk.effective)))
            writer.accept(seen[-1])
    return folder, seen


def test_the_recorded_edits_give_identical_label_maps(drive: tuple[Path, list[FramePair]]) -> None:
    folder, seen = drive
    changed = 0
    with RecordedPairs(folder) as pairs:
        for index, pair in enumerate(seen):
            again = pairs.pair(index).sensor
            original = make_pair(100 + index).sensor
            assert (again.label_map == pair.sensor.label_map).all()
            for name in ("instance_map", "depth_m"):
                np.testing.assert_array_equal(getattr(again, name), getattr(pair.sensor, name))
            changed += bool((again.label_map != original.label_map).any())
    assert changed == 8


def test_without_edits_the_planes_are_the_simulators(drive: tuple[Path, list[FramePair]]) -> None:
    folder, seen = drive
    with RecordedPairs(folder, find_track("none")) as pairs:
        for index in range(len(seen)):
            assert (pairs.pair(index).sensor.label_map == make_pair(100 + index).sensor.label_map).all()


def test_other_edits_take_their_place(drive: tuple[Path, list[FramePair]], tmp_path: Path) -> None:
    folder, _ = drive
    path = tmp_path / "sky.yaml"
    path.write_text("rules:\n- classes: [road, road line]\n  to: sky\n")
    edits = Edits(rules=(Rule(classes=("road", "road line"), to="sky"),))
    with RecordedPairs(folder, find_track(str(path))) as pairs:
        for index in (0, 6, 11):
            wanted = Editor().apply(make_pair(100 + index).sensor, edits)
            assert (pairs.pair(index).sensor.label_map == wanted.label_map).all()


def test_the_track_has_a_line_for_each_change_only(drive: tuple[Path, list[FramePair]]) -> None:
    folder, _ = drive
    assert len((folder / TRACK_NAME).read_text().splitlines()) == 6
    track = read_track(folder)
    assert track
    assert track.at(101) == track.at(111) == NO_EDITS
    assert track.at(104) != track.at(105) == track.at(106)


def test_a_recording_without_a_track_has_no_edits(tmp_path: Path) -> None:
    assert not read_track(tmp_path)
    assert find_track("recorded") is None


def test_an_unfinished_line_is_left_out_and_a_damaged_one_is_a_sentence(
    drive: tuple[Path, list[FramePair]], tmp_path: Path
) -> None:
    whole = (drive[0] / TRACK_NAME).read_bytes()
    (tmp_path / TRACK_NAME).write_bytes(whole[:-5])
    assert read_track(tmp_path).at(109) == read_track(drive[0]).at(109) != NO_EDITS
    (tmp_path / TRACK_NAME).write_bytes(b"{}\n")
    with pytest.raises(RecordingError, match=r"line 1 of .* is damaged.*--edits none"):
        read_track(tmp_path)
