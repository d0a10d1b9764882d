"""What the discriminators and the reference say of drawn frames: the terms of the generator, and of the judges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderer.models.vid2vid_networks import FLOW_UNIT_PX
from renderer.train.video.discriminators import frames_apart, skipped_frames, temporal_planes
from renderer.train.video.networks import StageNetworks
from renderer.train.video.objective import feature_matching_loss, flow_terms, gan_loss, mean_terms, warp_loss
from renderer.train.video.perceptual import PerceptualLoss
from renderer.train.video.preset import VideoPreset
from renderer.train.video.reference_flow import estimate_flow
from renderer.train.video.rolling import DrawnFrame, Past

Terms = dict[str, Tensor]


class Judges:
    """The judgement of one load's frames; the picture and its raw form, before the blend, are both judged."""

    def __init__(self, networks: StageNetworks, preset: VideoPreset, perceptual: PerceptualLoss | None) -> None:
        self._networks = networks
        self._config = preset.discriminators
        self._perceptual = perceptual
        self._groups: dict[tuple[int, int], list[Tensor]] = {}

    def remembered_frames(self) -> int:
        """Return how many past frames the temporal discriminators may yet look back at."""
        if not self._config.temporal_scales:
            return 0
        return frames_apart(self._config.temporal_scales - 1, self._config.temporal_frames) * (
            self._config.temporal_frames - 1
        )

    def picture_terms(self, frame: DrawnFrame) -> Terms:
        """Return the generator's terms of a frame but for the temporal ones, unweighted."""
        drawing = frame.drawing
        with torch.no_grad():
            real = self._judge(frame, frame.real_B3HW)
        drawn, raw = (self._judge(frame, picture) for picture in (drawing.picture_B3HW, drawing.raw_B3HW))
        terms = {
            "gan": gan_loss(drawn, 1.0) + gan_loss(raw, 1.0),
            "matching": feature_matching_loss(drawn, real) + feature_matching_loss(raw, real),
        }
        if self._perceptual is not None:
            terms["perceptual"] = self._perceptual(drawing.picture_B3HW, frame.real_B3HW) + self._perceptual(
                drawing.raw_B3HW, frame.real_B3HW
            )
        if frame.last_drawn_B3HW is not None:
            terms["warp"] = warp_loss(
                drawing.picture_B3HW, frame.last_drawn_B3HW, frame.flow_B2HW, frame.confidence_B1HW
            )
        return terms | flow_terms(
            drawing, frame.real_B3HW, frame.last_real_B3HW, frame.flow_B2HW, frame.confidence_B1HW
        )

    def picture_judge_terms(self, frame: DrawnFrame) -> Terms:
        """Return the image discriminators' terms of a frame that is a constant: the picture's and the raw one's."""
        real = self._judge(frame, frame.real_B3HW)
        drawn, raw = (self._judge(frame, one) for one in (frame.drawing.picture_B3HW, frame.drawing.raw_B3HW))
        return {"judge_real": 2 * gan_loss(real, 1.0), "judge_drawn": gan_loss(drawn, 0.0) + gan_loss(raw, 0.0)}

    def temporal_terms(self, past: Past, num_new: int) -> Terms:
        """Return the generator's terms of the temporal discriminators, for the frames that are new in `past`."""
        terms: Terms = {}
        for scale, judge in enumerate(self._networks.temporal):
            each: list[Terms] = []
            for real, drawn in self._temporal_planes(past, num_new, scale):
                with torch.no_grad():
                    said_of_real = judge(real)
                said = judge(drawn)
                matching = feature_matching_loss(said, said_of_real)
                each.append({f"gan_t{scale}": gan_loss(said, 1.0), f"matching_t{scale}": matching})
            terms |= mean_terms(each)
        return terms

    def temporal_judge_terms(self, past: Past, num_new: int) -> Terms:
        """Return the temporal discriminators' own terms, for the frames that are new in `past`."""
        terms: Terms = {}
        for scale, judge in enumerate(self._networks.temporal):
            each = [
                {
                    f"judge_real_t{scale}": gan_loss(judge(real), 1.0),
                    f"judge_drawn_t{scale}": gan_loss(judge(drawn), 0.0),
                }
                for real, drawn in self._temporal_planes(past, num_new, scale)
            ]
            terms |= mean_terms(each)
        return terms

    def _judge(self, frame: DrawnFrame, picture_B3HW: Tensor) -> list[list[Tensor]]:
        return self._networks.image(torch.cat([frame.planes_BCHW, picture_B3HW], 1))

    def _temporal_planes(self, past: Past, num_new: int, scale: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what a temporal discriminator sees of each group of real and of drawn frames."""
        before = past.num_drawn - len(past.real)  # frames of the sequence that are no longer remembered
        for group in skipped_frames(past.num_drawn, num_new, scale, self._config.temporal_frames):
            places = [number - before for number in group]
            key = (scale, group[-1])
            if key not in self._groups:
                self._groups[key] = self._flows(past, places, scale)
            flows = self._groups[key]
            yield (
                temporal_planes([past.real[place] for place in places], flows, FLOW_UNIT_PX),
                temporal_planes([past.drawn[place] for place in places], flows, FLOW_UNIT_PX),
            )

    def _flows(self, past: Past, places: list[int], scale: int) -> list[Tensor]:
        """Return the flow between the frames of a group: the reference of neighbours, estimated farther apart."""
        if scale == 0:
            return [past.flows[place] for place in places[1:]]
        pairs = zip(places[1:], places[:-1], strict=True)
        return [_estimate(past.real[place], past.real[last]) for place, last in pairs]


def _estimate(real_B3HW: Tensor, last_B3HW: Tensor) -> Tensor:
    flow, _ = estimate_flow(_levels(real_B3HW), _levels(last_B3HW))
    return torch.from_numpy(flow).permute(2, 0, 1)[None].contiguous().to(real_B3HW.device)


def _levels(rgb_B3HW: Tensor) -> NDArray[np.uint8]:
    levels_3HW = ((rgb_B3HW[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels_3HW.permute(1, 2, 0).contiguous().cpu().numpy()
