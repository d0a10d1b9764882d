"""Clips cut out of photos that lie on a device: the CPU draws lots, the device does all that touches pixels.

Frames are those of `renderer.train.clips`, which a test compares, but for how a photo is made smaller: there by the
mean of an area, here by four samples as far apart that they blur as much. Nobody redraws label maps here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from renderer.rough_depth import nearness
from renderer.tones import without_tones
from renderer.train.clip_config import ClipConfig
from renderer.train.clip_plan import CropPlan, MotionPlan, draw_crop, draw_motion, looks_at_focus
from renderer.train.clips import ClipBatch, Stream
from renderer.train.data import LabelledPhoto
from renderer.train.motion import FLOW_ITERATIONS, FLOW_TOLERANCE_PX, Holes, draw_holes

_BYTES_A_PIXEL: Final = 3 + 1 + 4  # colours, a label, nearness
_NUM_IDS: Final = 256


@dataclass(frozen=True)
class PlannedFrame:
    """A frame of a clip as numbers: which photo it is of, its number in the clip, and the holes in its past."""

    photo: int
    style: int
    crop: CropPlan
    motion: MotionPlan
    number: int
    holes: Holes | None


class PlannedClip:
    """A clip as numbers; it draws the same lots in the same order as `renderer.train.clips.Clip`."""

    def __init__(
        self,
        rng: np.random.Generator,
        photo: int,
        longest_frames: int,
        photos: PhotosOnDevice,
    ) -> None:
        self._rng = rng
        self._config = config = photos.config
        self._photo = photo
        size_px, focus = photos.sizes_px[photo], photos.focus[photo]
        self._style = photos.styles[photo]
        self._crop = draw_crop(rng, size_px, config)
        if looks_at_focus(rng, config) and focus:
            self._crop = _look_at(rng, self._crop, size_px, focus, config)
        self._motion = draw_motion(rng, self._crop.size_px, longest_frames, config)
        self.num_taken = 0

    @property
    def finished(self) -> bool:
        """Whether all frames have been taken."""
        return self.num_taken >= self._motion.num_frames

    def next_frame(self) -> PlannedFrame:
        """Return the next frame."""
        number, config = self.num_taken, self._config
        holes = draw_holes(self._rng, (config.height_px, config.width_px), config.holes) if number else None
        self.num_taken += 1
        return PlannedFrame(self._photo, self._style, self._crop, self._motion, number, holes)


class PhotosOnDevice:
    """Photos, their labels and how near things are in them, on a device; photos may have different sizes."""

    def __init__(self, photos: Sequence[LabelledPhoto], config: ClipConfig, device: torch.device) -> None:
        unique = list({id(photo): photo for photo in photos}.values())
        number_of = {id(photo): number for number, photo in enumerate(unique)}
        self.config = config
        self.starts = [number_of[id(photo)] for photo in photos]
        self.sizes_px = [(photo.labels.shape[1], photo.labels.shape[0]) for photo in unique]
        self.styles = [photo.style for photo in unique]
        plain = [_classes(photo.labels, config) for photo in unique]
        self.focus = [_pixels_of(labels, config.focus_ids) if config.focus_share else {} for labels in plain]
        self._device = device
        self._first = np.cumsum([0, *(width_px * height_px for width_px, height_px in self.sizes_px)])
        self._rgb_N3 = torch.from_numpy(np.concatenate([photo.rgb.reshape(-1, 3) for photo in unique])).to(device)
        self._labels_N = torch.from_numpy(np.concatenate([photo.labels.ravel() for photo in unique])).to(device)
        near = [nearness(labels, config.ground).ravel() for labels in plain]
        self._near_N = torch.from_numpy(np.concatenate(near)).to(device)
        rows, columns = torch.meshgrid(
            torch.arange(config.height_px, device=device, dtype=torch.float32),
            torch.arange(config.width_px, device=device, dtype=torch.float32),
            indexing="ij",
        )
        self._pixels_HW2 = torch.stack([columns, rows], -1)

    def draw(self, frames: Sequence[PlannedFrame]) -> ClipBatch:
        """Return a frame of each clip as one batch on the device."""
        batch = _Batch(self, frames)
        config = self.config
        pixels_BHW2 = self._pixels_HW2 + batch.corner_B2[:, None, None]
        target_BHW2 = batch.look(pixels_BHW2, batch.number_B)
        labels_BHW = batch.labels_at(target_BHW2)
        size_2 = torch.tensor([config.width_px, config.height_px], device=self._device, dtype=torch.float32)
        previous_BHW2 = self._pixels_HW2.expand_as(pixels_BHW2)
        valid_B1HW = torch.zeros(len(frames), 1, config.height_px, config.width_px, device=self._device)
        if any(frame.number for frame in frames):
            back_BHW2, seen_BHW = batch.look_back(pixels_BHW2, target_BHW2)
            later_B = batch.number_B > 0
            previous_BHW2 = torch.where(later_B[:, None, None, None], back_BHW2, previous_BHW2)
            valid_B1HW = (seen_BHW & later_B[:, None, None]).float()[:, None]
            self._punch(valid_B1HW, labels_BHW, frames)
        photo_B3HW = batch.colours_at(target_BHW2).permute(0, 3, 1, 2)
        return ClipBatch(
            photo_B3HW=photo_B3HW.contiguous(memory_format=torch.channels_last),
            labels_BHW=labels_BHW,
            place_B2HW=batch.place(pixels_BHW2),
            source_BHW2=(2 * previous_BHW2 + 1) / size_2 - 1,
            valid_B1HW=valid_B1HW,
            style_B=torch.tensor([frame.style for frame in frames]).to(self._device),
        )

    def colours(self, index: Tensor) -> Tensor:
        """Return (...,3) float32 of the pixels with these numbers."""
        return self._rgb_N3[index].float()

    def labels(self, index: Tensor) -> Tensor:
        """Return the ids, u8."""
        return self._labels_N[index]

    def nearness(self, index: Tensor) -> Tensor:
        """Return (...,1) float32 in 1/m."""
        return self._near_N[index][..., None]

    def first(self, photo: int) -> int:
        """Return the number of a photo's first pixel."""
        return int(self._first[photo])

    def send(self, values: Sequence[object], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return numbers on the device."""
        return torch.from_numpy(np.array(values)).to(dtype).to(self._device)

    def _punch(self, valid_B1HW: Tensor, labels_BHW: Tensor, frames: Sequence[PlannedFrame]) -> None:
        """Strike out the past, in place, where the frames' holes are."""
        num_classes = self.config.num_classes
        for index, frame in enumerate(frames):
            if frame.holes is None:
                continue
            if frame.holes.class_id is not None:
                classes_HW = labels_BHW[index] if num_classes is None else labels_BHW[index] % num_classes
                region_1HW = (classes_HW == frame.holes.class_id).float()[None]
                reach_px = frame.holes.reach_px
                valid_B1HW[index] *= 1 - F.max_pool2d(region_1HW, reach_px, 1, reach_px // 2)
            if frame.holes.box is not None:
                valid_B1HW[index, 0][frame.holes.box] = 0


class _Batch:
    """The numbers of planned frames, on the device, and how pixels of their photos are found with them."""

    def __init__(self, photos: PhotosOnDevice, frames: Sequence[PlannedFrame]) -> None:
        self._photos = photos
        self._stretch = photos.config.motion.largest_stretch
        send = photos.send
        crops, paths = [frame.crop for frame in frames], [frame.motion.path for frame in frames]
        self.corner_B2 = send([crop.corner_px for crop in crops])
        self.number_B = send([frame.number for frame in frames])
        self._shown_B2 = send([crop.size_px for crop in crops])
        self._kept_B2 = send([crop.kept_px for crop in crops])
        self._full_B2 = send([photos.sizes_px[frame.photo] for frame in frames])
        self._first_B = send([photos.first(frame.photo) for frame in frames], torch.int64)
        self._mirrored_B = send([crop.mirrored for crop in crops], torch.bool)
        self._exposure_B = send([crop.exposure for crop in crops])
        self._speed_B = send([path.speed_m for path in paths])
        self._start_B = send([path.start_m for path in paths])
        self._pan_B2 = send([path.pan_px for path in paths])
        self._vanishing_B2 = send([path.vanishing_px for path in paths])
        self._shift_B = send([frame.motion.shift for frame in frames])
        self._tables_BN = self._toneless(crops)
        self._shake_B2hw, self._shake_size_B2 = self._shakes(crops)

    def look(self, pixels_BHW2: Tensor, number_B: Tensor) -> Tensor:
        """Return where in the photo as shown each pixel looks; see `renderer.train.motion.look`."""
        driven_B = self._start_B + self._speed_B * number_B
        x_BHW2 = pixels_BHW2 + (self._pan_B2 * number_B[:, None])[:, None, None]
        near_BHW1 = self._bilinear(self._photos.nearness, self._on_photo(x_BHW2, self._shown_B2))
        stretch_BHW1 = (near_BHW1 * driven_B[:, None, None, None]).clamp(max=self._stretch)
        return x_BHW2 - (x_BHW2 - self._vanishing_B2[:, None, None]) * stretch_BHW1

    def look_back(self, pixels_BHW2: Tensor, target_BHW2: Tensor) -> tuple[Tensor, Tensor]:
        """Return each pixel's place in the frame before, and whether it is visible there; see `motion.look_back`."""
        guess_BHW2, before_B = pixels_BHW2.clone(), self.number_B - 1
        for _ in range(FLOW_ITERATIONS):
            guess_BHW2 += target_BHW2 - self.look(guess_BHW2, before_B)
        miss_BHW = (target_BHW2 - self.look(guess_BHW2, before_B)).abs().amax(-1)
        previous_BHW2 = guess_BHW2 - pixels_BHW2[:, :1, :1]
        height_px, width_px = miss_BHW.shape[1:]
        x, y = previous_BHW2.unbind(-1)
        inside = (x >= 0) & (x <= width_px - 1) & (y >= 0) & (y <= height_px - 1)
        return previous_BHW2, inside & (miss_BHW < FLOW_TOLERANCE_PX)

    def colours_at(self, target_BHW2: Tensor) -> Tensor:
        """Return the photo's colours (B,H,W,3) [-1, 1] where pixels look."""
        on_photo_BHW2 = self._on_photo(target_BHW2, self._shown_B2)
        apart_B2 = ((self._full_B2 / self._kept_B2).square() - 1).clamp(min=0).sqrt() / 2
        rgb_BHW3 = torch.zeros(*target_BHW2.shape[:3], 3, device=target_BHW2.device)
        for sign in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            beside_B2 = apart_B2 * torch.tensor(sign, device=apart_B2.device)
            rgb_BHW3 += self._bilinear(self._photos.colours, on_photo_BHW2 + beside_B2[:, None, None]) / 4
        exposed_BHW3 = (rgb_BHW3 * self._exposure_B[:, None, None, None]).clamp(0, 255)
        return exposed_BHW3 / 127.5 - 1

    def labels_at(self, target_BHW2: Tensor) -> Tensor:
        """Return the ids (B,H,W) u8 where pixels look, with their borders shaken and some tones lost."""
        half = 0.5
        per_shown_B11 = (self._kept_B2[:, 0] / self._shown_B2[:, 0])[:, None, None, None]
        kept_BHW2 = ((target_BHW2 + half) * per_shown_B11 - half).round()
        last_B2 = (self._kept_B2 - 1)[:, None, None]
        kept_BHW2 = torch.minimum(kept_BHW2.clamp(min=0), last_B2)
        if self._shake_B2hw is not None:
            kept_BHW2 = (kept_BHW2 + self._shaken(kept_BHW2, self._shake_B2hw)).round()
            kept_BHW2 = torch.minimum(kept_BHW2.clamp(min=0), last_B2)
        full_BHW2 = ((kept_BHW2 + half) * (self._full_B2 / self._kept_B2)[:, None, None]).floor()
        mirrored = (self._full_B2[:, 0] - 1)[:, None, None] - full_BHW2[..., 0]
        x = torch.where(self._mirrored_B[:, None, None], mirrored, full_BHW2[..., 0])
        labels_BHW = self._photos.labels(self._index(x, full_BHW2[..., 1]))
        if self._tables_BN is None:
            return labels_BHW
        return self._tables_BN.gather(1, labels_BHW.flatten(1).long()).view_as(labels_BHW)

    def place(self, pixels_BHW2: Tensor) -> Tensor:
        """Return each pixel's row and column in the canvas (B,2,H,W), [-1, 1]."""
        width_px, height_px = self._photos.config.canvas_px
        below_px = pixels_BHW2[..., 1] + 0.5 - self._vanishing_B2[:, 1, None, None]
        right_px = pixels_BHW2[..., 0] + 0.5 - self._shown_B2[:, 0, None, None] / 2
        columns = right_px / (width_px / 2) + self._shift_B[:, None, None]
        return torch.stack([below_px / (height_px / 2), columns], 1).clamp(-1, 1)

    def _on_photo(self, places_BHW2: Tensor, size_B2: Tensor) -> Tensor:
        """Return places in the photo at a size, mirrored where it is, as places in the photo itself."""
        full_BHW2 = (places_BHW2 + 0.5) * (self._full_B2 / size_B2)[:, None, None] - 0.5
        mirrored = (self._full_B2[:, 0] - 1)[:, None, None] - full_BHW2[..., 0]
        x = torch.where(self._mirrored_B[:, None, None], mirrored, full_BHW2[..., 0])
        return torch.stack([x, full_BHW2[..., 1]], -1)

    def _bilinear(self, read: Callable[[Tensor], Tensor], places_BHW2: Tensor) -> Tensor:
        """Return what `read` gives (B,H,W,C) between the four pixels around each place; borders are repeated."""
        corner_BHW2 = places_BHW2.floor()
        share_x, share_y = ((places_BHW2 - corner_BHW2)[..., axis, None] for axis in (0, 1))
        x, y = corner_BHW2.unbind(-1)
        upper = torch.lerp(read(self._index(x, y)), read(self._index(x + 1, y)), share_x)
        lower = torch.lerp(read(self._index(x, y + 1)), read(self._index(x + 1, y + 1)), share_x)
        return torch.lerp(upper, lower, share_y)

    def _index(self, x_BHW: Tensor, y_BHW: Tensor) -> Tensor:
        """Return the numbers of pixels of the photos, the nearest ones of those outside."""
        width_B11, height_B11 = (self._full_B2[:, axis, None, None] for axis in (0, 1))
        x_BHW = torch.minimum(x_BHW.clamp(min=0), width_B11 - 1).long()
        y_BHW = torch.minimum(y_BHW.clamp(min=0), height_B11 - 1).long()
        return self._first_B[:, None, None] + y_BHW * width_B11.long() + x_BHW

    def _shaken(self, kept_BHW2: Tensor, shake_B2hw: Tensor) -> Tensor:
        """Return by how many pixels labels move there (B,H,W,2): the coarse field between its points, bicubic."""
        padded_2 = torch.tensor(shake_B2hw.shape[:1:-1], device=kept_BHW2.device, dtype=torch.float32)
        coarse_BHW2 = (kept_BHW2 + 0.5) * (self._shake_size_B2 / self._kept_B2)[:, None, None]
        grid_BHW2 = 2 * coarse_BHW2 / padded_2 - 1
        moved_B2HW = F.grid_sample(shake_B2hw, grid_BHW2, mode="bicubic", padding_mode="border", align_corners=False)
        return moved_B2HW.permute(0, 2, 3, 1)

    def _shakes(self, crops: Sequence[CropPlan]) -> tuple[Tensor | None, Tensor]:
        """Return the crops' coarse fields, their borders repeated up to the size of the largest, and their sizes."""
        fields = [np.zeros((2, 1, 1), np.float32) if crop.shake_2hw is None else crop.shake_2hw for crop in crops]
        sizes = self._photos.send([(field.shape[2], field.shape[1]) for field in fields])
        if all(crop.shake_2hw is None for crop in crops):
            return None, sizes
        height, width = (max(field.shape[axis] for field in fields) for axis in (1, 2))
        padded = [
            np.pad(field, ((0, 0), (0, height - field.shape[1]), (0, width - field.shape[2])), mode="edge")
            for field in fields
        ]
        return self._photos.send(padded), sizes

    def _toneless(self, crops: Sequence[CropPlan]) -> Tensor | None:
        """Return which id (B,256) u8 each id becomes, where some lose their tones."""
        num_classes = self._photos.config.num_classes
        if num_classes is None or not any(crop.toneless for crop in crops):
            return None
        ids = np.arange(_NUM_IDS, dtype=np.uint8)
        return self._photos.send([without_tones(ids, num_classes, crop.toneless) for crop in crops], torch.uint8)


class DeviceClipStream(Stream[PlannedFrame]):
    """An endless stream of clips of photos, cut on a device; its state is that of a `ClipStream`."""

    def __init__(
        self, photos: Sequence[LabelledPhoto], num_clips: int, seed: int, config: ClipConfig, device: torch.device
    ) -> None:
        on_device = PhotosOnDevice(photos, config, device)

        def begin(rng: np.random.Generator, index: int, longest_frames: int) -> PlannedClip:
            return PlannedClip(rng, on_device.starts[index], longest_frames, on_device)

        super().__init__(len(photos), num_clips, seed, begin, torch.no_grad()(on_device.draw))


def fits_device(photos: Sequence[LabelledPhoto], device: torch.device) -> bool:
    """Whether a device that is no CPU has room for photos, and as much again for what is learnt from them."""
    if device.type != "cuda":
        return False
    num_pixels = sum({id(photo): photo.labels.size for photo in photos}.values())
    return num_pixels * _BYTES_A_PIXEL <= torch.cuda.mem_get_info(device)[0] // 2


def _classes(labels: NDArray[np.uint8], config: ClipConfig) -> NDArray[np.uint8]:
    return labels if config.num_classes is None else without_tones(labels, config.num_classes)


def _pixels_of(labels: NDArray[np.uint8], class_ids: Sequence[int]) -> dict[int, NDArray[np.int32]]:
    """Return the pixels (N,2), x and y, of those of some classes that a label map has."""
    found = {class_id: np.nonzero(labels == class_id) for class_id in sorted(class_ids)}
    return {
        class_id: np.stack([columns, rows], -1).astype(np.int32)
        for class_id, (rows, columns) in found.items()
        if rows.size
    }


def _look_at(
    rng: np.random.Generator,
    crop: CropPlan,
    photo_px: tuple[int, int],
    focus: Mapping[int, NDArray[np.int32]],
    config: ClipConfig,
) -> CropPlan:
    """Return the crop moved so that a pixel of a class that matters is in it; classes have the same chance."""
    pixels = focus[int(rng.choice(list(focus)))]
    x, y = pixels[int(rng.integers(len(pixels)))].tolist()
    width_px, height_px = photo_px
    x = width_px - 1 - x if crop.mirrored else x
    middle_px = x * crop.size_px[0] / width_px, y * crop.size_px[1] / height_px
    return crop.around(middle_px, rng.uniform(0.25, 0.75, 2), config)
