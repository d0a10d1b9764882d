"""What a command wants driven: a session's preset with the command's flags on top."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bridge.capture.presets import RigPreset, SessionPreset, load_rig, load_session
from bridge.edits.rules import NO_EDITS, Edits, load_edits
from bridge.protocol.errors import UsageError
from bridge.protocol.messages import PictureCodec
from clients.viewer.layouts import LAYOUTS, Layout, layout_named

if TYPE_CHECKING:
    from clients.recordings.sink import RecordingWish


@dataclass(frozen=True)
class DrivePlan:
    """What is to be driven, where, and what comes of it.

    `num_ticks` None means until stopped. `windowed` paces the drive to the clock and shows it in a window; otherwise it
    goes as fast as simulator and renderer can. Without an `endpoint` nothing is synthesized; a `recording` keeps all
    planes. `model` and `style` are the look to begin with ("" the server's), `pad` what pads do ("" by their names),
    `layout` how window and video begin, `timewarp` whether the window moves the last picture to now,
    `predict` whether frames are drawn from what was foreseen of them.
    `metrics` is where Prometheus is answered: host and port.
    With `target_hz` frames are synthesized at a smaller size where the renderer is too slow for it.
    """

    session: SessionPreset
    rig: RigPreset
    carla_host: str
    carla_port: int
    endpoint: str
    server_key: Path | None = None
    seed: int = 0
    num_ticks: int | None = None
    picture_codec: PictureCodec = "raw"
    windowed: bool = False
    record: Path | None = None
    trace: Path | None = None
    telemetry: Path | None = None
    metrics: tuple[str, int] | None = None
    target_hz: float | None = None
    recording: RecordingWish | None = None
    edits: Edits = NO_EDITS
    layout: Layout = LAYOUTS[0]
    timewarp: bool = False
    predict: bool = False
    model: str = ""
    style: str = ""
    pad: str = ""


def make_plan(
    session_name: str,
    args: argparse.Namespace,
    *,
    carla: tuple[str, int] = ("", 0),
    endpoint: str = "",
    server_key: Path | None = None,
    seed: int = 0,
    num_ticks: int | None = None,
    picture_codec: PictureCodec = "raw",
    model: str = "",
) -> DrivePlan:
    """Return the plan of a session preset with a command's flags (see `clients.commands.drive`) on top.

    Where it is driven may be put into it later. Raises a VidriveError for flags that cannot work.
    """
    session = _session(session_name, args)
    if args.seconds is not None:
        num_ticks = max(1, round(args.seconds / session.fixed_delta_s))
    if pad := getattr(args, "pad", ""):
        from clients.viewer.pads import load_pad

        load_pad(pad)  # a mistake in it is known before anything has begun
    video, recording = _kept(args.record)
    telemetry: Path | None = getattr(args, "telemetry", None)
    _check_writable(video, args.trace, telemetry)
    return DrivePlan(
        session=session,
        rig=_rig(session, args.size),
        carla_host=carla[0],
        carla_port=carla[1],
        endpoint=endpoint,
        server_key=server_key,
        seed=seed,
        num_ticks=num_ticks,
        picture_codec=picture_codec,
        windowed=not args.headless,
        record=video,
        recording=recording,
        trace=args.trace,
        telemetry=telemetry,
        metrics=getattr(args, "metrics", None),
        target_hz=getattr(args, "target_hz", None),
        edits=load_edits(args.edits) if args.edits else NO_EDITS,
        layout=layout_named(args.layout) if getattr(args, "layout", "") else LAYOUTS[0],
        timewarp=getattr(args, "timewarp", False),
        predict=_predicts(args, recording),
        model=model,
        style=getattr(args, "style", ""),
        pad=pad,
    )


def _predicts(args: argparse.Namespace, recording: RecordingWish | None) -> bool:
    """Whether frames are to be foreseen; raises UsageError for what does not go together with that."""
    if not getattr(args, "predict", False):
        return False
    if recording is not None:
        raise UsageError(
            "pictures of label maps that were foreseen cannot be made again from a recording",
            "Leave out --predict, or name a video for --record",
        )
    if getattr(args, "target_hz", None) is not None:
        raise UsageError("--predict and --target-hz do not go together", "Leave out one of them")
    return True


def _session(name: str, args: argparse.Namespace) -> SessionPreset:
    """The preset of that name, with the pace that the flags ask for."""
    session = load_session(name)
    pace = getattr(args, "pace", None)
    if pace is None and (args.headless or args.record is not None):
        pace = "every"  # nothing is lost where nobody waits for it
    return msgspec.structs.replace(session, mode="record" if pace == "every" else "live") if pace else session


def _rig(session: SessionPreset, size_wh: tuple[int, int] | None) -> RigPreset:
    rig = load_rig(session.rig)
    return rig if size_wh is None else msgspec.structs.replace(rig, width_px=size_wh[0], height_px=size_wh[1])


def _check_writable(*paths: Path | None) -> None:
    """Raise OutputError for a file that cannot be written, before anything has begun."""
    for path in paths:
        if path is not None:
            from clients.recorder import check_writable  # only who writes files pays for it

            check_writable(path)


def _kept(record: Path | None) -> tuple[Path | None, RecordingWish | None]:
    """The file of a video, or the folder of a recording, of a path that says which by its suffix."""
    if record is None or record.suffix:
        return record, None
    from bridge.recording.writer import prepare_folder
    from clients.recordings.sink import RecordingWish

    prepare_folder(record)  # one that is not empty is told before anything has begun
    return None, RecordingWish(record)
