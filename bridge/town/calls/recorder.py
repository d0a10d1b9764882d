"""Calls that record the town and replay what was recorded, in CARLA's own file format."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path, PurePath

from bridge.carla_wire import layouts
from bridge.carla_wire.recorder_log import RecorderLogError
from bridge.town import log_reports
from bridge.town.actors import pose_of
from bridge.town.calls.registry import Call, CallRefused, answers, finite, finite_pose
from bridge.town.recorded_log import RecordedLog, open_log
from bridge.town.recorder import Recorder
from bridge.town.replayer import DEFAULT_OFFSET, UNREADABLE, Replayer, ReplayOptions, ReplayPlan

FASTEST_FACTOR = 1000.0


def _path(call: Call, name: str) -> Path:
    """Return where the log of a name is; raises CallRefused for what would lie outside the recordings' folder.

    Clients may be on other machines: they must not write or read the files of this one.
    """
    folder = call.simulation.recordings_dir
    asked = PurePath(name)
    if asked.is_absolute() and asked.is_relative_to(folder):
        asked = asked.relative_to(folder)
    if not name or asked.is_absolute() or ".." in asked.parts or "\0" in name or "\\" in name:
        raise CallRefused(f"The town keeps its recordings in {folder}; give a file name instead of '{name}'")
    return folder / asked


def _opened(call: Call, name: str) -> RecordedLog:
    try:
        return open_log(_path(call, name))
    except RecorderLogError as error:
        raise CallRefused(str(error)) from error


@answers("start_recorder")
def start_recorder(call: Call, name: str, has_additional_data: bool) -> str:
    """Begin to record into a file of the recordings' folder; answers its path."""
    path = _path(call, name)
    simulation = call.simulation
    simulation.stop_recorder()
    simulation.stop_replayer(keeps_actors=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        simulation.recorder = Recorder(path, simulation.network.name, has_additional_data=has_additional_data)
    except OSError as error:
        raise CallRefused(f"The town cannot write {path}: {error.strerror}") from error
    return str(path)


@answers("stop_recorder")
def stop_recorder(call: Call) -> None:
    """End the recording."""
    call.simulation.stop_recorder()


def _report(call: Call, name: str, tell: Callable[[RecordedLog], str]) -> str:
    """Return what `tell` says of a log, or a sentence where it is none, as CARLA's queries do."""
    try:
        with closing(open_log(_path(call, name))) as recorded:
            return tell(recorded)
    except RecorderLogError as error:
        return f"{error}\n"


@answers("show_recorder_file_info", takes_lock=False)
def show_recorder_file_info(call: Call, name: str, shows_all: bool) -> str:
    """Who came, went and collided in a recording, and every frame's states if asked for."""
    return _report(call, name, lambda recorded: log_reports.file_info(recorded, is_complete=shows_all))


@answers("show_recorder_collisions", takes_lock=False)
def show_recorder_collisions(call: Call, name: str, first: int, second: int) -> str:
    """The collisions of a recording between two categories: h hero, v vehicle, w walker, t light, o other, a any."""
    kinds = [chr(code) if 0 < code < 128 else "a" for code in (first, second)]
    return _report(call, name, lambda recorded: log_reports.collisions(recorded, *kinds))


@answers("show_recorder_actors_blocked", takes_lock=False)
def show_recorder_actors_blocked(call: Call, name: str, min_time_s: float, min_distance_cm: float) -> str:
    """The actors of a recording that stood still for a time (s), moving less than a distance (cm)."""
    finite(min_time_s, min_distance_cm)
    return _report(call, name, lambda recorded: log_reports.blocked(recorded, min_time_s, min_distance_cm))


@answers("replay_file")
def replay_file(
    call: Call,
    name: str,
    start_s: float,
    duration_s: float,
    follow_id: int,
    has_sensors: bool,
    offset: layouts.Transform,
) -> str:
    """Replay a recording from a moment (negative: from its end); who is there already with the same id takes part."""
    finite(start_s, duration_s)
    finite_pose(offset)
    simulation = call.simulation
    simulation.stop_recorder()
    simulation.stop_replayer(keeps_actors=True)
    recorded = _opened(call, name)
    told = [f"Replaying File: {recorded.path}"]
    if recorded.info.map_name.rsplit("/", 1)[-1] != simulation.network.name:
        recorded.close()
        return "\n".join([*told, f"Could not load mapfile {recorded.info.map_name}", ""])
    total_s = recorded.duration_s
    start_s = max(0.0, total_s + start_s) if start_s < 0.0 else start_s
    stop_s = start_s + duration_s if duration_s > 0.0 else total_s
    options = simulation.replay_options
    told += [
        f"Total time recorded: {total_s:g}",
        f"Replaying from {start_s:g} s - {stop_s:g} s ({total_s:g} s) at {options.time_factor:.1f}x",
        *(["Ignoring Hero vehicle"] if options.ignores_hero else []),
        *(["Ignoring Spectator camera"] if options.ignores_spectator else []),
    ]
    view = DEFAULT_OFFSET if offset == layouts.Transform() else pose_of(offset)
    plan = ReplayPlan(start_s, stop_s, follow_id, has_sensors, view)
    try:
        simulation.replayer = Replayer(
            recorded, plan, options, simulation.episode, simulation.spawn, simulation.destroy
        )
    except UNREADABLE as error:
        raise CallRefused(f"File {recorded.path} cannot be replayed: {error}") from error
    return "\n".join([*told, ""])


@answers("stop_replayer")
def stop_replayer(call: Call, keeps_actors: bool) -> None:
    """End the replay; the actors that it made stay, or go."""
    call.simulation.stop_replayer(keeps_actors=keeps_actors)


def _set_option(call: Call, options: ReplayOptions) -> None:
    simulation = call.simulation
    simulation.replay_options = options
    if simulation.replayer is not None:
        simulation.replayer.options = options


@answers("set_replayer_time_factor")
def set_replayer_time_factor(call: Call, factor: float) -> None:
    """Set how fast replays run, also the present one: 2 is twice as fast."""
    finite(factor)
    if not 0.0 <= factor <= FASTEST_FACTOR:
        raise CallRefused(f"The time factor must be between 0 and {FASTEST_FACTOR:g}")
    options = call.simulation.replay_options
    _set_option(call, ReplayOptions(factor, options.ignores_hero, options.ignores_spectator))


@answers("set_replayer_ignore_hero")
def set_replayer_ignore_hero(call: Call, ignores: bool) -> None:
    """Leave the recorded hero out of the next replays."""
    options = call.simulation.replay_options
    _set_option(call, ReplayOptions(options.time_factor, ignores, options.ignores_spectator))


@answers("set_replayer_ignore_spectator")
def set_replayer_ignore_spectator(call: Call, ignores: bool) -> None:
    """Leave the recorded spectator out of the next replays; it is left out unless this is called."""
    options = call.simulation.replay_options
    _set_option(call, ReplayOptions(options.time_factor, options.ignores_hero, ignores))
