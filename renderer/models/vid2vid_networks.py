"""The generators of vid2vid (Wang et al. 2018): one for the coarsest scale, one for each finer scale.

Scale 0 is the coarsest, half the size of scale 1 and so on; flow points from this frame to the last one. Layers stand
at the indices that they have in the published files. What depends on labels alone, `encode_labels`, is kept apart from
what depends on the past pictures, `draw`: the former can run before the last picture is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from bridge.protocol.errors import RenderRefused
from renderer.backends import kernels
from renderer.inputs import one_hot
from renderer.layers import ResidualBlock, doubling, halving, head, stem, warp
from renderer.models.face_looks import FEATURE_CHANNELS, face_look
from renderer.models.label_stack import FramePlanes, LabelStack, first_convolutions
from renderer.models.single_frame import FeatureEncoder, GlobalGenerator, GlobalWithFeatures, LocalEnhancer
from renderer.models.vid2vid_config import SingleConfig, Vid2vidConfig
from renderer.temporal import sample_at

FLOW_UNIT_PX: Final = 20.0  # at scale 0; twice as many pixels at each finer scale


class LabelFeatures(NamedTuple):
    """What labels alone say of a frame: features (B,C,H,W), of the foreground too if the network draws one."""

    scene: Tensor
    foreground: Tensor | None


class LabelHalf(NamedTuple):
    """What labels alone say of a frame at each scale, the coarsest first: features, and where the foreground is,
    (B,1,H,W) float32 0..1."""

    scales: tuple[LabelFeatures, ...]
    foreground_masks: tuple[Tensor, ...]


class GivenFlow(NamedTuple):
    """The true flow to a scale's last picture, in place of the guessed one: (B,2,H,W) pixels of that scale, as
    `Drawing` has it, and visible (B,1,H,W) float32, 0 where the last picture does not show what is there."""

    flow_B2HW: Tensor
    visible_B1HW: Tensor

    def halved(self) -> GivenFlow:
        """Return the flow of the next coarser scale, whose pixels lie, as `pool` has it, on every second one."""
        return GivenFlow(self.flow_B2HW[..., ::2, ::2] / 2, self.visible_B1HW[..., ::2, ::2])


class Features(NamedTuple):
    """The last features of a scale, (B,C,H,W): of the picture, of flow and mask, of the foreground."""

    picture: Tensor
    flow: Tensor | None
    foreground: Tensor | None


class Drawing(NamedTuple):
    """One scale's picture and what it is made of, each (B,C,H,W) float32.

    picture and raw RGB [-1, 1], raw before the blend with the warped picture · flow in pixels of this scale, x right,
    y down: where in the last picture a pixel comes from · occlusion mask 0..1, 1 = hallucinated · foreground RGB
    [-1, 1]. None where the network has no such branch.
    """

    picture_B3HW: Tensor
    raw_B3HW: Tensor
    flow_B2HW: Tensor | None
    occlusion_mask_B1HW: Tensor | None
    foreground_B3HW: Tensor | None
    levels_HW3: Tensor | None = None
    """The picture in bytes, (H,W,3) u8, where a kernel has made those with it; raw is without the foreground then."""


class ScaleGenerator(nn.Module):
    """What the generators of all scales have in common: their heads, and how those become a picture."""

    model_down_seg: nn.Sequential
    model_down_img: nn.Sequential
    model_up_img: nn.Sequential
    indv_down: nn.Sequential
    indv_up: nn.Sequential
    by_kernel: bool = False
    """Whether one kernel warps, blends and makes bytes."""

    def __init__(self, scale: int, width: int, foreground_width: int, flow: bool, foreground: bool) -> None:
        super().__init__()
        self.flow_unit_px = FLOW_UNIT_PX * 2**scale
        self.has_flow, self.has_foreground = flow, foreground
        self.model_final_img = nn.Sequential(*head(width, 3, nn.Tanh()))
        if flow:
            self.model_final_flow = nn.Sequential(*head(width, 2, None))
            self.model_final_w = nn.Sequential(*head(width, 1, nn.Sigmoid()))
        if foreground:
            self.indv_final = nn.Sequential(*head(foreground_width, 3, nn.Tanh()))

    def encode_labels(self, stack: LabelStack) -> LabelFeatures:
        """Return what the stack of label planes of this scale says, without any picture."""
        encoders = [self.model_down_seg, self.indv_down] if self.has_foreground else [self.model_down_seg]
        firsts = first_convolutions(stack, [encoder[1] for encoder in encoders])
        features = [_after(encoder, 2, first) for encoder, first in zip(encoders, firsts, strict=True)]
        return LabelFeatures(features[0], features[1] if self.has_foreground else None)

    def finish(
        self,
        features: Features,
        last_B3HW: Tensor,
        foreground_mask_B1HW: Tensor | None,
        blend: bool,
        given: GivenFlow | None = None,
    ) -> Drawing:
        """Return the picture of this scale; `last_B3HW` is its own last one, not used where `blend` is False.

        A `given` flow stands in for the guessed one; what is not visible by it is hallucinated, whatever the mask says.
        """
        raw_B3HW = self.model_final_img(features.picture).float()
        picture_B3HW, flow_B2HW, occlusion_B1HW, foreground_B3HW = raw_B3HW, None, None, None
        if features.flow is not None:
            flow_features = features.flow.float()
            occlusion_B1HW = self.model_final_w(flow_features)
            if given is None:
                flow_B2HW = self.model_final_flow(flow_features) * self.flow_unit_px
            else:
                flow_B2HW = given.flow_B2HW
                occlusion_B1HW = 1 - (1 - occlusion_B1HW) * given.visible_B1HW
            if blend and self.by_kernel and given is None:
                foreground_B3HW = None if features.foreground is None else self.indv_final(features.foreground)
                picture_B3HW, levels_HW3 = kernels.warp_and_blend(
                    raw_B3HW, flow_B2HW, occlusion_B1HW, last_B3HW, foreground_B3HW, foreground_mask_B1HW
                )
                return Drawing(picture_B3HW, raw_B3HW, flow_B2HW, occlusion_B1HW, foreground_B3HW, levels_HW3)
            if blend:
                warped_B3HW = warp(last_B3HW, flow_B2HW) if given is None else sample_at(last_B3HW, flow_B2HW)
                picture_B3HW = raw_B3HW * occlusion_B1HW + warped_B3HW * (1 - occlusion_B1HW)
        if features.foreground is not None and foreground_mask_B1HW is not None:
            foreground_B3HW = self.indv_final(features.foreground).float()
            covered_B3HW = foreground_B3HW * foreground_mask_B1HW
            picture_B3HW = covered_B3HW + picture_B3HW * (1 - foreground_mask_B1HW)
            raw_B3HW = covered_B3HW + raw_B3HW * (1 - foreground_mask_B1HW)
        return Drawing(picture_B3HW, raw_B3HW, flow_B2HW, occlusion_B1HW, foreground_B3HW)


def _after(layers: nn.Sequential, start: int, features: Tensor) -> Tensor:
    """Return what layers from an index on make of features."""
    for index in range(start, len(layers)):
        features = layers[index](features)
    return features


class CompositeGenerator(ScaleGenerator):
    """The generator of the coarsest scale: encoders of labels and of past pictures, decoders of picture, of flow with
    occlusion mask, and of the foreground from labels alone."""

    def __init__(
        self,
        label_channels: int,
        past_channels: int,
        width: int,
        num_down: int,
        num_blocks: int,
        affine: bool,
        *,
        flow: bool,
        foreground: bool,
    ) -> None:
        foreground_width = width // 2 if num_down > 2 else width
        super().__init__(0, width, foreground_width, flow, foreground)
        bottleneck = width << num_down
        num_after = num_blocks // 2
        num_before = num_blocks - num_after

        def blocks(number: int, channels: int = bottleneck) -> list[nn.Module]:
            return [ResidualBlock(channels, affine) for _ in range(number)]

        def down(channels_in: int, channels: int) -> list[nn.Module]:
            layers = stem(channels_in, channels, affine)
            for level in range(num_down):
                layers += halving(channels << level, channels << (level + 1), affine)
            return layers

        def up(channels: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for level in range(num_down, 0, -1):
                layers += doubling(channels << level, channels << (level - 1), affine)
            return nn.Sequential(*layers)

        self.model_down_seg = nn.Sequential(*down(label_channels, width), *blocks(num_before))
        self.model_down_img = nn.Sequential(*down(past_channels, width), *blocks(num_before))
        self.model_res_img = nn.Sequential(*blocks(num_after))
        self.model_up_img = up(width)
        if flow:
            self.model_res_flow = nn.Sequential(*blocks(num_after))
            self.model_up_flow = up(width)
        if foreground:
            self.indv_down = nn.Sequential(*down(label_channels, foreground_width))
            self.indv_res = nn.Sequential(*blocks(num_blocks, foreground_width << num_down))
            self.indv_up = up(foreground_width)

    def encode_labels(self, stack: LabelStack) -> LabelFeatures:
        """Return what labels alone say; the foreground's features are complete."""
        features = super().encode_labels(stack)
        if features.foreground is None:
            return features
        return LabelFeatures(features.scene, self.indv_up(self.indv_res(features.foreground)))

    def draw(self, labels: LabelFeatures, past_BCHW: Tensor) -> Features:
        """Return the last features, given those of the past pictures."""
        x = labels.scene + past_BCHW
        flow = self.model_up_flow(self.model_res_flow(x)) if self.has_flow else None
        return Features(self.model_up_img(self.model_res_img(x)), flow, labels.foreground)


