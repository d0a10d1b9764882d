"""Where the vehicles and walkers are at a tick, under the ids that they have in the instance map."""

from __future__ import annotations

from typing import Final

import carla
import numpy as np

from bridge.capture.world import SyncWorld
from bridge.protocol.frames import BodyPose

_INSTANCE_IDS_ARE_ACTOR_IDS: Final = (0, 9, 16)
_INSTANCE_ID_BITS: Final = 0xFFFF


class BodyWatch:
    """Knows which actors move by themselves; asks the server only when an actor appears that it has not met.

    Before CARLA 0.9.16 the instance camera's ids were not actor ids: then there are no bodies.
    """

    def __init__(self, world: SyncWorld) -> None:
        self._world = world
        numbers = tuple(int(part) for part in world.version.split("-")[0].split("."))
        self._ids_match = numbers >= _INSTANCE_IDS_ARE_ACTOR_IDS
        self._moves: dict[int, bool] = {}

    def poses(self, snapshot: carla.WorldSnapshot) -> tuple[BodyPose, ...]:
        """Return the poses of all vehicles and walkers in a snapshot, by actor id."""
        if not self._ids_match:
            return ()
        actors = {actor.id: actor for actor in snapshot}
        if not actors.keys() <= self._moves.keys():
            self._meet(list(actors.keys() - self._moves.keys()))
        return tuple(
            BodyPose(
                instance_id=actor_id & _INSTANCE_ID_BITS,
                world_from_body=np.array(actors[actor_id].get_transform().get_matrix(), np.float64),
            )
            for actor_id in sorted(actors)
            if self._moves[actor_id]
        )

    def _meet(self, unknown: list[int]) -> None:
        with self._world.calls("name its actors"):
            types = {actor.id: actor.type_id for actor in self._world.world.get_actors(unknown)}
        for actor_id in unknown:
            self._moves[actor_id] = types.get(actor_id, "").startswith(("vehicle.", "walker."))
