"""`vidrive render`: pictures from label maps, offline."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bridge.edits.track import RECORDED, EditTrack, find_track
from bridge.protocol.errors import UsageError
from bridge.protocol.labels import LABEL_SPACES
from bridge.recording.manifest import is_recording
from clients.commands.drive import LAYOUTS
from clients.progress import Progress

if TYPE_CHECKING:
    from clients.recorder import Recorder
    from renderer.label_sequences import LabelSequence
    from renderer.models.base import Model
    from renderer.models.imported import ModelOptions
    from renderer.synthesize import SynthesizedFrame

DESCRIPTION = (
    "Synthesize pictures from a recording, with its depth and motion; or from label maps, edge maps or poses: a folder "
    "of them, or a root in the layout of vid2vid (test_A with a folder for each sequence), pix2pixHD or Cityscapes. "
    "Temporal state begins anew with each sequence."
)
VIDEO_RATE_HZ: Final = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive render`."""
    parser.add_argument(
        "input", type=Path, metavar="INPUT", help="recording, folder of frames, or a root of such folders"
    )
    parser.add_argument(
        "--model",
        default="street-photo",
        metavar="NAME",
        help="a model, or a .safetensors file; of a recording also "
        '"recorded", for each frame the look that it had (default: %(default)s)',
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="OUT",
        help="folder for a PNG of each frame, or a file that ends in .mp4",
    )
    parser.add_argument("--size", metavar="WxH", help="size of the pictures, rounded as the model needs")
    parser.add_argument(
        "--labels",
        choices=LABEL_SPACES,
        metavar="SPACE",
        help=f"label space of the PNGs, one of {', '.join(LABEL_SPACES)} (default: the model's own)",
    )
    parser.add_argument(
        "--first-frames",
        type=Path,
        metavar="DIR",
        help="real pictures to begin with: the first two of each sequence, in folders of the sequences' names",
    )
    _add_look_arguments(parser)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where it runs (default: %(default)s)")
    parser.add_argument(
        "--layout", metavar="NAME", help="of a recording: a video of the viewer's picture, " + ", ".join(LAYOUTS)
    )


def _add_look_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what changes the pictures of a model."""
    parser.add_argument(
        "--style",
        metavar="NAME|IMAGE|SEED",
        help="the look, for models with several: by its name, a picture's, a random one by its number, or A,B,SHARE "
        "between two",
    )
    parser.add_argument(
        "--edits",
        metavar="none|recorded|FILE",
        default="",
        help="of a recording: without its edits, with them, or with those of a YAML file (default: recorded)",
    )
    parser.add_argument(
        "--stabilise", action="store_true", help="steady a published generator's pictures by a recording's motion"
    )
    parser.add_argument(
        "--flow",
        choices=("guessed", "engine"),
        default="guessed",
        help="what moves a vid2vid's last picture: its own guess, or a recording's exact depth and poses "
        "(default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Render all frames; what was written before an error stays."""
    from renderer.backends.host import prepare_process
    from renderer.label_sequences import find_sequences, with_first_frames
    from renderer.weights_store import dense_channels

    wish_hw = parse_size(args.size) if args.size else None
    if is_recording(args.input):
        return _render_recording(args, wish_hw)
    if args.edits:
        raise UsageError(f"--edits edits recordings, and {args.input} is none", "Leave out --edits")
    if args.layout:
        raise UsageError("the viewer shows recordings, and label maps alone have nothing beside", "Leave out --layout")
    if args.stabilise:
        raise UsageError(
            "label maps alone do not tell depth and motion", "Leave out --stabilise, or render a recording"
        )
    planes = dense_channels(args.model)
    sequences = find_sequences(args.input, planes)
    if args.first_frames:
        sequences = with_first_frames(sequences, args.first_frames)
    prepare_process()  # before torch is imported, below

    from renderer.models.base import OWN_FAMILY
    from renderer.models.registry import load_model
    from renderer.synthesize import Reading, synthesize

    model = load_model(args.model, args.device, _options(args))
    reads_edges = model.card.family != OWN_FAMILY and "instances" in model.card.planes
    if reads_edges and not all(sequence.instances for sequence in sequences):
        print(
            f"{model.card.name} reads instance maps too, and there are none (test_inst): no edges between instances",
            file=sys.stderr,
        )
    num_frames = sum(len(sequence.labels) for sequence in sequences)
    with open_sink(args.out, model, sequences, wish_hw) as sink, Progress(num_frames) as progress:
        for frame in synthesize(model, sequences, Reading(args.labels or "", planes, wish_hw)):
            sink.write(frame)
            progress.advance()
    print(
        f"{args.out}: {_count(num_frames, 'frame')} of {_count(len(sequences), 'sequence')} by {model.card.name}",
        file=sys.stderr,
    )
    return 0


