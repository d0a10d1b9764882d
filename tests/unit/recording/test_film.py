from __future__ import annotations

import http.server
import os
import queue
import shutil
import subprocess
import sys
import threading
import urllib.parse
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from bridge.protocol.errors import OutputError, UsageError
from clients import h264
from clients.commands import replay as command
from clients.recordings.film import Caption, Film, parse_film, read_captions
from clients.recordings.pairs import RecordedPairs
from clients.recordings.replay import write_replay
from clients.viewer.composer import Composer
from clients.viewer.layouts import layout_named
from tests.unit.recording.recorded_drives import record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NUM_FRAMES = 12
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("film") / "drive", NUM_FRAMES)


def make(folder: Path, out: Path, film: Film, layout: str = "side-by-side") -> Path:
    with RecordedPairs(folder) as pairs:
        write_replay(pairs.recording, pairs, "tiny", out, Composer(layout_named(layout)), film)
    return out


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(("rate_hz", "repeats"), [(0.0, 1), (20.0, 1), (60.0, 3)])
def test_a_film_has_a_constant_rate_and_its_duration(
    folder: Path, tmp_path: Path, rate_hz: float, repeats: int
) -> None:
    path = make(folder, tmp_path / "film.mp4", Film((320, 180), rate_hz))
    rate = Fraction(20 * repeats)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.pix_fmt) == (320, 180, "yuv420p")
        assert stream.average_rate == rate
        assert stream.base_rate == rate
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == Fraction(NUM_FRAMES, 20)
        times = [frame.pts * stream.time_base for frame in container.decode(video=0) if frame.pts is not None]
    assert times == [i / rate for i in range(NUM_FRAMES * repeats)]
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_a_slower_film_keeps_every_so_many(folder: Path, tmp_path: Path) -> None:
    assert len(frames_of(make(folder, tmp_path / "film.mp4", Film(rate_hz=5.0)))) == NUM_FRAMES // 4
    with pytest.raises(UsageError, match="cannot show 20 a second evenly"):
        make(folder, tmp_path / "other.mp4", Film(rate_hz=25.0))
    assert not (tmp_path / "other.mp4").exists()


