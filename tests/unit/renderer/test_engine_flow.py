"""The engine's flow in vid2vid: the last picture moves as depth and poses say, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from renderer.inputs import ModelInput
from renderer.layers import pool
from renderer.models import vid2vid
from renderer.models.vid2vid_networks import GivenFlow
from renderer.temporal import EngineMotion, engine_flow, remember, sample_at, warp_previous
from tests.unit.renderer.vid2vid_cases import SIZE_HW, TWO_SCALES, make_frames, make_network, run

SCENE = msgspec.structs.replace(TWO_SCALES, foreground=False, foreground_labels=())
FOCAL_PX, DEPTH_M = 32.0, 8.0


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def moving_frames(number: int, step_px: float = 3.5) -> list[ModelInput]:
    """Random labels on a wall and a pole before it, seen by a camera that goes to the right and turns."""
    frames = []
    for index, frame in enumerate(make_frames(SCENE, number)):
        angle = 0.01 * index
        pose = np.eye(4)
        pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        pose[0, 3] = index * step_px * DEPTH_M / FOCAL_PX
        depth = torch.full((1, 1, *SIZE_HW), DEPTH_M)
        depth[..., 40 - 6 * index : 44 - 6 * index] = DEPTH_M / 2
        ids = torch.zeros_like(frame.instances_B1HW)
        frames.append(replace(frame, depth_B1HW=depth, instances_B1HW=ids, motion=EngineMotion(FOCAL_PX, pose)))
    return frames


def play(frames: list[ModelInput]) -> tuple[list[vid2vid.Drawn], list[vid2vid.Vid2vidState]]:
    network, state, drawn, states = make_network(SCENE), None, [], []
    with torch.inference_mode():
        for frame in frames:
            picture, state = vid2vid.advance(network, frame, state, use_engine=True)
            drawn.append(picture)
            states.append(state)
    return drawn, states


def test_flow_and_visibility_are_those_of_the_reprojection() -> None:
    before, now = moving_frames(2)
    picture = torch.rand(1, 3, *SIZE_HW) * 2 - 1
    last = remember(picture, before.depth_B1HW, before.instances_B1HW, before.motion)
    assert now.depth_B1HW is not None
    assert now.motion is not None
    flow, visible = engine_flow(last, now.depth_B1HW, now.instances_B1HW, now.motion)
    warped, valid = warp_previous(last, now.depth_B1HW, now.instances_B1HW, now.motion)
    assert torch.equal(visible, valid)
    assert 0.5 < float(valid.mean()) < 1.0
    assert torch.equal(sample_at(picture, flow) * visible, warped)


def test_the_blend_takes_the_moved_picture_where_it_is_visible_and_the_raw_one_elsewhere() -> None:
    frames = moving_frames(5)
    drawn, states = play(frames)
    for index in range(2, 5):
        last, frame, finest = states[index - 1].last, frames[index], drawn[index].scales[-1]
        assert last is not None
        assert torch.equal(last.rgb_B3HW, drawn[index - 1].picture_B3HW)
        assert frame.depth_B1HW is not None
        assert frame.motion is not None
        warped, valid = warp_previous(last, frame.depth_B1HW, frame.instances_B1HW, frame.motion)
        mask = finest.occlusion_mask_B1HW
        assert mask is not None
        seen = valid.expand_as(warped) > 0
        expected = finest.raw_B3HW * mask + warped * (1 - mask)
        assert torch.allclose(finest.picture_B3HW, expected, atol=1e-6)
        assert torch.equal(finest.picture_B3HW[~seen], finest.raw_B3HW[~seen])
        assert not torch.allclose(finest.picture_B3HW[seen], finest.raw_B3HW[seen], atol=1e-3)


def test_coarse_scales_move_as_their_pixels_lie() -> None:
    """What moves by an even number of pixels moves, once pooled, by half of them."""
    picture = torch.rand(1, 3, *SIZE_HW) * 2 - 1
    flow = torch.zeros(1, 2, *SIZE_HW)
    flow[:, 0] = 4.0
    coarse = GivenFlow(flow, torch.ones(1, 1, *SIZE_HW)).halved()
    moved, expected = sample_at(pool(picture), coarse.flow_B2HW), pool(sample_at(picture, flow))
    assert torch.allclose(moved[..., 1:-4], expected[..., 1:-4], atol=1e-5)


def test_without_geometry_the_flow_is_the_networks_own() -> None:
    frames = make_frames(SCENE, 5)
    drawn, _ = play(frames)
    for one, other in zip(drawn, run(make_network(SCENE), frames), strict=True):
        assert torch.equal(one.picture_B3HW, other.picture_B3HW)


def test_the_guess_stands_where_it_is_not_asked_for() -> None:
    with_geometry, without = run(make_network(SCENE), moving_frames(5)), run(make_network(SCENE), make_frames(SCENE, 5))
    for one, other in zip(with_geometry[:2], without[:2], strict=True):
        assert torch.equal(one.picture_B3HW, other.picture_B3HW)
    engine, _ = play(moving_frames(5))
    assert not torch.equal(engine[4].picture_B3HW, with_geometry[4].picture_B3HW)
