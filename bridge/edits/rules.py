"""What is edited: rules over classes and objects, and paint that lies on the street; also the schema of edit files."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import CLASSES
from configs import PresetError, load_preset_or_file

BEHIND: Final = "behind"  # the target of a rule that removes: what would be seen were the object not there
MAX_RULES: Final = 200
MAX_DABS: Final = 400
MOVABLE: Final = frozenset({"pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle", "dynamic"})
_NAMES: Final = frozenset(label_class.name for label_class in CLASSES)

InstanceId = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All pixels of some classes, or of some objects by their instance ids, become another class.

    `to` names that class, or is "behind": then they are removed (see `bridge.edits.fill`). One of `classes` and
    `instances` is given. Classes are names of `bridge.protocol.labels.CLASSES`.
    """

    name: str = ""
    classes: tuple[str, ...] = ()
    instances: tuple[InstanceId, ...] = ()
    to: str
    enabled: bool = True

    def __post_init__(self) -> None:
        if bool(self.classes) == bool(self.instances):
            raise ValueError("a rule has either classes or instances")
        for name in self.classes:
            check_class(name)
        if self.to != BEHIND:
            check_class(self.to)

    @property
    def title(self) -> str:
        """What the HUD calls it."""
        if self.name:
            return self.name
        what = ", ".join(self.classes) or f"object {', '.join(map(str, self.instances))}"
        return f"no {what}" if self.to == BEHIND else f"{what} to {self.to}"


class Dab(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, array_like=True):
    """Paint of one touch of the brush: surfaces within `radius_m` of a point of CARLA's world are of the class `to`."""

    x_m: float
    y_m: float
    z_m: float
    radius_m: Annotated[float, msgspec.Meta(gt=0.0)]
    to: str

    def __post_init__(self) -> None:
        check_class(self.to)


class Edits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All edits of a frame. A pixel follows the first rule that is on and fits it; paint lies over the rules."""

    rules: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=MAX_RULES)] = ()
    dabs: Annotated[tuple[Dab, ...], msgspec.Meta(max_length=MAX_DABS)] = ()

    def __bool__(self) -> bool:
        return bool(self.dabs) or any(rule.enabled for rule in self.rules)


NO_EDITS: Final = Edits()


def check_class(name: str) -> None:
    """Raise ValueError if there is no class of that name."""
    if name not in _NAMES:
        raise ValueError(f"there is no class {name!r}: use one of {', '.join(c.name for c in CLASSES)}")


def load_edits(name: str) -> Edits:
    """Return the edits of a preset, or of a YAML file by its path.

    Raises UsageError for one that cannot be read, or has a mistake in it.
    """
    try:
        return load_preset_or_file("edits", name, Edits)
    except PresetError as error:
        raise UsageError(error.what, error.hint) from None
