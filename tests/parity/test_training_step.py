"""The terms of one training step of vid2vid, beside what upstream's own code made of the same tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from golden import FOLDER, frozen_weights
from torch import Tensor

from renderer.models.vid2vid_networks import FLOW_UNIT_PX, Drawing
from renderer.train.video.discriminators import PatchStack, skipped_frames, temporal_planes
from renderer.train.video.objective import feature_matching_loss, flow_terms, gan_loss, warp_loss

NAME = "train_label2city_512"
IMAGE_CHANNELS, TEMPORAL_CHANNELS, WIDTH = 39, 13, 8
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # not used while training
RELATIVE = 1e-4


@dataclass(frozen=True)
class Step:
    """Stored tensors of the step, and what upstream made of them."""

    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]

    def stack(self, network: str, channels: int) -> PatchStack:
        stack = PatchStack(channels, WIDTH, 2)
        shapes = {key: tuple(shape) for key, shape in self.about["shapes"][network].items()}
        learnt = {key: shape for key, shape in shapes.items() if not key.endswith(STATISTICS)}
        stack.load_state_dict(frozen_weights(NAME, network, learnt), strict=False)
        return stack


@pytest.fixture(scope="module")
def step() -> Step:
    with np.load(FOLDER / f"{NAME}.npz") as file:
        tensors = {key: torch.from_numpy(file[key]) for key in file.files if key != "about"}
        return Step(tensors, json.loads(str(file["about"])))


@pytest.mark.parametrize(("network", "channels"), [("D", IMAGE_CHANNELS), ("D_T0", TEMPORAL_CHANNELS)])
def test_discriminators_have_upstreams_tensors(step: Step, network: str, channels: int) -> None:
    own = {key: list(tensor.shape) for key, tensor in PatchStack(channels, WIDTH, 2).state_dict().items()}
    assert own == step.about["shapes"][network]


@torch.no_grad()
def test_terms_of_single_pictures_are_upstreams(step: Step) -> None:
    t, stack = step.tensors, step.stack("D", IMAGE_CHANNELS)
    real, drawn, raw = (stack(torch.cat([t["real_A"], t[name]], 1)) for name in ("real_B", "fake_B", "fake_B_raw"))
    assert [[list(layer.shape) for layer in scale] for scale in drawn] == step.about["D_output_shapes_fine_to_coarse"]
    assert torch.allclose(real[0][-1], t["pred_0_4"], atol=1e-5)
    assert torch.allclose(real[1][-1], t["pred_1_4"], atol=1e-5)
    drawing = Drawing(t["fake_B"], t["fake_B_raw"], t["flow"], t["weight"], None)
    of_flow = flow_terms(drawing, t["real_B"], t["real_B_prev"], t["flow_ref"], t["conf"])
    own = {
        "G_GAN": gan_loss(drawn, 1.0) + gan_loss(raw, 1.0),
        "G_GAN_Feat": 10 * (feature_matching_loss(drawn, real) + feature_matching_loss(raw, real)),
        "D_real": 2 * gan_loss(real, 1.0),
        "D_fake": gan_loss(drawn, 0.0) + gan_loss(raw, 0.0),
        "G_Warp": 10 * warp_loss(t["fake_B"], t["fake_B_prev"], t["flow_ref"], t["conf"]),
        "F_Flow": 10 * of_flow["flow"],
        "F_Warp": 10 * of_flow["flow_warp"],
    }
    assert {name: value.item() for name, value in own.items()} == pytest.approx(
        {name: step.about["losses"][name] for name in own}, rel=RELATIVE
    )
    mask = (t["weight"].numpy() * t["conf"].numpy()).mean()  # upstream left it out of this step
    assert of_flow["occlusion_mask"].item() == pytest.approx(mask, rel=RELATIVE)


@torch.no_grad()
def test_terms_of_several_frames_are_upstreams(step: Step) -> None:
    t, stack = step.tensors, step.stack("D_T0", TEMPORAL_CHANNELS)
    flows = list(t["T_flow"].unbind(1))
    real, drawn = (
        stack(temporal_planes(list(t[name].unbind(1)), flows, FLOW_UNIT_PX)) for name in ("T_real", "T_fake")
    )
    own = {
        "G_T_GAN": gan_loss(drawn, 1.0),
        "G_T_GAN_Feat": 10 * feature_matching_loss(drawn, real),
        "D_T_real": gan_loss(real, 1.0),
        "D_T_fake": gan_loss(drawn, 0.0),
    }
    assert {name: value.item() for name, value in own.items()} == pytest.approx(
        {name: step.about["losses_T0"][name] for name in own}, rel=RELATIVE
    )


@pytest.mark.parametrize("scale", [0, 1])
def test_temporal_discriminators_see_the_frames_that_upstreams_do(step: Step, scale: int) -> None:
    each = [[list(group) for group in skipped_frames(seen, 2, scale, 3)] for seen in range(2, 31, 2)]
    assert [groups for groups in each if groups] == step.about["skipped"][str(scale)]
