"""Rig and session presets: all of them load, and a typo is an error that names its place."""

from __future__ import annotations

import msgspec
import pytest

from bridge.capture.presets import RigPreset, SessionPreset, load_rig, load_session
from bridge.protocol.errors import UsageError
from configs import preset_names


@pytest.mark.parametrize("name", preset_names("rigs"))
def test_every_rig_loads(name: str) -> None:
    assert "labels" in load_rig(name).planes


@pytest.mark.parametrize("name", preset_names("sessions"))
def test_every_session_loads_and_names_a_rig(name: str) -> None:
    assert load_session(name).rig in preset_names("rigs")


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no rig 'dashcm'.*dashcam"):
        load_rig("dashcm")
    with pytest.raises(UsageError, match=r"no session 'x'.*demo"):
        load_session("x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"planes": ["rgb"]}, "labels among them"),
        ({"planes": ["labels", "labels"]}, "each plane once"),
        ({"planes": ["labels", "occlusion_mask"]}, "no camera captures it"),
        ({"planes": ["labels", "semantics"]}, r"\$\.planes"),
        ({"width_px": 0}, r"\$\.width_px"),
        ({"widht_px": 512}, "widht_px"),
        ({"mount": {"x": 1.0}}, r"\$\.mount"),
    ],
)
def test_a_rig_that_cannot_be(change: dict, message: str) -> None:
    rig = {"mount": {}, "width_px": 512, "height_px": 256, "fov_deg": 90.0, "planes": ["labels"], **change}
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(rig, RigPreset)


def test_a_session_that_cannot_be() -> None:
    session = {"rig": "dashcam", "mode": "record", "fixed_delta_s": 0.5, "num_vehicles": 1, "num_walkers": 0}
    with pytest.raises(msgspec.ValidationError, match=r"\$\.fixed_delta_s"):
        msgspec.convert(session, SessionPreset)
