"""`vidrive doctor`: what works on this machine, one sentence and one remedy for each thing."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from bridge.protocol.errors import UsageError, VidriveError
from clients.processes import split_endpoint

DESCRIPTION = (
    "Check this machine, or with --carla a simulator: each of CARLA's calls through its own client library. "
    "Exit status 2 if something that the demo needs is missing, or a check of the simulator has failed."
)

IMPORT_NAMES: Final = ("bridge", "renderer", "clients", "configs")
OLDEST_PYTHON, FIRST_FOREIGN_PYTHON = (3, 10), (3, 13)
CARLA_VERSION: Final = "0.9.16"
PORTS: Final[Mapping[int, str]] = {
    2000: "vidrive town",
    2001: "vidrive town",
    2002: "vidrive town",
    8000: "CARLA's TrafficManager",
    5790: "vidrive serve",
}

Verdict = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: "note" is something to know, "problem" is something that the demo needs."""

    name: str
    verdict: Verdict
    sentence: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive doctor`."""
    parser.add_argument("--json", action="store_true", help="print the findings as one line of JSON")
    parser.add_argument("--carla", metavar="HOST:PORT", help="examine the simulator that runs there")
    parser.add_argument(
        "--group",
        metavar="NAME",
        action="append",
        default=[],
        help="with --carla: only this group (repeatable)",
    )


def run(args: argparse.Namespace) -> int:
    """Check everything and print it; return 2 if there is a problem."""
    if args.carla is not None:
        return _examine_simulator(args.carla, args.group, as_json=args.json)
    if args.group:
        raise UsageError("--group names checks of a simulator", "Say where it runs with --carla HOST:PORT")
    findings = [_examined(name, check) for name, check in CHECKS.items()]
    if args.json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    else:
        print("\n".join(_lines(findings)))
    return 2 if any(finding.verdict == "problem" for finding in findings) else 0


def _examine_simulator(address: str, groups: Sequence[str], *, as_json: bool) -> int:
    """Run the checks of the conformance suite, a line each; the simulator is left as it was found."""
    if importlib.util.find_spec("carla") is None:
        raise UsageError("the carla package is missing", "Run make setup")
    from bridge.capture.conformance.runner import Outcome, examine

    def show(outcome: Outcome) -> None:
        if not as_json:
            sentence = f": {outcome.sentence}" if outcome.sentence else ""
            print(f"{_SIGNS[outcome.verdict]}  {outcome.group:<15} {outcome.check}{sentence}.", flush=True)

    host, port = split_endpoint(address, 2000)
    report = examine(host, port, groups=groups, on_outcome=show)
    if as_json:
        print(json.dumps({**asdict(report), "is_good": report.is_good}))
    else:
        counts = Counter(outcome.verdict for outcome in report.outcomes)
        told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _SIGNS if counts[verdict])
        print(
            f"{told}: CARLA {report.version} at {address}, map {report.map}; left behind: {report.actors_left} actors"
        )
    return 0 if report.is_good else 2


_SIGNS: Final = {"ok": "ok     ", "skipped": "skipped", "refused": "refused", "failed": "FAILED "}


def _lines(findings: Iterable[Finding]) -> Iterable[str]:
    signs = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
    for finding in findings:
        remedy = f" {finding.remedy}." if finding.remedy else ""
        yield f"{signs[finding.verdict]}  {finding.name:<9} {finding.sentence}.{remedy}"


def _examined(name: str, check: Callable[[], Finding]) -> Finding:
    """The check's finding; a check that fails itself is a finding too, so that the others are still shown."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever a broken package raises on import belongs in the report
        return Finding(name, "problem", f"the check failed ({type(error).__name__}: {error})", "Run make setup")


def check_python(version: tuple[int, int] = (sys.version_info[0], sys.version_info[1])) -> Finding:
    """CARLA's wheel exists for Python 3.10 to 3.12."""
    text = ".".join(map(str, version))
    if OLDEST_PYTHON <= version < FIRST_FOREIGN_PYTHON:
        return Finding("python", "ok", f"Python {text} at {sys.executable}")
    return Finding("python", "problem", f"Python {text} is not 3.10, 3.11 or 3.12", "Install one of them")


def check_names(owners: Mapping[str, Sequence[str]] | None = None) -> Finding:
    """The import names are generic: another package may have written its files over ours."""
    owners = importlib.metadata.packages_distributions() if owners is None else owners
    foreign = {
        name: sorted(set(owners.get(name, ())) - {"vidrive"})
        for name in IMPORT_NAMES
        if set(owners.get(name, ())) - {"vidrive"}
    }
    if foreign:
        listed = "; ".join(f"{name} also belongs to {', '.join(packages)}" for name, packages in foreign.items())
        return Finding("names", "problem", listed, "Install vidrive in an environment of its own: make setup")
    return Finding("names", "ok", f"the import names {', '.join(IMPORT_NAMES)} are vidrive's alone")


def check_carla() -> Finding:
    """The client library that speaks to the simulator."""
    try:
        version = importlib.metadata.version("carla")
    except importlib.metadata.PackageNotFoundError:
        where = f"{platform.system()} {platform.machine()}"
        return Finding(
            "carla",
            "problem",
            f"the carla package is missing on {where}",
            "On Linux and Windows x86-64: make setup; elsewhere serve, render and train still work",
        )
    if version != CARLA_VERSION:
        return Finding(
            "carla", "note", f"the carla package is {version}, tested is {CARLA_VERSION}", "Run make setup for that one"
        )
    return Finding("carla", "ok", f"the carla package is {version}")


def check_renderer() -> Finding:
    """Which device the inference server would use, and how."""
    from renderer.backends.host import has_bfloat16_instructions

    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        return Finding("renderer", "ok", f"torch {torch.__version__} renders on {torch.cuda.get_device_name()}")
    number_type = "bfloat16" if has_bfloat16_instructions() else "float32"
    return Finding(
        "renderer", "ok", f"torch {torch.__version__} renders on the CPU ({os.cpu_count()} cores, {number_type})"
    )


def check_backends() -> Finding:
    """Which runtimes beside torch could run the generator that ships."""
    from renderer.backends.choice import AUTOMATIC, install_hint, missing_packages

    here = [name for name in AUTOMATIC if not missing_packages(name)]
    missing = [name for name in AUTOMATIC if name not in here]
    text = f"the server may choose {' or '.join(here)} where it is faster than torch" if here else "torch alone renders"
    if not missing:
        return Finding("backends", "ok", f"{text}; int8 can be had by a calibration")
    hints = "; ".join(install_hint(name) for name in missing)
    return Finding("backends", "note", f"{text}; {' and '.join(missing)} can be added", f"On a CPU: {hints}")


def check_gpu() -> Finding:
    """Whether the generators run on a GPU, and whether TensorRT could draw there."""
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        built = "this torch is built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        return Finding(
            "gpu",
            "note",
            f"{built}: published generators take seconds a frame, and --backend tensorrt is not there",
            'With an NVIDIA GPU: make setup TORCH="torch==2.13.0+cu130"' if torch.version.cuda is None else "",
        )
    from renderer.backends.choice import install_hint, missing_packages

    name = torch.cuda.get_device_name()
    if importlib.util.find_spec("triton") is None:
        return Finding(
            "gpu", "note", f"generators run as CUDA graphs on {name}, but without own kernels", "pip install triton"
        )
    if missing_packages("tensorrt"):
        return Finding(
            "gpu", "note", f"generators run as CUDA graphs on {name}; TensorRT can be added", install_hint("tensorrt")
        )
    from renderer.backends import tensorrt_programs
    from renderer.backends.onnx_programs import missing_provider

    if tensorrt_programs.is_here():
        return Finding("gpu", "ok", f"generators run as CUDA graphs on {name}, and by TensorRT's own package")
    if provider := missing_provider("tensorrt", "cuda"):
        return Finding(
            "gpu",
            "note",
            f"generators run as CUDA graphs on {name}; this ONNX Runtime has no {provider}",
            "pip install tensorrt, or onnxruntime-gpu, for --backend tensorrt",
        )
    return Finding("gpu", "ok", f"generators run as CUDA graphs on {name}, and by --backend tensorrt")


def check_metrics() -> Finding:
    """Whether drives can answer Prometheus."""
    if importlib.util.find_spec("prometheus_client") is None:
        return Finding("metrics", "note", "--metrics needs prometheus-client", "pip install 'vidrive[metrics]'")
    return Finding("metrics", "ok", "--metrics PORT of drives and of the server answers Prometheus")


def check_weights() -> Finding:
    """Whether the weights that ship are whole."""
    from renderer.weights_catalogue import SUFFIX, read_card, shipped_folder, verify

    files = sorted(shipped_folder().glob(f"*{SUFFIX}"))
    if not files:
        return Finding("weights", "problem", f"no weights lie in {shipped_folder()}", "Get the project again")
    try:
        for file in files:
            verify(file, read_card(file))
    except VidriveError as error:
        return Finding("weights", "problem", error.what, error.hint)
    return Finding("weights", "ok", f"the weights are whole: {', '.join(file.stem for file in files)}")


def check_display() -> Finding:
    """Whether a window can be opened."""
    from clients.viewer.window import display_missing

    if missing := display_missing():
        return Finding("display", "note", missing, "The demo writes demo.mp4 instead of opening a window")
    return Finding("display", "ok", "there is a display to open a window on")


def check_video() -> Finding:
    """Whether recordings are H.264."""
    remedy = "Recordings will be MPEG-4, which browsers do not play; run make setup"
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        return Finding("video", "note", f"PyAV cannot be imported ({error})", remedy)
    if "libx264" not in av.codecs_available:
        return Finding("video", "note", "this PyAV has no libx264", remedy)
    return Finding("video", "ok", f"recordings are H.264 through PyAV {av.__version__}")


def check_compiled() -> Finding:
    """Whether the town's compiled loops can be kept for the next start."""
    folders = [Path(__file__).parents[2] / "bridge" / "town", Path.home()]
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        folders = [Path(chosen)]
    for folder in folders:
        if _is_writable(folder):
            return Finding("compiled", "ok", f"compiled code is kept under {folder}")
    return Finding(
        "compiled",
        "note",
        "compiled code cannot be kept, so the town starts slowly each time",
        "Set NUMBA_CACHE_DIR to a folder that can be written",
    )


def _is_writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def check_ports() -> Finding:
    """Whether the usual ports are free; the demo takes others by itself."""
    taken = [f"{port} ({owner})" for port, owner in PORTS.items() if not _is_free(port)]
    if taken:
        return Finding(
            "ports", "note", f"taken on this machine: {', '.join(taken)}", "Name others with --port and --listen"
        )
    return Finding("ports", "ok", f"the usual ports are free: {', '.join(map(str, PORTS))}")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


CHECKS: Final[Mapping[str, Callable[[], Finding]]] = {
    "python": check_python,
    "names": check_names,
    "carla": check_carla,
    "renderer": check_renderer,
    "backends": check_backends,
    "gpu": check_gpu,
    "metrics": check_metrics,
    "weights": check_weights,
    "display": check_display,
    "video": check_video,
    "compiled": check_compiled,
    "ports": check_ports,
}
