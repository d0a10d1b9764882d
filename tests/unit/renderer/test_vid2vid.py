"""vid2vid's sequences: where they begin, what they need, and how their parts are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
import torch

from bridge.protocol.errors import RenderRefused
from renderer.inputs import ModelInput, instance_edges
from renderer.layers import warp
from renderer.models import vid2vid
from renderer.models.face_looks import nearest_look
from tests.unit.renderer.vid2vid_cases import GIVEN, POSES, SIZE_HW, TWO_SCALES, make_frames, make_network, run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_scene_begins_anew_without_a_state_and_state_is_a_value() -> None:
    network, frames = make_network(TWO_SCALES), make_frames(TWO_SCALES, 4)
    first = run(network, frames)
    again = run(network, [*frames[:3], *frames])
    for before, after in zip(first, run(network, frames), strict=True):
        assert torch.equal(before.picture_B3HW, after.picture_B3HW)
    assert not torch.equal(again[3].picture_B3HW, first[0].picture_B3HW)  # carried on, as no reset was asked for


def test_first_two_pictures_are_of_their_own_labels_alone() -> None:
    network, frames = make_network(TWO_SCALES), make_frames(TWO_SCALES, 3)
    there = run(network, frames)
    swapped = run(network, [frames[1], frames[0], frames[2]])
    assert torch.equal(there[0].picture_B3HW, swapped[1].picture_B3HW)
    assert torch.equal(there[1].picture_B3HW, swapped[0].picture_B3HW)
    assert not there[0].scales
    assert len(there[2].scales) == 2


def test_given_first_pictures_take_the_place_of_synthesized_ones() -> None:
    network, frames = make_network(TWO_SCALES), make_frames(TWO_SCALES, 3)
    white = torch.full((1, 3, *SIZE_HW), 0.5)
    given = [replace(frame, first_B3HW=white) for frame in frames]
    drawn = run(network, given)
    assert torch.equal(drawn[0].picture_B3HW, white)
    assert torch.equal(drawn[1].picture_B3HW, white)
    assert not torch.equal(drawn[2].picture_B3HW, run(network, frames)[2].picture_B3HW)
    assert not torch.equal(drawn[2].picture_B3HW, white)  # from the third frame on, given pictures are not looked at


def test_model_without_first_frames_asks_for_them() -> None:
    network, (frame, *_) = make_network(GIVEN), make_frames(GIVEN, 1)
    with pytest.raises(RenderRefused, match="frame 0 of the sequence came without one"):
        vid2vid.advance(network, frame, None)


def test_poses_begin_from_black_without_a_blend() -> None:
    network, frames = make_network(POSES), make_frames(POSES, 4)
    drawn = run(network, frames)
    assert torch.equal(drawn[2].picture_B3HW, drawn[2].scales[-1].raw_B3HW)
    assert not torch.equal(drawn[3].picture_B3HW, drawn[3].scales[-1].raw_B3HW)
    black = torch.zeros(1, 3, *SIZE_HW)
    coarse = torch.zeros(1, 3, SIZE_HW[0] // 2, SIZE_HW[1] // 2)
    planes = tuple(vid2vid.frame_planes(POSES, frame) for frame in frames[:2])
    state = vid2vid.Vid2vidState(planes, ((coarse, coarse), (black, black)))
    blended = run(network, frames[2:3], state=state)
    assert torch.equal(blended[0].scales[-1].raw_B3HW, drawn[2].scales[-1].raw_B3HW)


def test_pose_model_has_no_use_for_a_simulators_labels() -> None:
    network, (frame, *_) = make_network(POSES), make_frames(POSES, 1)
    with pytest.raises(RenderRefused, match="reads 6 planes of edges or poses"):
        vid2vid.advance(network, replace(frame, dense_BCHW=None), None)


@pytest.mark.parametrize("size_hw", [(64, 80), (40, 64)])
def test_size_that_scales_cannot_halve_is_refused(size_hw: tuple[int, int]) -> None:
    frame = ModelInput(torch.zeros(1, *size_hw, dtype=torch.uint8))
    with pytest.raises(RenderRefused, match="multiples of 32 px"):
        vid2vid.advance(make_network(TWO_SCALES), frame, None)


def test_foreground_is_drawn_where_any_of_its_classes_is() -> None:
    several = msgspec.structs.replace(TWO_SCALES, foreground_labels=(26, 11))
    frames = make_frames(TWO_SCALES, 3)
    one, both = run(make_network(TWO_SCALES), frames)[2], run(make_network(several), frames)[2]
    foreground = both.scales[-1].foreground_B3HW
    assert foreground is not None
    differs = (one.picture_B3HW != both.picture_B3HW).any(1)[0]
    labels_HW = frames[2].labels_BHW[0]
    assert differs.any()
    assert not differs[(labels_HW != 11)].any()
    inside = labels_HW == 11
    assert torch.equal(both.picture_B3HW[0][:, inside], foreground[0][:, inside])


def test_without_flow_the_raw_picture_is_the_picture() -> None:
    network = make_network(msgspec.structs.replace(TWO_SCALES, flow=False))
    drawing = run(network, make_frames(TWO_SCALES, 3))[2].scales[-1]
    assert drawing.flow_B2HW is None
    assert torch.equal(drawing.picture_B3HW, drawing.raw_B3HW)


# -- parts ---------------------------------------------------------------------------------------------------------


def test_edges_stand_on_both_sides_of_a_border() -> None:
    ids = torch.tensor([[[[0, 0, 5, 5], [0, 0, 5, 5], [0, 0, 0, 0], [0, 0, 0, 0]]]])
    expected = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    assert torch.equal(instance_edges(ids)[0, 0].long(), expected)


def test_warp_samples_at_the_pixel_plus_its_flow() -> None:
    picture = torch.rand(1, 3, 6, 9)
    flow = torch.zeros(1, 2, 6, 9)
    flow[:, 0], flow[:, 1] = 2.0, -1.0
    warped = warp(picture, flow)
    assert torch.allclose(warped[..., 1:, :7], picture[..., :5, 2:], atol=1e-6)
    assert torch.allclose(warped[..., 0, 8], picture[..., 0, 8], atol=1e-6)  # beyond the border it repeats


def test_nearest_look_is_one_for_all_parts() -> None:
    parts = torch.zeros(1, 2, 4, dtype=torch.uint8)
    parts[..., 2:] = 2
    tables = [torch.tensor([[0.0], [1.0], [5.0]]), torch.zeros(1, 1), torch.tensor([[9.0], [2.0], [1.0], [0.0]])]
    look = torch.where(parts == 0, 1.1, 1.9)[:, None]
    painted = nearest_look(look, parts, tables)
    assert painted[0, 0].tolist() == [[1.0, 1.0, 2.0, 2.0]] * 2
    far = nearest_look(torch.where(parts == 0, 9.0, -9.0)[:, None], parts, tables)
    assert far[0, 0].tolist() == [[5.0, 5.0, 0.0, 0.0]] * 2  # the fourth look: the first part's last row stands in
