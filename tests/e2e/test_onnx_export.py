"""Every family as ONNX: imported, exported, loaded in ONNX Runtime, and its pictures against torch's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from renderer.backends.compiled import check_agreement
from renderer.inputs import ModelInput, instance_edges, one_hot, regions
from renderer.models import imaginaire, pix2pixhd, spade, vid2vid
from renderer.models.family import find_family
from renderer.models.imaginaire_networks import ImaginaireConfig
from renderer.models.imported import load_network, read_config
from renderer.models.live import LiveConfig, LiveGenerator
from renderer.models.pix2pixhd_networks import Pix2PixHDConfig
from renderer.models.spade_networks import SpadeConfig
from renderer.weights_export import export_live
from renderer.weights_store import read_imported_card
from tests.e2e.published_checkpoints import CONFIG, Weights, error_of, write

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

SIZE_HW = (64, 128)
ATOL = 1e-3
VIDEO = msgspec.structs.replace(CONFIG, first_pictures="given", single=None)
POSES = msgspec.structs.replace(
    VIDEO, num_labels=0, instance_edges=False, dense_channels=6, foreground=False, foreground_labels=()
)
GLOBAL = Pix2PixHDConfig(
    kind="global", num_labels=35, instance_edges=True, width=4, num_down=2, num_blocks=2, native_size_hw=(512, 1024)
)
LOCAL = msgspec.structs.replace(GLOBAL, kind="local", num_local_blocks=1, native_size_hw=(1024, 2048))
FEATURES = msgspec.structs.replace(GLOBAL, num_features=3, encoder_width=4, encoder_num_down=2)
SPADE = SpadeConfig(num_labels=35, instance_edges=True, width=2, hidden=4, upsampling="more", native_size_hw=(256, 512))
STYLED = msgspec.structs.replace(SPADE, latent_dim=8, latent_size_hw=(1, 2), native_size_hw=SIZE_HW)
STREAM = ImaginaireConfig(
    width=2,
    max_width=8,
    num_layers=5,
    num_down=2,
    num_blocks=2,
    num_fine_layers=2,
    embedding_width=2,
    embedding_max_width=8,
    embedding_num_down=3,
    warped_width=2,
    warped_max_width=8,
    flow_width=2,
    flow_max_width=8,
    flow_num_down=3,
    flow_num_blocks=2,
)
WORLD = msgspec.structs.replace(STREAM, modulation_kernel_px=3, guidance_hidden=4)
CONFIGS: Mapping[str, tuple[str, msgspec.Struct]] = {
    "vid2vid": ("vid2vid", VIDEO),
    "vid2vid of poses": ("vid2vid", POSES),
    "pix2pixHD global": ("pix2pixhd", GLOBAL),
    "pix2pixHD local": ("pix2pixhd", LOCAL),
    "pix2pixHD with features": ("pix2pixhd", FEATURES),
    "SPADE": ("spade", SPADE),
    "SPADE with styles": ("spade", STYLED),
    "imaginaire": ("imaginaire", STREAM),
    "imaginaire, world-consistent": ("imaginaire", WORLD),
}


def frames_of(number: int, dense_channels: int) -> list[ModelInput]:
    """Random blocks of labels, instances and planes."""
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(number):
        labels = np.kron(rng.choice(np.array([7, 11, 26], np.uint8), (8, 16)), np.ones((8, 8), np.uint8))
        instances = torch.from_numpy(np.kron(rng.integers(0, 3, (8, 16), np.int32), np.ones((8, 8), np.int32)))
        dense = torch.from_numpy(rng.random((1, dense_channels, *SIZE_HW), np.float32)) if dense_channels else None
        picture = torch.from_numpy(rng.uniform(-1, 1, (1, 3, *SIZE_HW)).astype(np.float32))
        frames.append(
            ModelInput(
                torch.from_numpy(labels)[None],
                instances_B1HW=instances[None, None],
                dense_BCHW=dense,
                first_B3HW=picture,
            )
        )
    return frames


def video(network: Any, config: Any) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The inputs of a fourth frame, and each scale's pictures after it."""
    *past, last = frames_of(4, config.dense_channels)
    state = None
    for frame in past:
        _, state = vid2vid.advance(network, frame, state)
    assert state is not None
    planes = []
    for frame in (*past[1:], last):
        own = frame.dense_BCHW
        if own is None:
            assert frame.instances_B1HW is not None
            own = torch.cat([one_hot(frame.labels_BHW, 35), instance_edges(frame.instances_B1HW)], 1)
        planes.append(own)
    inputs = {f"pictures_{scale}": torch.cat(pictures) for scale, pictures in enumerate(state.pictures)}
    _, after = vid2vid.advance(network, last, state)
    return {"planes": torch.cat(planes), **inputs}, [torch.cat(scale) for scale in after.pictures]


