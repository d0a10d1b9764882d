"""How exact the engine's motion is in the town, and how steady it makes a generator that draws each frame by itself.

The figures are printed by -s. The oracle of resampling is the same reprojection of a render with twice the pixels in
each direction, averaged down: it has the original's light and edges, and next to nothing lost between pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("carla", reason="there is no carla wheel for this platform")

from bridge.capture.drive import open_drive
from bridge.capture.flow_fit import FlowPair, fit_flow
from bridge.capture.presets import load_rig, load_session
from bridge.capture.rig import Rig
from bridge.protocol.errors import SimulatorError
from bridge.protocol.frames import SensorFrame
from bridge.protocol.labels import map_labels
from bridge.protocol.messages import ModelCard
from clients.processes import Child
from clients.viewer.reprojection import Geometry, picked, places_in, visible_in
from renderer.engine_warp import follow
from renderer.inputs import ModelInput
from renderer.models import vid2vid
from renderer.models.base import ModelOutput, Nothing, truncate_to_uint8
from renderer.models.spade import draw
from renderer.models.spade_networks import Spade, SpadeConfig
from renderer.models.speed import REFERENCE
from renderer.models.stabilised import StabilisedModel
from renderer.temporal import EngineMotion, remember, warp_previous
from tests.unit.renderer.vid2vid_cases import TWO_SCALES, make_network

READY_S = 180.0
SCENE = msgspec.structs.replace(TWO_SCALES, foreground=False, foreground_labels=())
NUM_STARTING_TICKS = 20  # until the car drives
NUM_TICKS = 50
WIDTH_PX, HEIGHT_PX = 256, 128


@dataclass(frozen=True)
class Seen:
    frame: SensorFrame
    large: SensorFrame  # twice the size, from the same place


@pytest.fixture(scope="module")
def drive() -> list[Seen]:
    session = load_session("demo")
    rig = msgspec.structs.replace(load_rig(session.rig), width_px=WIDTH_PX, height_px=HEIGHT_PX)
    with_flow = msgspec.structs.replace(rig, planes=(*rig.planes, "flow_px"))
    twice = msgspec.structs.replace(rig, width_px=2 * WIDTH_PX, height_px=2 * HEIGHT_PX)
    seen: list[Seen] = []
    with Child("town", ["town", "--port", "0", "--seed", "1"]) as town:
        port = int(town.wait_ready(READY_S)[-1].rpartition(":")[2])
        with open_drive(session, with_flow, host="127.0.0.1", port=port) as street:
            large = Rig(street.world, street.ego, twice)
            large.warm_up()
            for index in range(NUM_TICKS):
                frame_id = street.tick(None)
                pair = Seen(street.read(frame_id), large.read(frame_id))
                seen += [pair] if index >= NUM_STARTING_TICKS else []
            large.close()
    return seen


def geometry(frame: SensorFrame) -> Geometry:
    found = Geometry.of(frame)
    assert found is not None
    return found


def picture(frame: SensorFrame) -> NDArray[np.uint8]:
    assert frame.rgb is not None
    return frame.rgb


def test_the_last_frame_moved_is_this_one(drive: list[Seen]) -> None:
    errors, oracle, agreement, shares, flow_errors_px = [], [], [], [], []
    for before, now in pairwise(drive):
        moved, visible = follow(picture(before.frame), before.frame, now.frame)
        large, large_visible = follow(picture(before.large), before.large, now.large)
        both = visible & (halved(large_visible) == 1.0)
        expected = picture(now.frame)
        errors.append(np.abs(moved - expected)[both].mean())
        oracle.append(np.abs(halved(large) - expected)[both].mean())
        was, here = geometry(before.frame), geometry(now.frame)
        places = places_in(was, here)
        seen = visible_in(was, here, places)
        agreement.append(np.mean((picked(was.label_map, places) == here.label_map)[seen]))
        shares.append(seen.mean())
        flow_errors_px.append(np.percentile(flow_error_px(now.frame, places.column_px, places.row_px)[seen], 99))
    ratio = np.mean(errors) / np.mean(oracle)
    print(
        f"visible {np.mean(shares):.3f}; error {np.mean(errors):.2f} grey levels, oracle {np.mean(oracle):.2f}, "
        f"x {ratio:.2f}; labels agree {np.mean(agreement):.4f}; flow camera within {np.mean(flow_errors_px):.4f} px"
    )
    assert np.mean(shares) > 0.9
    assert np.mean(agreement) >= 0.99
    assert np.mean(flow_errors_px) < 0.02
    assert ratio <= 1.3


def halved(plane: NDArray) -> NDArray:
    """The mean of each two by two pixels."""
    height, width = plane.shape[:2]
    return plane.reshape(height // 2, 2, width // 2, 2, *plane.shape[2:]).mean((1, 3))


def flow_error_px(frame: SensorFrame, column_px: NDArray, row_px: NDArray) -> NDArray:
    """How far the motion by depth and poses is from that of the simulator's own flow camera."""
    assert frame.flow_px is not None
    rows, columns = np.indices(column_px.shape)
    return np.abs(frame.flow_px - np.stack([columns - column_px, rows - row_px], -1)).max(-1)


def flow_pairs(drive: list[Seen], factor_x: float, factor_y: float) -> list[FlowPair]:
    """Some pairs of pictures, with the flow that a camera of other signs and units would have sent."""
    factors = np.array([factor_x, factor_y], np.float32)
    chosen = list(pairwise(drive))[5::6]
    return [(picture(a.frame), picture(b.frame), np.asarray(b.frame.flow_px, np.float32) * factors) for a, b in chosen]


