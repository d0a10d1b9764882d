"""The family "vid2vid" (Wang et al. 2018): label maps, edge maps or poses to video, its last pictures carried along.

Each frame is drawn from three inputs (two past, one current) and two past pictures: a hallucinated picture is blended
with the last picture, warped by a flow that the network estimates itself. Coarse scales are drawn first; each scale
remembers its own pictures. The first two pictures of a sequence are given, or made by a network that looks at one frame
alone, or the third frame begins from black. The state is a value: `Vid2vidState`.

Where it is asked for, the engine's exact motion by depth and poses stands in for the flow that the network estimates.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from bridge.protocol.errors import RenderRefused
from bridge.protocol.messages import PlaneName
from renderer.backends.graphs import Recorded, recorder_for
from renderer.backends.transfer import begin_download, levels
from renderer.inputs import ModelInput, instance_edges
from renderer.layers import pool
from renderer.models import beside, style
from renderer.models.base import ModelOutput, truncate_to_uint8
from renderer.models.face_looks import FEATURE_CHANNELS
from renderer.models.family import Family, ModelParts, Traits
from renderer.models.fast_layers import prepare
from renderer.models.label_stack import FramePlanes, make_stacks
from renderer.models.speed import REFERENCE, Speed
from renderer.models.upstream import without_statistics
from renderer.models.vid2vid_checkpoint import recognise
from renderer.models.vid2vid_config import Vid2vidConfig
from renderer.models.vid2vid_networks import Drawing, GivenFlow, LabelHalf, ScaleGenerator, Vid2vid
from renderer.models.vid2vid_options import apply_options, notes
from renderer.temporal import TemporalState, engine_flow, remember

log: Final = logging.getLogger("renderer")
SIZE_MULTIPLE_PX: Final = 32


@dataclass(frozen=True)
class Vid2vidState:
    """All that one sequence remembers: its last inputs and pictures, oldest first, at most two of each, and what was
    begun `ahead` for its next frame.

    `pictures[scale]` are that scale's own, (B,3,H,W) float32 [-1, 1], the coarsest scale first. While a sequence
    begins, there are only those of the finest scale, the last entry. `last` is the last picture with its geometry,
    where the engine's flow is wanted.
    """

    inputs: tuple[FramePlanes, ...]
    pictures: tuple[tuple[Tensor, ...], ...]
    ahead: Ahead | None = None
    last: TemporalState | None = None


@dataclass(frozen=True)
class Ahead:
    """What the labels of a coming frame say, begun before its turn: `wait` returns it."""

    planes: FramePlanes
    wait: Callable[[], LabelHalf]

    def is_of(self, planes: FramePlanes) -> bool:
        """Whether it was begun for a frame of these very tensors."""
        return self.planes.labels_BHW is planes.labels_BHW and self.planes.dense_BCHW is planes.dense_BCHW


@dataclass(frozen=True)
class Drawn:
    """What a step drew: the picture (B,3,H,W) float32 [-1, 1], and each scale's drawing, () for a first picture."""

    picture_B3HW: Tensor
    scales: tuple[Drawing, ...] = ()


class Vid2vidModel:
    """A loaded vid2vid; see `Model`. Frames 0 and 1 of a sequence are its first pictures, from 2 on it is recurrent."""

    def __init__(self, parts: ModelParts) -> None:
        if parts.style is not None:
            style.refuse(parts.card.name)
        self.card = parts.card
        self.device = parts.device
        self.summary = f"{parts.device.type}, {parts.speed.precision}"
        assert isinstance(parts.network, Vid2vid)
        self._network = prepare_vid2vid(parts.network, parts.device, parts.speed)
        self._speed = parts.speed
        self._engine_flow = parts.engine_flow
        self._has_told = False
        function = partial(steady_frame, self._network, parts.speed)
        self.recorded = (
            Recorded(function, recorder_for(parts.device), parts.card.name)
            if parts.speed.recorded and not parts.engine_flow  # whose flow comes from outside the recorded function
            else None
        )

    @torch.inference_mode()
    def step(self, frame: ModelInput, state: Vid2vidState | None) -> tuple[ModelOutput, Vid2vidState]:
        """Synthesize one frame; the stages are `infer` and `to_uint8`.

        A frame without depth and motion, where the engine's flow is wanted, has a guessed one; that is logged once.
        """
        start_s = time.perf_counter()
        if self.recorded is not None and state is not None and is_steady(self._network.config, state):
            return self._step_recorded(self.recorded, frame, state, start_s)
        if self._engine_flow and not self._has_told and (frame.depth_B1HW is None or frame.motion is None):
            log.warning("%s guesses its flow: frames come without the depth and poses of an engine", self.card.name)
            self._has_told = True
        drawn, after = advance(self._network, frame, state, self._speed, use_engine=self._engine_flow)
        drawn_s = time.perf_counter()
        rgb = truncate_to_uint8(drawn.picture_B3HW)
        stages_ms = {"infer": (drawn_s - start_s) * 1e3, "to_uint8": (time.perf_counter() - drawn_s) * 1e3}
        return ModelOutput(rgb, stages_ms), after

    def _step_recorded(
        self, recorded: Recorded, frame: ModelInput, state: Vid2vidState, start_s: float
    ) -> tuple[ModelOutput, Vid2vidState]:
        planes = frame_planes(self._network.config, frame)
        rgb_HW3, *scales = recorded(*steady_inputs((*state.inputs, planes), state.pictures))
        drawn_s = time.perf_counter()
        rgb = begin_download(rgb_HW3)
        stages_ms = {"infer": (drawn_s - start_s) * 1e3, "to_uint8": (time.perf_counter() - drawn_s) * 1e3}
        pictures = tuple(tuple(scale.split(1)) for scale in scales)
        return ModelOutput(rgb, stages_ms), Vid2vidState((*state.inputs[1:], planes), pictures)