def single(network: Any, config: Any) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The inputs of one picture of labels, and the picture."""
    (frame,) = frames_of(1, 0)
    regions_B1HW = regions(frame.labels_BHW, frame.instances_B1HW)
    planes = [one_hot(frame.labels_BHW, 35), instance_edges(regions_B1HW)]
    if isinstance(config, SpadeConfig):
        style_BZ = torch.linspace(-1, 1, config.latent_dim)[None] if config.latent_dim else None
        inputs = {"planes": torch.cat(planes, 1)} | ({} if style_BZ is None else {"style": style_BZ})
        return inputs, [spade.draw(network, frame, style_BZ)]
    features_1FHW = torch.rand(1, config.num_features, *SIZE_HW)
    picture_B3HW = pix2pixhd.draw(network, frame, lambda *_: features_1FHW)
    return {"planes": torch.cat([*planes, features_1FHW], 1)}, [picture_B3HW]


def stream(network: Any, config: Any) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The inputs of a third frame, and its picture."""
    frames = frames_of(3, 0)
    state = None
    for frame in frames[:2]:
        _, state = imaginaire.advance(network.G, frame, state)
    assert state is not None
    drawing, _ = imaginaire.advance(network.G, frames[2], state)
    inputs = {
        "planes": torch.cat([one_hot(frame.labels_BHW, 35) for frame in frames]),
        "pictures": torch.cat(state.pictures),
    }
    if config.guidance_hidden:
        inputs["known_colours"] = torch.zeros(1, 4, *SIZE_HW)
    return inputs, [drawing.picture_B3HW]


RUNS: Mapping[str, Callable[[Any, Any], tuple[dict[str, Tensor], list[Tensor]]]] = {
    "vid2vid": video,
    "pix2pixhd": single,
    "spade": single,
    "imaginaire": stream,
}


def write_checkpoint(network: nn.Module, folder: Path) -> Path:
    """Write a network's roles as files of a published folder."""
    folder.mkdir()
    roles: dict[str, dict[str, Tensor]] = {}
    for key, value in network.state_dict().items():
        role, _, rest = key.partition(".")
        roles.setdefault(role, {})[rest] = value
    for role, tensors in roles.items():
        torch.save(tensors, folder / f"latest_net_{role}.pth")
    return folder


def run_onnx(file: Path, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    loaded = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    assert {one.name for one in loaded.get_inputs()} == inputs.keys()
    return [torch.from_numpy(one) for one in loaded.run(None, {key: value.numpy() for key, value in inputs.items()})]


SLOW = ("vid2vid of poses", "SPADE with styles", "imaginaire, world-consistent")
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CONFIGS]


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_pictures_of_onnx_runtime_are_those_of_torch(name: str, weights: Weights, tmp_path: Path) -> None:
    family_name, config = CONFIGS[name]
    family = find_family(family_name)
    torch.manual_seed(4)
    folder = write_checkpoint(family.build(config), tmp_path / "mine")
    assert weights("import", folder).code == 0
    exported = weights("export", "mine", "--onnx", "mine.onnx", "--size", f"{SIZE_HW[1]}x{SIZE_HW[0]}")
    assert exported.code == 0, exported.stderr
    assert [path.name for path in tmp_path.glob("*mine.onnx*")] == ["mine.onnx"]
    card = read_imported_card("mine")
    found_config = read_config(card, family)
    inputs, expected = RUNS[family_name](load_network(card, family, found_config), found_config)
    found = run_onnx(tmp_path / "mine.onnx", inputs)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert float(other.std()) > 0.01
        torch.testing.assert_close(one, other, rtol=0, atol=ATOL)


