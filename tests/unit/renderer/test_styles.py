"""Looks that a person chooses: how they are written, what they do, and that they hold still over a sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from bridge.protocol.errors import RenderRefused, UsageError
from bridge.protocol.messages import ModelCard
from renderer.inputs import ModelInput
from renderer.models.base import Model
from renderer.models.family import ModelParts, find_family
from renderer.models.pix2pixhd_networks import Pix2PixHDConfig
from renderer.models.spade_networks import Spade, SpadeConfig
from renderer.models.speed import Speed
from renderer.models.style import (
    BlendedStyle,
    NamedStyle,
    PictureStyle,
    SeededStyle,
    Style,
    VectorStyle,
    read_style,
    style_shares,
)

HEIGHT_PX, WIDTH_PX = 64, 128
SPADE = SpadeConfig(
    num_labels=35,
    instance_edges=True,
    width=2,
    hidden=8,
    upsampling="normal",
    latent_dim=6,
    latent_size_hw=(2, 4),
    encoder_width=2,
    native_size_hw=(HEIGHT_PX, WIDTH_PX),
)
REGIONS = Pix2PixHDConfig(
    kind="local",
    num_labels=35,
    instance_edges=True,
    width=2,
    num_down=2,
    num_blocks=1,
    num_features=3,
    encoder_width=2,
    encoder_num_down=2,
    cluster_rows={"7": 5, "26": 5},
    native_size_hw=(HEIGHT_PX, WIDTH_PX),
)
PLAIN = Pix2PixHDConfig(
    kind="global",
    num_labels=35,
    instance_edges=True,
    width=2,
    num_down=2,
    num_blocks=1,
    native_size_hw=(HEIGHT_PX, WIDTH_PX),
)


def model_of(family: str, config: Any, style: Style | None = None) -> Model[Any]:
    """Return a model with random weights, always the same ones."""
    torch.manual_seed(3)
    network: nn.Module = find_family(family).build(config).eval()
    for buffer in network.buffers():
        if buffer.dim() == 2:  # known looks
            buffer.uniform_(-1, 1)
    card = ModelCard(
        name="small",
        family=family,
        label_space="cityscapes",
        planes=("labels", "instances"),
        size_multiple_px=32,
        past_frames=0,
        weights_sha256="",
        licence="",
    )
    return find_family(family).make_model(ModelParts(card, config, network, torch.device("cpu"), Speed(), style))


def frame(car_px: int = 40, reference: np.ndarray | None = None) -> ModelInput:
    """A road with sky above and a car on it, at some column."""
    labels = np.full((HEIGHT_PX, WIDTH_PX), 7, np.uint8)
    labels[:20] = 23
    labels[24:48, car_px : car_px + 24] = 26
    instances = np.where(labels == 26, 26001, 0).astype(np.int32)
    reference_B3HW = None
    if reference is not None:
        reference_B3HW = (torch.from_numpy(reference).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
    return ModelInput(
        torch.from_numpy(labels)[None],
        instances_B1HW=torch.from_numpy(instances)[None, None],
        reference_B3HW=reference_B3HW,
    )


def photo(seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (4, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_NEAREST))


def difference(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.abs(first.astype(int) - second).max())


def test_a_number_is_a_seed_and_a_file_is_what_it_holds(tmp_path: Path) -> None:
    labels = np.full((HEIGHT_PX, WIDTH_PX), 7, np.uint8)
    cv2.imwrite(str(tmp_path / "a,b.png"), photo()[..., ::-1])
    cv2.imwrite(str(tmp_path / "labels.png"), labels)
    np.save(tmp_path / "z.npy", np.arange(6.0))
    picture, vector = f"{tmp_path}/a,b.png", f"{tmp_path}/z.npy"
    assert read_style("12") == SeededStyle(12)
    alone, labelled = read_style(picture), read_style(f"{picture}+{tmp_path}/labels.png")
    assert isinstance(alone, PictureStyle) and alone.labels is None and np.array_equal(alone.rgb, photo())
    assert (
        isinstance(labelled, PictureStyle) and labelled.labels is not None and np.array_equal(labelled.labels, labels)
    )
    values = read_style(vector)
    assert isinstance(values, VectorStyle) and values.values.tolist() == [0, 1, 2, 3, 4, 5]
    blend = read_style(f"{picture},7,0.25")
    assert isinstance(blend, BlendedStyle) and isinstance(blend.first, PictureStyle)
    assert (blend.second, blend.share) == (SeededStyle(7), 0.25)
    assert read_style("1,2,1") == BlendedStyle(SeededStyle(1), SeededStyle(2), 1.0)
    assert read_style("spring,cloudy,0.5") == BlendedStyle(NamedStyle("spring"), NamedStyle("cloudy"), 0.5)
    with pytest.raises(UsageError, match=r"is no style|no way between"):
        read_style(picture, files=False)


def test_the_shares_of_named_styles_are_those_that_were_asked_for() -> None:
    names = ("spring", "winter", "cloudy")
    asked = {"": [1, 0, 0], "winter": [0, 1, 0], "5": [0, 0, 1], "spring,cloudy,0.25": [0.75, 0, 0.25]}
    for text, shares in asked.items():
        assert style_shares(read_style(text) if text else None, names, "small") == shares
    with pytest.raises(UsageError, match=r"small has no such style. It has spring, winter, cloudy"):
        style_shares(NamedStyle("dusk"), names, "small")


@pytest.mark.parametrize(("family", "config"), [("spade", SPADE), ("pix2pixhd", REGIONS)])
def test_a_name_means_nothing_to_published_generators(family: str, config: Any) -> None:
    with pytest.raises(UsageError, match="no style of the name 'dusk'"):
        model_of(family, config, NamedStyle("dusk"))


@pytest.mark.parametrize(
    "text", ["Dusk", "dusk.jpg", "-1", "1,2,3", "1,2", "1,0.5", "4294967296", "1,2,nan", "a,b", "a.png+b.png"]
)
def test_what_is_no_style_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_style(text)
    assert refused.value.hint


def test_a_damaged_style_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "z.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "photo.jpg").write_bytes(b"no picture")
    np.save(tmp_path / "bad.npy", np.array([1.0, np.nan]))
    for name in ("z.npy", "photo.jpg", "bad.npy"):
        with pytest.raises(UsageError):
            read_style(str(tmp_path / name))


def test_a_style_changes_the_picture_and_holds_over_a_sequence() -> None:
    model = model_of("spade", SPADE, SeededStyle(1))
    first, state = model.step(frame(), None)
    model.step(frame(60), state)
    again, _ = model.step(frame(), state)
    anew, _ = model.step(frame(), None)
    other, _ = model_of("spade", SPADE, SeededStyle(2)).step(frame(), None)
    assert np.array_equal(first.rgb, again.rgb) and np.array_equal(first.rgb, anew.rgb)
    assert difference(first.rgb, other.rgb) > 0


def test_a_way_between_two_styles_begins_and_ends_at_them() -> None:
    ends = (SeededStyle(1), SeededStyle(2))
    pictures = [
        model_of("spade", SPADE, style).step(frame(), None)[0].rgb
        for style in (*ends, *(BlendedStyle(*ends, share) for share in (0.0, 1.0, 0.5)))
    ]
    assert np.array_equal(pictures[0], pictures[2]) and np.array_equal(pictures[1], pictures[3])
    assert difference(pictures[4], pictures[0]) > 0 and difference(pictures[4], pictures[1]) > 0


def test_the_picture_that_comes_with_the_first_frame_sets_the_style_of_its_sequence() -> None:
    chosen, _ = model_of("spade", SPADE, PictureStyle(photo())).step(frame(), None)
    model = model_of("spade", SPADE)
    first, state = model.step(frame(reference=photo()), None)
    held, _ = model.step(frame(reference=photo(9)), state)
    neither, _ = model.step(frame(), None)
    assert np.array_equal(first.rgb, chosen.rgb) and np.array_equal(held.rgb, chosen.rgb)
    assert difference(neither.rgb, chosen.rgb) > 0


def test_the_vector_of_a_picture_is_the_mean_that_the_encoder_finds() -> None:
    torch.manual_seed(3)
    network = find_family("spade").build(SPADE).eval()
    assert isinstance(network, Spade)
    with torch.inference_mode():
        mean_BZ, log_variance_BZ = network.E((torch.from_numpy(photo()).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5)
    assert mean_BZ.shape == log_variance_BZ.shape == (1, 6)
    vector, _ = model_of("spade", SPADE, VectorStyle(mean_BZ[0].numpy())).step(frame(), None)
    picture, _ = model_of("spade", SPADE, PictureStyle(photo())).step(frame(), None)
    assert difference(vector.rgb, picture.rgb) <= 1


def test_known_looks_follow_their_instance_and_change_with_the_seed() -> None:
    first = model_of("pix2pixhd", REGIONS, SeededStyle(4))
    kept, state = first.step(frame(), None)
    first.step(frame(60), state)
    again, _ = first.step(frame(), state)
    unchosen, _ = model_of("pix2pixhd", REGIONS).step(frame(), None)
    seed_0, _ = model_of("pix2pixhd", REGIONS, SeededStyle(0)).step(frame(), None)
    others = [model_of("pix2pixhd", REGIONS, SeededStyle(seed)).step(frame(), None)[0].rgb for seed in range(5, 12)]
    assert np.array_equal(kept.rgb, again.rgb) and np.array_equal(unchosen.rgb, seed_0.rgb)
    assert max(difference(kept.rgb, other) for other in others) > 0


def test_a_labelled_picture_lends_each_class_its_own_look() -> None:
    labels = frame().labels_BHW[0].numpy()
    plain, _ = model_of("pix2pixhd", REGIONS, PictureStyle(photo())).step(frame(), None)
    labelled, _ = model_of("pix2pixhd", REGIONS, PictureStyle(photo(), labels)).step(frame(), None)
    encoded, _ = model_of("pix2pixhd", REGIONS).step(frame(reference=photo()), None)
    assert np.abs(labelled.rgb.astype(int) - encoded.rgb).max() <= 1  # one instance a class: the same regions
    assert difference(plain.rgb, labelled.rgb) > 0


def test_what_a_model_has_not_is_refused_with_a_sentence() -> None:
    bare = msgspec.structs.replace(REGIONS, cluster_rows={})
    for family, config, style in (
        ("pix2pixhd", PLAIN, SeededStyle(1)),
        ("pix2pixhd", bare, SeededStyle(1)),
        ("pix2pixhd", REGIONS, VectorStyle(np.zeros(4, np.float32))),
        ("spade", SPADE, VectorStyle(np.zeros(4, np.float32))),
        ("spade", SpadeConfig(num_labels=35, instance_edges=True, width=2, upsampling="more", native_size_hw=(64, 64)),
         SeededStyle(1)),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            model_of(family, config, style)
    with pytest.raises(RenderRefused, match="look"):
        model_of("pix2pixhd", bare).step(frame(), None)
    with pytest.raises(RenderRefused, match="128x64"):
        model_of("spade", SPADE).step(ModelInput(torch.zeros(1, 64, 64, dtype=torch.uint8)), None)
