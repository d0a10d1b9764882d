"""Which shape and size each CARLA blueprint has in the town."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from bridge.town.engine.big_vehicles import build_bus, build_truck
from bridge.town.engine.cars import FORMS, build_car, truck_form
from bridge.town.engine.people import NUM_LOOKS, build_walker
from bridge.town.engine.props import build_prop
from bridge.town.engine.shapes import Shape
from bridge.town.engine.two_wheelers import build_bicycle, build_motorcycle
from bridge.town.prop_kinds import PREFIX, PROPS


@dataclass(frozen=True)
class _Model:
    form: str
    size_m: tuple[float, float, float]


_MODELS: dict[str, _Model] = {
    "audi.a2": _Model("compact", (3.71, 1.67, 1.55)),
    "audi.etron": _Model("suv", (4.86, 1.93, 1.65)),
    "audi.tt": _Model("coupe", (4.18, 1.83, 1.38)),
    "bh.crossbike": _Model("bicycle", (1.75, 0.6, 1.72)),
    "bmw.grandtourer": _Model("estate", (4.61, 1.85, 1.62)),
    "carlamotors.carlacola": _Model("truck", (5.2, 2.4, 2.6)),
    "carlamotors.european_hgv": _Model("truck", (7.94, 2.55, 3.6)),
    "carlamotors.firetruck": _Model("fire", (8.47, 2.5, 3.5)),
    "chevrolet.impala": _Model("sedan", (5.36, 1.9, 1.42)),
    "citroen.c3": _Model("compact", (3.99, 1.75, 1.52)),
    "diamondback.century": _Model("bicycle", (1.66, 0.6, 1.72)),
    "dodge.charger_2020": _Model("sedan", (5.0, 1.91, 1.5)),
    "dodge.charger_police": _Model("sedan", (4.97, 1.91, 1.5)),
    "dodge.charger_police_2020": _Model("sedan", (5.23, 1.91, 1.52)),
    "ford.ambulance": _Model("van", (6.36, 2.2, 2.6)),
    "ford.crown": _Model("sedan", (5.37, 1.85, 1.5)),
    "ford.mustang": _Model("coupe", (4.72, 1.87, 1.34)),
    "gazelle.omafiets": _Model("bicycle", (1.84, 0.6, 1.75)),
    "harley-davidson.low_rider": _Model("motorcycle", (2.35, 0.76, 1.74)),
    "jeep.wrangler_rubicon": _Model("suv", (3.87, 1.85, 1.86)),
    "kawasaki.ninja": _Model("motorcycle", (2.03, 0.74, 1.74)),
    "lincoln.mkz_2017": _Model("sedan", (4.9, 1.86, 1.48)),
    "lincoln.mkz_2020": _Model("sedan", (4.89, 1.86, 1.48)),
    "mercedes.coupe": _Model("coupe", (5.03, 1.92, 1.42)),
    "mercedes.coupe_2020": _Model("coupe", (4.67, 1.81, 1.42)),
    "mercedes.sprinter": _Model("van", (5.92, 2.0, 2.56)),
    "micro.microlino": _Model("compact", (2.44, 1.5, 1.5)),
    "mini.cooper_s": _Model("compact", (3.81, 1.73, 1.43)),
    "mini.cooper_s_2021": _Model("compact", (4.1, 1.8, 1.5)),
    "mitsubishi.fusorosa": _Model("bus", (10.27, 2.6, 3.3)),
    "nissan.micra": _Model("compact", (3.63, 1.67, 1.5)),
    "nissan.patrol": _Model("suv", (4.6, 1.93, 1.85)),
    "nissan.patrol_2021": _Model("suv", (5.2, 1.99, 1.9)),
    "seat.leon": _Model("compact", (4.19, 1.8, 1.46)),
    "tesla.cybertruck": _Model("pickup", (5.9, 2.05, 1.9)),
    "tesla.model3": _Model("sedan", (4.69, 1.85, 1.45)),
    "toyota.prius": _Model("sedan", (4.51, 1.76, 1.5)),
    "vespa.zx125": _Model("motorcycle", (1.81, 0.7, 1.74)),
    "volkswagen.t2": _Model("minibus", (4.48, 1.75, 1.96)),
    "volkswagen.t2_2021": _Model("minibus", (4.44, 1.75, 1.99)),
    "yamaha.yzf": _Model("motorcycle", (2.21, 0.74, 1.74)),
}
_GENERIC_CAR = _Model("sedan", (4.6, 1.82, 1.47))
# What stands parked along the kerbs.
PARKED_MODELS: dict[str, tuple[str, ...]] = {
    "compact": ("nissan.micra", "citroen.c3", "mini.cooper_s", "seat.leon"),
    "sedan": ("toyota.prius", "lincoln.mkz_2017", "tesla.model3"),
    "estate": ("bmw.grandtourer",),
    "suv": ("audi.etron", "nissan.patrol"),
    "van": ("volkswagen.t2",),
}


def shape_key(blueprint_id: str) -> str:
    """Return the name of a blueprint's shape: blueprints that look alike share one.

    A vehicle the town does not know is drawn as a generic car; raises ValueError for what is neither vehicle, walker
    nor one of the town's props.
    """
    kind, _, rest = blueprint_id.partition(".")
    if kind == "vehicle" and rest:
        return f"vehicle.{rest}" if rest in _MODELS else "vehicle.generic"
    if kind == "walker" and rest:
        digits = "".join(c for c in rest if c.isdigit())
        return f"walker.{(int(digits) if digits else 0) % NUM_LOOKS}"
    if blueprint_id.startswith(PREFIX) and blueprint_id.removeprefix(PREFIX) in PROPS:
        return "prop." + blueprint_id.removeprefix(PREFIX)
    message = f"the town draws vehicle.*, walker.* and its own static.prop.* blueprints, not {blueprint_id!r}"
    raise ValueError(message)


@lru_cache(maxsize=128)
def build_shape(key: str) -> Shape:
    """Return the shape of a key that `shape_key` gave."""
    kind, _, name = key.partition(".")
    if kind == "walker":
        return build_walker(int(name))
    if kind == "prop":
        return build_prop(name)
    model = _MODELS.get(name, _GENERIC_CAR)
    if model.form == "bus":
        return build_bus(model.size_m)
    if model.form in ("truck", "fire"):
        return build_truck(model.size_m, cargo="paint" if model.form == "fire" else "cloth")
    if model.form in ("bicycle", "motorcycle"):
        build = build_bicycle if model.form == "bicycle" else build_motorcycle
        return build(model.size_m, rider=sum(map(ord, name)))
    form = FORMS[model.form]
    return build_car(truck_form(form) if model.form == "pickup" else form, model.size_m)


def body_half_extents_m(blueprint_id: str) -> tuple[float, float, float]:
    """Return half length, half width and half height of the box around a body; it stands on the ground.

    Agrees with what is drawn. Raises ValueError as `shape_key` does.
    """
    return build_shape(shape_key(blueprint_id)).half_extents_m
