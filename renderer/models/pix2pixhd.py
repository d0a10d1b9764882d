"""The family "pix2pixhd" (Wang et al. 2018): a picture of each label map by itself, its look chosen region by region.

The planes are the one-hot of the labels, instance edges, and for models with features a few numbers for each region.
Frames do not depend on each other; the style holds for all of them, so that video does not flicker.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from bridge.protocol.errors import RenderRefused
from renderer.inputs import ModelInput, instance_edges, one_hot, regions
from renderer.models import style as styles
from renderer.models.base import ModelOutput, Nothing, truncate_to_uint8
from renderer.models.family import Family, ModelParts, Traits
from renderer.models.fast_layers import prepare
from renderer.models.label_stack import LabelStack
from renderer.models.pix2pixhd_checkpoint import adapt, apply_options, recognise
from renderer.models.pix2pixhd_networks import Look, Pix2PixHD, Pix2PixHDConfig, make_look, seeded_look
from renderer.models.speed import REFERENCE, Speed


class Pix2PixHDModel:
    """A loaded pix2pixHD; see `Model`. Its style holds for all frames."""

    def __init__(self, parts: ModelParts) -> None:
        self.card = parts.card
        self.device = parts.device
        self.summary = f"{parts.device.type}, {parts.speed.precision}"
        self.config: Pix2PixHDConfig = parts.config
        assert isinstance(parts.network, Pix2PixHD)
        exact = tuple(name for name in ("E", "features") if hasattr(parts.network, name))
        self.network = prepare(parts.network, parts.device, parts.speed, exact)
        self.speed = parts.speed
        self._look: Look | None = None
        if parts.style is not None and not self.config.num_features:
            styles.refuse(parts.card.name)
        with torch.inference_mode():
            if parts.style is not None:
                self._look = make_look(self.network, parts.style, parts.device)

    @torch.inference_mode()
    def step(self, frame: ModelInput, state: Nothing | None) -> tuple[ModelOutput, Nothing]:
        """Synthesize one frame; the stages are `infer` and `to_uint8`."""
        start_s = time.perf_counter()
        picture_B3HW = draw(self.network, frame, self._look, self.speed)
        drawn_s = time.perf_counter()
        rgb = truncate_to_uint8(picture_B3HW)
        stages_ms = {"infer": (drawn_s - start_s) * 1e3, "to_uint8": (time.perf_counter() - drawn_s) * 1e3}
        return ModelOutput(rgb, stages_ms), state or Nothing()


def draw(network: Pix2PixHD, frame: ModelInput, look: Look | None = None, speed: Speed = REFERENCE) -> Tensor:
    """Return the picture of a frame, (B,3,H,W) float32 [-1, 1].

    Without a `look`, that of the frame's own reference picture, region by region, or known looks drawn with seed 0.
    Raises RenderRefused for a frame of a wrong size, or without what the model reads.
    """
    c = network.config
    height_px, width_px = frame.labels_BHW.shape[1:]
    smallest_px = 2 * c.size_multiple_px  # a norm needs more than one value, a reflected border of one pixel two
    if height_px % c.size_multiple_px or width_px % c.size_multiple_px or min(height_px, width_px) < smallest_px:
        raise RenderRefused(
            "bad-size",
            f"this model draws frames of multiples of {c.size_multiple_px} px, at least {smallest_px}, and not "
            f"{width_px}x{height_px}",
            "Choose another size",
        )
    regions_B1HW = regions(frame.labels_BHW, frame.instances_B1HW)
    planes, channels = _label_planes(c, frame, regions_B1HW, speed)
    if c.num_features:
        planes.append(_features(network, frame, regions_B1HW, look))
        channels += range(c.label_channels, c.label_channels + c.num_features)
    planes_BCHW = torch.cat(planes, 1)
    complete = len(channels) == c.label_channels + c.num_features
    index = None if complete else torch.tensor(channels, device=planes_BCHW.device)
    return network(LabelStack(planes_BCHW, index, planes_BCHW.new_zeros(0), merged=False))


def _label_planes(
    config: Pix2PixHDConfig, frame: ModelInput, regions_B1HW: Tensor, speed: Speed
) -> tuple[list[Tensor], list[int]]:
    """Return the planes of labels and edges, and the channel that each of them is."""
    if config.dense_channels:
        if frame.dense_BCHW is None or frame.dense_BCHW.shape[1] != config.dense_channels:
            raise RenderRefused(
                "missing-plane",
                f"this model reads {config.dense_channels} planes as they are, and they are not there",
                "Render a folder of them: a simulator does not make any",
            )
        planes, channels = [frame.dense_BCHW], list(range(config.dense_channels))
    elif speed.present_classes:
        classes = torch.unique(frame.labels_BHW)
        planes, channels = [(frame.labels_BHW[:, None] == classes[None, :, None, None]).float()], classes.tolist()
    else:
        planes, channels = [one_hot(frame.labels_BHW, config.num_labels)], list(range(config.num_labels))
    if config.instance_edges:
        planes.append(instance_edges(regions_B1HW))
        channels.append(config.dense_channels or config.num_labels)
    return planes, channels


def _features(network: Pix2PixHD, frame: ModelInput, regions_B1HW: Tensor, look: Look | None) -> Tensor:
    c = network.config
    if look is not None:
        return look(regions_B1HW, frame.labels_BHW)
    if frame.reference_B3HW is not None and c.encoder_width:
        return network.E(frame.reference_B3HW, regions_B1HW)
    if c.cluster_rows:
        return seeded_look(network, 0)(regions_B1HW, frame.labels_BHW)
    raise RenderRefused(
        "missing-style",
        "this model needs a look for its regions, and neither known looks nor a real picture are there",
        "Choose a picture with --style, or import the clusters of features with it",
    )


def traits(config: Pix2PixHDConfig) -> Traits:
    """Return what the model needs to be fed."""
    needs_instances = config.instance_edges or config.num_features > 0
    return Traits(
        label_space="cityscapes",
        planes=("labels", "instances") if needs_instances else ("labels",),
        size_multiple_px=config.size_multiple_px,
        native_size_hw=config.native_size_hw,
        past_frames=0,
        dense_channels=config.dense_channels,
    )


def dry_run(network: Pix2PixHD, config: Pix2PixHDConfig, size_hw: tuple[int, int]) -> Iterator[str]:
    """Run the networks on nothing, the encoder in the first frame only."""
    device = next(network.parameters()).device
    planes_BCHW = torch.zeros(1, config.label_channels + config.num_features, *size_hw, device=device)
    stack = LabelStack(planes_BCHW, None, planes_BCHW[:, :0], merged=False)
    for kind in ("first", "steady"):
        if kind == "first" and config.encoder_width:
            network.E.model(planes_BCHW[:, :3])
        network(stack)
        yield kind


FAMILY: Final = Family(
    name="pix2pixhd",
    licence="BSD code (NVIDIA, pix2pixHD); the published weights have no licence text of their own and are trained on "
    "Cityscapes, for research only",
    config_type=Pix2PixHDConfig,
    recognise=recognise,
    apply_options=apply_options,
    build=Pix2PixHD,
    adapt=adapt,
    traits=traits,
    make_model=Pix2PixHDModel,
    dry_run=dry_run,
)
