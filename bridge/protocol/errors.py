"""The one tree of errors that people see.

VidriveError
├── UsageError            a command was called with something that cannot work
├── SimulatorError        the CARLA server (or the town)
│   ├── SimulatorUnreachable
│   │   └── SimulatorAbsent
│   ├── SimulatorLost
│   ├── ForeignSimulator  its version is not one this bridge knows
│   └── SensorTimeout     a frame did not arrive in time; names the sensor
├── RenderServerError     the inference server
│   ├── RenderServerUnreachable
│   └── RenderRefused     it answered with a `Refusal`
├── LabelError            a label map or label space that does not fit
├── RecordingError        a recording that is none, damaged or of another version
├── WeightsError          missing, corrupt or foreign weights
├── WireError             bytes that are not a message of this protocol
│   ├── MessageTooLarge
│   └── ForeignProtocol
└── OutputError           a picture, video or folder that cannot be written

Every error carries one sentence `what` and one sentence `hint` that says what to do; the command line prints
"error: what. hint" and exits with status 2.
"""

from __future__ import annotations


class VidriveError(Exception):
    """Something a person can mend: `what` is wrong, `hint` says what to do; each one sentence without a full stop."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what}. {hint}" if hint else what)
        self.what = what
        self.hint = hint


class UsageError(VidriveError):
    """A command was called with something that cannot work."""


class SimulatorError(VidriveError):
    """The CARLA server, or the town in its place."""


class SimulatorUnreachable(SimulatorError):
    """Nothing answers as a CARLA server at that address."""


class SimulatorAbsent(SimulatorUnreachable):
    """Nothing listens at that address, or not yet."""


class SimulatorLost(SimulatorError):
    """The simulator answered before and does not any more."""


class ForeignSimulator(SimulatorError):
    """The simulator's version is not one that this bridge knows."""


class SensorTimeout(SimulatorError):
    """A sensor's frame did not arrive before its deadline."""


class RenderServerError(VidriveError):
    """The inference server."""


class RenderServerUnreachable(RenderServerError):
    """Nothing answers as an inference server at that endpoint."""


class RenderRefused(RenderServerError):
    """The inference server refused a request and said why."""

    def __init__(self, code: str, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.code = code


class LabelError(VidriveError):
    """A label map or label space that does not fit."""


class RecordingError(VidriveError):
    """A folder that is no recording, a damaged one, or one of another version."""


class WeightsError(VidriveError):
    """Missing, corrupt or foreign weights."""


class WireError(VidriveError):
    """Bytes that are not a message of this protocol."""


class MessageTooLarge(WireError):
    """A message or plane beyond the limits of this protocol."""


class ForeignProtocol(WireError):
    """A peer that speaks another version of this protocol, or another protocol."""


class OutputError(VidriveError):
    """A picture, video or folder that cannot be written."""