@pytest.mark.parametrize("family_name", ["vid2vid", "imaginaire"])
@torch.inference_mode()
def test_the_first_picture_of_a_video_is_torchs_too(family_name: str, weights: Weights, tmp_path: Path) -> None:
    family = find_family(family_name)
    torch.manual_seed(4)
    network = family.build(CONFIG if family_name == "vid2vid" else STREAM)
    roles: dict[str, dict[str, Tensor]] = {}
    for key, value in network.state_dict().items():
        role, _, rest = key.partition(".")
        roles.setdefault(role, {})[rest] = value
    folder = write(roles) if family_name == "vid2vid" else write_checkpoint(network, tmp_path / "city")
    assert weights("import", folder, "--name", "mine").code == 0
    size = f"{SIZE_HW[1]}x{SIZE_HW[0]}"
    exported = weights("export", "mine", "--first", "--onnx", "first.onnx", "--size", size)
    assert exported.code == 0, exported.stderr
    card = read_imported_card("mine")
    config = read_config(card, family)
    loaded: Any = load_network(card, family, config)
    (frame,) = [replace(frame, first_B3HW=None) for frame in frames_of(1, 0)]
    if family_name == "vid2vid":
        expected = vid2vid.advance(loaded, frame, None)[0].picture_B3HW
    else:
        expected = imaginaire.advance(loaded.G, frame, None)[0].picture_B3HW
    (found,) = run_onnx(tmp_path / "first.onnx", {"planes": one_hot(frame.labels_BHW, config.num_labels)})
    assert float(expected.std()) > 0.01
    torch.testing.assert_close(found, expected, rtol=0, atol=ATOL)


def test_frames_that_are_all_alike_have_no_first_one(weights: Weights, tmp_path: Path) -> None:
    torch.manual_seed(4)
    assert weights("import", write_checkpoint(spade.FAMILY.build(SPADE), tmp_path / "mine")).code == 0
    run = weights("export", "mine", "--first", "--onnx", "mine.onnx", "--size", f"{SIZE_HW[1]}x{SIZE_HW[0]}")
    assert run.code == 2
    assert "error: the frames of these weights are all drawn alike. Leave --first out" in run.stderr
    assert not (tmp_path / "mine.onnx").exists()


@pytest.mark.parametrize("config", [LiveConfig(), LiveConfig(noise=True, recall=0.9, margin_px=16)])
@torch.inference_mode()
def test_the_live_family(config: LiveConfig, tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = LiveGenerator(config).eval()
    export_live(network, tmp_path / "live.onnx", SIZE_HW)
    inputs = {
        "labels": torch.randint(0, config.num_labels, (1, *SIZE_HW), dtype=torch.uint8),
        "warped": torch.rand(1, 3, *SIZE_HW) * 2 - 1,
        "valid": (torch.rand(1, 1, *SIZE_HW) < 0.7).float(),
    }
    (found,) = run_onnx(tmp_path / "live.onnx", inputs)
    expected = network(inputs["labels"], inputs["warped"], inputs["valid"])
    torch.testing.assert_close(found, expected, rtol=0, atol=ATOL)


@torch.inference_mode()
def test_the_live_family_in_float16_is_typed_throughout(tmp_path: Path) -> None:
    """What TensorRT's own package is given: layers in float16, labels as int32, the blend in float32."""
    torch.manual_seed(4)
    network = LiveGenerator(LiveConfig(noise=True, recall=0.9, margin_px=16)).eval()
    export_live(network, tmp_path / "half.onnx", SIZE_HW, torch.float16)
    onnx = pytest.importorskip("onnx")
    kinds = {
        tensor.data_type for tensor in onnx.load(tmp_path / "half.onnx").graph.initializer if len(tensor.dims) == 4
    }
    assert kinds == {onnx.TensorProto.FLOAT16}
    inputs = {
        "labels": torch.randint(0, 13, (1, *SIZE_HW), dtype=torch.int32),
        "warped": torch.rand(1, 3, *SIZE_HW) * 2 - 1,
        "valid": (torch.rand(1, 1, *SIZE_HW) < 0.7).float(),
    }
    (found,) = run_onnx(tmp_path / "half.onnx", inputs)
    expected = network(inputs["labels"], inputs["warped"], inputs["valid"])
    assert found.dtype == torch.float32
    check_agreement(found, expected, torch.float16)


def test_a_size_that_the_model_cannot_draw_is_refused(weights: Weights, tmp_path: Path) -> None:
    torch.manual_seed(4)
    assert weights("import", write_checkpoint(pix2pixhd.FAMILY.build(GLOBAL), tmp_path / "mine")).code == 0
    run = weights("export", "mine", "--onnx", "mine.onnx", "--size", "130x66")
    assert "mine draws frames of multiples of 4 px, and not 130x66. Choose another --size" in error_of(run)
    assert not list(tmp_path.glob("*.onnx*"))