@pytest.mark.parametrize("factors", [(1, 1), (-1, 1), (1, -1), (-1, -1), (2, 2), (0.5, -0.5), (-1, 2)])
def test_what_the_flow_camera_means_is_seen_in_its_pictures(drive: list[Seen], factors: tuple[float, float]) -> None:
    fit = fit_flow(flow_pairs(drive, *factors))
    print(f"{factors}: {fit}")
    assert fit.scale_x * factors[0] == pytest.approx(1.0, abs=0.1)
    assert fit.scale_y * factors[1] == pytest.approx(1.0, abs=0.1)
    assert fit.is_as_documented == (factors == (1, 1))


def test_flow_of_other_pictures_is_refused(drive: list[Seen]) -> None:
    pairs = flow_pairs(drive, 1, 1)
    noise = np.random.default_rng(0)
    foreign = [(a, b, np.asarray(noise.normal(0, 3, flow.shape), np.float32)) for a, b, flow in pairs]
    with pytest.raises(SimulatorError, match="no sign and scale"):
        fit_flow(foreign)
    with pytest.raises(SimulatorError, match="hardly move"):
        fit_flow([(now, now, flow) for _, now, flow in pairs])


def test_vid2vid_follows_the_engine_in_the_town(drive: list[Seen]) -> None:
    """The blend of a narrow network of random weights is the raw picture and the reprojected last one, by its mask."""
    network, state, last = make_network(SCENE), None, None
    with torch.inference_mode():
        for seen in drive[:6]:
            given = as_input(seen.frame)
            drawn, state = vid2vid.advance(network, given, state, use_engine=True)
            if drawn.scales and last is not None:
                assert given.depth_B1HW is not None
                assert given.motion is not None
                warped, valid = warp_previous(last, given.depth_B1HW, given.instances_B1HW, given.motion)
                finest = drawn.scales[-1]
                mask = finest.occlusion_mask_B1HW
                assert mask is not None
                assert float(valid.mean()) > 0.85
                assert torch.allclose(finest.picture_B3HW, finest.raw_B3HW * mask + warped * (1 - mask), atol=1e-5)
                assert float(mask[valid == 0].min()) == 1.0
                assert float(mask[valid > 0].mean()) < 0.9
            last = remember(drawn.picture_B3HW, given.depth_B1HW, given.instances_B1HW, given.motion)


class PerFrame:
    """A narrow SPADE of random weights: each frame by itself, all detail new wherever labels have moved."""

    def __init__(self) -> None:
        self.card = ModelCard(
            name="per-frame", family="spade", label_space="cityscapes", planes=("labels", "instances"),
            size_multiple_px=64, past_frames=0, weights_sha256="", licence="none",
        )  # fmt: skip
        self.device = torch.device("cpu")
        self.summary = "random"
        config = SpadeConfig(
            num_labels=35, instance_edges=True, width=4, upsampling="more", native_size_hw=(HEIGHT_PX, WIDTH_PX)
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self._network = Spade(config).eval().requires_grad_(False)
            for layer in self._network.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    torch.nn.init.orthogonal_(layer.weight, gain=1.2)

    @torch.inference_mode()
    def step(self, frame: ModelInput, state: Nothing | None) -> tuple[ModelOutput, Nothing]:
        return ModelOutput(truncate_to_uint8(draw(self._network, frame, None, REFERENCE)), {}), Nothing()


def as_input(frame: SensorFrame) -> ModelInput:
    assert frame.depth_m is not None
    assert frame.instance_map is not None
    bodies = {body.instance_id: body.world_from_body for body in frame.bodies}
    return ModelInput(
        torch.from_numpy(map_labels(frame.label_map, frame.label_space, "cityscapes"))[None],
        torch.from_numpy(frame.depth_m.copy())[None, None],
        torch.from_numpy(frame.instance_map.astype(np.int32))[None, None],
        EngineMotion(frame.intrinsics.focal_px, frame.world_from_camera, bodies),
    )


def flicker(pictures: list[NDArray[np.uint8]], frames: list[SensorFrame]) -> float:
    """Mean difference of a visible pixel from where its surface was a frame ago, grey levels."""
    changes = []
    for (was, before), (rgb, now) in pairwise(zip(pictures, frames, strict=True)):
        moved, visible = follow(was, before, now)
        changes.append(np.abs(moved - rgb)[visible].mean())
    return float(np.mean(changes[5:]))  # the first ones are still on their way


@pytest.mark.slow
def test_a_generator_of_single_frames_flickers_no_more_than_the_original_when_stabilised(drive: list[Seen]) -> None:
    frames = [seen.frame for seen in drive]
    torch.set_num_threads(1)  # two threads that spin beside other work take minutes
    alone, steadied = PerFrame(), StabilisedModel(PerFrame())
    state = None
    plain, stabilised = [], []
    for frame in frames:
        given = as_input(frame)
        plain.append(alone.step(given, None)[0].rgb)
        output, state = steadied.step(given, state)
        stabilised.append(output.rgb)
    original = flicker([picture(frame) for frame in frames], frames)
    without, with_it = flicker(plain, frames), flicker(stabilised, frames)
    print(
        f"flicker in grey levels: original {original:.2f}, without {without:.2f}, stabilised {with_it:.2f}: "
        f"x {with_it / original:.2f} of the original, x {with_it / without:.2f} of without"
    )
    assert with_it <= 1.1 * original
    assert with_it <= without / 3
