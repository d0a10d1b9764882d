"""What clips are cut out of photos."""

from __future__ import annotations

from typing import Final

import msgspec

from renderer.rough_depth import GroundConfig
from renderer.train.annotation import AnnotationConfig
from renderer.train.motion import HoleConfig, MotionConfig

MARGIN_PX: Final = 2
"""A photo is at least this much larger than a crop."""


class ClipConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is cut out of a photo. Crop sides are multiples of 16; `scale` is relative to the photo's size."""

    width_px: int
    height_px: int
    scale: tuple[float, float]
    sharpness: float  # photos are kept this much larger than they are shown, for frames closer up
    canvas_px: tuple[int, int]  # width and height of the frames to be drawn; crops have their place in them
    canvas_shift: float  # sideways, at most, as a share of half the canvas
    mirror_share: float
    exposure: tuple[float, float]
    shaken_share: float
    shake_sigma_px: float
    shake_period_px: int
    single_share: float  # of the clips, which have one frame
    num_classes: int | None = None  # of label ids with tones; see `renderer.tones`
    tone_loss_share: float = 0.0  # of classes, in each clip, that lose their tones
    focus_share: float = 0.0  # of the clips, which look at a pixel of one of these classes, where the photo has any
    focus_ids: tuple[int, ...] = ()
    annotation: AnnotationConfig | None = None
    """How the label maps of a share of the clips are redrawn as a person would draw them; sizes in pixels shown."""
    on_device: bool | None = None
    """Whether photos lie on the device and clips are cut there. None: where it is no CPU and has room for them."""
    ground: GroundConfig
    motion: MotionConfig
    holes: HoleConfig
