"""The town's contact sheet: twelve views of its places in as many weathers, drawn by its own engine.

`python -m bridge.town.contact_sheet FILE` writes it. Not a part of `vidrive town`, whose image has no picture codec.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import VidriveError
from bridge.town.engine import TownPainter
from bridge.town.footprints import Footprint, overlaps_any
from bridge.town.pose import Pose
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.views import (
    BRAKE,
    LEFT_BLINKER,
    LOW_BEAM,
    POSITION,
    RIGHT_BLINKER,
    Body,
    CameraView,
    SignalHead,
    StreetState,
    Weather,
)

TILE_PX = (640, 360)
COLUMNS = 3
JPEG_QUALITY = 90
_NIGHT = -90.0
_ABREAST_M = 3.0
_LOOK_AHEAD_M = 95.0
_VEHICLES = (
    "vehicle.tesla.model3",
    "vehicle.mercedes.sprinter",
    "vehicle.mini.cooper_s",
    "vehicle.mitsubishi.fusorosa",
    "vehicle.kawasaki.ninja",
    "vehicle.audi.etron",
    "vehicle.carlamotors.european_hgv",
    "vehicle.gazelle.omafiets",
    "vehicle.volkswagen.t2",
    "vehicle.ford.mustang",
)
_PAINTS = ((186, 190, 194), (24, 25, 28), (150, 20, 24), (32, 74, 140), (232, 232, 228), (92, 98, 104), (40, 84, 60))


@dataclass(frozen=True)
class Scene:
    """A view: its title, where along the town's spawn points (0..1), the camera in the lane's frame, and the weather.

    The sun's azimuth counts from the lane's direction, clockwise. The camera stands `back_m` behind the place, `left_m`
    beside it, `up_m` above it, turned by `turn_deg` and pitched.
    """

    title: str
    place: float
    weather: Weather
    back_m: float = 0.0
    left_m: float = 0.0
    up_m: float = 1.7
    turn_deg: float = 0.0
    pitch_deg: float = 0.0
    shows_ego: bool = False


def _sunny(altitude_deg: float, azimuth_deg: float, **more: float) -> Weather:
    return Weather(cloudiness=12.0)._replace(sun_altitude_angle=altitude_deg, sun_azimuth_angle=azimuth_deg, **more)


SCENES: tuple[Scene, ...] = (
    Scene("The town's own weather", 0.0, Weather(sun_azimuth_angle=140.0)),
    Scene("Clear noon", 0.09, _sunny(62.0, 80.0), back_m=7.5, up_m=3.0, pitch_deg=-8.0, shows_ego=True),
    Scene("Low sun", 0.17, _sunny(13.0, 17.0)),
    Scene("Overcast", 0.26, Weather(cloudiness=92.0, fog_density=4.0)),
    Scene("Wet noon", 0.34, _sunny(45.0, -40.0, cloudiness=45.0, wetness=80.0, precipitation_deposits=55.0)),
    Scene("Hard rain", 0.43, Weather(100.0, 90.0, 85.0, 70.0, fog_density=7.0, wetness=100.0)),
    Scene("Morning fog", 0.51, _sunny(22.0, 30.0, cloudiness=50.0, fog_density=45.0, fog_distance=4.0)),
    Scene("Sunset after rain", 0.6, _sunny(5.0, -12.0, cloudiness=40.0, wetness=90.0, precipitation_deposits=60.0)),
    Scene("From a roof", 0.68, _sunny(38.0, 130.0), back_m=14.0, left_m=4.0, up_m=13.0, pitch_deg=-17.0),
    Scene("Dusk", 0.77, Weather(cloudiness=35.0, sun_altitude_angle=-3.5, sun_azimuth_angle=10.0)),
    Scene("Clear night", 0.85, Weather(5.0, sun_altitude_angle=_NIGHT, fog_density=10.0, fog_distance=75.0)),
    Scene(
        "Hard rain at night",
        0.94,
        Weather(100.0, 100.0, 90.0, 80.0, sun_altitude_angle=_NIGHT, fog_density=20.0, wetness=100.0),
        back_m=7.5,
        up_m=2.8,
        pitch_deg=-7.0,
        shows_ego=True,
    ),
)


def write_contact_sheet(path: Path, network: StreetNetwork, painter: TownPainter) -> None:
    """Draw all scenes into one JPEG or PNG file; raises VidriveError if it cannot be written."""
    check_name(path)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() == ".jpg" else []
    coded, data = cv2.imencode(path.suffix, contact_sheet(network, painter), quality)
    assert coded
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise VidriveError(f"{path} cannot be written: {error.strerror}", "Choose another place") from error


def check_name(path: Path) -> None:
    """Raise VidriveError unless the name is that of a picture in a folder that exists."""
    if path.suffix.lower() not in (".jpg", ".png"):
        raise VidriveError(f"{path} is not the name of a picture", "Choose one that ends in .jpg or .png")
    if not path.parent.is_dir():
        raise VidriveError(f"there is no folder {path.parent}", "Make it first, or choose another place")


def contact_sheet(network: StreetNetwork, painter: TownPainter) -> NDArray[np.uint8]:
    """Return all scenes as one picture, (rows * height, columns * width, 3) u8, B, G, R."""
    tiles = [_titled(_draw(scene, network, painter), scene.title) for scene in SCENES]
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def _draw(scene: Scene, network: StreetNetwork, painter: TownPainter) -> NDArray[np.uint8]:
    spawns = network.spawn_points
    here = spawns[int(scene.place * len(spawns)) % len(spawns)]
    ground = float(network.ground_height_m(np.array([here.x_m]), np.array([here.y_m]))[0])
    place = Pose(here.x_m, here.y_m, ground, yaw_deg=here.yaw_deg)
    mount = Pose(-scene.back_m, -scene.left_m, scene.up_m, scene.pitch_deg, scene.turn_deg)
    view = CameraView(*TILE_PX, 85.0, place.compose(mount))
    azimuth_deg = (scene.weather.sun_azimuth_angle + here.yaw_deg) % 360.0
    weather = scene.weather._replace(sun_azimuth_angle=azimuth_deg)
    planes = painter.render(view, view.pose, street_state(network, place, weather, scene.shows_ego), ("rgb",))
    assert planes.bgra is not None
    return planes.bgra[..., :3].copy()


def street_state(network: StreetNetwork, place: Pose, weather: Weather, shows_ego: bool) -> StreetState:
    """Return traffic and people around a place, as still as in a photograph; the same place gives the same."""
    needs_lamps = weather.sun_altitude_angle < 8.0 or weather.precipitation > 0.0 or weather.fog_density > 30.0
    lights = LOW_BEAM | POSITION if needs_lamps else 0
    bodies = [Body(1, "vehicle.lincoln.mkz_2020", place, place, (142, 24, 30), lights=lights)] if shows_ego else []
    number = 0
    for spawn in network.spawn_points:
        ahead, right = _seen_from(place, spawn)
        same_way = abs((spawn.yaw_deg - place.yaw_deg + 180.0) % 360.0 - 180.0) < 60.0
        if not 9.0 < ahead < _LOOK_AHEAD_M or abs(right) > 14.0 or (abs(right) < _ABREAST_M and ahead < 13.0):
            continue
        pose = _on_ground(network, spawn)
        extra = (BRAKE, 0, RIGHT_BLINKER, 0, LEFT_BLINKER)[number % 5] if same_way else 0
        paint = _PAINTS[number * 3 % len(_PAINTS)]
        bodies.append(Body(100 + number, _VEHICLES[number % 10], pose, pose, paint, lights=lights | extra))
        number += 1
    bodies += _people(network, place)
    colours = ("green", "red", "red", "green")
    signals = [SignalHead(900 + k, colours[k % 4]) for k in range(len(network.traffic_lights))]
    return StreetState(tuple(bodies), tuple(signals), weather, elapsed_s=0.1)


def _people(network: StreetNetwork, place: Pose) -> list[Body]:
    """Return people on the pavements along the lane ahead."""
    people = []
    for number, ahead in enumerate(np.arange(6.0, 46.0, 4.5).tolist()):
        side = 1 if number % 3 else -1
        for right in np.arange(2.5, 16.0, 0.5).tolist():
            pose = place.compose(Pose(ahead, side * (right + 1.0 + 0.5 * (number % 2)), yaw_deg=180.0 * (number % 2)))
            off_road = not network.is_on_road(np.array([pose.x_m]), np.array([pose.y_m]))[0]
            at = _on_ground(network, pose)
            if off_road and not overlaps_any(Footprint(at.x_m, at.y_m, 0.5, 0.5, 0.0), network.static_boxes):
                stride = 0.37 * number
                people.append(Body(500 + number, f"walker.pedestrian.{number + 1:04d}", at, at, stride_m=stride))
                break
    return people


def _seen_from(place: Pose, other: Pose) -> tuple[float, float]:
    """Return how far ahead and to the right of a place another one is."""
    relative = np.linalg.inv(place.matrix()) @ np.array([other.x_m, other.y_m, place.z_m, 1.0])
    return float(relative[0]), float(relative[1])


def _on_ground(network: StreetNetwork, pose: Pose) -> Pose:
    ground = float(network.ground_height_m(np.array([pose.x_m]), np.array([pose.y_m]))[0])
    return Pose(pose.x_m, pose.y_m, ground, yaw_deg=pose.yaw_deg)


def _titled(tile: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    for x, y, colour in ((11, 23, (0, 0, 0)), (10, 22, (255, 255, 255))):
        cv2.putText(tile, title, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, 1, cv2.LINE_AA)
    return tile


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 after a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m bridge.town.contact_sheet", description="Draw the contact sheet.")
    parser.add_argument("file", type=Path, help="a .jpg or .png to write")
    parser.add_argument("--seed", type=int, default=0, help="which streets (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        check_name(args.file)
        network = build_street_network(args.seed)
        painter = TownPainter(network, seed=args.seed)
        try:
            write_contact_sheet(args.file, network, painter)
        finally:
            painter.close()
    except VidriveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