def test_a_film_begins_with_its_title_and_has_its_captions(folder: Path, tmp_path: Path) -> None:
    plain = frames_of(make(folder, tmp_path / "plain.mp4", Film((640, 360))))
    captions = (Caption(0.2, 0.4, "a car goes by"),)
    titled = frames_of(make(folder, tmp_path / "titled.mp4", Film((640, 360), title_s=0.5, captions=captions)))
    assert len(titled) == len(plain) + 10
    assert np.median(titled[0]) < 32
    assert titled[0].max() > 200
    middle = np.s_[260:310, 220:420]
    changed = [
        bool((np.abs(with_it[middle].astype(int) - without[middle]) > 60).any())
        for with_it, without in zip(titled[10:], plain, strict=True)
    ]
    assert changed == [4 <= i < 8 for i in range(NUM_FRAMES)]


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_a_film_that_the_disk_refuses_is_one_sentence_about_its_own_name(
    folder: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"film{suffix}"
    # Files of more than some bytes fail as they do on a full disk, in that process alone.
    limited = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
from clients.cli import main
sys.exit(main(["replay", {str(folder)!r}, "--record", {str(out)!r}, "--film", "320x180@20"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", limited], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {out} cannot be written ")
    assert "too large" in line.lower()
    assert line.endswith("Choose another --out, or make room")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match=r"cannot be written \(no such file or directory\)"):
        make(folder, tmp_path / "nowhere" / f"film{suffix}", Film())


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_moving_picture_for_pages(folder: Path, tmp_path: Path, suffix: str) -> None:
    path = make(folder, tmp_path / f"film{suffix}", Film((160, 40), 10.0))
    read, animation = cv2.imreadanimation(str(path))
    assert read
    assert len(animation.frames) == NUM_FRAMES // 2
    assert set(np.asarray(animation.durations).ravel().tolist()) == {100}
    assert animation.frames[0].shape[:2] == (40, 160)
    assert list(tmp_path.iterdir()) == [path]


def test_captions_are_read_from_subrip(tmp_path: Path) -> None:
    path = tmp_path / "film.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,500\nTwo\nlines\n\n2\n01:00:00,000 --> 01:00:01,000\nLater\n")
    captions = read_captions(path)
    assert captions == (Caption(1.0, 2.5, "Two lines"), Caption(3600.0, 3601.0, "Later"))
    film = Film(captions=captions)
    assert [film.caption_at(t) for t in (0.9, 1.0, 2.4, 2.5)] == ["", "Two lines", "Two lines", ""]
    path.write_text("no times here")
    with pytest.raises(UsageError, match=r"have no times in 'no times here'"):
        read_captions(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_captions(tmp_path / "none.srt")


@pytest.mark.parametrize(
    ("word", "meant"), [("1920x1080@60", ((1920, 1080), 60.0)), ("@60", (None, 60.0)), ("640x360", ((640, 360), 0.0))]
)
def test_size_and_rate_of_a_film(word: str, meant: tuple[Any, float]) -> None:
    assert parse_film(word) == meant


@pytest.mark.parametrize("word", ["", "1080p60", "1920x1080@", "10x10", "@0", "1920x"])
def test_what_is_no_film_is_one_sentence(word: str) -> None:
    with pytest.raises(UsageError, match="film"):
        parse_film(word)


def test_the_command_films(folder: Path, tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    out = tmp_path / "film.mp4"
    words = [str(folder), "--record", str(out), "--layout", "planes", "--film", "640x360@60", "--title"]
    assert command.run(parser.parse_args(words)) == 0
    assert len(frames_of(out)) == 3 * NUM_FRAMES + 150
    assert frames_of(out)[-1].shape == (360, 640, 3)


PAGE = b"""<!doctype html><video id=v src=film.mp4 muted></video><script>
const video = document.getElementById("v");
const tell = what => fetch("/told?" + new URLSearchParams({what, duration: video.duration, width: video.videoWidth,
  height: video.videoHeight, played: video.currentTime, error: video.error ? video.error.message : ""}));
video.onended = () => tell("ended"); video.onerror = () => tell("failed");
video.play().catch(error => tell("refused " + error));
</script>"""


def test_pygame_does_not_greet_on_stdout() -> None:
    kept = {name: value for name, value in os.environ.items() if name != "PYGAME_HIDE_SUPPORT_PROMPT"}
    words = [sys.executable, "-c", "import clients.recordings.film"]
    done = subprocess.run(words, env=kept, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_gpu_encodes_only_where_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="vidrive")
    if h264.NVIDIA_DEVICE.exists():
        pytest.skip("there may be an encoder here")
    for device in (tmp_path / "none", tmp_path):  # a machine without one, and one whose device is no encoder
        monkeypatch.setattr(h264, "NVIDIA_DEVICE", device)
        h264.find_encoder.cache_clear()
        assert h264.find_encoder() == "libx264"
        assert ("libx264 encodes" in caplog.text) == device.exists(), "said where there is a device to expect it of"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize("size_px", [(640, 360), pytest.param((1920, 1080), marks=pytest.mark.slow)], ids=str)
def test_a_film_plays_in_chromium(folder: Path, tmp_path: Path, size_px: tuple[int, int]) -> None:
    assert CHROMIUM is not None
    film = make(folder, tmp_path / "film.mp4", Film(size_px, 60.0)).read_bytes()
    told: queue.Queue[dict[str, list[str]]] = queue.Queue()

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            if url.path == "/told":
                told.put(urllib.parse.parse_qs(url.query))
            body, kind = (film, "video/mp4") if url.path == "/film.mp4" else (PAGE, "text/html")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - so the base class calls it
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required",
             f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0",
             f"http://127.0.0.1:{server.server_address[1]}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            said = told.get(timeout=DEADLINE_S)
        finally:
            browser.terminate()
            browser.wait(DEADLINE_S)
            server.shutdown()
    assert said["what"] == ["ended"], said
    assert (said["width"], said["height"]) == ([str(size_px[0])], [str(size_px[1])])
    assert float(said["duration"][0]) == pytest.approx(NUM_FRAMES / 20, abs=1 / 60)
