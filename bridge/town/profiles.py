"""The cross-sections of the town's streets. All sidewalks are equally wide, so that corners join any two of them."""

from __future__ import annotations

from bridge.town.roads import Lane, LaneProfile

LANE_WIDTH_M = 3.5
SIDEWALK_M = 3.6

_SIDEWALK = Lane("sidewalk", SIDEWALK_M)
_STREET = (Lane("driving", LANE_WIDTH_M, "solid"), Lane("parking", 2.2), _SIDEWALK)
_LANE = (Lane("driving", LANE_WIDTH_M), Lane("shoulder", 0.3), _SIDEWALK)
_AVENUE = (Lane("driving", LANE_WIDTH_M, "broken"), Lane("driving", LANE_WIDTH_M), _SIDEWALK)

STREET = LaneProfile(_STREET, _STREET, "broken")
"""One lane each way between rows of parked cars."""
LANE = LaneProfile(_LANE, _LANE, "none")
"""A narrow residential street."""
AVENUE = LaneProfile(_AVENUE, _AVENUE, "solid solid")
"""Two lanes each way."""
CONNECTING = LaneProfile((), (Lane("driving", LANE_WIDTH_M),), "none")
"""One lane through a junction; its reference line is the lane's left edge."""
KERB = LaneProfile((_SIDEWALK,), (), "none")
"""The sidewalk to the left of a kerb, round a corner of a junction."""
