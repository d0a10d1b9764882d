"""`vidrive bench`: the figures of this machine, beside what they are meant to be."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clients.bench.figures import Figure, as_json, markdown, table, write_json, write_markdown
from clients.bench.machine import describe_machine

if TYPE_CHECKING:
    from bridge.capture.presets import RigPreset

DESCRIPTION = (
    "Measure on this machine what a frame costs in the town, in the generator and in everything between them, and how "
    "fast all of it is together. Takes about two minutes on an idle machine and leaves no files but those you name."
)
SESSION: Final = "demo"
SPEED_UP_SIZE_WH: Final = (512, 256)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive bench`."""
    from clients.commands.drive import picture_size

    parser.add_argument("--size", metavar="WxH", type=picture_size, help="of a frame (default: the rig's)")
    parser.add_argument("--frames", type=_count, default=200, help="frames in each measurement (default: %(default)s)")
    parser.add_argument("--model", metavar="NAME", default="", help="the generator (default: the one that ships)")
    parser.add_argument(
        "--backend",
        choices=("eager", "compile", "onnxruntime", "openvino"),
        default="",
        help="what runs it (default: the fastest that is installed)",
    )
    parser.add_argument(
        "--speed-up",
        metavar="NAME",
        help="measure only how much faster a published vid2vid, label2city_2048 say, is than its plain formulation",
    )
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="measure only what the generators reach on a GPU, in under eight minutes, each part in its own process",
    )
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="with --gpu: cpu only proves the command"
    )
    parser.add_argument("--json", action="store_true", help="print machine and figures as one line of JSON")
    parser.add_argument(
        "--keep", metavar="FILE.json", type=Path, help="write machine and figures as JSON, anew with each figure"
    )
    parser.add_argument(
        "--markdown", metavar="FILE", type=Path, help="write them into a Markdown file, in place of its last ones"
    )
    parser.add_argument(
        "--report", metavar="FILE.html", type=Path, help="write where the time of a frame goes, stage by stage"
    )
    parser.add_argument(
        "--telemetry", metavar="FILE", type=Path, help="of a drive: write its --report, and measure nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit code does not depend on what comes out."""
    if args.telemetry is not None:
        return _report_of_drive(args)
    with tempfile.TemporaryDirectory(prefix="vidrive-bench-") as folder:
        args.drive_telemetry = Path(folder) / "drive.jsonl"
        machine = describe_machine()  # before: what loads it then is not this bench
        figures: list[Figure] = []
        for figure in _chosen(args):
            figures.append(figure)
            if args.keep is not None:  # what is measured so far outlives whatever happens next
                write_json(args.keep, as_json(figures, machine))
        limit = _write_report(args, args.drive_telemetry, figures, machine)
    if args.markdown is not None:
        write_markdown(args.markdown, markdown(figures, machine, _typed(args), limit))
    if args.keep is not None:
        write_json(args.keep, as_json(figures, machine, limit))
    if args.json:
        print(as_json(figures, machine, limit))
    else:
        print("\n".join([*table(figures), *([limit] if limit else [])]))
    return 0


def _chosen(args: argparse.Namespace) -> Iterable[Figure]:
    if args.gpu:
        from clients.bench.gpu import measure_gpu

        return measure_gpu(args.device, args.frames)
    return _measure_speed_up(args) if args.speed_up else _measure(args)


def _report_of_drive(args: argparse.Namespace) -> int:
    """Draw what another drive wrote."""
    from bridge.protocol.errors import UsageError

    if args.report is None:
        raise UsageError("--telemetry is read for a report", "Name its file with --report FILE.html")
    print(_write_report(args, args.telemetry, [], describe_machine()) or "no frame was synthesized")
    return 0


def _write_report(args: argparse.Namespace, telemetry: Path, figures: list[Figure], machine: dict[str, str]) -> str:
    """Write the report, if one is wanted, and return what limited the drive, "" without one."""
    from bridge.bottleneck import told_groups, verdict
    from bridge.telemetry import read_telemetry

    if not telemetry.exists() and args.telemetry is None:
        return ""  # nothing was driven
    records = read_telemetry(telemetry)
    if args.report is not None:
        from clients.bench.report import write_report

        return write_report(args.report, records, figures, machine)
    return verdict([told_groups(record.stages_ms) for record in records if record.outcome == "rendered"], 0.0)


def _typed(args: argparse.Namespace) -> str:
    """The command that repeats these figures."""
    words = ["vidrive", "bench", *(["--gpu", "--device", args.device] if args.gpu else [])]
    if args.size is not None:
        words += ["--size", f"{args.size[0]}x{args.size[1]}"]
    words += ["--frames", str(args.frames), *(["--model", args.model] if args.model else [])]
    words += ["--backend", args.backend] if args.backend else []
    return shlex.join([*words, *(["--speed-up", args.speed_up] if args.speed_up else [])])


def _measure_speed_up(args: argparse.Namespace) -> Iterable[Figure]:
    """A recurrent frame on one thread, both ways in turns, with random weights: nothing needs to be imported."""
    from renderer.backends.host import prepare_process

    prepare_process()

    from renderer.speed_trial import measure_half, measure_speed, random_network

    width_px, height_px = args.size or SPEED_UP_SIZE_WH
    print(f"{args.speed_up} at {width_px}x{height_px}, on one thread ...", file=sys.stderr)
    network = random_network(args.speed_up)
    trial = measure_speed(network, (height_px, width_px))
    yield Figure("plain formulation", trial.reference_s, "s")
    yield Figure("as it is computed", trial.fast_s, "s")
    yield Figure("times faster", trial.ratio, "times", goal=1.6, at_least=True)
    yield Figure("largest difference, of 2", trial.difference * 1e6, "millionths", goal=100.0)
    for name, ratio_db in measure_half(network, (height_px, width_px)).items():
        yield Figure(f"PSNR of {name}, emulated", ratio_db, "dB")


def _measure(args: argparse.Namespace) -> Iterable[Figure]:
    rig = yield from _measure_drive(args)
    yield from _measure_town(rig, args.frames)
    yield from _measure_viewer(args.frames)
    yield from _measure_transport(args.frames)


def _measure_drive(args: argparse.Namespace) -> Generator[Figure, None, RigPreset]:
    """Town, renderer and drive, first one step after the other, then all at once; returns the rig that they had."""
    from clients.processes import start_servers

    with start_servers(model=args.model, backend=args.backend) as servers:
        import numpy as np

        from clients.bench.frame import measure_frames
        from clients.drive_plan import make_plan
        from clients.driving import DriveThread

        address = servers.wait_ready()
        drive_args = argparse.Namespace(headless=True, record=None, size=args.size, seconds=None, trace=None, edits="")
        plan = make_plan(SESSION, drive_args, carla=address, endpoint=servers.endpoint, num_ticks=args.frames)

        print("one step after the other ...", file=sys.stderr)
        processes = {"town": servers.town.pid, "renderer": servers.renderer.pid, "drive": os.getpid()}
        times = measure_frames(plan, args.frames, processes)
        yield Figure("simulator, p50", float(np.median(times.simulator_ms)), "ms")
        yield Figure("generator, p50", float(np.median(times.generator_ms)), "ms")
        yield Figure("everything else, p50", float(np.median(times.bridge_ms)), "ms", goal=3.0)
        for name, spent_ms in times.processor_ms.items():
            yield Figure(f"{name}, processor time", spent_ms, "ms")

        print("all at once ...", file=sys.stderr)
        drive = DriveThread(replace(plan, telemetry=args.drive_telemetry))
        drive.start()
        drive.wait()
        drive.result()
        report = drive.trace.report()
        # With a faster runtime than torch 20 a second are aimed at, on two cores.
        goal_hz = 20.0 if _has_faster_runtime(args.backend) else 15.0
        yield Figure("synthesized frames", report.rates_hz["neural"], "Hz", goal=goal_hz, at_least=True)
        yield Figure("frame age, p50", report.frame_age_ms.p50, "ms", goal=90.0)
        yield Figure("frame age, p95", report.frame_age_ms.p95, "ms")
    return plan.rig


def _measure_town(rig: RigPreset, num_frames: int) -> Iterable[Figure]:
    """The town by itself; one that ran before has left its caches warm."""
    print("the town by itself ...", file=sys.stderr)
    import numpy as np

    from clients.bench.town import measure_pictures, measure_town

    town = measure_town(rig, num_frames)
    yield Figure("town, start to first frame", town.first_frame_s, "s", goal=5.0)
    yield Figure("town, bare tick, p50", float(np.median(town.tick_ms)), "ms", goal=1.0)

    for (width, height, weather), times in measure_pictures(num_frames).items():
        goal_hz = (25.0 if width <= 512 else 8.0) if weather == "day" else 0.0
        rate_hz = 1e3 / float(np.median(times.frame_ms))
        yield Figure(f"town {width}x{height}, {weather}", rate_hz, "Hz", goal=goal_hz, at_least=True)
        for stage in ("raster", "shade"):
            share = 100.0 * float(times.stage_ms[stage].sum() / times.frame_ms.sum())
            yield Figure(f"    of which {stage}", share, "%")


def _measure_viewer(num_frames: int) -> Iterable[Figure]:
    print("the viewer ...", file=sys.stderr)
    import numpy as np

    from clients.bench.viewer import measure_viewer

    viewer = measure_viewer(num_frames)
    viewer_ms, floor_ms = float(np.median(viewer.viewer_ms)), float(np.median(viewer.floor_ms))
    yield Figure("1080p in the window, processor", viewer_ms, "ms")
    yield Figure("its pixels alone, processor", floor_ms, "ms")
    yield Figure("viewer against its pixels", viewer_ms / floor_ms, "times", goal=1.5)


def _measure_transport(num_frames: int) -> Iterable[Figure]:
    print("transport ...", file=sys.stderr)
    import numpy as np

    from clients.bench.transport import measure_transport

    transport = measure_transport(num_frames)
    product_ms, bare_ms = float(np.median(transport.product_ms)), float(np.median(transport.bare_ms))
    yield Figure("1080p label map one way, p50", product_ms, "ms")
    yield Figure("the same by bare ZeroMQ, p50", bare_ms, "ms")
    yield Figure("their ratio", product_ms / bare_ms, "times", goal=1.3)


def _has_faster_runtime(backend: str) -> bool:
    from importlib.util import find_spec

    return backend not in ("eager", "compile") and bool(find_spec("openvino") or find_spec("onnxruntime"))


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames")
    return int(text)
