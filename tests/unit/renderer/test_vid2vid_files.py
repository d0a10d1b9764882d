"""vid2vid's recognition of checkpoints by their tensors."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import torch

from bridge.protocol.errors import WeightsError
from renderer.models.family import Shapes, find_family, shapes_of
from renderer.models.registry import find_preset, model_names
from renderer.models.vid2vid_config import SingleConfig, Vid2vidConfig
from renderer.models.vid2vid_networks import Vid2vid
from tests.unit.renderer.vid2vid_cases import TWO_SCALES


def checkpoint(config: Vid2vidConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """Keys and shapes of a checkpoint's files, with the statistics that published files hold."""
    with torch.device("meta"):
        shapes = shapes_of(Vid2vid(config))
    files: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        role, _, rest = key.partition(".")
        network = files.setdefault(f"latest_net_{role}.pth", {})
        network[rest] = shape
        if len(shape) == 1 and rest.endswith("weight"):
            owner = rest.removesuffix("weight")
            network |= {f"{owner}running_mean": shape, f"{owner}running_var": shape, f"{owner}num_batches_tracked": ()}
    return files


VIDEO_PRESETS = [name for name in model_names() if find_preset(name).family == "vid2vid"]


@pytest.mark.parametrize("name", VIDEO_PRESETS)
def test_published_configuration_is_recognised_by_its_tensors(name: str) -> None:
    config = msgspec.convert(find_preset(name).config, Vid2vidConfig)
    files = checkpoint(config)
    found = find_family("vid2vid").recognise(dict(sorted(files.items(), reverse=True)))
    assert found is not None
    assert found.config == config
    assert dict(found.roles) == {source.removeprefix("latest_net_").removesuffix(".pth"): source for source in files}


def without(key: str) -> Callable[[dict[str, dict]], None]:
    def change(files: dict[str, dict]) -> None:
        del files[key]

    return change


def changed(source: str, key: str, shape: tuple[int, ...] | None) -> Callable[[dict[str, dict]], None]:
    def change(files: dict[str, dict]) -> None:
        if shape is None:
            del files[source][key]
        else:
            files[source][key] = shape

    return change


def mixed_stages(files: dict[str, dict]) -> None:
    other = msgspec.structs.replace(TWO_SCALES, width=16)
    files["latest_net_G1.pth"] = checkpoint(other)["latest_net_G1.pth"]


def other_inputs(files: dict[str, dict]) -> None:
    other = msgspec.structs.replace(TWO_SCALES, instance_edges=False)
    files["latest_net_G1.pth"] = checkpoint(other)["latest_net_G1.pth"]


def twice(files: dict[str, dict]) -> None:
    files["10_net_G0.pth"] = files["latest_net_G0.pth"]


def branchless(files: dict[str, dict]) -> None:
    other = msgspec.structs.replace(TWO_SCALES, foreground=False)
    files["latest_net_G1.pth"] = checkpoint(other)["latest_net_G1.pth"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (without("latest_net_G0.pth"), "the network of its coarsest scale, G0, is missing"),
        (mixed_stages, r"latest_net_G1.pth has model_down_seg.1.weight of \(8, 108, 7, 7\), and scale 1"),
        (other_inputs, "they read different inputs"),
        (branchless, "one has a foreground branch"),
        (twice, "several networks are of a coarsest scale: 10_net_G0.pth, latest_net_G0.pth"),
        (changed("latest_net_G0.pth", "model_res_img.0.conv_block.5.bias", None), "misses the tensor model_res_img.0"),
        (changed("latest_net_G1.pth", "surplus.weight", (3,)), "has the tensor surplus.weight, which this"),
        (changed("latest_net_G0.pth", "model_up_img.0.weight", (32, 17, 3, 3)), r"\(32, 17, 3, 3\).*\(32, 16, 3, 3\)"),
        (changed("latest_net_G0.pth", "model_down_seg.1.weight", (8, 60, 7, 7)), "reads 20 planes a frame"),
        (changed("latest_net_single.pth", "model.1.weight", (4, 36, 7, 7)), "no single-frame network fits"),
    ],
)
def test_networks_that_do_not_belong_together_are_refused(
    damage: Callable[[dict[str, dict]], None], sentence: str
) -> None:
    files = checkpoint(TWO_SCALES)
    damage(files)
    with pytest.raises(WeightsError, match=sentence):
        find_family("vid2vid").recognise(files)


def test_finer_scale_is_missed_by_its_width() -> None:
    files = checkpoint(msgspec.structs.replace(TWO_SCALES, num_scales=3, width=16))
    del files["latest_net_G1.pth"]
    with pytest.raises(WeightsError, match="is the network of scale 2 by its width, and that of scale 1 is missing"):
        find_family("vid2vid").recognise(files)


def test_single_network_of_the_stage_is_chosen_among_several() -> None:
    files: dict[str, Shapes] = dict(checkpoint(msgspec.structs.replace(TWO_SCALES, num_scales=1, num_down=3)))
    for num_down in (3, 4):
        single = SingleConfig(kind="global", width=4, num_down=num_down)
        with_single = msgspec.structs.replace(TWO_SCALES, single=single)
        files[f"net_G_{num_down}.pth"] = checkpoint(with_single)["latest_net_single.pth"]
    del files["latest_net_single.pth"]
    found = find_family("vid2vid").recognise(files)
    assert found is not None
    assert found.roles["single"] == "net_G_3.pth"
    assert found.unused == ("net_G_4.pth",)


def test_files_of_other_generators_are_none_of_this_family() -> None:
    assert find_family("vid2vid").recognise({"net_G.pth": {"model.1.weight": (4, 36, 7, 7)}}) is None
