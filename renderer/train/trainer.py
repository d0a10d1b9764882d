"""One step of training: the next frame of every clip is drawn from the generator's own last picture, and learnt from.

No gradient flows through the past, so that a clip of many frames costs no more than as many single ones.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.protocol.errors import UsageError
from renderer.models.live import LiveGenerator
from renderer.train import losses
from renderer.train.ahead import Ahead
from renderer.train.clips import ClipBatch, ClipStream, Stream, check_photo_sizes
from renderer.train.data import LabelledPhoto
from renderer.train.device_clips import DeviceClipStream, fits_device
from renderer.train.discriminator import Discriminators, Judgement
from renderer.train.passes import Passes
from renderer.train.perceptual import FeatureNetwork
from renderer.train.precision import Descent, autocast, make_scaler
from renderer.train.preset import TrainPreset
from renderer.train.recordings import RecordedFrame, RecordedStream
from renderer.train.schedule import average_rate, longest_clip, rate_share

_CPU: Final = torch.device("cpu")
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True)
class StepReport:
    """What a step did: its number from 1, unweighted loss terms, whether it was finite and taken.

    `discriminators` holds the loss of each, 2 at chance; it is empty while there are none.
    """

    step: int
    terms: Mapping[str, float]
    discriminators: tuple[float, ...]
    taken: bool


@dataclass(frozen=True)
class _Frame:
    """A frame to be learnt from: the photo, its features, and what the generator is given."""

    photo_B3HW: Tensor
    photo_levels: list[Tensor]
    labels_BHW: Tensor
    judged_labels_BHW: Tensor
    place_B2HW: Tensor
    warped_B3HW: Tensor
    valid_B1HW: Tensor
    style_B: Tensor | None


class Trainer:
    """All that a run changes, and the step that changes it. On a CPU, the same seed gives the same weights to the bit.

    `average` is the moving average of the generator's weights: what is previewed, measured and kept.
    """

    def __init__(
        self,
        preset: TrainPreset,
        photos: Sequence[LabelledPhoto],
        feature_network: FeatureNetwork,
        seed: int,
        device: torch.device = _CPU,
    ) -> None:
        """`feature_network` is on the device already."""
        schedule = preset.schedule
        self.device = device
        self.preset = preset
        self.step_index = 0
        self._clips = Ahead(_stream(photos, seed, preset, device))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = _channels_last(LiveGenerator(preset.generator)).to(device)
            num_labels = preset.generator.num_labels * max(len(preset.generator.styles), 1)
            self.discriminators = _channels_last(Discriminators(num_labels, preset.discriminators)).to(device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self._passes = Passes(self.generator, self.discriminators, feature_network)
        self._generator_descent = self._descent(_rate_groups(self.generator, schedule.style_rate))
        self._discriminator_descent = self._descent([{"params": list(self.discriminators.parameters())}])
        clips = preset.clips
        self._last_B3HW = torch.zeros(schedule.batch_size, 3, clips.height_px, clips.width_px, device=device)
        self._refused_in_a_row = 0
        self._spent_s, self._end_s = 0.0, 0.0

    @property
    def done(self) -> float:
        """The share of the run that is done, by steps, or by time where none are counted; from 1 on it is over."""
        num_steps = self.preset.schedule.num_steps
        return self._spent_s / self._end_s if num_steps is None else self.step_index / num_steps

    def begin_time(self, limit_s: float | None) -> None:
        """Let a run without a number of steps end so much later than it has been trained until now.

        Raises UsageError for such a run without a limit.
        """
        if limit_s is not None:
            self._end_s = self._spent_s + limit_s
        elif self.preset.schedule.num_steps is None:
            raise UsageError(
                f"{self.preset.name} is trained for as long as there is time", "Say how long: --minutes M, or --steps N"
            )

    def spend(self, seconds: float) -> None:
        """Count time that has gone by."""
        self._spent_s += seconds

    def begin_from(self, generator: LiveGenerator) -> None:
        """Begin with the weights of a generator of the same sizes; styles that it has not begin as its own look.

        Raises ValueError where its sizes are others.
        """
        before, after = generator.state_dict(), self.generator.state_dict()
        if set(before) != {key for key in after if key in before or not key.endswith(".styles")}:
            raise ValueError("they are not of the same layers")
        for key, value in before.items():
            if value.shape != after[key].shape:
                raise ValueError(f"tensor {key} has shape {tuple(value.shape)}, the preset's {tuple(after[key].shape)}")
            after[key].copy_(value)
        self.average.load_state_dict(after)

    def compile(self) -> str:
        """Let torch compile the networks; return "" or why it cannot, and then they stay as they are."""
        try:
            return self._passes.compile(self._try_passes)
        finally:
            for network in (self.generator, self.discriminators):
                network.zero_grad()

    def step(self) -> StepReport:
        """Draw the next frames and learn from them; raises UsageError when the loss stays without a finite value."""
        schedule = self.preset.schedule
        share = rate_share(self.step_index, self.done, schedule)
        self._generator_descent.set_rate(schedule.generator_rate * share)
        self._discriminator_descent.set_rate(schedule.discriminator_rate * share)
        frame = self._next_frame()
        rgb_B3HW, drawn_levels = self._draw(frame)
        terms = self._terms(frame, rgb_B3HW, drawn_levels)
        discriminator_losses: tuple[float, ...] = ()
        if self.step_index >= schedule.adversarial_after:
            real, discriminator_losses = self._train_discriminators(frame, rgb_B3HW, drawn_levels)
            terms |= self._adversarial_terms(frame, rgb_B3HW, drawn_levels, real)
        total = torch.stack([getattr(self.preset.losses, name) * term for name, term in terms.items()]).sum()
        taken = self._generator_descent.take(total)
        # A picture without a value, once remembered, would spoil all that follow: NaN times a validity of 0 is NaN.
        self._last_B3HW = rgb_B3HW.detach().float().nan_to_num()
        self._count(taken)
        values = dict(zip(terms, torch.stack([*terms.values()]).tolist(), strict=True))
        return StepReport(self.step_index, values, discriminator_losses, taken)

    def state_dict(self) -> dict[str, Any]:
        """Return everything a later run needs to go on as if it had never stopped."""
        return {
            "step_index": self.step_index,
            "refused_in_a_row": self._refused_in_a_row,
            "spent_s": self._spent_s,
            "clips": self._clips.state_dict(),
            "last": self._last_B3HW.contiguous(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same preset; raises KeyError, ValueError or RuntimeError for another's."""
        self.step_index = int(state["step_index"])
        self._refused_in_a_row = int(state["refused_in_a_row"])
        self._spent_s = float(state.get("spent_s", 0.0))
        self._clips.load_state_dict(state["clips"])
        self._last_B3HW = state["last"].to(self.device).contiguous(memory_format=torch.channels_last)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | Descent]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminators": self.discriminators,
            "generator_optimizer": self._generator_descent,
            "discriminator_optimizer": self._discriminator_descent,
        }

    def _try_passes(self) -> None:
        """Go through all passes of a step, forwards and back, and learn nothing."""
        clips, batch_size = self.preset.clips, self.preset.schedule.batch_size
        size_hw = clips.height_px, clips.width_px
        black = torch.zeros(batch_size, 3, *size_hw, device=self.device).contiguous(memory_format=torch.channels_last)
        nothing = torch.zeros(batch_size, device=self.device, dtype=torch.int64)
        labels_BHW = torch.zeros(batch_size, *size_hw, device=self.device, dtype=torch.uint8)
        frame = self._frame_of(
            ClipBatch(
                black,
                labels_BHW,
                black[:, :2],
                torch.zeros_like(black[:, :2]).permute(0, 2, 3, 1),
                black[:, :1],
                nothing,
            )
        )
        rgb_B3HW, levels = self._draw(frame)
        real = self._judge(frame.photo_B3HW, frame.photo_levels, frame)
        drawn = self._judge(rgb_B3HW.detach(), [level.detach() for level in levels], frame)
        losses.discriminator_losses(real, drawn).sum().backward()
        judged = _constant(real)
        terms = self._terms(frame, rgb_B3HW, levels) | self._adversarial_terms(frame, rgb_B3HW, levels, judged)
        torch.stack([*terms.values()]).sum().backward()

    def _descent(self, groups: list[dict[str, Any]]) -> Descent:
        schedule = self.preset.schedule
        optimizer = torch.optim.Adam(groups, 0.0, schedule.adam_betas)
        return Descent(optimizer, schedule.max_gradient_norm, make_scaler(self.device, schedule.precision))

    def _precision(self) -> torch.autocast:
        return autocast(self.device, self.preset.schedule.precision)

    def _next_frame(self) -> _Frame:
        """Return the next frame of every clip."""
        now, then = (longest_clip(step, self.preset.schedule) for step in (self.step_index, self.step_index + 1))
        return self._frame_of(self._clips.next_batch(now, then).to(self.device))

    @torch.no_grad()
    def _frame_of(self, batch: ClipBatch) -> _Frame:
        """Return the frames of a batch, with the last picture of each moved to where this one sees it."""
        moved_B3HW = F.grid_sample(
            self._last_B3HW, batch.source_BHW2, mode="bicubic", padding_mode="border", align_corners=False
        ).clamp(-1, 1)
        with self._precision():
            photo_levels = self._passes.features(batch.photo_B3HW)
        config = self.preset.generator
        judged_labels_BHW = batch.labels_BHW.int() + (batch.style_B.int() * config.num_labels)[:, None, None]
        return _Frame(
            photo_B3HW=batch.photo_B3HW,
            photo_levels=photo_levels,
            labels_BHW=batch.labels_BHW,
            judged_labels_BHW=judged_labels_BHW,
            place_B2HW=batch.place_B2HW,
            warped_B3HW=moved_B3HW * batch.valid_B1HW,
            valid_B1HW=batch.valid_B1HW,
            style_B=batch.style_B if config.styles else None,
        )

    def _draw(self, frame: _Frame) -> tuple[Tensor, list[Tensor]]:
        """Return the pictures of a frame, and their features."""
        with self._precision():
            picture = self._passes.draw(
                frame.labels_BHW,
                frame.warped_B3HW,
                frame.valid_B1HW,
                place_B2HW=frame.place_B2HW,
                style_B=frame.style_B,
            )
            return picture.rgb_B3HW, self._passes.features(picture.rgb_B3HW)

    def _judge(self, rgb_B3HW: Tensor, levels: list[Tensor], frame: _Frame) -> list[Judgement]:
        with self._precision():
            return self._passes.judge(rgb_B3HW, levels, frame.judged_labels_BHW)

    def _terms(self, frame: _Frame, rgb_B3HW: Tensor, levels: list[Tensor]) -> dict[str, Tensor]:
        """Return the loss terms of a picture that need no discriminator, unweighted, by the names of `LossConfig`."""
        config = self.preset.losses
        return {
            "coarse": losses.coarse_loss(rgb_B3HW, frame.photo_B3HW, config.coarse_pool_px),
            "fine": losses.fine_loss(rgb_B3HW, frame.photo_B3HW),
            "perceptual": losses.perceptual_loss(levels, frame.photo_levels, config.perceptual_floor),
            "temporal": losses.temporal_loss(rgb_B3HW, frame.warped_B3HW, frame.valid_B1HW),
            "temporal_coarse": losses.coarse_temporal_loss(
                rgb_B3HW, frame.warped_B3HW, frame.valid_B1HW, config.temporal_pool_px
            ),
        }

    def _train_discriminators(
        self, frame: _Frame, rgb_B3HW: Tensor, levels: list[Tensor]
    ) -> tuple[list[Judgement], tuple[float, ...]]:
        """Let the discriminators learn; return what they said of the photos, detached, and the loss of each."""
        real = self._judge(frame.photo_B3HW, frame.photo_levels, frame)
        drawn = self._judge(rgb_B3HW.detach(), [level.detach() for level in levels], frame)
        each = losses.discriminator_losses(real, drawn)
        self._discriminator_descent.take(each.sum())
        return _constant(real), tuple(each.detach().tolist())

    def _adversarial_terms(
        self, frame: _Frame, rgb_B3HW: Tensor, levels: list[Tensor], real: list[Judgement]
    ) -> dict[str, Tensor]:
        """Return the loss terms of what the discriminators say, who learn nothing from it."""
        self.discriminators.requires_grad_(False)
        drawn = self._judge(rgb_B3HW, levels, frame)
        self.discriminators.requires_grad_(True)
        return {
            "adversarial": losses.adversarial_loss(drawn),
            "feature_matching": losses.feature_matching_loss(real, drawn),
        }

    @torch.no_grad()
    def _count(self, taken: bool) -> None:
        self.step_index += 1
        self._refused_in_a_row = 0 if taken else self._refused_in_a_row + 1
        if self._refused_in_a_row >= self.preset.schedule.max_refused_in_a_row:
            raise UsageError(
                f"the loss has had no finite value for {self._refused_in_a_row} steps, up to step {self.step_index}",
                "Lower the learning rates of the preset"
                + (", or train in bfloat16" if self.preset.schedule.precision == "float16" else ""),
            )
        rate = average_rate(self.step_index - 1, self.preset.schedule)
        for average, trained in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(trained, rate)


