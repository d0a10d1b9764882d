"""Ackermann control: from a steering angle and a speed to reach to pedals, by two controllers in a row as in CARLA.

The first turns the speed that is missing into a change of the wanted acceleration, the second turns the acceleration
that is missing into a change of the pedal. Their gains are CARLA's AckermannControllerSettings.
"""

from __future__ import annotations

from bridge.carla_wire import layouts

STANDING_M_S = 0.1
"""Below this speed a vehicle that is to stand gets the full brake, and may change between forward and reverse."""
ACCELERATION_SMOOTHING = 0.2
"""Share of the newest acceleration in what the pedal goes by: without it the pedal would answer every jolt."""
MAX_ACCELERATION_M_S2, MAX_DECELERATION_M_S2 = 3.0, 8.0


class _Pid:
    """A controller's memory; the gains come with each step, for they may change under way."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._error: float | None = None

    def step(self, error: float, gains: tuple[float, float, float], dt_s: float) -> float:
        change = 0.0 if self._error is None else (error - self._error) / dt_s
        self._error = error
        self._sum = max(-10.0, min(10.0, self._sum + error * dt_s))
        return gains[0] * error + gains[1] * self._sum + gains[2] * change


class AckermannDriver:
    """Drives one vehicle towards its target, a tick at a time."""

    def __init__(self, target: layouts.VehicleAckermannControl) -> None:
        self.target = target
        self._speed, self._acceleration = _Pid(), _Pid()
        self._wanted_m_s2 = 0.0
        self._pedal = self._acceleration_m_s2 = 0.0
        self._steer_rad = 0.0
        self._reverse = False

    def drive(
        self,
        speed_m_s: float,
        acceleration_m_s2: float,
        max_steer_rad: float,
        gains: layouts.AckermannControllerSettings,
        dt_s: float,
    ) -> layouts.VehicleControl:
        """Return the pedals for the next tick of `dt_s`; speed and acceleration are along the vehicle."""
        target = self.target
        self._acceleration_m_s2 += ACCELERATION_SMOOTHING * (acceleration_m_s2 - self._acceleration_m_s2)
        steer = max(-1.0, min(1.0, self._steer(dt_s) / max_steer_rad)) if max_steer_rad > 0.0 else 0.0
        if abs(speed_m_s) < STANDING_M_S:
            self._reverse = target.speed < 0.0
            if abs(target.speed) < STANDING_M_S:
                self._pedal = self._wanted_m_s2 = 0.0
                return layouts.VehicleControl(steer=steer, brake=1.0, reverse=self._reverse)
        way = -1.0 if self._reverse else 1.0
        # against its gear a vehicle must stop first
        wanted_speed = max(0.0, way * target.speed)
        limit_up = abs(target.acceleration) or MAX_ACCELERATION_M_S2
        limit_down = abs(target.acceleration) or MAX_DECELERATION_M_S2
        speed_gains = (gains.speed_kp, gains.speed_ki, gains.speed_kd)
        self._wanted_m_s2 += self._speed.step(wanted_speed - way * speed_m_s, speed_gains, dt_s)
        self._wanted_m_s2 = max(-limit_down, min(limit_up, self._wanted_m_s2))
        pedal_gains = (gains.accel_kp, gains.accel_ki, gains.accel_kd)
        self._pedal += self._acceleration.step(self._wanted_m_s2 - way * self._acceleration_m_s2, pedal_gains, dt_s)
        self._pedal = max(-1.0, min(1.0, self._pedal))
        return layouts.VehicleControl(
            throttle=max(0.0, self._pedal), steer=steer, brake=max(0.0, -self._pedal), reverse=self._reverse
        )

    def _steer(self, dt_s: float) -> float:
        target, step = self.target, abs(self.target.steer_speed) * dt_s
        if step == 0.0:
            self._steer_rad = target.steer
        else:
            self._steer_rad += max(-step, min(step, target.steer - self._steer_rad))
        return self._steer_rad
