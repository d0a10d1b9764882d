"""SPADE and pix2pixHD against stored numbers of the published networks, from the keys of their files on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from golden import frozen_weights, load_case
from torch import Tensor, nn

from renderer.inputs import ModelInput
from renderer.models import pix2pixhd, spade
from renderer.models.family import Family, check_fit, shapes_of
from renderer.models.pix2pixhd_networks import Pix2PixHDConfig
from renderer.models.spade_networks import SpadeConfig
from renderer.models.speed import REFERENCE, Speed

Shapes = dict[str, tuple[int, ...]]

CITY_SPADE = SpadeConfig(num_labels=35, instance_edges=True, width=8, upsampling="more", native_size_hw=(256, 512))
CITY_LOCAL = Pix2PixHDConfig(
    kind="local", num_labels=35, instance_edges=True, width=8, num_down=4, native_size_hw=(1024, 2048)
)
CASES: dict[str, tuple[Family, msgspec.Struct, Callable[..., Tensor]]] = {
    "spade_cityscapes": (spade.FAMILY, CITY_SPADE, lambda n, f, s: spade.draw(n, f, None, s)),
    "p2phd_label2city_1024p": (pix2pixhd.FAMILY, CITY_LOCAL, lambda n, f, s: pix2pixhd.draw(n, f, None, s)),
}


def published_shapes(network: nn.Module) -> Shapes:
    """Return the shapes of the generator's published file: spectral norms apart, running statistics counted."""
    published: Shapes = {}
    for key, shape in shapes_of(network).items():
        key = key.removeprefix("G.")
        owner, _, leaf = key.rpartition(".")
        if leaf == "weight" and owner.rpartition(".")[2] in ("conv_0", "conv_1", "conv_s"):
            columns = int(np.prod(shape[1:]))
            published |= {f"{key}_orig": shape, f"{key}_u": shape[:1], f"{key}_v": (columns,)}
            continue
        published[key] = shape
        if leaf == "running_var":
            published[f"{owner}.num_batches_tracked"] = ()
    return published


@lru_cache(maxsize=1)
def imported(name: str) -> tuple[nn.Module, msgspec.Struct]:
    """Return a case's networks with its weights, come the way that files come, and the configuration found in them."""
    family, config, _ = CASES[name]
    with torch.device("meta"):
        shapes = published_shapes(family.build(config))
    counted = {key: torch.tensor(7) for key in shapes if key.endswith("num_batches_tracked")}
    tensors = frozen_weights(name, "G", {key: shape for key, shape in shapes.items() if key not in counted}) | counted
    recognition = family.recognise({"latest_net_G.pth": shapes})
    assert recognition is not None
    with torch.device("meta"):
        network = family.build(recognition.config)
    ours = {f"G.{key}": value for key, value in family.adapt(recognition.config, "G", tensors).items()}
    check_fit(shapes_of(network), {key: tuple(value.shape) for key, value in ours.items()})
    network.load_state_dict(ours, assign=True)
    return network.eval(), recognition.config


@pytest.mark.parametrize("name", list(CASES))
def test_the_configuration_is_found_in_the_shapes(name: str) -> None:
    assert imported(name)[1] == CASES[name][1]


@torch.inference_mode()
@pytest.mark.parametrize("speed", [REFERENCE, Speed()], ids=["reference", "fast"])
@pytest.mark.parametrize("name", list(CASES))
def test_pictures_are_those_of_the_published_networks(name: str, speed: Speed) -> None:
    case, (network, _), draw = load_case(name), imported(name), CASES[name][2]
    stored = [key.removesuffix("/image") for key in case.arrays if key.endswith("/image")]
    assert len(stored) == 2
    for frame in stored:
        picture_B3HW = draw(network, input_of(case.arrays, frame), speed)
        error = (case.sampled(picture_B3HW[0]) - torch.from_numpy(case.arrays[f"{frame}/image"])).abs().max()
        assert float(error) <= case.limit("image"), frame


def input_of(arrays: Mapping[str, Any], frame: str) -> ModelInput:
    """Return the stored labels and instances of a frame."""
    instances = torch.from_numpy(arrays[f"{frame}/instances"].astype(np.int32))
    return ModelInput(torch.from_numpy(arrays[f"{frame}/labels"])[None], instances_B1HW=instances[None, None])
