"""Where the vehicles and walkers are at a tick, under the ids that they have in the instance map."""

from __future__ import annotations

from typing import Final

import carla
import numpy as np

from bridge.capture.world import SyncWorld
from bridge.protocol.frames import BodyPose

_INSTANCE_IDS_ARE_ACTOR_IDS: Final = (0, 9, 16)
_INSTANCE_ID_BITS: Final = 0xFFFF
_LOOK_AROUND_TICKS: Final = 20


class BodyWatch:
    """Knows which actors move by themselves; asks the server only when an actor appears that it has not met.

    Before CARLA 0.9.16 the instance camera's ids were not actor ids: then there are no bodies.
    """

    def __init__(self, world: SyncWorld) -> None:
        self._world = world
        numbers = tuple(int(part) for part in world.version.split("-")[0].split("."))
        self._ids_match = numbers >= _INSTANCE_IDS_ARE_ACTOR_IDS
        self._moves: dict[int, bool] = {}
        self._moving: list[int] = []
        self._num_actors = -1
        self._age_ticks = 0

    def poses(self, snapshot: carla.WorldSnapshot) -> tuple[BodyPose, ...]:
        """Return the poses of all vehicles and walkers in a snapshot, by actor id."""
        if not self._ids_match:
            return ()
        bodies = self._find(snapshot)
        if bodies is None:
            self._look_around(snapshot)
            bodies = [actor for actor_id in self._moving if (actor := snapshot.find(actor_id)) is not None]
        if not bodies:
            return ()
        matrices = np.array([body.get_transform().get_matrix() for body in bodies], np.float64)
        return tuple(
            BodyPose(instance_id=body.id & _INSTANCE_ID_BITS, world_from_body=matrix)
            for body, matrix in zip(bodies, matrices, strict=True)
        )

    def _find(self, snapshot: carla.WorldSnapshot) -> list[carla.ActorSnapshot] | None:
        """The moving actors as they were last known; None when it is time to look who is there.

        Going through all actors costs more than the poses. As many actors as before are, but for one that took
        another's place within a tick, the same ones: it is met within a second.
        """
        self._age_ticks += 1
        if len(snapshot) != self._num_actors or self._age_ticks >= _LOOK_AROUND_TICKS:
            return None
        bodies = [actor for actor_id in self._moving if (actor := snapshot.find(actor_id)) is not None]
        return bodies if len(bodies) == len(self._moving) else None

    def _look_around(self, snapshot: carla.WorldSnapshot) -> None:
        present = sorted(actor.id for actor in snapshot)
        if unknown := [actor_id for actor_id in present if actor_id not in self._moves]:
            self._meet(unknown)
        self._moving = [actor_id for actor_id in present if self._moves[actor_id]]
        self._num_actors, self._age_ticks = len(present), 0

    def _meet(self, unknown: list[int]) -> None:
        with self._world.calls("name its actors"):
            types = {actor.id: actor.type_id for actor in self._world.world.get_actors(unknown)}
        for actor_id in unknown:
            self._moves[actor_id] = types.get(actor_id, "").startswith(("vehicle.", "walker."))
