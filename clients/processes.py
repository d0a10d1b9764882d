"""Child processes that announce when they are ready, are stopped and reaped on every way out, and die with us.

A child is another `vidrive` command. It says `ready ...` as a line on its stdout; what it logs goes on to our stderr
with its name in front. It runs in a session of its own, so that Ctrl-C reaches us alone and we stop it in good order;
a pipe that only we hold open tells it when we are gone, however that happened.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Final

from bridge.protocol.errors import UsageError, VidriveError

PARENT_FD: Final = "VIDRIVE_PARENT_FD"
STOP_DEADLINE_S: Final = 5.0
READY_DEADLINE_S: Final = 600.0  # the first start on a busy machine compiles and builds the town for minutes
# One thread for each of OpenMP's and OpenBLAS's callers and no spinning: several processes share few cores. Buffers of
# a frame's size stay in the heap instead of being mapped and faulted in anew for every frame.
CHILD_ENVIRONMENT: Final[Mapping[str, str]] = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "PYTHONUNBUFFERED": "1",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


class ChildFailed(VidriveError):
    """A child process ended before it was ready, or was not ready in time."""


class Child:
    """One running `vidrive` command.

    `wait_ready` returns what its ready line says; `stop` ends it and reaps it, any number of times; `poll` is its exit
    code once it has ended. Use it as a context manager.
    """

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start `vidrive WORDS`; `name` stands in front of what it logs."""
        self.name = name
        self._ready = threading.Event()
        self._ready_words: list[str] | None = None
        self._last_lines: collections.deque[str] = collections.deque(maxlen=40)
        read_fd, self._alive_fd = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "clients", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                pass_fds=(read_fd,),
                env={**os.environ, **CHILD_ENVIRONMENT, **(environment or {}), PARENT_FD: str(read_fd)},
            )
        except BaseException:
            os.close(self._alive_fd)
            raise
        finally:
            os.close(read_fd)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = (
            threading.Thread(target=self._read_stdout, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(self._process.stderr,), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def wait_ready(self, deadline_s: float) -> list[str]:
        """Return the words after `ready` in the child's ready line.

        Raises ChildFailed with the child's own error sentence if it ended, or when `deadline_s` seconds have passed.
        """
        if not self._ready.wait(deadline_s):
            raise ChildFailed(f"the {self.name} was not ready within {deadline_s:.0f} s", "Look at its lines above")
        if self._ready_words is None:
            self._process.wait(STOP_DEADLINE_S)
            for reader in self._readers:
                reader.join(STOP_DEADLINE_S)
            raise self._failure()
        return self._ready_words

    def stop(self) -> int:
        """End the child (SIGTERM, after some seconds SIGKILL), reap it and return its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for reader in self._readers:
            reader.join(STOP_DEADLINE_S)
        if self._alive_fd >= 0:
            os.close(self._alive_fd)
            self._alive_fd = -1
        return code

    def _failure(self) -> ChildFailed:
        for line in reversed(self._last_lines):
            if line.startswith("error: "):
                what, _, hint = line.removeprefix("error: ").partition(". ")
                return ChildFailed(f"the {self.name} did not start: {what}", hint)
        return ChildFailed(
            f"the {self.name} ended with status {self._process.poll()} before it was ready", "Look at its lines above"
        )

    def _read_stdout(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                words = line.split()
                if words[:1] == ["ready"] and not self._ready.is_set():
                    self._ready_words = words[1:]
                    self._ready.set()
        self._ready.set()

    def _read_stderr(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._last_lines.append(line.rstrip())
                print(f"{self.name}: {line.rstrip()}", file=sys.stderr)


@dataclass(frozen=True)
class Servers:
    """A town and an inference server that were just started; `wait_ready` before either is used."""

    town: Child
    renderer: Child
    endpoint: str

    def wait_ready(self) -> tuple[str, int]:
        """Wait for both; return the town's host and port. Raises ChildFailed."""
        address = town_address(self.town)
        self.renderer.wait_ready(READY_DEADLINE_S)
        return address


@contextlib.contextmanager
def start_servers(seed: int = 0, model: str = "", backend: str = "") -> Iterator[Servers]:
    """Start a town and an inference server at once, on free ports of this host; stop both on the way out."""
    with start_town(seed) as town, start_renderer(model, backend) as (renderer, endpoint):
        yield Servers(town, renderer, endpoint)


def start_town(seed: int = 0) -> Child:
    """Start a town on a free port of this host."""
    return Child("town", ["town", "--host", "127.0.0.1", "--port", "0", "--seed", str(seed)])


def town_address(town: Child) -> tuple[str, int]:
    """Wait until a town is ready; return its host and port. Raises ChildFailed."""
    host, port = town.wait_ready(READY_DEADLINE_S)
    return host, int(port)


@contextlib.contextmanager
def start_renderer(model: str = "", backend: str = "") -> Iterator[tuple[Child, str]]:
    """Start an inference server at an endpoint of this host, which comes with it; stop it on the way out."""
    with tempfile.TemporaryDirectory(prefix="vidrive-") as folder:
        endpoint = f"ipc://{folder}/renderer"
        chosen = [*(["--model", model] if model else []), *(["--backend", backend] if backend else [])]
        with Child("renderer", ["serve", "--listen", endpoint, *chosen]) as renderer:
            yield renderer, endpoint


def end_with_parent(fd: int) -> None:
    """End this process when the other end of the pipe `fd` closes; returns at once (a daemon thread watches).

    First politely (SIGTERM to ourselves, so that everything is cleaned up), then for good.
    """
    os.set_inheritable(fd, False)

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(fd, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_DEADLINE_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def split_endpoint(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `HOST` or `:PORT`; raises UsageError for anything else."""
    host, colon, port = text.rpartition(":") if ":" in text else (text, "", "")
    try:
        number = int(port) if colon else default_port
    except ValueError:
        number = -1
    if not 0 < number < 65536:
        raise UsageError(f"{text!r} is not an address", f"Write HOST:PORT, such as localhost:{default_port}")
    return host or "localhost", number
