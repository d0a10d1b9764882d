"""What is recorded once and replayed draws what runs layer by layer, and holds nothing that a CUDA graph cannot.

Here the recorder is the one for machines without CUDA: places, copies and fallbacks are the same code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from bridge.protocol.messages import ModelCard
from renderer.backends.graphs import MAX_GRAPHS, NUM_WARM_UPS, Recorded, record_plainly
from renderer.backends.runner import EagerRunner, RecordedRunner
from renderer.backends.transfer import download, levels, stage, upload
from renderer.inputs import ModelInput
from renderer.models import spade, vid2vid
from renderer.models.family import ModelParts, find_family
from renderer.models.live import LiveConfig, LiveGenerator
from renderer.models.reprojecting import to_uint8
from renderer.models.spade_networks import Spade, SpadeConfig
from renderer.models.speed import Speed, live_speed
from renderer.models.vid2vid_networks import Vid2vid
from renderer.speed_trial import street_frames
from tests.unit.renderer.capture_check import traced, waiting_operations
from tests.unit.renderer.vid2vid_cases import GIVEN

CPU = torch.device("cpu")
NUM_FRAMES = 5  # two are given, the third begins, two are steady
SIZE_HW = (64, 64)
CARD = ModelCard(
    name="tiny",
    family="vid2vid",
    label_space="cityscapes",
    planes=("labels", "instances", "rgb"),
    size_multiple_px=32,
    past_frames=2,
    weights_sha256="",
    licence="none",
)
VID2VID = msgspec.structs.replace(GIVEN, width=4, num_blocks=1, foreground_labels=(24, 26))
SPADE = SpadeConfig(num_labels=35, instance_edges=True, width=4, hidden=8, upsampling="more", native_size_hw=(256, 512))
ON_CUDA = msgspec.structs.replace(live_speed("cuda"), precision="float32")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def model_of(family: str, config: object, network: torch.nn.Module, speed: Speed) -> object:
    parts = ModelParts(CARD, config, network.eval().requires_grad_(False), CPU, speed)
    return find_family(family).make_model(parts)


def drive(model: object, frames: list[ModelInput]) -> list[np.ndarray]:
    state, pictures = None, []
    for frame in frames:
        output, state = model.step(frame, state)  # pyright: ignore[reportAttributeAccessIssue]
        pictures.append(output.rgb)
    return pictures


def streets(seed: int) -> list[ModelInput]:
    frames = [
        replace(frame, labels_BHW=frame.labels_BHW.roll(7 * seed, 2)) for frame in street_frames(NUM_FRAMES, SIZE_HW)
    ]
    return [frame if index < 2 else replace(frame, first_B3HW=None) for index, frame in enumerate(frames)]


def test_on_cuda_everything_is_recorded_and_elsewhere_nothing() -> None:
    assert live_speed("cpu") == Speed()
    assert (ON_CUDA.recorded, ON_CUDA.present_classes, ON_CUDA.uniform_regions) == (True, False, False)


@pytest.mark.parametrize("family", ["vid2vid", "spade"])
def test_a_recorded_model_draws_what_it_draws_layer_by_layer(family: str) -> None:
    config, build = (VID2VID, Vid2vid) if family == "vid2vid" else (SPADE, Spade)
    network = build(config)  # pyright: ignore[reportArgumentType]
    plain = model_of(family, config, network, msgspec.structs.replace(ON_CUDA, recorded=False))
    recorded = model_of(family, config, network, ON_CUDA)
    expected = [drive(plain, streets(seed)) for seed in (0, 1)]
    given: list[list[np.ndarray]] = [[], []]
    states: list[object] = [None, None]
    for index in range(NUM_FRAMES):  # two sequences in turns: what is recorded keeps nothing of either
        for seed in (0, 1):
            output, states[seed] = recorded.step(streets(seed)[index], states[seed])  # pyright: ignore
            given[seed].append(output.rgb)
    for seed in (0, 1):
        for got, wanted in zip(given[seed], expected[seed], strict=True):
            assert got.dtype == np.uint8
            assert np.array_equal(got, wanted)
    assert not np.array_equal(given[0][-1], given[1][-1])


def test_the_generator_that_ships_is_replayed_alone_and_in_a_batch() -> None:
    network = LiveGenerator(LiveConfig(noise=True, margin_px=16)).eval().requires_grad_(False)
    recorded, eager = RecordedRunner(network, CPU, torch.float32), EagerRunner(network, CPU, torch.float32)
    assert (recorded.backend, recorded.dtype) == ("graph", torch.float32)
    with torch.inference_mode():
        for batch in (1, 3, 1):
            frame = (
                torch.randint(0, 13, (batch, 32, 64), dtype=torch.uint8),
                torch.rand(batch, 3, 32, 64) * 2 - 1,
                (torch.rand(batch, 1, 32, 64) > 0.3).float(),
            )
            first = recorded(*frame)
            kept = first.clone()
            assert torch.equal(first, eager(*frame))
            recorded(*(tensor.roll(3, -1) for tensor in frame))
            assert torch.equal(first, kept), "a picture stays what it is when the next one is drawn"


def test_nothing_that_is_recorded_waits_for_the_device() -> None:
    """Traced with other values than it is run with: the graph is the same for every frame of a size."""
    live = LiveGenerator(LiveConfig(noise=True)).eval().requires_grad_(False)
    frames = streets(0)
    half = vid2vid.prepare(Vid2vid(VID2VID).eval(), CPU, ON_CUDA, vid2vid.exact_modules(VID2VID))
    planes = [vid2vid.frame_planes(VID2VID, frame) for frame in frames[:3]]
    pictures = vid2vid._all_scales(tuple(torch.rand(1, 3, *SIZE_HW) for _ in range(2)), VID2VID.num_scales)
    network = Spade(SPADE).eval().requires_grad_(False)
    functions: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
        "live": (
            live,
            (frames[0].labels_BHW % 13, torch.zeros(1, 3, *SIZE_HW), torch.zeros(1, 1, *SIZE_HW)),
        ),
        "vid2vid": (partial(vid2vid.steady_frame, half, ON_CUDA), vid2vid.steady_inputs(planes, pictures)),
        "spade": (partial(spade.whole_frame, network, ON_CUDA), spade.whole_inputs(SPADE, frames[0], None)),
    }
    for name, (function, inputs) in functions.items():
        graph = traced(function, tuple(torch.zeros_like(tensor) for tensor in inputs))
        assert waiting_operations(graph) == [], name
        with torch.no_grad():
            expected, given = function(*inputs), graph(*inputs)
        for got, wanted in zip(
            given if isinstance(given, tuple) else (given,),
            expected if isinstance(expected, tuple) else (expected,),
            strict=True,
        ):
            assert torch.allclose(got.float(), wanted.float(), atol=1.0 if got.dtype == torch.uint8 else 1e-4), name


def test_the_look_for_waiting_finds_what_waits() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    for function in (
        lambda x: x.flatten().nonzero(),
        lambda x: x * torch.tensor([2]),
        lambda x: x[x > 0],
        lambda x: torch.bincount(x.flatten()),
    ):
        assert waiting_operations(traced(function, (labels,)))


def test_a_recording_that_fails_or_differs_is_left_aside_once(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_function: object) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
        raise RuntimeError("operation not permitted when stream is capturing")

    def differ(function: Callable[[], tuple[Tensor, ...]]) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
        places, _ = record_plainly(function)

        def replay() -> None:
            places[0].add_(1.0)

        return places, replay

    for recorder, told in ((refuse, "not permitted"), (differ, "off")):
        caplog.clear()
        recorded = Recorded(lambda x: (x * 2,), recorder, "the generator")
        with caplog.at_level(logging.WARNING, "renderer"):
            for _ in range(3):
                assert torch.equal(recorded(torch.ones(4))[0], torch.full((4,), 2.0))
        (message,) = caplog.messages
        assert told in message
        assert "layer by layer" in message


def test_recordings_of_many_shapes_do_not_fill_the_memory() -> None:
    recorded = Recorded(lambda x: (x + 1,), record_plainly, "it")
    for number in range(1, MAX_GRAPHS + 4):
        assert recorded(torch.zeros(number))[0].shape == (number,)
        assert len(recorded._recordings) <= MAX_GRAPHS
    assert NUM_WARM_UPS >= 1


def test_bytes_on_the_device_are_those_of_the_host() -> None:
    picture = torch.rand(1, 3, 16, 24) * 2 - 1
    assert np.array_equal(download(levels(picture, rounded=True)), to_uint8(picture))
    plane = np.arange(12, dtype=np.int32).reshape(3, 4)
    plane.flags.writeable = False  # as what has come over the wire
    staged = stage(plane, np.int32, CPU)
    assert np.array_equal(download(upload(staged, CPU)), plane)
    staged[0, 0] = 7
    assert plane[0, 0] == 0, "a copy of our own"
