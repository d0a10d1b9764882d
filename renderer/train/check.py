"""What is wrong with a data set of photos with label maps, or of recordings, sentence by sentence."""

from __future__ import annotations

from pathlib import Path

from bridge.protocol.errors import VidriveError
from renderer.train.clips import check_photo_sizes
from renderer.train.data import complaints
from renderer.train.layouts import has_split
from renderer.train.preset import TrainPreset
from renderer.train.recordings import OpenDrive, check_recordings, needed


def check_photos(folder: Path, preset: TrainPreset, open_drive: OpenDrive | None = None) -> list[str]:
    """Return a sentence for each thing that is wrong with FOLDER/train and FOLDER/val; every file is read."""
    if preset.recordings is not None:
        return check_recordings(folder, preset.recordings, preset.label_space, preset.clips, needed(open_drive))
    sentences: list[str] = []
    for split in ("train", "val"):
        if split == "val" and not has_split(folder, split):
            sentences.append(
                f"{folder} has no val/, so nothing can be measured. Add some photos that are not trained on"
            )
            continue
        try:
            sentences += complaints(
                folder / split,
                preset.data,
                preset.generator.num_labels,
                preset.label_space,
                (lambda photo: check_photo_sizes([photo], preset.clips)) if split == "train" else lambda _: None,
            )
        except VidriveError as error:
            sentences.append(str(error))
    return sentences
