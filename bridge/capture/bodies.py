"""Where the vehicles and walkers are at a tick, under the ids that they have in the instance map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import carla
import numpy as np
from numpy.typing import NDArray

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
        moving = [actor_id for actor_id in sorted(actors) if self._moves[actor_id]]
        matrices = _matrices([actors[actor_id].get_transform() for actor_id in moving])
        return tuple(
            BodyPose(instance_id=actor_id & _INSTANCE_ID_BITS, world_from_body=matrix)
            for actor_id, matrix in zip(moving, matrices, strict=True)
        )

    def _meet(self, unknown: list[int]) -> None:
        with self._world.calls("name its actors"):
            types = {actor.id: actor.type_id for actor in self._world.world.get_actors(unknown)}
        for actor_id in unknown:
            self._moves[actor_id] = types.get(actor_id, "").startswith(("vehicle.", "walker."))


def _matrices(transforms: Sequence[carla.Transform]) -> NDArray[np.float64]:
    """Return (N,4,4) world_from_body, as `Transform.get_matrix` does one by one: that took longer than decoding."""
    places = [t.location for t in transforms]
    turns = [t.rotation for t in transforms]
    angles = np.radians(np.array([(r.pitch, r.yaw, r.roll) for r in turns], np.float64).reshape(-1, 3))
    (cp, cy, cr), (sp, sy, sr) = np.cos(angles).T, np.sin(angles).T
    matrices = np.zeros((len(transforms), 4, 4))
    matrices[:, 0, :3] = np.stack([cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr], 1)
    matrices[:, 1, :3] = np.stack([cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr], 1)
    matrices[:, 2, :3] = np.stack([sp, -cp * sr, cp * cr], 1)
    matrices[:, :3, 3] = np.array([(p.x, p.y, p.z) for p in places], np.float64).reshape(-1, 3)
    matrices[:, 3, 3] = 1.0
    return matrices
