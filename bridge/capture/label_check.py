"""Look at the first label map whether its tags can mean what the simulator's version says."""

from __future__ import annotations

import logging
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError
from bridge.protocol.labels import class_names, label_id

_GROUND: Final = frozenset({"road", "road line", "sidewalk", "ground", "terrain", "parking", "bridge", "rail track"})
_OWN_BONNET: Final = frozenset({"car", "truck", "bus"})
_DRIVEN_ON: Final = frozenset({"road", "road line"})
_log = logging.getLogger(__name__)


def check_label_space(label_map: NDArray[np.uint8], declared: str) -> str:
    """Return the label space of a street scene seen from a vehicle: the declared one, or CARLA's other one where only
    that has a road under the lower middle of the picture.

    Raises LabelError for a picture without tags, which is what a colour-converted semantic picture looks like.
    """
    height_px, width_px = label_map.shape
    lower_middle = label_map[height_px * 2 // 3 :, width_px // 3 : width_px * 2 // 3]
    if (label_map == 255).all() or (label_map == 0).all():
        raise LabelError(
            f"the semantic camera's pictures hold the tag {int(label_map[0, 0])} and nothing else",
            "Read them raw, without a ColorConverter; a simulator that was built with a foreign engine sends black",
        )
    tag = _commonest(lower_middle, declared)
    if tag in _ids(_GROUND, declared):
        return declared
    for other in ("carla", "carla-0.9.13"):
        if other != declared and _commonest(lower_middle, other) in _ids(_DRIVEN_ON, other):
            _log.warning("the simulator's tags are those of label space %s, not %s: using %s", other, declared, other)
            return other
    name = class_names(declared).get(tag, "unknown")
    _log.warning("the lower middle of the first frame is %s: are these the tags of label space %s?", name, declared)
    return declared


def _ids(names: frozenset[str], space: str) -> set[int]:
    return {label_id(space, name) for name in names}


def _commonest(label_map: NDArray[np.uint8], space: str) -> int:
    """Return the commonest tag that is not the ego vehicle's own bonnet."""
    counts = np.bincount(label_map.ravel(), minlength=256)
    counts[list(_ids(_OWN_BONNET, space))] = 0
    return int(counts.argmax())
