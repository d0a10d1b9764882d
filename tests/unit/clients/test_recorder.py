from __future__ import annotations

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import pytest

from bridge.protocol.errors import OutputError
from clients import recorder
from clients.recorder import Recorder

RED = (255, 0, 0)


def picture(width: int, height: int, color: tuple[int, int, int] = RED) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 47), (1024, 256)])
def test_what_was_written_is_read_back(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "drive.mp4"
    with Recorder(path, 20.0, width, height) as video:
        for _ in range(50):
            video.write(picture(width, height))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 20
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == Fraction(50, 20)
        times = [frame.pts * stream.time_base for frame in container.decode(video=0) if frame.pts is not None]
    assert times == [Fraction(i, 20) for i in range(50)]
    frames = read(path)
    assert frames[0].shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(frames[49].astype(int) - RED).max() <= 4
    assert list(tmp_path.iterdir()) == [path]


def test_a_bgra_canvas_keeps_its_colours(tmp_path: Path) -> None:
    canvas_bgra = cv2.cvtColor(picture(64, 48), cv2.COLOR_RGB2BGRA)
    with Recorder(tmp_path / "drive.mp4", 20.0, 64, 48) as video:
        video.write(np.asarray(canvas_bgra, np.uint8))
        canvas_bgra[:] = 0  # the caller's again
    assert np.abs(read(tmp_path / "drive.mp4")[0].astype(int) - RED).max() <= 4


def test_pictures_that_nobody_changes_are_recorded_as_well(tmp_path: Path) -> None:
    canvas_bgra = np.asarray(cv2.cvtColor(picture(64, 48), cv2.COLOR_RGB2BGRA), np.uint8)
    with Recorder(tmp_path / "drive.mp4", 20.0, 64, 48) as video:
        for kept in (canvas_bgra, picture(64, 48)):
            kept.flags.writeable = False
            video.write(kept)
    frames = read(tmp_path / "drive.mp4")
    assert [np.abs(frame.astype(int) - RED).max() <= 4 for frame in frames] == [True, True]


def test_the_index_stands_before_the_pictures(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive.mp4", 20.0, 64, 48) as video:
        video.write(picture(64, 48))
    data = (tmp_path / "drive.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data


def test_the_file_is_finished_when_the_drive_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="town"), Recorder(tmp_path / "drive.mp4", 20.0, 64, 48) as video:
        for _ in range(7):
            video.write(picture(64, 48))
        raise RuntimeError("the town has gone")
    assert len(read(tmp_path / "drive.mp4")) == 7


def test_nothing_is_lost_when_the_encoder_is_slow(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive.mp4", 20.0, 640, 480) as video:
        for i in range(4 * recorder.QUEUE_LENGTH):
            video.write(picture(640, 480, (i * 7, 0, 0)))
    assert len(read(tmp_path / "drive.mp4")) == video.num_frames == 4 * recorder.QUEUE_LENGTH
    assert video.duration_s == pytest.approx(4 * recorder.QUEUE_LENGTH / 20)


def test_a_recording_without_pictures_leaves_no_file(tmp_path: Path) -> None:
    video = Recorder(tmp_path / "drive.mp4", 20.0, 64, 48)
    video.close()
    video.close()
    assert video.num_frames == 0
    assert not list(tmp_path.iterdir())


def test_a_recording_without_pictures_leaves_the_old_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    path.write_bytes(b"the drive of yesterday")
    Recorder(path, 20.0, 64, 48).close()
    assert path.read_bytes() == b"the drive of yesterday"
    with Recorder(path, 20.0, 64, 48) as video:
        video.write(picture(64, 48))
    assert len(read(path)) == 1


def test_a_folder_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"drive\.mp4 cannot be written \(no such file or directory\)\. Name another"):
        Recorder(tmp_path / "nowhere" / "drive.mp4", 20.0, 64, 48)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        Recorder(tmp_path / "drive.mp4", 20.0, 64, 48) as video,
        pytest.raises(ValueError, match=r"uint8 \(64, 48, 3\)"),
    ):
        video.write(picture(48, 64))


NOISE = """
import sys
from pathlib import Path
import numpy as np
from clients.recorder import Recorder
random = np.random.default_rng(0)
noise = [random.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(7)]
"""


def test_a_full_disk_is_one_sentence_and_what_there_is_plays(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    program = NOISE + (
        "import resource, signal; from bridge.protocol.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "try:\n"
        "    with Recorder(Path(sys.argv[1]), 20.0, 320, 240) as video:\n"
        "        for i in range(400): video.write(noise[i % 7])\n"
        "except OutputError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True, timeout=120
    )
    assert "cannot be written any further (" in run.stdout
    assert "Make room on the disk" in run.stdout
    assert len(read_what_plays(path)) >= 10


def test_kill_9_loses_at_most_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    program = NOISE + (
        "video = Recorder(Path(sys.argv[1]), 20.0, 320, 240)\n"
        "for i in range(100): video.write(noise[i % 7])\n"
        "print('written', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        os.kill(process.pid, signal.SIGKILL)
    assert len(read_what_plays(path)) >= 100 - 20 - recorder.QUEUE_LENGTH - 2


def read_what_plays(path: Path) -> list[np.ndarray]:
    frames: list[np.ndarray] = []
    with av.open(str(path)) as container:
        try:
            frames.extend(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        except av.error.FFmpegError:
            assert frames
    return frames


def test_without_pyav_opencv_writes_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clients.h264", None)
    with Recorder(tmp_path / "drive.mp4", 20.0, 64, 48) as video:
        for _ in range(5):
            video.write(picture(64, 48))
    frames = read(tmp_path / "drive.mp4")
    assert len(frames) == 5
    assert np.abs(frames[4].astype(int) - RED).max() <= 12
