"""Parameters and arithmetic of SPADE, pix2pixHD and imaginaire against those counted on the published networks.

The numbers of operations pin the wiring: which layer runs at which size, on how many channels, in which frame. They
were counted with the same tool on upstream's networks; here the embedding of the last frame's labels is remembered and
not computed again, which is the one difference.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from renderer.inputs import ModelInput
from renderer.models import imaginaire
from renderer.models.family import find_family
from renderer.models.imaginaire_networks import Imaginaire, ImaginaireConfig
from renderer.models.pix2pixhd_networks import Pix2PixHDConfig
from renderer.models.spade_networks import SpadeConfig

SIZE_HW = (256, 512)
EMBEDDING_GFLOP = 32.841
GLOBAL = Pix2PixHDConfig(
    kind="global", num_labels=35, instance_edges=True, width=64, num_down=4, native_size_hw=(512, 1024)
)
LOCAL = msgspec.structs.replace(GLOBAL, kind="local", width=32)
SPADE = SpadeConfig(num_labels=35, instance_edges=True, upsampling="more", native_size_hw=SIZE_HW)
VIDEO = ImaginaireConfig()
WORLD = ImaginaireConfig(modulation_kernel_px=3, guidance_hidden=128)


def case(family: str, config: msgspec.Struct, parameters: int, first: float, steady: float, name: str) -> Any:
    return pytest.param(family, config, parameters, first, steady, id=name)


@pytest.mark.parametrize(
    ("family", "config", "parameters", "first", "steady"),
    [
        case("pix2pixhd", GLOBAL, 182_546_755, 244.662, 244.662, "label2city_512p"),
        case("pix2pixhd", LOCAL, 182_857_059, 93.491, 93.491, "label2city_1024p"),
        case(
            "pix2pixhd",
            msgspec.structs.replace(LOCAL, num_features=3, encoder_width=16),
            182_871_171 + 788_803,
            98.99,
            95.341,
            "label2city_1024p_feat",
        ),
        case("spade", SPADE, 93_048_003, 562.553, 562.553, "cityscapes"),
        case(
            "spade",
            msgspec.structs.replace(SPADE, latent_dim=256, latent_size_hw=(4, 8), encoder_width=64),
            101_136_579 + 10_463_424,
            564.803,
            562.549,
            "cityscapes_vae",
        ),
        case("imaginaire", VIDEO, 346_972_262, 93.169, 391.664 - EMBEDDING_GFLOP, "imaginaire"),
        case("imaginaire", WORLD, 633_518_950, 211.818, 939.197 - EMBEDDING_GFLOP, "imaginaire_wc"),
    ],
)
def test_networks_have_the_published_parameters_and_operations(
    family: str, config: msgspec.Struct, parameters: int, first: float, steady: float
) -> None:
    with torch.device("meta"):
        network = find_family(family).build(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    frames = find_family(family).dry_run(network, config, SIZE_HW)
    for kind, expected in (("first", first), ("steady", steady)):
        with FlopCounterMode(display=False) as counted:
            assert next(frames) == kind
        assert counted.get_total_flops() / 1e9 == pytest.approx(expected, abs=1.1e-3)


@pytest.mark.parametrize(("config", "expected"), [(VIDEO, 259.946), (WORLD, 569.184)], ids=["video", "world"])
def test_second_frames_are_drawn_from_the_first_without_flow(config: ImaginaireConfig, expected: float) -> None:
    with torch.device("meta"):
        generator = Imaginaire(config).G
        frame = ModelInput(torch.zeros(1, *SIZE_HW, dtype=torch.uint8))
    _, state = imaginaire.advance(generator, frame, None)
    with FlopCounterMode(display=False) as counted:
        imaginaire.advance(generator, frame, state)
    assert counted.get_total_flops() / 1e9 == pytest.approx(expected - EMBEDDING_GFLOP, abs=1.1e-3)
