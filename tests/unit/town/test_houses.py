"""Buildings of every measure that a town may have: all of them can be built."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.town.engine.buildings import HOUSE_FRONTS, STYLES_WITH_BALCONIES, House, build_house

STYLES = sorted({*HOUSE_FRONTS, *STYLES_WITH_BALCONIES, *range(8)})


@given(
    width_m=st.floats(3.0, 40.0),
    floors=st.integers(1, 7),
    style=st.sampled_from(STYLES),
    curved=st.booleans(),
    opens=st.tuples(st.booleans(), st.booleans()),
    is_home=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@example(width_m=4.3, floors=3, style=3, curved=False, opens=(False, False), is_home=False, seed=1)
def test_a_building_of_any_width_stands_on_its_front(
    width_m: float, floors: int, style: int, curved: bool, opens: tuple[bool, bool], is_home: bool, seed: int
) -> None:
    house = House(width_m, 9.0, floors, style, curved, opens, is_home and style in HOUSE_FRONTS)
    position = build_house(house, seed).position
    assert np.isfinite(position).all()
    assert position[:, 2].max() >= house.eaves_m
