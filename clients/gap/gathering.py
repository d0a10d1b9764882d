"""What a report compares beside label maps: whatever both sides bring, of pictures, semantics and time."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.protocol.errors import UsageError, WeightsError
from bridge.recording.reader import Recording
from clients.gap.datasets import has_pictures, recordings_in
from clients.gap.label_maps import MapSequence
from clients.gap.labelled_pictures import LabelledSequence, pair_up
from clients.gap.matched_crops import MAX_PICTURES as MAX_CROPPED
from clients.gap.matched_crops import compare_crops
from clients.gap.picture_comparison import compare_pictures, extractor_or_reason, num_described
from clients.gap.pictures import PictureSequence, find_pictures
from clients.gap.report import Section
from clients.gap.sections import picture_section, semantic_section, time_section
from clients.gap.semantics import MAX_SCORED, PictureLabeller, Scored, label_colours, score
from clients.gap.steadiness import MAX_PAIRS, is_measurable, measure_steadiness
from clients.progress import Progress
from clients.recordings.pairs import RecordedPairs
from renderer.segmentation_files import open_segmentation_file, split_space


@dataclass(frozen=True)
class Wish:
    """What a person named: label maps of both sides (`real` None: built-in counts), pictures, networks."""

    synthetic: Path
    real: Path | None
    pictures: Path | None = None
    real_pictures: Path | None = None
    features: Path | None = None
    segmentation: str = ""

    @property
    def our_pictures(self) -> Path | None:
        """Where synthesized pictures are; None: nowhere."""
        own = _in_all(self.synthetic, {"rgb", "synthesized"}) or has_pictures(self.synthetic)
        return self.pictures or (self.synthetic if own else None)

    @property
    def their_pictures(self) -> Path | None:
        """Where real pictures are; None: nowhere."""
        beside = self.real is not None and self.our_pictures is not None and has_pictures(self.real)
        return self.real_pictures or (self.real if beside else None)

    def check(self) -> None:
        """Raise UsageError for pictures that nothing can be compared with, before the long work begins."""
        if self.their_pictures is None and (self.pictures is not None or self.features is not None):
            raise UsageError("there are no real pictures to compare with", "Name a folder by --real-pictures")
        if self.our_pictures is None and (self.real_pictures is not None or self.segmentation):
            raise UsageError(
                "there are no synthesized pictures to compare", "Name a folder or a recording by --pictures"
            )


def gather(wish: Wish, our_maps: Sequence[MapSequence], their_maps: Sequence[MapSequence]) -> list[Section]:
    """Return the sections that the two sides are enough for; raises VidriveError for what cannot be used."""
    sections = []
    ours, theirs = ([] if path is None else find_pictures(path) for path in (wish.our_pictures, wish.their_pictures))
    paired = [_paired(our_maps, ours, wish.segmentation), _paired(their_maps, theirs, "")]
    if wish.their_pictures is not None and wish.our_pictures is not None:
        sections.append(_pictures(wish, ours, theirs, their_maps, paired))
    network = _network(wish) if paired[0] else None
    if network is not None:
        sections.append(_semantics(wish, network, our_maps, paired))
    for folder in recordings_in(wish.synthetic):
        with RecordedPairs(folder) as pairs:
            if is_measurable(pairs):
                with Progress(min(len(pairs), MAX_PAIRS + 1)) as progress:
                    sections.append(time_section(measure_steadiness(pairs, progress.advance)))
    return sections


def _in_all(path: Path, wanted: set[str]) -> bool:
    """Whether a path is recordings that all have one of the wished pictures."""
    folders = recordings_in(path)
    return bool(folders) and all(wanted & set(Recording(folder).manifest.planes) for folder in folders)


def _paired(
    maps: Sequence[MapSequence], pictures: Sequence[PictureSequence], segmentation: str
) -> list[LabelledSequence]:
    """Pictures with their label maps; [] where they are not of the same frames, unless semantics were asked for."""
    try:
        return pair_up(maps, pictures) if maps and pictures else []
    except UsageError:
        if segmentation:
            raise
        return []


def _network(wish: Wish) -> PictureLabeller | None:
    """The network that a person names, that of the look that drew recordings, or street-photo's; None where the weights
    are not there."""
    if wish.segmentation and not wish.segmentation.endswith(".safetensors"):
        return open_segmentation_file(*split_space(wish.segmentation))
    if importlib.util.find_spec("renderer.segmentation") is None:
        return None  # an installation without networks of its own
    own: Any = importlib.import_module("renderer.segmentation")
    if wish.segmentation:
        return own.load_segmentation(wish.segmentation)
    look = drawn_by(wish.synthetic)
    return _shipped(own, look) or _shipped(own)


def _shipped(own: Any, *look: str) -> PictureLabeller | None:
    try:
        return own.load_segmentation(*look)
    except WeightsError:
        return None


def drawn_by(path: Path) -> str:
    """Return the model that drew all recordings of a path; "" where there are none, or several did."""
    cards = [Recording(folder).manifest.card for folder in recordings_in(path)]
    names = {"" if card is None else card.name for card in cards}
    return names.pop() if len(names) == 1 else ""


def _pictures(
    wish: Wish,
    ours: Sequence[PictureSequence],
    theirs: Sequence[PictureSequence],
    their_maps: Sequence[MapSequence],
    paired: Sequence[Sequence[LabelledSequence]],
) -> Section:
    assert wish.our_pictures is not None
    assert wish.their_pictures is not None
    extractor, _ = extractor_or_reason(wish.features)
    with_crops = extractor is not None and all(paired)
    cropped = [min(MAX_CROPPED, sum(s.num_frames for s in side)) for side in (*paired, paired[1])]
    with Progress(num_described(ours, theirs, their_maps) + (sum(cropped) if with_crops else 0)) as progress:
        gap = compare_pictures(wish.our_pictures, wish.their_pictures, wish.features, their_maps, progress.advance)
        crops = []
        if extractor is not None and with_crops:
            crops = compare_crops(paired[0], paired[1], extractor, progress.advance)
    return picture_section(gap, crops)


def _semantics(
    wish: Wish, network: PictureLabeller, our_maps: Sequence[MapSequence], paired: Sequence[Sequence[LabelledSequence]]
) -> Section:
    """Scores on synthesized pictures, real ones, the engine's own render, and label colours."""
    rendered = [] if wish.pictures else _original(wish.synthetic, our_maps)
    numbers = [min(MAX_SCORED, sum(s.num_frames for s in side)) for side in (*paired, rendered, paired[1])]
    with Progress(sum(numbers)) as progress:

        def scored(side: Sequence[LabelledSequence], change: Callable | None = None) -> Scored | None:
            how = {"change": change} if change else {}
            return score(side, network, progress.advance, **how) if side else None

        sides = {
            "synthesized": scored(paired[0]),
            "real": scored(paired[1]),
            "original render": scored(rendered),
            "real, in label colours": scored(paired[1], label_colours),
        }
    return semantic_section(network, {name: side for name, side in sides.items() if side is not None})


def _original(synthetic: Path, our_maps: Sequence[MapSequence]) -> list[LabelledSequence]:
    """The engine's own pictures of recordings that have synthesized ones too."""
    if not (_in_all(synthetic, {"rgb"}) and _in_all(synthetic, {"synthesized"})):
        return []
    return pair_up(our_maps, find_pictures(synthetic, "rgb"))
