"""The first label map is looked at: are these the tags that the simulator's version promises?"""

from __future__ import annotations

import logging

import numpy as np
import pytest

from bridge.capture.label_check import check_label_space
from bridge.protocol.errors import LabelError
from bridge.protocol.labels import label_id


def street(space: str, ground: str = "road", bonnet: bool = False) -> np.ndarray:
    label_map = np.full((24, 48), label_id(space, "sky"), np.uint8)
    label_map[12:] = label_id(space, "sidewalk")
    label_map[14:, 12:36] = label_id(space, ground)
    if bonnet:
        label_map[19:, 8:40] = label_id(space, "car")
    return label_map


@pytest.mark.parametrize("space", ["carla", "carla-0.9.13"])
@pytest.mark.parametrize("bonnet", [False, True])
def test_a_street_fits_its_space(space: str, bonnet: bool, caplog: pytest.LogCaptureFixture) -> None:
    assert check_label_space(street(space, bonnet=bonnet), space) == space
    assert not caplog.records


@pytest.mark.parametrize(("declared", "actual"), [("carla", "carla-0.9.13"), ("carla-0.9.13", "carla")])
def test_tags_of_the_other_space_are_noticed(declared: str, actual: str, caplog: pytest.LogCaptureFixture) -> None:
    assert check_label_space(street(actual), declared) == actual
    assert "using" in caplog.text


def test_a_lawn_or_a_wall_ahead(caplog: pytest.LogCaptureFixture) -> None:
    assert check_label_space(street("carla", "terrain"), "carla") == "carla"
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert check_label_space(street("carla", "fence"), "carla") == "carla"
    assert "fence" in caplog.text


@pytest.mark.parametrize("tag", [0, 255])
def test_pictures_without_tags(tag: int) -> None:
    with pytest.raises(LabelError, match=f"hold the tag {tag} and nothing else"):
        check_label_space(np.full((24, 48), tag, np.uint8), "carla")