def _render_recording(args: argparse.Namespace, wish_hw: tuple[int, int] | None) -> int:
    from renderer.backends.host import prepare_process

    if args.labels:
        raise UsageError(f"the recording {args.input} says itself what its labels mean", "Leave out --labels")
    if args.first_frames:
        raise UsageError(f"the recording {args.input} holds its own pictures", "Leave out --first-frames")
    track = find_track(args.edits or RECORDED)
    if args.layout:
        return _film_recording(args, wish_hw, track)
    prepare_process()
    from clients.recordings.rendering import render_recording

    render_recording(args.input, args.out, args.model, args.device, wish_hw, _options(args), track)
    return 0


def _film_recording(args: argparse.Namespace, wish_hw: tuple[int, int] | None, track: EditTrack | None) -> int:
    """Render a recording to the viewer's picture of it."""
    from bridge.recording.reader import Recording
    from clients.recordings.replay import open_source, write_replay
    from clients.viewer.composer import Composer
    from clients.viewer.layouts import layout_named

    composer = Composer(layout_named(args.layout))
    recording = Recording(args.input)
    with open_source(args.input, args.model, args.device, track, lambda: _options(args), wish_hw) as (source, model):
        write_replay(recording, source, model, args.out, composer)
    print(f"{args.out}: {_count(len(recording), 'frame')} by {model}", file=sys.stderr)
    return 0


def _options(args: argparse.Namespace) -> ModelOptions:
    from renderer.models.imported import ModelOptions
    from renderer.models.style import read_style

    style = read_style(args.style) if args.style else None
    return ModelOptions(style=style, stabilise=args.stabilise, flow=args.flow)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of a text such as 512x256; raises UsageError."""
    match = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text)
    if match is None:
        raise UsageError(f"--size {text} is not a size", "Write WIDTHxHEIGHT, such as 512x256")
    return int(match[2]), int(match[1])


class Sink(Protocol):
    """Takes the pictures one by one."""

    def write(self, frame: SynthesizedFrame) -> None:
        """Keep a picture; raises OutputError if that cannot be."""
        ...


@contextmanager
def open_sink(
    out: Path, model: Model, sequences: Sequence[LabelSequence], wish_hw: tuple[int, int] | None
) -> Iterator[Sink]:
    """Open a folder, or a video if the path ends in .mp4; a video appears under its name when it is whole.

    Raises OutputError and UsageError before any work is done, if that cannot be.
    """
    if out.suffix.lower() != ".mp4":
        yield FolderSink(out, sequences)
        return
    from clients.recordings.output import open_video
    from renderer.synthesize import output_size

    sizes_hw = {output_size(model.card, wish_hw or sequence.size_hw) for sequence in sequences}
    if len(sizes_hw) > 1:
        raise UsageError("the sequences have several sizes, and a video has one", "Choose one with --size")
    (size_hw,) = sizes_hw
    with open_video(out, 1.0 / VIDEO_RATE_HZ, size_hw) as recorder:
        yield VideoSink(recorder)


class VideoSink:
    """All sequences one after the other, in a video of 20 frames a second."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def write(self, frame: SynthesizedFrame) -> None:
        """Append a picture."""
        self._recorder.write(frame.rgb)


class FolderSink:
    """A PNG a frame, in folders and under names like the label maps'; a file is whole or it is not there."""

    def __init__(self, out: Path, sequences: Sequence[LabelSequence]) -> None:
        self._out = out
        from renderer.synthesize import picture_name

        if any((out / s.name / picture_name(path)).resolve() == path.resolve() for s in sequences for path in s.labels):
            raise UsageError(
                f"{out} is where the label maps are, and they would be overwritten", "Choose another --out"
            )
        from clients.recordings.output import make_folder

        for sequence in sequences:
            make_folder(out / sequence.name)

    def write(self, frame: SynthesizedFrame) -> None:
        """Write a picture beside its place, then put it there."""
        import cv2

        from clients.recordings.output import write_png

        write_png(self._out / frame.sequence / frame.file_name, cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
