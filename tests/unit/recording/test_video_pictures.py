"""A recording's video is MP4 of the recording's size, or it is refused, or has no pictures."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from bridge.protocol.errors import OutputError, RecordingError
from clients.cli import main
from clients.recorder import Recorder
from clients.recordings.layouts import export_vid2vid
from clients.recordings.pairs import RecordedPairs
from clients.recordings.pictures import VideoPictures
from tests.unit.recording.recorded_drives import record

HEIGHT, WIDTH = 31, 63  # odd: kept with even sides


def write_video(path: Path) -> Path:
    with Recorder(path, 20.0, WIDTH, HEIGHT) as recorder:
        for level in (40, 120, 200):
            recorder.write(np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    return path


def test_pictures_of_odd_sides_come_back(tmp_path: Path) -> None:
    pictures = VideoPictures(write_video(tmp_path / "a.mp4"), 20.0, (HEIGHT, WIDTH))
    picture = pictures.get(1)
    assert picture is not None
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert abs(float(picture.mean()) - 120) < 8
    pictures.close()


def test_a_file_that_names_another_has_no_pictures(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    with av.open(str(tmp_path / "b.mp4")) as followed:
        assert followed.streams.video, "the list of files would be followed if it were let"
    assert VideoPictures(tmp_path / "b.mp4", 20.0, (HEIGHT, WIDTH)).get(0) is None


def test_a_video_of_another_size_is_one_sentence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    with pytest.raises(RecordingError, match="has pictures of 64x32, not 64x34"):
        VideoPictures(path, 20.0, (33, 64))


def test_a_video_without_pictures_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    with pytest.raises(RecordingError, match="has no pictures in it"):
        VideoPictures(path, 20.0, (HEIGHT, WIDTH))


def test_an_export_does_not_mix_with_an_older_one(tmp_path: Path) -> None:
    with RecordedPairs(record(tmp_path / "drive")) as pairs:
        assert export_vid2vid(pairs, tmp_path / "out", "carla") == 5
        before = sorted((tmp_path / "out").rglob("*"))
        with pytest.raises(OutputError, match="is not empty, and an export needs a folder of its own"):
            export_vid2vid(pairs, tmp_path / "out", "carla")
        assert sorted((tmp_path / "out").rglob("*")) == before


def test_an_export_says_which_pictures_are_lost(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = record(tmp_path / "drive", 4)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["planes"]["synthesized"] = {"codec": "h264", "file": "synthesized.mp4", "type": "u8"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        del row["records"]["synthesized"]
        row["pictures"] = {"synthesized": number}
    (folder / "frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["export", str(folder), "--format", "video", "--out", str(tmp_path / "a.mp4")]) == 0
    said = capfd.readouterr().err
    assert "warning: synthesized.mp4 lacks 4 of the 4 pictures that were recorded\n" in said
