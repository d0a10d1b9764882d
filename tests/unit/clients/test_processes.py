from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.protocol.errors import UsageError
from clients.processes import Child, ChildFailed, split_endpoint

COMMAND = """
from __future__ import annotations
import os, sys, time
DESCRIPTION = "a stand-in"
def add_arguments(parser): parser.add_argument("mode")
def run(args):
    try:
        return stand_in(args)
    finally:
        open(os.environ["LEFT"], "w").close()
def stand_in(args):
    if args.mode == "refuse":
        print("error: the port is taken. Name another", file=sys.stderr)
        return 2
    print("hello")
    if args.mode == "ready":
        print("ready 127.0.0.1 4711", flush=True)
    if args.mode == "talk":
        print("x" * 1_000_000)
        print("x" * 1_000_000, file=sys.stderr)
        print("ready", flush=True)
    time.sleep(300)
    return 0
"""


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in command in the place of `town`; it writes this file when it is left in good order."""
    (tmp_path / "stand_in.py").write_text(COMMAND)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "from importlib import import_module\n"
        "if 'clients' in sys.orig_argv and sys.orig_argv[-2:-1] == ['town']:\n"
        "    sys.modules['clients.commands.town'] = import_module('stand_in')\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("LEFT", str(tmp_path / "left"))
    return tmp_path / "left"


def test_the_ready_line_is_handed_on_and_stop_is_in_good_order(left: Path) -> None:
    with Child("town", ["town", "ready"]) as child:
        assert child.wait_ready(60.0) == ["127.0.0.1", "4711"]
        assert child.poll() is None
    assert child.poll() == 143
    assert left.exists()
    assert child.stop() == 143


def test_a_child_that_talks_much_is_not_blocked(left: Path) -> None:
    with Child("town", ["town", "talk"]) as child:
        assert child.wait_ready(60.0) == []
    assert left.exists()


def test_a_child_that_refuses_is_quoted(left: Path) -> None:
    with (
        Child("town", ["town", "refuse"]) as child,
        pytest.raises(ChildFailed, match=r"the town did not start: the port is taken\. Name another"),
    ):
        child.wait_ready(60.0)


def test_a_child_that_is_never_ready_is_given_up(left: Path) -> None:
    with Child("town", ["town", "mute"]) as child, pytest.raises(ChildFailed, match="not ready within"):
        child.wait_ready(0.05)
    assert child.poll() is not None


def test_a_child_dies_with_its_parent_even_when_that_was_killed(left: Path) -> None:
    program = (
        "import sys, time; from clients.processes import Child; child = Child('town', ['town', 'ready']); "
        "child.wait_ready(60.0); print(child.pid, flush=True); time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        pid_fd = os.pidfd_open(pid)
        os.kill(parent.pid, signal.SIGKILL)
    try:
        ended, _, _ = select.select([pid_fd], [], [], 30.0)
        assert ended
    finally:
        os.close(pid_fd)
    assert left.exists()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:2000", ("localhost", 2000)),
        ("10.0.0.1", ("10.0.0.1", 2000)),
        (":3000", ("localhost", 3000)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert split_endpoint(text, 2000) == address


@pytest.mark.parametrize("text", ["host:port", "host:0", "host:65536", "host:", "host:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address"):
        split_endpoint(text, 2000)
