"""Recordings as a person makes and uses them: `vidrive record`, then `render`, in processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from bridge.protocol.labels import map_labels
from bridge.recording.reader import Recording
from bridge.recording.writer import digest
from clients.cli import main
from clients.recordings.pairs import RecordedPairs
from renderer.models.live import load_live
from renderer.segmentation import load_segmentation
from tests.e2e.test_demo import environment

TIMEOUT_S = 240
ROOT = Path(__file__).parents[2]


def vidrive(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clients", *words],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a drive, with lossless pictures."""
    folder = tmp_path_factory.mktemp("recorded")
    words = ("record", "--out", "drive", "--seconds", "2", "--size", "256x128", "--seed", "3", "--pictures", "lossless")
    run = vidrive(folder, *words, "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert (report["ticks"], report["rendered"], report["dropped"], report["exit"]) == (40, 40, 0, "done")
    assert "drive: 40 frames, 2.0 s" in run.stderr
    return folder / "drive"


def test_a_recording_holds_every_frame_with_all_planes(recorded: Path) -> None:
    recording = Recording(recorded)
    manifest = recording.manifest
    assert (manifest.ended, manifest.num_frames, manifest.num_missing, manifest.num_dropped) == ("done", 40, 0, 0)
    assert (manifest.seed, manifest.simulator_version, manifest.label_space) == (3, "0.9.16", "carla")
    assert manifest.card is not None
    assert manifest.card.name == "street-photo"
    ids = [row.frame_id for row in recording.rows]
    assert ids == list(range(ids[0], ids[0] + 40))
    for index in (0, 20, 39):
        frame = recording.sensor_frame(index)
        assert frame.rgb is not None
        assert frame.depth_m is not None
        assert frame.instance_map is not None
        assert {plane.shape[:2] for plane in (frame.label_map, frame.rgb, frame.depth_m, frame.instance_map)} == {
            (128, 256)
        }
        assert len(frame.bodies) > 10
        synthesized = recording.plane("synthesized", index)
        assert synthesized is not None
        assert digest(synthesized) == recording.rows[index].synthesized_sha256
        assert frame.rgb.std() > 10
        assert synthesized.std() > 10


def test_rendered_again_every_picture_is_the_recorded_one_bit_for_bit(recorded: Path) -> None:
    run = vidrive(recorded.parent, "render", "drive", "--model", "street-photo", "--out", "again")
    assert run.returncode == 0, run.stderr
    assert "40 of 40 pictures are the recorded ones, bit for bit" in run.stderr
    recording = Recording(recorded)
    for index, row in enumerate(recording.rows):
        picture = cv2.imread(str(recorded.parent / "again" / f"{row.frame_id:08d}.png"))
        assert picture is not None
        assert np.array_equal(
            cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.asarray(recording.plane("synthesized", index))
        )


def test_rendered_to_a_video_in_simulation_time(recorded: Path) -> None:
    run = vidrive(recorded.parent, "render", "drive", "--model", "street-photo", "--out", "a.mp4", "--size", "128x64")
    assert run.returncode == 0, run.stderr
    with av.open(str(recorded.parent / "a.mp4")) as video:
        sizes = [(frame.width, frame.height) for frame in video.decode(video=0)]
        assert sizes == [(128, 64)] * 40
        assert video.streams.video[0].average_rate == 20


def test_exported_to_vid2vids_layout_it_renders_and_trains(recorded: Path) -> None:
    run = vidrive(recorded.parent, "export", "drive", "--format", "vid2vid", "--out", "v")
    assert run.returncode == 0, run.stderr
    recording = Recording(recorded)
    for number, index in enumerate(range(40)):
        frame = recording.sensor_frame(index)
        name = f"seq0001/{number:06d}.png"
        labels = cv2.imread(str(recorded.parent / "v" / "train_A" / name), cv2.IMREAD_UNCHANGED)
        picture = cv2.imread(str(recorded.parent / "v" / "train_B" / name))
        instances = cv2.imread(str(recorded.parent / "v" / "train_inst" / name), cv2.IMREAD_UNCHANGED)
        assert labels is not None
        assert picture is not None
        assert instances is not None
        assert np.array_equal(labels, map_labels(frame.label_map, "carla", "cityscapes"))
        assert np.array_equal(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.asarray(frame.rgb))
        assert instances.dtype == np.uint16
        moves = frame.instance_map > 0 if frame.instance_map is not None else np.zeros((128, 256), bool)
        assert np.array_equal(instances[~moves], labels[~moves])
        assert np.array_equal(instances[moves] // 1000, labels[moves])
    words = ("render", "v", "--model", "street-photo", "--labels", "cityscapes", "--out", "v-rendered")
    run = vidrive(recorded.parent, *words)
    assert run.returncode == 0, run.stderr
    assert "40 frames of 1 sequence" in run.stderr
    assert sorted(path.name for path in (recorded.parent / "v" / "train_flow" / "seq0001").iterdir()) == [
        f"{number:06d}.png" for number in range(1, 40)
    ]
    small = ["generator.width=4", "discriminators.width=4", "perceptual.network=none", "report.preview_frames=2"]
    short = ["schedule.stages.0.steps=2", "schedule.stages.1.steps=1", "schedule.stages.1.decay_steps=0"]
    sets = [word for setting in (*small, *short, "data.flow=files") for word in ("--set", setting)]
    run = vidrive(recorded.parent, "train", "street-small", "--data", "v", "--out", "trained", *sets)
    assert run.returncode == 0, run.stderr
    assert (recorded.parent / "trained" / "model" / "latest_net_G1.pth").is_file()


def test_exported_to_cityscapes_layout(recorded: Path) -> None:
    run = vidrive(recorded.parent, "export", "drive", "--format", "cityscapes", "--out", "Old Town")
    assert run.returncode == 0, run.stderr
    found = sorted(
        str(p.relative_to(recorded.parent / "Old Town")) for p in (recorded.parent / "Old Town").rglob("*.png")
    )
    stem = "train/old-town/old-town_000001_000039"
    assert len(found) == 120
    assert {
        f"gtFine/{stem}_gtFine_labelIds.png",
        f"gtFine/{stem}_gtFine_instanceIds.png",
        f"leftImg8bit/{stem}_leftImg8bit.png",
    } <= set(found)


def test_exported_as_a_sheet_it_shows_each_place_before_and_after(recorded: Path) -> None:
    run = vidrive(recorded.parent, "export", "drive", "--format", "sheet", "--out", "sheet.png")
    assert run.returncode == 0, run.stderr
    sheet = cv2.imread(str(recorded.parent / "sheet.png"))
    assert sheet is not None
    sheet = cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB)
    num_rows = sheet.shape[0] // (128 + 6)
    assert sheet.shape == (num_rows * (128 + 6) + 6, 2 * (2 * 256 + 6) + 6, 3)
    with RecordedPairs(recorded) as pairs:
        both = [[pairs.picture(name, index) for name in ("rgb", "synthesized")] for index in range(len(pairs))]
    beside = [np.hstack([picture for picture in pictures if picture is not None]) for pictures in both]
    assert any(np.array_equal(sheet[6:134, 6:518], pictures) for pictures in beside)


def test_replayed_without_a_window_it_is_a_video(recorded: Path) -> None:
    run = vidrive(recorded.parent, "replay", "drive", "--labels")
    assert run.returncode == 0, run.stderr
    assert "writing replay.mp4 instead of opening a window" in run.stderr
    run = vidrive(
        recorded.parent, "replay", "drive", "--model", "street-photo", "--beside", "recorded", "--record", "d.mp4"
    )
    assert run.returncode == 0, run.stderr
    run = vidrive(recorded.parent, "replay", "drive", "--model", "street-photo", "--record", "b.mp4")
    assert run.returncode == 0, run.stderr
    run = vidrive(recorded.parent, "export", "drive", "--format", "video", "--out", "c.mp4")
    assert run.returncode == 0, run.stderr
    for name in ("replay.mp4", "b.mp4", "c.mp4", "d.mp4"):
        with av.open(str(recorded.parent / name)) as video:
            assert [(frame.width, frame.height) for frame in video.decode(video=0)] == [(512, 128)] * 40
    # The same weights paint the recorded pictures, so both videos show the same.
    frames = []
    for name in ("b.mp4", "c.mp4"):
        with av.open(str(recorded.parent / name)) as video:
            frames.append([frame.to_ndarray(format="gray") for frame in video.decode(video=0)][20])
    assert np.array_equal(frames[0][: 128 // 2], frames[1][: 128 // 2])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("render", "drive", "--out", "x", "--labels", "carla"), "says itself what its labels mean"),
        (("render", "drive", "--out", "x", "--size", "128x128"), "is of another shape"),
        (("render", "drive", "--out", "drive"), "is a recording, and pictures would lie among its files"),
        (("record", "--out", "drive"), "drive is not empty"),
        (("replay", "nowhere"), "there is no folder nowhere"),
        (("replay", "drive", "--headless", "--beside", "recorded"), "--beside compares with the model of --model"),
        (("replay", "drive", "--record", "x.avi"), "x.avi is not a video"),
        (("replay", "drive", "--headless", "--model", "nightmare"), "there is no model 'nightmare'"),
        (("export", "drive", "--format", "vid2vid", "--out", "drive"), "the export would lie among its files"),
        (("export", "drive", "--format", "video", "--out", "x", "--labels", "carla"), "--labels means nothing"),
        (("export", "drive", "--format", "video", "--out", "x"), "x is not a video"),
        (("export", ".", "--format", "rerun", "--out", "x.rrd"), "is not a recording: it has no manifest.json"),
        (("record", "--out", "y", "--no-render", "--model", "street-photo"), "--no-render synthesizes nothing"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    recorded: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.setattr("renderer.backends.host.prepare_process", lambda: None)  # refuses where torch is imported
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(recorded.parent)
    before = sorted(recorded.parent.rglob("*"))
    assert main(list(words)) == 2
    said = capfd.readouterr().err
    assert sentence in next(line for line in said.splitlines() if line.startswith("error: "))
    assert sorted(recorded.parent.rglob("*")) == before


def test_killed_while_it_records_it_opens_and_renders(tmp_path: Path) -> None:
    words = ["record", "--out", "drive", "--size", "128x64", "--seconds", "1000"]
    with subprocess.Popen(
        [sys.executable, "-m", "clients", *words],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "s driven" in line:
                break
        process.send_signal(signal.SIGKILL)
    recording = Recording(tmp_path / "drive")
    assert "was not closed" in recording.note
    assert len(recording) > 10
    run = vidrive(tmp_path, "render", "drive", "--model", "street-photo", "--out", "again")
    assert run.returncode == 0, run.stderr
    assert "was not closed" in run.stderr
    assert f"{len(recording)} of {len(recording)} pictures are the recorded ones" in run.stderr
    run = vidrive(tmp_path, "replay", "drive", "--headless")
    assert run.returncode == 0, run.stderr
    run = vidrive(tmp_path, "export", "drive", "--format", "vid2vid", "--out", "v")
    assert run.returncode == 0, run.stderr
    num_pictures = len(list((tmp_path / "v" / "train_B").rglob("*.png")))
    assert 0 <= len(recording) - num_pictures <= 20, "more than the last second of pictures is lost"


def test_without_rerun_the_export_says_what_to_install(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["export", str(recorded), "--format", "rerun", "--out", str(recorded.parent / "x.rrd")]
    assert main(words) == 2
    assert "needs the package rerun-sdk, which is not installed. pip install 'vidrive[rerun]'" in capfd.readouterr().err
    assert not (recorded.parent / "x.rrd").exists()


def test_int8_takes_its_ranges_from_it_and_says_how_good_it_is(recorded: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    run = vidrive(tmp_path, "weights", "calibrate", str(recorded), "--out", "drive.ranges")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "drive.ranges: 11 frames for ranges, 3 to judge by\n"
    words = ("serve", "--backend", "int8", "--calibration", "drive.ranges", "--listen", "tcp://127.0.0.1:*")
    with subprocess.Popen(
        [sys.executable, "-m", "clients", *words],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        process.terminate()
        _, log = process.communicate(timeout=TIMEOUT_S)
    (told,) = [line for line in log.splitlines() if line.startswith("int8: ")]
    assert told.endswith("on 3 frames of " + str(recorded) + " that its ranges are not from")
    assert float(told.split()[1]) >= 30.0
    assert "(cpu, int8, " in log


@pytest.mark.slow
def test_every_trainer_learns_from_a_recording(recorded: Path, tmp_path: Path) -> None:
    """`vidrive record`, then `vidrive train`: a live look and a segmentation network of it, a vid2vid of its export."""

    def train(preset: str, data: str, *settings: str) -> Path:
        flags = [word for setting in settings for word in ("--set", setting)]
        run = vidrive(tmp_path, "train", preset, "--data", data, "--out", preset, *flags)
        assert run.returncode == 0, run.stderr
        lines = [json.loads(line) for line in (tmp_path / preset / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "frames_a_second" in line] == [1, 2]
        return tmp_path / preset

    (tmp_path / "drives" / "train").mkdir(parents=True)
    (tmp_path / "drives" / "train" / "drive").symlink_to(recorded)
    schedule = ("schedule.num_steps=2", "schedule.batch_size=1", "schedule.report_every=1")
    crops = [f"clips.{side}" for side in ("width_px=64", "height_px=32", "annotation.share=1")]
    live = train("street-town", "drives", *schedule, *crops, "recordings.every=4", "schedule.adversarial_after=1")
    assert load_live(live / "street-town.safetensors").config.tones
    crops = ["crops.width_px=64", "crops.height_px=32", "evaluation.look=''"]
    found = train("street-town-segmentation", "drives", *schedule, *crops)
    assert load_segmentation(str(found / "street-town-segmentation.safetensors")).num_classes == 13

    run = vidrive(tmp_path, "export", str(recorded), "--format", "vid2vid", "--out", "exported")
    assert run.returncode == 0, run.stderr
    generator = [f"generator.{part}" for part in ("width=4", "num_down=1", "num_blocks=2", "num_local_blocks=1")]
    stages = ["schedule.stages.0.steps=1", "schedule.stages.1.steps=1", "schedule.stages.1.decay_steps=0"]
    sizes = ["data.width_px=128", "data.height_px=64", "data.flow=files", "discriminators.width=4"]
    shown = ["report.metrics_every=1", "report.preview_frames=3", "perceptual.network=none"]
    video = train("street-small", "exported", *generator, *stages, *sizes, *shown)
    assert (video / "model" / "latest_net_G1.pth").is_file()
