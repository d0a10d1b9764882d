"""Weather and time of day change the picture as they should, and nothing but the picture."""

from __future__ import annotations

from collections.abc import Iterator

import carla
import numpy as np
import pytest

from bridge.town.engine import TownPainter, tags
from bridge.town.engine.daylight import Daylight
from bridge.town.pose import Pose
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.views import BRAKE, LEFT_BLINKER, LOW_BEAM, Body, CameraView, LampState, StreetState, Weather

WIDTH, HEIGHT = 160, 90
NIGHT = Weather(cloudiness=10.0, sun_altitude_angle=-60.0, fog_density=0.0)
OVERCAST = Weather(cloudiness=95.0)


@pytest.fixture(scope="module")
def network() -> StreetNetwork:
    return build_street_network()


@pytest.fixture(scope="module")
def painter(network: StreetNetwork) -> Iterator[TownPainter]:
    painter = TownPainter(network, threads=1)
    yield painter
    painter.close()


@pytest.fixture(scope="module")
def view(network: StreetNetwork) -> CameraView:
    spawn = network.spawn_points[0]
    return CameraView(WIDTH, HEIGHT, 90.0, spawn.compose(Pose(z_m=1.8 - spawn.z_m)))


def light_of(painter: TownPainter, view: CameraView, state: StreetState) -> np.ndarray:
    """(H,W,3) f64 display values 0..1, red first."""
    planes = painter.render(view, view.pose, state, ("rgb",))
    assert planes.bgra is not None
    return planes.bgra[..., 2::-1] / 255.0


def labels_of(painter: TownPainter, view: CameraView) -> tuple[np.ndarray, np.ndarray]:
    planes = painter.render(view, view.pose, StreetState(), ("semantic", "depth"))
    assert planes.semantic is not None and planes.depth_m is not None
    return planes.semantic.copy(), planes.depth_m.copy()


def car_ahead(network: StreetNetwork, distance_m: float, lights: int) -> Body:
    spawn = network.spawn_points[0]
    pose = spawn.compose(Pose(distance_m, z_m=-spawn.z_m))
    return Body(7, "vehicle.tesla.model3", pose, pose, (40, 60, 160), lights=lights)


def test_night_is_dark_and_lamps_light_it(network: StreetNetwork, painter: TownPainter, view: CameraView) -> None:
    day = light_of(painter, view, StreetState())
    lit = light_of(painter, view, StreetState(weather=NIGHT))
    off = tuple(LampState(is_on=False) for _ in range(500))
    unlit = light_of(painter, view, StreetState(weather=NIGHT, lamps=off))
    semantic, _ = labels_of(painter, view)
    ground = np.isin(semantic, (tags.ROAD, tags.SIDEWALK, tags.ROAD_LINE))
    assert unlit[ground].mean() < 0.35 * day[ground].mean()
    assert lit[ground].mean() > 1.5 * unlit[ground].mean()
    assert lit.mean() < 0.7 * day.mean()


def test_lamps_burn_in_their_own_colour(network: StreetNetwork, painter: TownPainter, view: CameraView) -> None:
    green = tuple(LampState(is_on=True, color_rgb=(0, 255, 0)) for _ in range(500))
    picture = light_of(painter, view, StreetState(weather=NIGHT, lamps=green))
    plain = light_of(painter, view, StreetState(weather=NIGHT))
    semantic, _ = labels_of(painter, view)
    ground = np.isin(semantic, (tags.ROAD, tags.SIDEWALK))
    assert picture[ground][:, 1].mean() > 2.0 * picture[ground][:, 0].mean()
    assert plain[ground][:, 0].mean() > plain[ground][:, 2].mean(), "a street lamp is warm"


