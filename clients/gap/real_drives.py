"""What real drives differ by, and what damage to their pictures comes to beside it: a table, made by a command.

    python -m clients.gap.real_drives --root DIR [--out docs/gap-real-drives.md]

`--root` is CamVid as SegNet's authors sort it (train, trainannot, test, testannot): every third training frame is the
set that others are compared with, the test split are other drives. Only numbers are written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import VidriveError
from bridge.protocol.labels import palette
from clients.gap.degradations import blurred, compressed, noisy
from clients.gap.label_maps import COMMON_SPACE, find_maps
from clients.gap.measures import MEASURES
from clients.gap.picture_measures import kernel_distance
from clients.gap.picture_statistics import HEIGHT_PX, WIDTH_PX
from clients.gap.pictures import find_pictures
from clients.gap.statistics import Counts, count, total
from clients.progress import Progress
from renderer.picture_features import fit_picture, open_extractor

OUT: Final = Path("docs/gap-real-drives.md")
# The colours that CamVid's own label pictures have, by the ids of the common space.
CAMVID_RGB: Final = np.array(
    [(128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0), (192, 128, 128),
     (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 0)], np.uint8,
)  # fmt: skip

Rgb = NDArray[np.uint8]
Ids = NDArray[np.uint8]
CHANGES: Final[dict[str, Callable[[Rgb, Ids, int], Rgb]]] = {
    "as they are": lambda rgb, ids, n: rgb,
    "noise of 20": lambda rgb, ids, n: noisy(rgb, ids, 20, n),
    "JPEG 20": lambda rgb, ids, n: compressed(rgb, ids, 80, n),
    "blur of 2 px": lambda rgb, ids, n: blurred(rgb, ids, 2, n),
    "their label colours": lambda rgb, ids, n: np.asarray(palette(COMMON_SPACE))[_nearest(ids)],
    "their label colours, averaged": lambda rgb, ids, n: fit_picture(
        np.asarray(palette(COMMON_SPACE))[ids], WIDTH_PX, HEIGHT_PX
    ),
    "their label colours, CamVid's": lambda rgb, ids, n: CAMVID_RGB[np.minimum(_nearest(ids), len(CAMVID_RGB) - 1)],
}


def _nearest(ids: Ids) -> Ids:
    """A label map at the pictures' size: hard borders, as a network is given them."""
    return np.asarray(cv2.resize(ids, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_NEAREST), np.uint8)


def main(words: Sequence[str]) -> int:
    """Measure and write the page; 2 for what cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m clients.gap.real_drives", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="train, trainannot, test, testannot")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE.md", help="default: %(default)s")
    args = parser.parse_args(words)
    try:
        page = _page(args.root)
        args.out.write_text(page)
    except VidriveError as error:
        print(f"error: {error.what}. {error.hint}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {args.out} cannot be written ({error.strerror}). Choose another --out", file=sys.stderr)
        return 2
    return 0


def _page(root: Path) -> str:
    train, test = (_frames(root, split) for split in ("train", "test"))
    real, same, other = train[::3], train[1::3], test[::2]
    extractor = open_extractor()
    with Progress(len(real) + len(CHANGES) * (len(same) + len(other))) as progress:

        def features(
            frames: Sequence[tuple[Callable[[], Rgb], Callable[[], Ids]]], change: Callable[[Rgb, Ids, int], Rgb]
        ) -> NDArray[np.float32]:
            found = []
            for number, (picture, ids) in enumerate(frames):
                fitted = fit_picture(picture(), WIDTH_PX, HEIGHT_PX)
                found.append(extractor.embed([change(fitted, ids(), number)]))
                progress.advance(1)
            return np.concatenate(found)

        against = features(real, CHANGES["as they are"])
        rows = {
            name: [1000 * kernel_distance(features(frames, change), against) for frames in (same, other)]
            for name, change in CHANGES.items()
        }
    kids = "\n".join(f"| {name} | {values[0]:.1f} | {values[1]:.1f} |" for name, values in rows.items())
    counted = [_counted(frames) for frames in (train, test)]
    maps = "\n".join(
        f"| {m.name} | {value:.4f} | {m.unit} |"
        for m in MEASURES
        if not np.isnan(value := m.distance(counted[0], counted[1]))
    )
    return (
        "# What real drives differ by\n\nMade by `python -m clients.gap.real_drives --root DIR` on CamVid (Brostow, "
        "Fauqueur and Cipolla 2009) as SegNet's authors sort it. Numbers only: no picture of CamVid is here.\n\n"
        f"## Pictures\n\nKID x1000 of features of {extractor.name} (sha256 {extractor.sha256}) at {WIDTH_PX}x"
        f"{HEIGHT_PX}: unbiased, all pairs, the cubic kernel of Binkowski et al. 2018. {len(real)} training frames "
        f"(every third) beside {len(same)} others of the same drives, and beside {len(other)} of other drives (every "
        f"second frame of the test split).\n\n| | same drives | other drives |\n|---|---:|---:|\n{kids}\n\n"
        f"## Label maps\n\nAll {len(train)} training maps beside all {len(test)} of other drives.\n\n"
        f"| | other drives | unit |\n|---|---:|---|\n{maps}\n"
    )


def _frames(root: Path, split: str) -> list[tuple[Callable[[], Rgb], Callable[[], Ids]]]:
    """Each frame of a split as what reads its picture and its label map."""
    found = []
    for pictures, maps in zip(
        find_pictures(root / split), find_maps(root / f"{split}annot", COMMON_SPACE), strict=True
    ):
        found += [
            (lambda p=pictures, i=i: p.read(i), lambda m=maps, i=i: m.read(i)) for i in range(pictures.num_frames)
        ]
    return found


def _counted(frames: Sequence[tuple[Callable[[], Rgb], Callable[[], Ids]]]) -> Counts:
    return total([count(ids()) for _, ids in frames])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
