"""The town's engine: a software renderer that gives colour, labels, depth and flow of any camera in the streets."""

from bridge.town.engine.catalogue import body_half_extents_m
from bridge.town.engine.painter import TownPainter

__all__ = ["TownPainter", "body_half_extents_m"]