def test_headlights_reach_the_road_and_not_what_lies_behind(
    network: StreetNetwork, painter: TownPainter, view: CameraView
) -> None:
    off = tuple(LampState(is_on=False) for _ in range(500))
    pictures = [
        light_of(painter, view, StreetState((car_ahead(network, -4.0, lights),), weather=NIGHT, lamps=off))
        for lights in (0, LOW_BEAM)
    ]
    semantic, depth = labels_of(painter, view)
    ahead = (semantic == tags.ROAD) & (depth > 5.0) & (depth < 15.0)
    ahead[:, : WIDTH // 3] = ahead[:, 2 * WIDTH // 3 :] = False
    assert pictures[1][ahead].mean() > pictures[0][ahead].mean() + 0.1
    back = CameraView(WIDTH, HEIGHT, 90.0, view.pose.compose(Pose(yaw_deg=180.0)))
    behind = [
        light_of(painter, back, StreetState((car_ahead(network, 6.0, lights),), weather=NIGHT, lamps=off))
        for lights in (0, LOW_BEAM)
    ]
    assert np.abs(behind[1] - behind[0]).mean() < 0.01


def test_brake_lamps_and_blinkers_shine(network: StreetNetwork, painter: TownPainter, view: CameraView) -> None:
    def picture(lights: int, elapsed_s: float) -> np.ndarray:
        body = car_ahead(network, 9.0, lights)
        return light_of(painter, view, StreetState((body,), weather=OVERCAST, elapsed_s=elapsed_s))

    plain, braking = picture(0, 0.0), picture(BRAKE, 0.0)
    brighter = braking - plain
    assert brighter[..., 0].max() > 0.25
    assert brighter[..., 0].sum() > 1.5 * brighter[..., 2].sum(), "brake lamps are red"
    on, dark = picture(LEFT_BLINKER, 0.1), picture(LEFT_BLINKER, 0.5)
    np.testing.assert_array_equal(dark, plain)
    lamp = np.argwhere((on - plain).max(-1) > 0.1)
    assert len(lamp), "the indicator is lit for the first half of its time"
    assert (lamp[:, 1] < WIDTH / 2).all(), "and it is the left one"


def test_a_wet_road_mirrors_the_sky(painter: TownPainter, view: CameraView) -> None:
    dry = light_of(painter, view, StreetState(weather=OVERCAST))
    wet = light_of(painter, view, StreetState(weather=OVERCAST._replace(wetness=100.0, precipitation_deposits=80.0)))
    semantic, depth = labels_of(painter, view)
    road = semantic == tags.ROAD
    far, close = road & (depth > 12.0) & (depth < 60.0), road & (depth < 4.0)
    brighter = wet[far] - dry[far]
    assert np.percentile(brighter, 95) > 0.1, "where it mirrors the sky it shines"
    assert wet[far].std() > 1.3 * dry[far].std(), "and where it mirrors houses it does not"
    assert wet[close].mean() < dry[close].mean(), "at one's feet it is darker than dry"
    others = ~np.isin(semantic, (tags.ROAD, tags.ROAD_LINE, tags.SIDEWALK, tags.GROUND, tags.TERRAIN, tags.STATIC))
    assert (np.abs(wet - dry)[others].max(-1) > 0.02).mean() < 0.03, "what stands upright stays dry"


def test_a_wet_road_mirrors_lamps_at_night(network: StreetNetwork, painter: TownPainter, view: CameraView) -> None:
    wet = NIGHT._replace(wetness=100.0, precipitation_deposits=100.0)
    car = car_ahead(network, 14.0, BRAKE | LOW_BEAM)
    off = tuple(LampState(is_on=False) for _ in range(500))
    pictures = [light_of(painter, view, StreetState((car,), weather=weather, lamps=off)) for weather in (NIGHT, wet)]
    semantic, depth = labels_of(painter, view)
    road = (semantic == tags.ROAD) & (depth > 6.0) & (depth < 13.0)
    red = [(picture[road][:, 0] - picture[road][:, 2]).max() for picture in pictures]
    assert red[1] > red[0] + 0.04


def test_fog_whitens_with_distance(painter: TownPainter, view: CameraView) -> None:
    clear = light_of(painter, view, StreetState(weather=OVERCAST._replace(fog_density=0.0)))
    foggy = light_of(painter, view, StreetState(weather=OVERCAST._replace(fog_density=60.0, fog_falloff=0.05)))
    semantic, depth = labels_of(painter, view)
    veil = light_of(painter, view, StreetState(weather=OVERCAST._replace(fog_density=100.0)))[
        semantic == tags.SKY
    ].mean()
    bands = [(2.0, 8.0), (8.0, 20.0), (20.0, 50.0), (50.0, 150.0)]
    left = []
    for near, far in bands:
        there = (depth > near) & (depth <= far) & (semantic != tags.SKY)
        assert there.sum() > 20
        left.append(np.abs(foggy[there] - veil).mean() / np.abs(clear[there] - veil).mean())
    assert left == sorted(left, reverse=True), "the farther, the less is left of a thing"
    assert left[0] > 0.7 and left[-1] < 0.35
    later = light_of(painter, view, StreetState(weather=OVERCAST._replace(fog_density=60.0, fog_distance=40.0)))
    close = depth < 30.0
    assert (np.abs(later - clear)[close].max(-1) > 0.02).mean() < 0.02


def test_rain_falls_and_is_the_same_at_the_same_time(painter: TownPainter, view: CameraView) -> None:
    rain = OVERCAST._replace(precipitation=80.0)
    first, later = (light_of(painter, view, StreetState(weather=rain, elapsed_s=t)) for t in (1.0, 1.05))
    again = light_of(painter, view, StreetState(weather=rain, elapsed_s=1.0))
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()


def test_the_sun_moves_the_shadows_and_warms_toward_evening(painter: TownPainter, view: CameraView) -> None:
    base = Weather(cloudiness=0.0, sun_altitude_angle=40.0)
    left, right = (
        light_of(painter, view, StreetState(weather=base._replace(sun_azimuth_angle=a))) for a in (90.0, 270.0)
    )
    semantic, _ = labels_of(painter, view)
    ground = np.isin(semantic, (tags.ROAD, tags.SIDEWALK))
    assert (np.abs(left - right)[ground].max(-1) > 0.1).mean() > 0.04, "other ground lies in the sun"
    ahead = base._replace(sun_azimuth_angle=view.pose.yaw_deg)
    skies = [
        light_of(painter, view, StreetState(weather=ahead._replace(sun_altitude_angle=a)))[semantic == tags.SKY].mean(0)
        for a in (50.0, 2.0)
    ]
    assert skies[0][2] > skies[0][0], "blue at noon"
    assert skies[1][0] / skies[1][2] > 1.15 * skies[0][0] / skies[0][2], "warmer in the evening"


def test_labels_do_not_care_for_weather(painter: TownPainter, view: CameraView) -> None:
    noon = labels_of(painter, view)
    planes = painter.render(
        view, view.pose, StreetState(weather=NIGHT._replace(precipitation=100.0)), ("semantic", "depth")
    )
    assert planes.semantic is not None and planes.depth_m is not None
    np.testing.assert_array_equal(planes.semantic, noon[0])
    np.testing.assert_array_equal(planes.depth_m, noon[1])


def test_a_picture_does_not_depend_on_what_was_drawn_before(
    network: StreetNetwork, painter: TownPainter, view: CameraView
) -> None:
    evening = Weather(sun_altitude_angle=12.0, sun_azimuth_angle=77.0)
    fresh = TownPainter(network, threads=2)
    try:
        expected = light_of(fresh, view, StreetState(weather=evening))
    finally:
        fresh.close()
    light_of(painter, view, StreetState(weather=NIGHT))
    light_of(painter, view, StreetState(weather=evening))
    far = network.spawn_points[len(network.spawn_points) // 2]
    light_of(painter, CameraView(WIDTH, HEIGHT, 90.0, far.compose(Pose(z_m=2.0))), StreetState(weather=evening))
    np.testing.assert_array_equal(light_of(painter, view, StreetState(weather=evening)), expected)


PRESETS = [name for name in dir(carla.WeatherParameters) if name[0].isupper()]


def of_wheel(name: str) -> Weather:
    preset = getattr(carla.WeatherParameters, name)
    return Weather(*(getattr(preset, field) for field in Weather._fields))


def test_carlas_presets_are_told_apart(painter: TownPainter, view: CameraView) -> None:
    small = CameraView(48, 27, 90.0, view.pose)
    mean = {name: light_of(painter, small, StreetState(weather=of_wheel(name))).mean() for name in PRESETS}
    for sky in ("Clear", "Cloudy", "Wet", "HardRain"):
        assert mean[f"{sky}Night"] < 0.6 * mean[f"{sky}Noon"], sky
    own = light_of(painter, small, StreetState()).mean()
    assert mean["Default"] == own, "CARLA's Default is the map's own weather"


def test_odd_numbers_make_ordinary_light() -> None:
    for value in (-1e9, 1e9):
        light = Daylight.of_weather(Weather(*[value] * len(Weather._fields)))
        for name, number in vars(light).items():
            assert np.isfinite(number).all(), name
