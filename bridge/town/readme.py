"""The town's README, made from the registry of calls and the library of blueprints: it cannot be out of date.

`python -m bridge.town.readme` writes it.
"""

from __future__ import annotations

from pathlib import Path

from bridge.town.blueprints import build_library
from bridge.town.calls import ANSWERS, REFUSALS

README = Path(__file__).with_name("README.md")

_INTRODUCTION = """# The town

An embedded street simulator that speaks CARLA 0.9.16's own protocol: the unmodified `carla` wheel, its TrafficManager
and its pedestrian AI connect to it as to a CARLA server. Start it with `vidrive town`; it must be another process than
its clients, because several calls of the wheel wait for the server without releasing Python's lock.

This file is written by `python -m bridge.town.readme`; edit that module, not this file.

## How it is built

| file | job |
|---|---|
| `server` | sockets, threads, the life of the process: `TownServer`, `run_town` |
| `door` | who is let in, and who is turned away because there are too many |
| `rpc` | a thread per client; dispatch; replies that are put off |
| `calls/` | the handlers, by subject, each registered with `@answers(...)` |
| `simulation`, `episode`, `clock` | the state, one tick of it, and what makes it tick |
| `actors`, `walkers`, `props`, `traffic_lights`, `sensors`, `ray_sensors` | what each kind of actor knows and does |
| `vehicle_model`, `vehicle`, `chassis` | a vehicle's parameters, its motion on tyres and springs, and one at work |
| `vehicle_reports`, `ackermann` | physics control and telemetry in CARLA's terms; its speed controller |
| `collisions`, `footprints` | what happens when bodies meet |
| `cameras`, `streams` | planes from the painter to CARLA's images; delivery to subscribers |
| `navmesh` | the pedestrians' navigation mesh |
| `street_graph`, `roads`, `profiles` | where a seed's streets run, as lines and arcs, and their cross-sections |
| `junctions`, `signals` | lanes through junctions and kerbs round them; lights, signs and stop lines |
| `opendrive_reader`, `client_world` | a client's OpenDRIVE text as such a network |
| `streets`, `opendrive`, `surface` | all of it as a network, its OpenDRIVE text, and how high and whose the ground is |
| `plan`: `districts`, `lots`, `plots`, `kerbside` | what stands along the streets, and what of it is solid |
| `environment` | that which stands there as things that clients switch, in CARLA's map layers |
| `engine/` | the renderer behind `views.Painter` |

The bytes themselves are `bridge/carla_wire`'s.

## A tick

Physics, then the frame counter, then the sensors, and the snapshot last: when a client's `tick()` returns, every frame
of that tick is on its way. `tick_cue` is answered after the snapshot: a client with its answer in hand waits for the
snapshot in a loop that takes a whole core, before that it sleeps. Cameras with equal pose, size and field of view are
painted once. Without synchronous mode the town ticks at 20 Hz, or at `1 / fixed_delta_seconds`.
The same seed and the same calls in synchronous mode give the same sensor data, bit for bit; entering synchronous mode
puts the traffic lights at the beginning of their cycle, and loading a world restarts actor ids.

## Five habits that CARLA does not have, and why

| habit | without it |
|---|---|
| a synchronous tick waits for subscriptions whose token was just asked for | a fast client loses its first frame |
| a stream is never closed by the server, not even an unknown one | the client reconnects thousands of times a second |
| a client that asks for the settings in a loop is answered once a frame | TrafficManager takes a whole core |
| while a client loads, its settings calls and all ticks wait until it has subscribed anew | TrafficManager crashes |
| in asynchronous mode a spawn is answered after a snapshot with the actor | getters return zeros, walker AI crashes |

## Where it differs from CARLA

* Vehicles heave, pitch and roll on springs, lean when they have two wheels, climb kerbs and fall when put into the
  air; what is put on its roof stays there (failure state Rollover). Collisions push them in the plane only.
* A tyre with CARLA's default friction (3.5) and stiffnesses (17, 1000) is one on dry asphalt. All of
  `VehiclePhysicsControl` has effect but `use_sweep_wheel_collision` and the wheels' positions.
* Angular impulses and torques turn vehicles about their upright axis only.
* Bodies collide as upright boxes: vehicles push each other and stop at houses, trees and parked cars; walkers are
  pushed aside and stop nobody. Whom the client's pedestrian AI leads stays where that puts him; if it finds that a
  vehicle ran over him he falls, and is taken away 10 s later, as in CARLA.
* Every attachment is rigid, spring arms included.
* A walker's location is the middle of its body, a vehicle's is on the ground, as in CARLA.
* Instance ids are actor ids; the static world has id 0.
* GNSS agrees with the wheel's `Map.transform_to_geolocation`: y grows to the north there.
* Lidars and radars meet exactly what cameras draw, leaves and railings as if they were solid; an obstacle detector
  looks along nine rays over its disc where CARLA sweeps a sphere.
* Map layers work in `Town` as in `Town_Opt`; there are no particles. What is switched off shows nowhere and stops
  nobody; the faint shade that it threw on its neighbours' walls under a clouded sky stays. Lights and signs stay.
* `generate_opendrive_world` makes flat roads on a meadow, with lane marks, sidewalks and spawn points, of texts of up
  to 8 MiB, 30 km of road and 1200 m across; roads that climb are refused. It draws no signs, lights, crossings and
  objects of the text, builds no walls, and ignores the generation parameters.
* Blocks and trees behind the houses, hedges and bushes are not solid.
* Cameras have no lens distortion, and the RGB camera's post-processing attributes are ignored.
"""


def render() -> str:
    """Return the README's text."""
    return "\n".join([_INTRODUCTION, *_blueprints(), *_answered(), *_without_effect(), *_refused()]) + "\n"


def _blueprints() -> list[str]:
    ids = [definition.id for definition in build_library()]
    groups = {
        kind: [name for name in ids if name.startswith(kind)]
        for kind in ("vehicle.", "walker.", "sensor.", "static.prop.")
    }
    return [
        "## Blueprints",
        "",
        f"{len(groups['vehicle.'])} vehicles, {len(groups['walker.'])} walkers, the walkers' AI, the sensors",
        ", ".join(f"`{name}`" for name in groups["sensor."]) + ",",
        "and the props",
        ", ".join(f"`{name}`" for name in groups["static.prop."]) + ".",
        "",
    ]


def _answered() -> list[str]:
    rows = [f"| `{name}` | {answer.promise} |" for name, answer in sorted(ANSWERS.items()) if not answer.without_effect]
    return ["## Calls that are answered", "", "| call | what it does |", "|---|---|", *rows, ""]


def _without_effect() -> list[str]:
    rows = [f"| `{name}` | {answer.promise} |" for name, answer in sorted(ANSWERS.items()) if answer.without_effect]
    return ["## Calls that are accepted and change nothing", "", "| call | why |", "|---|---|", *rows, ""]


def _refused() -> list[str]:
    rows = [f"| `{name}` | {why} |" for name, why in sorted(REFUSALS.items())]
    return [
        "## Calls that are refused",
        "",
        "A client's call raises `RuntimeError` with the sentence; one that the wheel does not wait for does nothing.",
        "",
        "| call | sentence |",
        "|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    README.write_text(render(), encoding="utf-8")