class CompositeLocalGenerator(ScaleGenerator):
    """The generator of a finer scale: it completes the features of the next coarser one."""

    def __init__(
        self,
        scale: int,
        label_channels: int,
        past_channels: int,
        width: int,
        num_down: int,
        num_blocks: int,
        affine: bool,
        *,
        flow: bool,
        foreground: bool,
    ) -> None:
        foreground_width = width // 2 if num_down > 2 else width
        super().__init__(scale, width, foreground_width, flow, foreground)

        def down(channels_in: int, channels: int) -> nn.Sequential:
            return nn.Sequential(*stem(channels_in, channels, affine), *halving(channels, 2 * channels, affine))

        def up(channels: int) -> nn.Sequential:
            blocks = [ResidualBlock(2 * channels, affine) for _ in range(num_blocks)]
            return nn.Sequential(*blocks, *doubling(2 * channels, channels, affine))

        self.model_down_seg = down(label_channels, width)
        self.model_down_img = down(past_channels, width)
        self.model_up_img = up(width)
        if flow:
            self.model_up_flow = up(width)
        if foreground:
            self.indv_down = down(label_channels, foreground_width)
            self.indv_up = up(foreground_width)

    def draw(self, labels: LabelFeatures, past_BCHW: Tensor, coarse: Features) -> Features:
        """Return the last features, given those of this scale's past pictures and those of the coarser scale."""
        x = labels.scene + past_BCHW
        flow = None if coarse.flow is None else self.model_up_flow(x + coarse.flow)
        foreground = None
        if labels.foreground is not None and coarse.foreground is not None:
            foreground = self.indv_up(labels.foreground + coarse.foreground)
        return Features(self.model_up_img(x + coarse.picture), flow, foreground)