def _constant(judgements: Sequence[Judgement]) -> list[Judgement]:
    return [Judgement(said.scores_B1HW.detach(), [layer.detach() for layer in said.features]) for said in judgements]


def _stream(photos: Sequence[LabelledPhoto], seed: int, preset: TrainPreset, device: torch.device) -> Stream[Any]:
    """Return the stream of clips: of recorded frames with their true motion, of photos with one that is made up."""
    clips, batch_size = preset.clips, preset.schedule.batch_size
    recorded = [photo for photo in photos if isinstance(photo, RecordedFrame)]
    if recorded and len(recorded) == len(photos):
        return RecordedStream(recorded, batch_size, seed, clips)
    check_photo_sizes(photos, clips)
    redrawn = clips.annotation is not None and clips.annotation.share > 0
    if clips.on_device and redrawn:
        raise UsageError(
            "label maps are redrawn as people draw them by the CPU alone",
            "--set clips.on_device=false, or --set clips.annotation.share=0",
        )
    if clips.on_device or (clips.on_device is None and not redrawn and fits_device(photos, device)):
        return DeviceClipStream(photos, batch_size, seed, clips, device)
    return ClipStream(photos, batch_size, seed, clips)


def _rate_groups(generator: LiveGenerator, style_rate: float) -> list[dict[str, Any]]:
    """Return the weights in groups of one rate: what styles differ in begins at nothing, and has a longer way."""
    named = list(generator.named_parameters())
    shared = {"params": [parameter for name, parameter in named if not name.endswith(".styles")]}
    styles = {"params": [parameter for name, parameter in named if name.endswith(".styles")], "share": style_rate}
    return [shared, styles] if styles["params"] else [shared]


def _channels_last(network: _Network) -> _Network:
    """Lay the kernels out as the pictures are, which the label tables make channels last: CPUs convolve faster so."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
