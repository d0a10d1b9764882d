"""Weather and lamps through the unmodified carla wheel, down to what the painter is told."""

from __future__ import annotations

import pytest

from bridge.town.views import Weather

pytest.importorskip("carla")


def test_weather_reaches_the_painter_and_every_client(client, town) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
first = world.get_weather()
world.set_weather(carla.WeatherParameters.HardRainNoon)
world.tick()
other = carla.Client("127.0.0.1", port).get_world().get_weather()
broken = carla.WeatherParameters.ClearNoon
broken.fog_density = float("nan")
world.set_weather(broken)
answer(first=[first.sun_altitude_angle, first.cloudiness], other=[other.precipitation, other.cloudiness],
       kept=world.get_weather().fog_density, wanted=carla.WeatherParameters.HardRainNoon.fog_density)
""")
    mine = Weather()
    assert seen["first"] == pytest.approx([mine.sun_altitude_angle, mine.cloudiness], rel=1e-6)
    assert seen["other"] == [100.0, 100.0]
    assert seen["kept"] == pytest.approx(seen["wanted"]), "numbers that are none are refused"
    told = town.simulation.episode.street_state()
    assert told.weather.precipitation == 100.0 and told.elapsed_s == town.simulation.episode.elapsed_s > 0.0


def test_imus_feel_the_gravity_that_was_set(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
readings = queue.Queue()
imu = world.spawn_actor(world.get_blueprint_library().find("sensor.other.imu"), carla.Transform())
imu.listen(readings.put)
world.set_imui_sensor_gravity(1.62)
world.tick()
answer(up=readings.get(timeout=5.0).accelerometer.z, told=world.get_imui_sensor_gravity())
imu.stop(); imu.destroy()
""")
    assert seen["up"] == pytest.approx(1.62, abs=1e-4) and seen["told"] == pytest.approx(1.62)
