"""The town's engine: a software renderer that gives colour, labels, depth and flow of any camera in the streets.

What is drawn: `textures`, `facades`, `materials`; `mesh`, `ground`, `buildings`, `trees`, `furniture`, put together by
`scene`; `cars`, `big_vehicles`, `two_wheelers`, `people` as `shapes`, chosen by `catalogue`.
What is baked once: `light`, the clouds of `sky`; kept by `bake`. What weather and time of day make of it: `daylight`,
`sky`, `sun_map`, `lamps`, together `lighting`; after the shading `weather_effects`.
How it is laid out for the kernels: `layout`, `packing`, `bodies`. How it is drawn: `culling`, then `kernels_raster`,
then `kernels_shade` (with `kernels_lookup`, `kernels_plane`, `kernels_light`, `kernels_lamps`), `kernels_weather` and
`kernels_labels`, all called by `painter`. Rays: `rays`. What clients
switch off: `switches`. CARLA's left-handed world ends in `frames`.
"""

from bridge.town.engine.catalogue import body_half_extents_m
from bridge.town.engine.painter import TownPainter

__all__ = ["TownPainter", "body_half_extents_m"]
