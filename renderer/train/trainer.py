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
from renderer.train.clips import ClipStream, check_photo_sizes
from renderer.train.data import LabelledPhoto
from renderer.train.discriminator import Discriminators, Judgement
from renderer.train.perceptual import FeatureNetwork
from renderer.train.preset import TrainPreset
from renderer.train.recordings import RecordedFrame, RecordedStream
from renderer.train.schedule import average_rate, longest_clip, rate_share

_PRECISIONS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
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
        self._feature_network = feature_network
        self._clips = Ahead(_stream(photos, seed, preset))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = _channels_last(LiveGenerator(preset.generator)).to(device)
            num_labels = preset.generator.num_labels * max(len(preset.generator.styles), 1)
            self.discriminators = _channels_last(Discriminators(num_labels, preset.discriminators)).to(device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self._generator_optimizer = torch.optim.Adam(
            _rate_groups(self.generator, schedule.style_rate), schedule.generator_rate, schedule.adam_betas
        )
        self._discriminator_optimizer = torch.optim.Adam(
            self.discriminators.parameters(), schedule.discriminator_rate, schedule.adam_betas
        )
        clips = preset.clips
        self._last_B3HW = torch.zeros(schedule.batch_size, 3, clips.height_px, clips.width_px, device=device)
        self._refused_in_a_row = 0

    def average_on_cpu(self) -> LiveGenerator:
        """Return the averaged generator where pictures are looked at and measured, and weights written."""
        return self.average if self.device == _CPU else copy.deepcopy(self.average).cpu()

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

    def step(self) -> StepReport:
        """Draw the next frames and learn from them; raises UsageError when the loss stays without a finite value."""
        schedule = self.preset.schedule
        self._set_rates(rate_share(self.step_index, schedule))
        frame = self._next_frame()
        with self._precision():
            picture = self.generator.draw(
                frame.labels_BHW,
                frame.warped_B3HW,
                frame.valid_B1HW,
                place_B2HW=frame.place_B2HW,
                style_B=frame.style_B,
            )
            drawn_levels = self._feature_network.features(picture.rgb_B3HW)
        terms = self._terms(frame, picture.rgb_B3HW, drawn_levels)
        discriminator_losses: tuple[float, ...] = ()
        if self.step_index >= schedule.adversarial_after:
            real, discriminator_losses = self._train_discriminators(frame, picture.rgb_B3HW, drawn_levels)
            terms |= self._adversarial_terms(frame, picture.rgb_B3HW, drawn_levels, real)
        taken = self._train_generator(terms)
        # A picture without a value, once remembered, would spoil all that follow: NaN times a validity of 0 is NaN.
        self._last_B3HW = picture.rgb_B3HW.detach().float().nan_to_num()
        self._count(taken)
        values = {name: float(term.detach()) for name, term in terms.items()}
        return StepReport(self.step_index, values, discriminator_losses, taken)

    def state_dict(self) -> dict[str, Any]:
        """Return everything a later run needs to go on as if it had never stopped."""
        return {
            "step_index": self.step_index,
            "refused_in_a_row": self._refused_in_a_row,
            "clips": self._clips.state_dict(),
            "last": self._last_B3HW.contiguous(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same preset; raises KeyError, ValueError or RuntimeError for another's."""
        self.step_index = int(state["step_index"])
        self._refused_in_a_row = int(state["refused_in_a_row"])
        self._clips.load_state_dict(state["clips"])
        self._last_B3HW = state["last"].to(self.device).contiguous(memory_format=torch.channels_last)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminators": self.discriminators,
            "generator_optimizer": self._generator_optimizer,
            "discriminator_optimizer": self._discriminator_optimizer,
        }

    def _precision(self) -> torch.autocast:
        precision = self.preset.schedule.precision
        return torch.autocast(self.device.type, dtype=_PRECISIONS[precision], enabled=precision != "float32")

    def _set_rates(self, share: float) -> None:
        schedule = self.preset.schedule
        for optimizer, rate in (
            (self._generator_optimizer, schedule.generator_rate),
            (self._discriminator_optimizer, schedule.discriminator_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * share * group.get("share", 1.0)

    @torch.no_grad()
    def _next_frame(self) -> _Frame:
        """Return the next frame of every clip, with its last picture moved to where this frame sees it."""
        now, then = (longest_clip(step, self.preset.schedule) for step in (self.step_index, self.step_index + 1))
        batch = self._clips.next_batch(now, then).to(self.device)
        moved_B3HW = F.grid_sample(
            self._last_B3HW, batch.source_BHW2, mode="bicubic", padding_mode="border", align_corners=False
        ).clamp(-1, 1)
        with self._precision():
            photo_levels = self._feature_network.features(batch.photo_B3HW)
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
        with self._precision():
            real = self.discriminators(frame.photo_B3HW, frame.photo_levels, frame.judged_labels_BHW)
            drawn = self.discriminators(
                rgb_B3HW.detach(), [level.detach() for level in levels], frame.judged_labels_BHW
            )
        each = losses.discriminator_losses(real, drawn)
        if torch.isfinite(each).all():
            self._discriminator_optimizer.zero_grad()
            each.sum().backward()
            nn.utils.clip_grad_norm_(self.discriminators.parameters(), self.preset.schedule.max_gradient_norm)
            self._discriminator_optimizer.step()
        judged = [Judgement(said.scores_B1HW.detach(), [layer.detach() for layer in said.features]) for said in real]
        return judged, tuple(each.detach().tolist())

    def _adversarial_terms(
        self, frame: _Frame, rgb_B3HW: Tensor, levels: list[Tensor], real: list[Judgement]
    ) -> dict[str, Tensor]:
        """Return the loss terms of what the discriminators say, who learn nothing from it."""
        self.discriminators.requires_grad_(False)
        with self._precision():
            drawn = self.discriminators(rgb_B3HW, levels, frame.judged_labels_BHW)
        self.discriminators.requires_grad_(True)
        return {
            "adversarial": losses.adversarial_loss(drawn),
            "feature_matching": losses.feature_matching_loss(real, drawn),
        }

    def _train_generator(self, terms: Mapping[str, Tensor]) -> bool:
        """Take a step along the weighted sum; refuse it, and return False, if it is not finite."""
        total = torch.stack([getattr(self.preset.losses, name) * term for name, term in terms.items()]).sum()
        if not torch.isfinite(total):
            return False
        self._generator_optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), self.preset.schedule.max_gradient_norm)
        if not torch.isfinite(norm):
            return False
        self._generator_optimizer.step()
        return True

    @torch.no_grad()
    def _count(self, taken: bool) -> None:
        self.step_index += 1
        self._refused_in_a_row = 0 if taken else self._refused_in_a_row + 1
        if self._refused_in_a_row >= self.preset.schedule.max_refused_in_a_row:
            raise UsageError(
                f"the loss has had no finite value for {self._refused_in_a_row} steps, up to step {self.step_index}",
                "Lower the learning rates of the preset",
            )
        rate = average_rate(self.step_index - 1, self.preset.schedule)
        for average, trained in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(trained, rate)


def _stream(photos: Sequence[LabelledPhoto], seed: int, preset: TrainPreset) -> ClipStream | RecordedStream:
    """Return the stream of clips: of recorded frames with their true motion, of photos with one that is made up."""
    recorded = [photo for photo in photos if isinstance(photo, RecordedFrame)]
    if recorded and len(recorded) == len(photos):
        return RecordedStream(recorded, preset.schedule.batch_size, seed, preset.clips)
    check_photo_sizes(photos, preset.clips)
    return ClipStream(photos, preset.schedule.batch_size, seed, preset.clips)


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
