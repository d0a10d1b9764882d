"""CARLA's semantic tags (0.9.14 and later) of what the town draws."""

from __future__ import annotations

ROAD = 1
SIDEWALK = 2
BUILDING = 3
WALL = 4
FENCE = 5
POLE = 6
TRAFFIC_LIGHT = 7
TRAFFIC_SIGN = 8
VEGETATION = 9
TERRAIN = 10
SKY = 11
PEDESTRIAN = 12
RIDER = 13
CAR = 14
TRUCK = 15
BUS = 16
MOTORCYCLE = 18
BICYCLE = 19
STATIC = 20
DYNAMIC = 21
ROAD_LINE = 24
GROUND = 25