def prepare_vid2vid(network: Vid2vid, device: torch.device, speed: Speed) -> Vid2vid:
    """Bring a loaded network to its device and make it compute as `speed` says."""
    prepare(network, device, speed, exact_modules(network.config))
    for module in network.modules():
        if isinstance(module, ScaleGenerator):
            module.by_kernel = "blend" in speed.kernels
    return network


def is_steady(config: Vid2vidConfig, state: Vid2vidState) -> bool:
    """Whether the next frame of a sequence is drawn from as many frames and pictures as all that follow it."""
    return len(state.inputs) == config.num_frames - 1 and bool(state.pictures)


def steady_inputs(inputs: Sequence[FramePlanes], pictures: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Return what `steady_frame` takes of the last frames, this one at the end, and of each scale's past pictures."""
    planes = [torch.cat([frame.labels_BHW for frame in inputs])]
    for kind in ("edges_B1HW", "dense_BCHW"):
        of_kind = [plane for frame in inputs if (plane := getattr(frame, kind)) is not None]
        planes += [torch.cat(of_kind)] if of_kind else []
    return (*planes, *(torch.cat(tuple(scale)) for scale in pictures))


def steady_frame(network: Vid2vid, speed: Speed, labels_THW: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Draw a frame of a sequence that has begun: a function of tensors alone, the same operations for every frame.

    `others` are edges (T,1,H,W) or dense planes (T,C,H,W), where the network reads them, and each scale's past pictures
    (T-1,3,H,W) [-1, 1], the coarsest first. Returns the picture (H,W,3) u8 and each scale's next past pictures.
    """
    c = network.config
    pictures = others[len(others) - c.num_scales :]
    extra = others[0] if len(others) > c.num_scales else None
    frames = []
    for place in range(c.num_frames):
        extra_BCHW = None if extra is None else extra[place : place + 1]
        edges_B1HW, dense_BCHW = (None, extra_BCHW) if c.dense_channels else (extra_BCHW, None)
        frames.append(FramePlanes(labels_THW[place : place + 1], edges_B1HW, dense_BCHW))
    past = [scale.split(1) for scale in pictures]
    drawings = network.draw(partial(_read_labels, network, frames, speed), past)
    after = (torch.cat([scale[1:], drawing.picture_B3HW]) for scale, drawing in zip(pictures, drawings, strict=True))
    made_HW3 = drawings[-1].levels_HW3
    return levels(drawings[-1].picture_B3HW, rounded=False) if made_HW3 is None else made_HW3, *after


def advance(
    network: Vid2vid,
    frame: ModelInput,
    state: Vid2vidState | None,
    speed: Speed = REFERENCE,
    *,
    use_engine: bool = False,
) -> tuple[Drawn, Vid2vidState]:
    """Draw the next frame of a sequence, its first one without a state; return it with the state after it.

    `use_engine` warps by depth and poses, where this frame and the last one have them, instead of a guessed flow.

    Raises RenderRefused for a frame that is too small or lacks what the model begins with.
    """
    c = network.config
    planes = frame_planes(c, frame)
    past = state or Vid2vidState((), ())
    inputs = (*past.inputs, planes)
    if len(inputs) < c.num_frames:
        drawn, after = _begin(network, frame, inputs, past, speed)
        return drawn, replace(after, last=_with_geometry(drawn.picture_B3HW, frame) if use_engine else None)
    labels = _labels(network, inputs, past.ahead, speed)
    ahead = _look_ahead(network, inputs[1:], frame, speed)
    pictures = past.pictures or _black(c, planes)
    given = _engine_flow(past.last, frame) if use_engine else None
    drawings = network.draw(labels, pictures, blend=bool(past.pictures), given=given)
    kept = tuple((*old[1:], drawing.picture_B3HW) for old, drawing in zip(pictures, drawings, strict=True))
    picture_B3HW = drawings[-1].picture_B3HW
    last = _with_geometry(picture_B3HW, frame) if use_engine else None
    return Drawn(picture_B3HW, drawings), Vid2vidState(inputs[1:], kept, ahead, last)


def _with_geometry(picture_B3HW: Tensor, frame: ModelInput) -> TemporalState:
    return remember(picture_B3HW, frame.depth_B1HW, frame.instances_B1HW, frame.motion)


def _engine_flow(last: TemporalState | None, frame: ModelInput) -> GivenFlow | None:
    """Return the finest scale's flow by depth and poses; None where this frame or the last one has none."""
    if last is None or last.motion is None or frame.depth_B1HW is None or frame.motion is None:
        return None
    return GivenFlow(*engine_flow(last, frame.depth_B1HW, frame.instances_B1HW, frame.motion))


def _read_labels(network: Vid2vid, inputs: Sequence[FramePlanes], speed: Speed) -> LabelHalf:
    c = network.config
    return network.read_labels(make_stacks(inputs, c.num_labels, c.foreground_labels, c.num_scales, speed))


def _labels(
    network: Vid2vid, inputs: Sequence[FramePlanes], ahead: Ahead | None, speed: Speed
) -> Callable[[], LabelHalf]:
    """Return what waits for the label half of a frame: begun with the frame before, or now."""
    if ahead is not None and ahead.is_of(inputs[-1]):
        return ahead.wait
    device = inputs[-1].labels_BHW.device
    work = partial(_read_labels, network, inputs, speed)
    if speed.labels_beside and device.type == "cuda":
        return beside.begin(device, work)
    return work


def _look_ahead(network: Vid2vid, past: Sequence[FramePlanes], frame: ModelInput, speed: Speed) -> Ahead | None:
    """Begin the label half of the frame that follows, if it is known and can be drawn."""
    device = frame.labels_BHW.device
    if frame.following is None or not speed.labels_beside or not beside.pays_off(device):
        return None
    try:
        planes = frame_planes(network.config, frame.following)
    except RenderRefused:  # said when it is its turn
        return None
    return Ahead(planes, beside.begin(device, partial(_read_labels, network, (*past, planes), speed)))


def _begin(
    network: Vid2vid, frame: ModelInput, inputs: tuple[FramePlanes, ...], past: Vid2vidState, speed: Speed
) -> tuple[Drawn, Vid2vidState]:
    """Draw one of the frames before the first recurrent one."""
    c = network.config
    picture_B3HW = frame.first_B3HW
    if picture_B3HW is None and c.first_pictures == "single":
        picture_B3HW = network.first_picture(inputs[-1], frame.reference_B3HW)
    if picture_B3HW is None and c.first_pictures == "given":
        raise RenderRefused(
            "missing-first-picture",
            f"this model has no network for first frames, and frame {len(inputs) - 1} of the sequence came without one",
            "Give the first frames, or import the checkpoint together with its single-frame network",
        )
    if picture_B3HW is None:  # a standing start from black: nothing of it is remembered, as upstream draws nothing here
        standing = (*(inputs[:1] * (c.num_frames - len(inputs))), *inputs)
        labels = partial(_read_labels, network, standing, speed)
        drawings = network.draw(labels, _black(c, inputs[-1]), blend=False)
        return Drawn(drawings[-1].picture_B3HW, drawings), Vid2vidState(inputs, ())
    begun = (*(past.pictures[-1] if past.pictures else ()), picture_B3HW)
    if len(begun) < len(inputs):
        return Drawn(picture_B3HW), Vid2vidState(inputs, ())
    complete = len(inputs) == c.num_frames - 1
    return Drawn(picture_B3HW), Vid2vidState(inputs, _all_scales(begun, c.num_scales) if complete else (begun,))


def frame_planes(config: Vid2vidConfig, frame: ModelInput) -> FramePlanes:
    """Return what the networks read of a frame; raises RenderRefused for one that they cannot read."""
    height_px, width_px = frame.labels_BHW.shape[1:]
    smallest_px = (
        4 << (config.num_scales - 1) if config.num_down < 2 else 2 << (config.num_scales - 1 + config.num_down)
    )
    if height_px % SIZE_MULTIPLE_PX or width_px % SIZE_MULTIPLE_PX or min(height_px, width_px) < smallest_px:
        raise RenderRefused(
            "bad-size",
            f"this model draws frames of multiples of {SIZE_MULTIPLE_PX} px, at least {smallest_px}, and not "
            f"{width_px}x{height_px}",
            "Choose another size",
        )
    if config.dense_channels:
        if frame.dense_BCHW is None or frame.dense_BCHW.shape[1] != config.dense_channels:
            raise RenderRefused(
                "missing-plane",
                f"this model reads {config.dense_channels} planes of edges or poses, and they are not there",
                "Render a folder of them: a simulator does not make any",
            )
        return FramePlanes(frame.labels_BHW, None, frame.dense_BCHW)
    edges_B1HW = None
    if config.instance_edges:
        instances_B1HW = frame.instances_B1HW
        if instances_B1HW is None:
            instances_B1HW = torch.zeros_like(frame.labels_BHW[:, None])
        edges_B1HW = instance_edges(instances_B1HW)
    return FramePlanes(frame.labels_BHW, edges_B1HW)


def _all_scales(pictures: Sequence[Tensor], num_scales: int) -> tuple[tuple[Tensor, ...], ...]:
    """Return pictures of the finest scale at all scales, the coarsest first."""
    scales = [tuple(pictures)]
    for _ in range(num_scales - 1):
        scales.append(tuple(pool(picture) for picture in scales[-1]))
    return tuple(reversed(scales))


def _black(config: Vid2vidConfig, planes: FramePlanes) -> tuple[tuple[Tensor, ...], ...]:
    """Return past pictures of zeros at all scales for a frame."""
    black_B3HW = torch.zeros(1, 3, *planes.labels_BHW.shape[1:], device=planes.labels_BHW.device)
    return _all_scales((black_B3HW,) * (config.num_frames - 1), config.num_scales)


def exact_modules(config: Vid2vidConfig) -> tuple[str, ...]:
    """Return the modules that stay float32 in any precision: what they draw, flow and mask, moves pixels."""
    heads = ("model_final_flow", "model_final_w") if config.flow else ()
    return tuple(f"G{scale}.{name}" for scale in range(config.num_scales) for name in heads)


def adapt(config: Vid2vidConfig, role: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a published network's tensors as ours: norms use the picture's own statistics, so theirs are dropped."""
    if role == "features":  # upstream's last column counts pixels
        return {part: rows[:, :FEATURE_CHANNELS].float() for part, rows in tensors.items()}
    return without_statistics(tensors)


def traits(config: Vid2vidConfig) -> Traits:
    """Return what a configuration needs to be fed."""
    planes: list[PlaneName] = ["labels"]
    if config.instance_edges:
        planes.append("instances")
    if config.first_pictures == "given":
        planes.append("rgb")
    return Traits(
        label_space="cityscapes",
        planes=tuple(planes),
        size_multiple_px=SIZE_MULTIPLE_PX,
        native_size_hw=config.native_size_hw,
        past_frames=config.num_frames - 1,
        dense_channels=config.dense_channels,
    )


def dry_run(network: Vid2vid, config: Vid2vidConfig, size_hw: tuple[int, int]) -> Iterator[str]:
    """Run the frames of a beginning and one recurrent frame on the network's device; yield "first" or "steady" after
    one of each kind."""
    device = next(network.parameters()).device
    labels_BHW = torch.zeros(1, *size_hw, dtype=torch.uint8, device=device)
    picture_B3HW = torch.zeros(1, 3, *size_hw, device=device)
    frame = ModelInput(
        labels_BHW,
        dense_BCHW=torch.zeros(1, config.dense_channels, *size_hw, device=device) if config.dense_channels else None,
        reference_B3HW=picture_B3HW,
    )
    planes = frame_planes(config, frame)
    if config.single is not None and config.single.kind == "features":
        network.single(frame.dense_BCHW, network.encoder.model(picture_B3HW))
    elif config.single is not None:
        network.first_picture(planes, None)
    yield "first"
    begun = (picture_B3HW,) * (config.num_frames - 1)
    state = Vid2vidState((planes,) * len(begun), _all_scales(begun, config.num_scales))
    advance(network, frame, state)
    yield "steady"


FAMILY: Final = Family(
    name="vid2vid",
    licence="CC BY-NC-SA 4.0 (NVIDIA/vid2vid); trained on Cityscapes, whose licence allows research only",
    config_type=Vid2vidConfig,
    recognise=recognise,
    apply_options=apply_options,
    notes=notes,
    build=Vid2vid,
    adapt=adapt,
    traits=traits,
    make_model=Vid2vidModel,
    dry_run=dry_run,
    guesses_flow=lambda config: config.flow,
)
