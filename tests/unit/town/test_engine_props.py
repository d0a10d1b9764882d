"""Every prop of the library is drawn, in its own size and tag."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.town.engine.catalogue import body_half_extents_m, build_shape, shape_key
from bridge.town.prop_kinds import PREFIX, PROPS


@pytest.mark.parametrize("name", sorted(PROPS))
def test_a_prop_is_as_large_as_its_box(name: str) -> None:
    kind, shape = PROPS[name], build_shape(shape_key(PREFIX + name))
    assert body_half_extents_m(PREFIX + name) == kind.half_extents_m
    (mesh,) = shape.parts
    low, high = mesh.position.min(0), mesh.position.max(0)
    assert low[2] >= -0.01
    np.testing.assert_allclose(high[2], 2.0 * kind.half_extents_m[2], atol=0.12)
    reach = np.maximum(np.abs(low), np.abs(high))[:2]
    np.testing.assert_allclose(reach, kind.half_extents_m[:2], atol=0.1)
    assert set(mesh.tag.tolist()) == {kind.tag}


def test_an_unknown_prop_is_refused() -> None:
    with pytest.raises(ValueError, match=r"static\.prop\.spaceship"):
        shape_key("static.prop.spaceship")
