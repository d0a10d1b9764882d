"""Props: things that clients put into the street, solid and unmoved until somebody moves or removes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.town.actors import Actor, box_of
from bridge.town.prop_kinds import prop_kind
from bridge.town.views import Body


@dataclass(eq=False)
class Prop(Actor):
    """A thing in the street, its origin on the ground below its middle."""

    collides: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = prop_kind(self.blueprint_id)
        self.half_extents_m = kind.half_extents_m
        self.bounding_box = box_of(self.actor_id, self.half_extents_m, self.half_extents_m[2])
        self.semantic_tags = bytes([kind.tag])
        self.reach_m = math.hypot(*self.half_extents_m[:2])

    @property
    def is_in_the_way(self) -> bool:
        """Tell whether vehicles stop at it: what is attached to an actor moves with it."""
        return self.collides and self.parent is None

    def body(self) -> Body:
        """Return the prop as the engine draws it."""
        return Body(self.actor_id, self.blueprint_id, self.pose, self.previous_pose)