class Vid2vid(nn.Module):
    """The networks of one configuration; they keep no state."""

    def __init__(self, config: Vid2vidConfig) -> None:
        super().__init__()
        self.config = c = config
        stack, past = c.frame_channels * c.num_frames, 3 * (c.num_frames - 1)
        branches = {"flow": c.flow, "foreground": c.foreground}
        self.G0 = CompositeGenerator(stack, past, c.width, c.num_down, c.num_blocks, c.affine_norms, **branches)
        for scale in range(1, c.num_scales):
            finer = CompositeLocalGenerator(
                scale, stack, past, c.width >> scale, c.num_down, c.num_local_blocks, c.affine_norms, **branches
            )
            self.add_module(f"G{scale}", finer)
        if c.single is not None:
            self.single = _single_network(c, c.single)
            if c.single.kind == "features":
                self.encoder = FeatureEncoder(FEATURE_CHANNELS, c.single.encoder_width, c.single.encoder_down)
                self.features = nn.Module()
                for part, rows in enumerate(c.single.feature_rows):
                    self.features.register_buffer(str(part), torch.zeros(rows, FEATURE_CHANNELS))

    @property
    def dtype(self) -> torch.dtype:
        """Of convolutions."""
        return self.G0.model_down_seg[1].get_parameter("weight").dtype

    def first_picture(self, planes: FramePlanes, reference_B3HW: Tensor | None) -> Tensor:
        """Return the single network's picture of a frame, (B,3,H,W) [-1, 1].

        That of a face has the look of a real picture `reference_B3HW`, [-1, 1]; raises RenderRefused without one.
        """
        if planes.dense_BCHW is None:
            return self.single(one_hot(planes.labels_BHW, self.config.num_labels).to(self.dtype)).float()
        if reference_B3HW is None:
            raise RenderRefused(
                "missing-reference",
                "this model draws first frames after the look of a real picture, and it came without one",
                "Give real frames beside the edge maps, or first frames",
            )
        num_tables = len(self.config.single.feature_rows) if self.config.single else 0
        tables = [self.features.get_buffer(str(part)) for part in range(num_tables)]
        look_BFHW = face_look(self.encoder, reference_B3HW.to(self.dtype), planes.labels_BHW, tables)
        return self.single(planes.dense_BCHW.to(self.dtype), look_BFHW).float()

    def read_labels(self, stacks: Sequence[LabelStack]) -> LabelHalf:
        """Return what the labels alone say at each scale, the coarsest first: it needs no picture."""
        scales = [self._scale(scale).encode_labels(stack) for scale, stack in enumerate(stacks)]
        return LabelHalf(tuple(scales), tuple(stack.foreground_B1HW for stack in stacks))

    def draw(
        self,
        labels: Callable[[], LabelHalf],
        pictures: Sequence[Sequence[Tensor]],
        *,
        blend: bool = True,
        given: GivenFlow | None = None,
    ) -> tuple[Drawing, ...]:
        """Return the drawing of each scale, the coarsest first, from its past pictures, oldest first.

        `labels` is asked for once those are read. Without `blend` nothing is warped, as where a sequence begins from
        black. `given` is the finest scale's true flow, None for the network's own guess.
        """
        flows: list[GivenFlow | None] = [given]
        for _ in pictures[1:]:
            given = None if given is None else given.halved()
            flows.insert(0, given)
        pasts = [
            self._scale(scale).model_down_img(torch.cat(list(past), 1).to(self.dtype))
            for scale, past in enumerate(pictures)
        ]
        half = labels()
        drawings: list[Drawing] = []
        features = None
        for scale, past in enumerate(pictures):
            generator = self._scale(scale)
            if isinstance(generator, CompositeGenerator):
                features = generator.draw(half.scales[scale], pasts[scale])
            else:
                assert features is not None
                features = generator.draw(half.scales[scale], pasts[scale], features)
            drawings.append(generator.finish(features, past[-1], half.foreground_masks[scale], blend, flows[scale]))
        return tuple(drawings)

    def _scale(self, scale: int) -> CompositeGenerator | CompositeLocalGenerator:
        generator = self.get_submodule(f"G{scale}")
        assert isinstance(generator, CompositeGenerator | CompositeLocalGenerator)
        return generator


def _single_network(config: Vid2vidConfig, single: SingleConfig) -> nn.Module:
    channels = config.dense_channels or config.num_labels
    if single.kind == "local":
        return LocalEnhancer(channels, single.width, single.num_down, single.num_blocks, single.num_local_blocks)
    if single.kind == "features":
        return GlobalWithFeatures(channels, FEATURE_CHANNELS, single.width, single.num_down, single.num_blocks)
    return GlobalGenerator(channels, single.width, single.num_down, single.num_blocks)
