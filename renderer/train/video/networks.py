"""The networks of a spatial stage and the optimizers that train them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from renderer.models.vid2vid import exact_modules
from renderer.models.vid2vid_networks import Vid2vid
from renderer.train.video.discriminators import PatchStack, initialise, take_over
from renderer.train.video.preset import VideoPreset

_FLOW_CHANNELS, _RGB_CHANNELS = 2, 3


class StageNetworks:
    """The discriminators of a stage, and an optimizer for the generator's scales and one for the discriminators."""

    def __init__(self, preset: VideoPreset, stage: int, generator: Vid2vid, before: StageNetworks | None) -> None:
        config, schedule = preset.discriminators, preset.schedule
        device = next(generator.parameters()).device
        self.num_scales = schedule.stages[stage].num_scales
        added = self.num_scales - schedule.stages[0].num_scales
        frame_channels = preset.generator.frame_channels + _RGB_CHANNELS
        self.image = PatchStack(frame_channels, config.width, config.num_scales + added)
        seen = config.temporal_frames * _RGB_CHANNELS + (config.temporal_frames - 1) * _FLOW_CHANNELS
        self.temporal = nn.ModuleList(
            PatchStack(seen, config.width, config.temporal_num_scales) for _ in range(config.temporal_scales)
        )
        self.discriminators = nn.ModuleDict({"image": self.image, "temporal": self.temporal})
        initialise(self.discriminators)
        self.discriminators.to(device)
        if before is not None:
            take_over(self.discriminators, before.discriminators)
        self._scales = [generator.get_submodule(f"G{scale}") for scale in range(self.num_scales)]
        self.generator_optimizer = torch.optim.Adam(self.generator_parameters(), 0.0, schedule.adam_betas)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminators.parameters(), 0.0, schedule.adam_betas)

    def generator_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the scales that the stage draws with."""
        return [parameter for scale in self._scales for parameter in scale.parameters()]

    def optimizers(self) -> Iterator[torch.optim.Optimizer]:
        """Yield both optimizers."""
        yield from (self.generator_optimizer, self.discriminator_optimizer)

    def set_rate(self, rate: float) -> None:
        """Give both optimizers a learning rate."""
        for optimizer in self.optimizers():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def freeze_coarse(self, frozen: bool) -> None:
        """Let only the finest scale learn, or all of them."""
        for scale in self._scales[:-1]:
            scale.requires_grad_(not frozen)

    def parts(self) -> dict[str, Any]:
        """Return all that has a state of its own, by name."""
        return {
            "discriminators": self.discriminators,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def make_generator(preset: VideoPreset, device: torch.device) -> tuple[Vid2vid, Vid2vid]:
    """Return a generator with first weights, and its moving average, which begins as the same.

    The heads of flow and mask stay float32 in any precision: what they draw moves pixels.
    """
    generator = Vid2vid(preset.generator)
    initialise(generator)
    average = copy.deepcopy(generator).eval().requires_grad_(False).to(device)
    generator.to(device)
    for name in exact_modules(preset.generator):
        head = generator.get_submodule(name)
        head.forward = torch.autocast(device.type, enabled=False)(head.forward)
    return generator, average
