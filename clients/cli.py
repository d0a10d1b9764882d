"""The command line: `vidrive COMMAND ...`, one module for each command, only the chosen one is imported.

A command is a module of `clients.commands` with `DESCRIPTION: str`, `add_arguments(parser)` and `run(args) -> int`.
Exit codes: 0 done · 2 an error with a sentence that says what to do · 129 SIGHUP · 130 Ctrl-C · 143 SIGTERM. What a
command prints for people and programs goes to stdout; progress, logs and errors go to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final, NoReturn, Protocol, cast

COMMANDS: Final[dict[str, str]] = {
    "demo": "everything at once: starts the town and a renderer, drives, shows or records",
    "drive": "drive in a running CARLA or town, through a running inference server",
    "record": "a drive with all its planes into a folder, to render, replay and export again",
    "replay": "watch a recording: pause, step, scrub; or write it as a video",
    "export": "a recording in another layout: vid2vid, Cityscapes, video, Rerun",
    "town": "the embedded street simulator, for anything that speaks CARLA 0.9.16",
    "serve": "the inference server",
    "render": "synthesize pictures from a folder of label maps",
    "train": "train a generator on pictures with label maps, or on what another one draws",
    "gap": "how far a simulator's label maps are from real ones, beside what real drives differ by",
    "weights": "import published checkpoints, list and verify them",
    "doctor": "check this machine: one sentence and one remedy for each thing",
    "bench": "measure what the bridge itself costs on this machine",
}
EXIT_DONE: Final = 0
EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130


class Command(Protocol):
    """What a module of `clients.commands` offers."""

    DESCRIPTION: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's flags."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; return the exit code."""
        ...


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors read as all errors of this program do."""

    def error(self, message: str) -> NoReturn:
        """Print `error: what. what to do` and exit with status 2."""
        self.exit(EXIT_ERROR, f"error: {message}. See {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _root_parser().parse_args(words[:1])
        if args.version:
            return _print_version()
        if args.command is None:
            _root_parser().print_help()
            return EXIT_DONE
        if args.command not in COMMANDS:
            _root_parser().error(f"there is no command {args.command!r}")
        return _run(args.command, words[1:])
    except SystemExit as stop:
        return _exit_code(stop)


def _root_parser() -> Parser:
    table = "\n".join(f"  {name:<8} {line}" for name, line in COMMANDS.items())
    parser = Parser(
        prog="vidrive",
        usage="vidrive COMMAND [flags]",
        description="Neural rendering for CARLA: drive in streets that a network paints.",
        epilog=f"commands:\n{table}\n\nvidrive COMMAND --help says what a command takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def _run(name: str, words: Sequence[str]) -> int:
    from bridge.protocol.errors import VidriveError

    command = cast("Command", importlib.import_module(f"clients.commands.{name}"))
    parser = Parser(prog=f"vidrive {name}", description=command.DESCRIPTION)
    command.add_arguments(parser)
    args = parser.parse_args(words)
    _log_to_stderr()
    _leave_in_good_order()
    _follow_parent()
    try:
        return command.run(args)
    except VidriveError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our stdout has gone (`vidrive demo | head`); nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def _leave_in_good_order() -> None:
    """Let SIGTERM, and a terminal that is closed, leave through every `finally`, as Ctrl-C does."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, leave)


def _log_to_stderr() -> None:
    import logging

    logging.addLevelName(logging.INFO, "")
    logging.addLevelName(logging.WARNING, "warning: ")
    logging.addLevelName(logging.ERROR, "error: ")
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s%(message)s", level=logging.INFO)


def _follow_parent() -> None:
    """A child process of `demo` ends when its parent does, however that ended."""
    if "VIDRIVE_PARENT_FD" in os.environ:
        from clients.processes import end_with_parent

        end_with_parent(int(os.environ.pop("VIDRIVE_PARENT_FD")))


def _print_version() -> int:
    from importlib.metadata import version

    print(f"vidrive {version('vidrive')}")
    return EXIT_DONE


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None:
        return EXIT_DONE
    return stop.code if isinstance(stop.code, int) else EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
