"""What an optical flow camera means is found in its pictures, or refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bridge.capture.flow_fit import FlowPair, fit_flow
from bridge.protocol.errors import SimulatorError
from clients.viewer.motion import engine_motion
from tests.unit.gap.drawn_drives import Camera, see


@pytest.fixture(scope="module")
def pairs() -> list[FlowPair]:
    """Four frames of a street that is drawn exactly, with their true flow."""
    found = []
    for before, now in pairwise([see(Camera(0.5 * index), index) for index in range(4)]):
        motion = engine_motion(before, now)
        assert motion is not None
        assert before.rgb is not None
        assert now.rgb is not None
        found.append((before.rgb, now.rgb, np.asarray(motion[0], np.float32)))
    return found


@pytest.mark.parametrize("factors", [(1, 1), (-1, 1), (1, -1), (-1, -1), (2, 2), (0.5, -0.5), (-1.2, 0.9)])
def test_sign_and_scale_are_found_on_each_axis(pairs: list[FlowPair], factors: tuple[float, float]) -> None:
    sent = [(before, now, flow * np.array(factors, np.float32)) for before, now, flow in pairs]
    fit = fit_flow(sent)
    assert fit.scale_x * factors[0] == pytest.approx(1.0, abs=0.06)
    assert fit.scale_y * factors[1] == pytest.approx(1.0, abs=0.06)
    assert fit.is_as_documented == (factors == (1, 1))


def test_flow_that_explains_nothing_is_refused(pairs: list[FlowPair]) -> None:
    noise = np.random.default_rng(0)
    foreign = [(a, b, np.asarray(noise.normal(0.0, 3.0, flow.shape), np.float32)) for a, b, flow in pairs]
    with pytest.raises(SimulatorError, match="no sign and scale") as caught:
        fit_flow(foreign)
    assert "depth and poses" in caught.value.hint


def test_pictures_that_stand_still_tell_nothing(pairs: list[FlowPair]) -> None:
    with pytest.raises(SimulatorError, match="hardly move"):
        fit_flow([(now, now, flow) for _, now, flow in pairs])


def test_planes_of_several_sizes_are_an_error(pairs: list[FlowPair]) -> None:
    before, now, flow = pairs[0]
    with pytest.raises(ValueError, match="one size"):
        fit_flow([(before, now, flow[:-1])])
