"""One step of training a vid2vid: the next frames of every sequence are drawn, judged and learnt from.

Each sequence is drawn on its own, batch 1, as norms use each picture's own statistics; the gradient is the mean over
all sequences of the step, whichever process draws them. On a CPU, the same seed gives the same weights to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from bridge.protocol.errors import LabelError, UsageError
from renderer.train.precision import autocast, make_scaler
from renderer.train.video.judging import Judges
from renderer.train.video.lanes import Lane
from renderer.train.video.networks import StageNetworks, make_generator
from renderer.train.video.objective import mean_terms, weighted_sum
from renderer.train.video.perceptual import make_perceptual_loss
from renderer.train.video.preset import VideoPreset, check_preset
from renderer.train.video.processes import Processes
from renderer.train.video.rolling import DrawnFrame, Past, draw_load
from renderer.train.video.schedule import Moment, coarse_frozen, moment_of, rate_at
from renderer.train.video.sequences import Load, LoadedFrames, TrainSequence, read_load

_READERS: Final = 2


@dataclass(frozen=True)
class StepReport:
    """What a step did: its number from 1, mean unweighted terms of its sequences, frames drawn, and if it was taken."""

    step: int
    terms: Mapping[str, float]
    num_frames: int
    taken: bool


class VideoTrainer:
    """All that a run changes, and the step that changes it; `average` is the moving average that is kept and shown."""

    def __init__(self, preset: VideoPreset, sequences: list[TrainSequence], processes: Processes, seed: int) -> None:
        self.preset = check_preset(preset)
        self.step_index = 0
        self.processes = processes
        self._sequences = sequences
        self._seed = seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator, self.average = make_generator(preset, processes.device)
        self._perceptual = make_perceptual_loss(preset.perceptual, processes.device)
        schedule = preset.schedule
        lengths = [len(sequence.frames.labels) for sequence in sequences]
        past, count = preset.generator.num_frames - 1, schedule.num_sequences
        self._lanes = {lane: Lane(lane, count, lengths, past, seed) for lane in processes.lanes(count)}
        self._pasts: dict[int, Past] = {}
        self._read: dict[int, tuple[Load, Future[LoadedFrames]]] = {}
        self._readers = ThreadPoolExecutor(_READERS, "reader")
        self._scaler = make_scaler(processes.device, schedule.precision)
        self._stage = -1
        self._networks: StageNetworks
        self._refused_in_a_row = 0
        self._enter(moment_of(0, schedule))

    @property
    def discriminators(self) -> nn.Module:
        """Those of the stage."""
        return self._networks.discriminators

    def close(self) -> None:
        """End the threads that read ahead."""
        self._readers.shutdown(cancel_futures=True)

    def step(self) -> StepReport:
        """Draw the next frames and learn from them; raises UsageError when the gradient stays without a value."""
        schedule = self.preset.schedule
        moment = moment_of(self.step_index, schedule)
        self._enter(moment)
        for optimizer in self._networks.optimizers():
            optimizer.zero_grad(set_to_none=True)
        terms, num_frames = self.accumulate(moment)
        taken = self._apply()
        self._count(taken)
        self._read_ahead(moment_of(self.step_index, schedule))
        return StepReport(self.step_index, terms, num_frames, taken)

    def accumulate(self, moment: Moment) -> tuple[dict[str, float], int]:
        """Add the gradients of a step to the networks, those of all processes; return mean terms and frames drawn."""
        each: list[dict[str, Tensor]] = []
        num_frames = 0
        for number, lane in self._lanes.items():
            load = self._plan(lane, moment)
            frames = self._take(number, load).to(self.processes.device)
            lane.take(load, moment, self.preset.schedule)
            past = None if load.begins else self._pasts.get(number)
            terms, self._pasts[number] = self._learn(frames, load, past)
            each.append(terms)
            num_frames += load.num_frames
        parameters = [*self._networks.generator_parameters(), *self._networks.discriminators.parameters()]
        self.processes.sum_gradients(parameters)
        return self._mean_over_processes(each, num_frames)

    def _learn(self, frames: LoadedFrames, load: Load, past: Past | None) -> tuple[dict[str, Tensor], Past]:
        """Draw a load and add its gradients; return its terms, and what the sequence remembers after it."""
        networks, schedule = self._networks, self.preset.schedule
        share = 1.0 / schedule.num_sequences
        with self._precision():
            drawn, after = draw_load(
                self.generator, frames, load, past, networks.num_scales, schedule.backpropagated_frames
            )
            judges = Judges(networks, self.preset, self._perceptual)
            networks.discriminators.requires_grad_(False)
            generator_terms = mean_terms([judges.picture_terms(frame) for frame in drawn])
            generator_terms |= judges.temporal_terms(after, len(drawn))
        weights = self._weights(networks.num_scales)
        self._backward(weighted_sum(generator_terms, weights) * share)
        networks.discriminators.requires_grad_(True)
        after = after.detached()
        with self._precision():
            judge_terms = mean_terms([judges.picture_judge_terms(_constant(frame)) for frame in drawn])
            judge_terms |= judges.temporal_judge_terms(after, len(drawn))
        self._backward(weighted_sum(judge_terms, {}) * (0.5 * share))
        return {name: term.detach() for name, term in (generator_terms | judge_terms).items()}, after.trimmed(
            judges.remembered_frames()
        )

    def _weights(self, num_scales: int) -> dict[str, float]:
        objective = self.preset.objective
        matching = objective.feature_matching
        return {
            "matching": matching,
            "perceptual": objective.perceptual,
            "warp": objective.warp,
            "flow": objective.flow / 2 ** (num_scales - 1),
            "flow_warp": objective.flow_warp,
            "occlusion_mask": objective.occlusion_mask,
        } | {f"matching_t{scale}": matching for scale in range(self.preset.discriminators.temporal_scales)}

    def _backward(self, loss: Tensor) -> None:
        self._scaler.scale(loss).backward()

    def _precision(self) -> torch.autocast:
        return autocast(self.processes.device, self.preset.schedule.precision)

    def _apply(self) -> bool:
        """Take a step of both optimizers; refuse it, and return False, if a gradient is not finite."""
        networks, most = self._networks, self.preset.schedule.max_gradient_norm
        finite = True
        for optimizer in networks.optimizers():
            parameters = [parameter for parameter in _parameters(optimizer) if parameter.grad is not None]
            if self._scaler.is_enabled():
                self._scaler.unscale_(optimizer)
            finite &= bool(torch.isfinite(nn.utils.clip_grad_norm_(parameters, most)))
        if finite:
            for optimizer in networks.optimizers():
                optimizer.step()
        if self._scaler.is_enabled():
            self._scaler.update()
        return finite

    @torch.no_grad()
    def _count(self, taken: bool) -> None:
        schedule = self.preset.schedule
        self.step_index += 1
        self._refused_in_a_row = 0 if taken else self._refused_in_a_row + 1
        if self._refused_in_a_row >= schedule.max_refused_in_a_row:
            raise UsageError(
                f"the gradient has had no finite value for {self._refused_in_a_row} steps, up to step "
                f"{self.step_index}",
                "Lower the rates of the stages, or train in float32",
            )
        for average, trained in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(trained, schedule.average_rate)

    def _enter(self, moment: Moment) -> None:
        """Make the networks of a stage at its first step, and let learn what is to learn at this one."""
        schedule = self.preset.schedule
        if moment.stage != self._stage:
            before = self._networks if self._stage >= 0 else None
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self._seed + 1 + moment.stage)
                self._networks = StageNetworks(self.preset, moment.stage, self.generator, before)
            self._stage = moment.stage
            self._pasts.clear()
        self._networks.set_rate(rate_at(moment, schedule))
        self._networks.freeze_coarse(coarse_frozen(moment, schedule))

    def _plan(self, lane: Lane, moment: Moment) -> Load:
        data, schedule = self.preset.data, self.preset.schedule
        coarser = schedule.stages[-1].num_scales - schedule.stages[moment.stage].num_scales
        size_hw = data.height_px >> coarser, data.width_px >> coarser
        return lane.plan(moment, schedule, size_hw, data.mirror_share)

    def _read_ahead(self, moment: Moment) -> None:
        for number, lane in self._lanes.items():
            load = self._plan(lane, moment)
            self._read[number] = load, self._readers.submit(self._read_load, load)

    def _read_load(self, load: Load) -> LoadedFrames:
        return read_load(self._sequences, load, self.preset.data, self.preset.generator.instance_edges)

    def _take(self, number: int, load: Load) -> LoadedFrames:
        planned, future = self._read.pop(number, (None, None))
        frames = future.result() if future is not None and planned == load else self._read_load(load)
        num_labels = self.preset.generator.num_labels
        if (largest := int(frames.labels_THW.max())) >= num_labels:
            folder = self._sequences[load.sequence].frames.labels[0].parent
            raise LabelError(
                f"{folder} holds the id {largest}, and the preset has {num_labels} classes", "See --check-data"
            )
        return frames

    def _mean_over_processes(self, each: list[dict[str, Tensor]], num_frames: int) -> tuple[dict[str, float], int]:
        names = sorted({name for terms in each for name in terms})
        gathered = self.processes.gather(
            ([{name: float(terms[name]) for name in names if name in terms} for terms in each], num_frames)
        )
        all_terms = [terms for terms_of_one, _ in gathered for terms in terms_of_one]
        found = sorted({name for terms in all_terms for name in terms})
        values = {name: [terms[name] for terms in all_terms if name in terms] for name in found}
        return {name: sum(own) / len(own) for name, own in values.items()}, sum(count for _, count in gathered)

    def state_dict(self) -> dict[str, Any]:
        """Return everything a later run needs to go on as if it had never stopped; all processes call it together."""
        pasts = {number: past.state_dict() for number, past in self._pasts.items()}
        gathered = self.processes.gather(({number: lane.state_dict() for number, lane in self._lanes.items()}, pasts))
        return {
            "step_index": self.step_index,
            "refused_in_a_row": self._refused_in_a_row,
            "seed": self._seed,
            "lanes": {number: state for lanes, _ in gathered for number, state in lanes.items()},
            "pasts": {number: state for _, own in gathered for number, state in own.items()},
            "scaler": self._scaler.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same preset and data; raises KeyError, ValueError or RuntimeError for another's."""
        self._seed = int(state["seed"])
        self.step_index = int(state["step_index"])
        self._refused_in_a_row = int(state["refused_in_a_row"])
        done = max(self.step_index - 1, 0)  # the networks of the last step: a new stage is entered from them
        self._enter(moment_of(done, self.preset.schedule))
        lengths = [len(sequence.frames.labels) for sequence in self._sequences]
        past, count = self.preset.generator.num_frames - 1, self.preset.schedule.num_sequences
        for number in self._lanes:
            self._lanes[number] = Lane(number, count, lengths, past, self._seed)
            self._lanes[number].load_state_dict(state["lanes"][number])
        own = {number: saved for number, saved in state["pasts"].items() if number in self._lanes}
        self._pasts = {number: Past.from_state(saved, self.processes.device) for number, saved in own.items()}
        self._read.clear()
        self._scaler.load_state_dict(state["scaler"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"generator": self.generator, "average": self.average, **self._networks.parts()}


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _constant(frame: DrawnFrame) -> DrawnFrame:
    return frame.detached()
