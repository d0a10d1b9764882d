"""How every measure moves when real streets are made worse on purpose: the table of docs/gap-degradations.md.

    python -m clients.gap.degradations --real DIR

DIR holds the label maps in DIR/label and their pictures in DIR/image, of the same names. Every second frame is the
real set, and the frames between are degraded: so the row "nothing" is what is left of a gap without a cause. Only
numbers are written, no picture and no map.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError, VidriveError
from bridge.protocol.labels import palette
from clients.gap.label_maps import COMMON_SPACE, find_maps
from clients.gap.measures import MEASURES
from clients.gap.picture_comparison import extractor_or_reason, measures
from clients.gap.picture_statistics import HEIGHT_PX, WIDTH_PX, PictureSample, describe
from clients.gap.pictures import find_pictures
from clients.gap.statistics import ROAD, count, total
from clients.progress import Progress
from renderer.picture_features import fit_picture

CAR, BUILDING, TREE = 8, 1, 5
NUM_PICTURES: Final = 40  # of each side
NUM_MAPS: Final = 100
OUT: Final = Path("docs/gap-degradations.md")

Ids = NDArray[np.uint8]
Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Degradation:
    """One way to make frames worse, by strengths that grow; `moves` are the measures that must grow with them."""

    name: str
    strengths: tuple[float, ...]
    unit: str
    moves: tuple[str, ...]


def mirrored(ids: Ids, share: float, number: int) -> Ids:
    """Left and right changed in a share of all frames."""
    return ids[:, ::-1] if _drawn(number) < share else ids


def cropped(ids: Ids, share: float, number: int) -> Ids:
    """A share of each side's length cut away around the middle, as a longer lens does."""
    height, width = ids.shape
    top, left = round(height * share / 2), round(width * share / 2)
    middle = ids[top : height - top, left : width - left]
    return np.asarray(cv2.resize(middle, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def lowered(ids: Ids, share: float, number: int) -> Ids:
    """Everything moved down by a share of the height, the top row repeated: a camera that is pitched up."""
    rows = np.clip(np.arange(len(ids)) - round(len(ids) * share), 0, None)
    return ids[rows]


def without_cars(ids: Ids, share: float, number: int) -> Ids:
    """A share of all cars become the road that they stand on."""
    num, objects = cv2.connectedComponents((ids == CAR).astype(np.uint8), connectivity=8)
    kept = ids.copy()
    for index in range(1, num):
        if _drawn(1000 * number + index) < share:
            kept[objects == index] = ROAD
    return kept


def swapped(ids: Ids, share: float, number: int) -> Ids:
    """Buildings and trees change their names in a share of all frames."""
    if _drawn(number) >= share:
        return ids
    table = np.arange(256, dtype=np.uint8)
    table[[BUILDING, TREE]] = TREE, BUILDING
    return table[ids]


def blurred(rgb: Rgb, ids: Ids, sigma_px: float, number: int) -> Rgb:
    """Out of focus."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px), np.uint8)


def noisy(rgb: Rgb, ids: Ids, sigma: float, number: int) -> Rgb:
    """White noise on every channel."""
    noise = np.random.default_rng(number).normal(0, sigma, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def compressed(rgb: Rgb, ids: Ids, coarseness: float, number: int) -> Rgb:
    """JPEG of quality 100 - coarseness."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, round(100 - coarseness)]
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", rgb, quality)[1], cv2.IMREAD_COLOR), np.uint8)


def label_coloured(rgb: Rgb, ids: Ids, share: float, number: int) -> Rgb:
    """Mixed with the colours of its label map."""
    colours = np.asarray(palette(COMMON_SPACE), np.float32)[ids]
    colours = cv2.resize(colours, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.clip(rgb * (1 - share) + colours * share, 0, 255).astype(np.uint8)


def _drawn(number: int) -> float:
    """A number 0..1 that belongs to a frame: a larger share takes the frames of a smaller one, and more."""
    return float(np.random.default_rng(number).random())


OF_MAPS: Final[Mapping[Callable[[Ids, float, int], Ids], Degradation]] = {
    mirrored: Degradation("mirrored", (0.33, 0.67, 1.0), "of all frames", ("spatial prior",)),
    cropped: Degradation(
        "cropped", (0.15, 0.3, 0.5), "of each side",
        ("spatial prior", "object sizes", "border density", "thin structures"),
    ),
    lowered: Degradation(
        "horizon lowered", (0.05, 0.1, 0.2), "of the height", ("spatial prior", "top of the road", "bottom of the sky")
    ),
    without_cars: Degradation(
        "car-free", (0.33, 0.67, 1.0), "of all cars",
        ("class frequency", "object density", "neighbours", "seen together"),
    ),
    swapped: Degradation(
        "buildings and trees swapped", (0.33, 0.67, 1.0), "of all frames",
        ("class frequency", "spatial prior", "neighbours"),
    ),
}  # fmt: skip
OF_PICTURES: Final[Mapping[Callable[[Rgb, Ids, float, int], Rgb], Degradation]] = {
    blurred: Degradation(
        "blurred", (1, 2, 4), "px",
        ("KID x1000", "FID", "patches 240", "patches 120", "contrast", "power spectrum"),
    ),
    noisy: Degradation("noisy", (10, 20, 40), "of 255", ("KID x1000", "FID", "patches 240", "power spectrum")),
    compressed: Degradation("JPEG", (50, 80, 95), "below 100", ("KID x1000", "FID")),
    label_coloured: Degradation(
        "label-coloured", (0.3, 0.6, 1.0), "of the picture",
        ("KID x1000", "FID", "precision lost", "density lost", "coverage lost", "colours"),
    ),
}  # fmt: skip

Table = dict[str, list[float]]


def degrade_maps(read: Sequence[Ids]) -> tuple[Table, dict[str, Table]]:
    """Return of label maps, every second one degraded: measures without a cause, and by degradation and strength."""
    real, ours = read[::2], read[1::2]
    against = total([count(ids) for ids in real])

    def row(change: Callable[[Ids, float, int], Ids] | None, strength: float) -> dict[str, float]:
        changed = [np.ascontiguousarray(change(ids, strength, n)) if change else ids for n, ids in enumerate(ours)]
        counted = total([count(ids) for ids in changed])
        return {measure.name: measure.distance(counted, against) for measure in MEASURES}

    nothing = {name: [value] for name, value in row(None, 0).items()}
    return nothing, {d.name: _columns([row(change, s) for s in d.strengths]) for change, d in OF_MAPS.items()}


def degrade_pictures(
    pictures: Sequence[Rgb], maps: Sequence[Ids], features: Path | None, progress: Callable[[int], None]
) -> tuple[Table, dict[str, Table], str]:
    """The same of pictures and their label maps, and which feature network it was."""
    extractor, said = extractor_or_reason(features)
    taken = measures(extractor)

    def sample(rgbs: Sequence[Rgb], first: int) -> PictureSample:
        described = describe(rgbs, np.arange(first, first + len(rgbs)), extractor)
        progress(len(rgbs))
        return described

    against = sample(pictures[::2], 0)
    ours = list(zip(pictures[1::2], maps[1::2], strict=False))

    def row(change: Callable[[Rgb, Ids, float, int], Rgb] | None, strength: float) -> dict[str, float]:
        changed = [change(rgb, ids, strength, n) if change else rgb for n, (rgb, ids) in enumerate(ours)]
        described = sample(changed, 10_000)
        return {measure.name: measure.distance(described, against) for measure in taken}

    nothing = {name: [value] for name, value in row(None, 0).items()}
    table = {d.name: _columns([row(change, s) for s in d.strengths]) for change, d in OF_PICTURES.items()}
    return nothing, table, said


def _columns(rows: Sequence[dict[str, float]]) -> Table:
    return {name: [row[name] for row in rows] for name in rows[0]}


def not_monotone(nothing: Table, table: Mapping[str, Table], degradations: Sequence[Degradation]) -> list[str]:
    """Return where a measure does not grow as its definition says, a sentence each; [] if all do."""
    found = []
    for degradation in degradations:
        for name in degradation.moves:
            if name not in nothing:
                continue
            values = [*nothing[name], *table[degradation.name][name]]
            if any(later < earlier for earlier, later in itertools.pairwise(values)):
                found.append(f"{degradation.name}: {name} goes {', '.join(f'{value:.4g}' for value in values)}")
    return found


def as_markdown(title: str, nothing: Table, table: Mapping[str, Table], degradations: Sequence[Degradation]) -> str:
    """Return a table: a row a degradation and strength, a column a measure; bold what must grow downwards."""
    names = [name for name, (value,) in nothing.items() if not np.isnan(value)]
    lines = [f"## {title}", "", f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    lines.append(f"| nothing | {' | '.join(_number(nothing[name][0]) for name in names)} |")
    for degradation in degradations:
        for index, strength in enumerate(degradation.strengths):
            cells = []
            for name in names:
                text = _number(table[degradation.name][name][index])
                cells.append(f"**{text}**" if name in degradation.moves else text)
            lines.append(f"| {degradation.name}, {strength:g} {degradation.unit} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def main(words: Sequence[str]) -> int:
    """Degrade a real set in every way, write the table, and say what does not move as it should; 1 if something."""
    parser = argparse.ArgumentParser(prog="python -m clients.gap.degradations", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, metavar="DIR", help="with label/ and image/ in it")
    parser.add_argument("--features", type=Path, metavar="FILE", help="TorchScript feature network (default: lite0)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE.md", help="default: %(default)s")
    args = parser.parse_args(words)
    try:
        maps = [sequence.read(i) for sequence in find_maps(args.real / "label", COMMON_SPACE)
                for i in range(sequence.num_frames)]  # fmt: skip
        sources = [(s, i) for s in find_pictures(args.real / "image") for i in range(s.num_frames)]
        if len(maps) != len(sources):
            raise UsageError(
                f"{args.real} has {len(maps)} label maps and {len(sources)} pictures", "Give one picture for each map"
            )
        chosen = np.unique(np.linspace(0, len(maps) - 1, min(len(maps), 2 * NUM_PICTURES)).round().astype(int))
        counted = np.unique(np.linspace(0, len(maps) - 1, min(len(maps), 2 * NUM_MAPS)).round().astype(int))
        kinds = list(OF_PICTURES.values())
        with Progress(len(chosen) // 2 * (2 + sum(len(d.strengths) for d in kinds))) as progress:
            read = [sources[i][0].read(sources[i][1]) for i in chosen]
            pictures = [fit_picture(rgb, WIDTH_PX, HEIGHT_PX) for rgb in read]  # strengths are those of what is seen
            of_pictures = degrade_pictures(pictures, [maps[i] for i in chosen], args.features, progress.advance)
        of_maps = degrade_maps([maps[i] for i in counted])
    except VidriveError as error:
        print(f"error: {error.what}. {error.hint}", file=sys.stderr)
        return 2
    page = _page(args.real.name, len(counted), len(chosen), of_maps, of_pictures)
    try:
        args.out.write_text(page)
    except OSError as error:
        print(f"error: {args.out} cannot be written ({error.strerror}). Choose another --out", file=sys.stderr)
        return 2
    wrong = not_monotone(of_maps[0], of_maps[1], list(OF_MAPS.values()))
    wrong += not_monotone(of_pictures[0], of_pictures[1], kinds)
    print("\n".join(wrong) or "every measure moves as its definition says")
    return 1 if wrong else 0


def _page(name: str, num_maps: int, num_pictures: int, of_maps: Any, of_pictures: Any) -> str:
    return (
        "# What the measures of `vidrive gap` do when streets are made worse\n\n"
        f"Made by `python -m clients.gap.degradations --real DIR` on {num_maps} label maps and {num_pictures} of their "
        f"pictures, of CamVid's `{name}` split (Brostow, Fauqueur and Cipolla 2009): every second frame stands for the "
        "real set, the frames between are degraded, pictures at 320x240. **Bold**: measures that by their "
        "definition grow with the strength; the command fails if one does not. Numbers only: no picture of CamVid is "
        "here.\n\n"
        + as_markdown("Label maps", of_maps[0], of_maps[1], list(OF_MAPS.values()))
        + f"\nFeature network: {of_pictures[2]}.\n\n"
        + as_markdown("Pictures", of_pictures[0], of_pictures[1], list(OF_PICTURES.values()))
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
