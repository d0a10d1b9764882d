"""What machine measured: figures without it say nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

PACKAGES: Final = ("torch", "openvino", "onnxruntime", "tensorrt", "numpy", "opencv-python-headless", "pyzmq")
CPU_FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def describe_machine() -> dict[str, str]:
    """Return what a reader must know of the machine, by name; what cannot be found out is left out."""
    found = {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": _memory(),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))),
        "vidrive": _version("vidrive"),
        "other load": _load(),
    }
    return {name: value for name, value in found.items() if value}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    fields = dict(part.split(":", 1) for part in lines if ":" in part)
    values = {name.strip(): value.strip() for name, value in fields.items()}
    flags = [flag for flag in CPU_FLAGS if flag in values.get("flags", "").split()]
    return f"{values.get('model name', platform.machine())} ({', '.join(flags)})"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    except (ValueError, OSError):
        return ""


def _gpu() -> str:
    """The first GPU's name, by NVIDIA's own tool: importing torch would cost seconds."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none"
    asked = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "none"
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else "none"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _load() -> str:
    """How busy the machine was in the minute before, in processes that wanted a core."""
    return f"{os.getloadavg()[0]:.1f} processes in the minute before" if hasattr(os, "getloadavg") else ""
