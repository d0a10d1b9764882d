"""One step of training a segmentation network: random crops of photos, and the entropy of what it says of them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import label_id
from renderer.segmentation import SegmentationNetwork, fold
from renderer.train.clips import resize_labels
from renderer.train.data import LabelledPhoto
from renderer.train.perceptual import NORM_EPSILON, EfficientNetLite0
from renderer.train.segmentation.preset import CropConfig, SegmentationPreset

_ENCODER: Final = ("stem", "stages")
_ORDER_SEED, _CROP_SEED = 0, 1
_CPU: Final = torch.device("cpu")


class SegmentationTrainer:
    """All that a run changes, and the step that changes it. On a CPU the same seed gives the same weights."""

    def __init__(
        self,
        preset: SegmentationPreset,
        photos: Sequence[LabelledPhoto],
        lite0: EfficientNetLite0,
        seed: int,
        device: torch.device = _CPU,
    ) -> None:
        check_photo_sizes(photos, preset.crops)
        schedule = preset.schedule
        self.preset = preset
        self.step_index = 0
        self.device = device
        self._photos = photos
        self._seed = seed
        self._unlabelled = label_id(preset.network.label_space, "unlabeled")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = SegmentationNetwork(preset.network)
        copy_encoder(lite0, self.network)
        self.network.to(device)
        for parameter in self.network.parameters():
            if parameter.ndim == 4:  # CPUs convolve faster so
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._class_weights = _class_weights(photos, preset).to(device)
        encoder = [value for name, value in self.network.named_parameters() if name.partition(".")[0] in _ENCODER]
        decoder = [value for name, value in self.network.named_parameters() if name.partition(".")[0] not in _ENCODER]
        self._thread = ThreadPoolExecutor(1, "batches")
        self._workers = ThreadPoolExecutor(max(1, min(schedule.batch_size, (os.cpu_count() or 1) - 1)), "crops")
        self._coming: tuple[int, Future[tuple[Tensor, Tensor]]] | None = None
        self._rates = (schedule.encoder_rate, schedule.decoder_rate)
        self._optimizer = torch.optim.AdamW(
            [{"params": encoder}, {"params": decoder}], lr=self._rates[1], weight_decay=schedule.weight_decay
        )

    def step(self) -> float:
        """Learn from the next crops; return the loss. Raises UsageError when it has no finite value."""
        schedule = self.preset.schedule
        rgb_B3HW, labels_BHW = (tensor.to(self.device) for tensor in self._next_batch())
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * _rate_share(self.step_index, schedule.num_steps, schedule.warm_up_steps)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=schedule.precision == "bfloat16"):
            scores = self.network(rgb_B3HW)
        scores = F.interpolate(scores.float(), scale_factor=4.0, mode="bilinear")
        loss = F.cross_entropy(scores, labels_BHW, self._class_weights, ignore_index=self._unlabelled)
        if not torch.isfinite(loss):
            raise UsageError(
                f"the loss has no finite value at step {self.step_index}", "Lower the learning rates of the preset"
            )
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), schedule.max_gradient_norm)
        self._optimizer.step()
        self.step_index += 1
        return float(loss.detach())

    def state_dict(self) -> dict[str, Any]:
        """Return everything a later run needs to go on as if it had never stopped."""
        return {
            "step_index": self.step_index,
            "seed": self._seed,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same preset; raises KeyError, ValueError or RuntimeError for another's."""
        self.step_index, self._seed = int(state["step_index"]), int(state["seed"])
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._coming = None

    def _next_batch(self) -> tuple[Tensor, Tensor]:
        """Return the batch of this step, and begin the next one beside it."""
        step, coming = self.step_index, self._coming
        batch = coming[1].result() if coming is not None and coming[0] == step else self._batch(step)
        self._coming = step + 1, self._thread.submit(self._batch, step + 1)
        return batch

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return crops (B,3,H,W) in [-1, 1] and their classes (B,H,W) int64; each photo once before any comes again."""
        size = self.preset.schedule.batch_size

        def crop(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
            epoch, index = divmod(number, len(self._photos))
            order = np.random.default_rng([self._seed, _ORDER_SEED, epoch]).permutation(len(self._photos))
            rng = np.random.default_rng([self._seed, _CROP_SEED, number])
            return cut_crop(rng, self._photos[int(order[index])], self.preset.crops)

        crops = list(self._workers.map(crop, range(step * size, (step + 1) * size)))
        rgb_B3HW = torch.from_numpy(np.stack([rgb for rgb, _ in crops])).permute(0, 3, 1, 2).float() / 127.5 - 1
        labels_BHW = torch.from_numpy(np.stack([labels for _, labels in crops])).long()
        return rgb_B3HW.contiguous(memory_format=torch.channels_last), labels_BHW


def cut_crop(
    rng: np.random.Generator, photo: LabelledPhoto, config: CropConfig
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a crop (H,W,3) u8 of a photo and its classes (H,W) u8, scaled, mirrored, and in another light."""
    height_px, width_px = photo.labels.shape
    smallest = max(config.scale[0], (config.width_px + 1) / width_px, (config.height_px + 1) / height_px)
    scale = float(np.exp(rng.uniform(np.log(smallest), np.log(max(config.scale[1], smallest)))))
    size_px = (round(width_px * scale), round(height_px * scale))
    rgb = cv2.resize(photo.rgb, size_px, interpolation=cv2.INTER_AREA)
    labels = resize_labels(photo.labels, *size_px)
    left = int(rng.integers(size_px[0] - config.width_px + 1))
    top = int(rng.integers(size_px[1] - config.height_px + 1))
    rows, columns = slice(top, top + config.height_px), slice(left, left + config.width_px)
    rgb, labels = rgb[rows, columns], labels[rows, columns]
    if rng.random() < 0.5:
        rgb, labels = rgb[:, ::-1], labels[:, ::-1]
    if rng.random() < config.blurred_share:
        rgb = cv2.GaussianBlur(np.ascontiguousarray(rgb), (0, 0), rng.uniform(0.3, config.largest_blur_px))
    gains = rng.uniform(1 - config.tint, 1 + config.tint, 3) * rng.uniform(*config.exposure)
    levels = (np.arange(256)[:, None] / 255) ** rng.uniform(*config.gamma) * gains * 255
    table = np.clip(levels, 0, 255).astype(np.uint8)
    lit = np.asarray(cv2.LUT(np.ascontiguousarray(rgb), table[None]), np.uint8)
    return lit, np.ascontiguousarray(labels)


def copy_encoder(lite0: EfficientNetLite0, network: SegmentationNetwork) -> None:
    """Give a network's encoder the ImageNet weights of Lite0, with the norms folded into the convolutions."""

    def copy(convolution: nn.Module, weight: str, norm: str) -> None:
        mean, variance, scale, shift = (
            lite0.tensor(f"{norm}.{key}") for key in ("running_mean", "running_var", "weight", "bias")
        )
        folded, bias = fold(lite0.tensor(weight), (mean, variance, scale, shift), NORM_EPSILON)
        convolution.load_state_dict({"weight": folded, "bias": bias})

    copy(network.stem, "_conv_stem.weight", "_bn0")
    blocks = [block for stage in network.stages for block in stage.children()]
    for index, block in enumerate(blocks):
        prefix = f"_blocks.{index}"
        if (expand := getattr(block, "expand", None)) is not None:
            copy(expand, f"{prefix}._expand_conv.weight", f"{prefix}._bn0")
        copy(block.get_submodule("depthwise"), f"{prefix}._depthwise_conv.weight", f"{prefix}._bn1")
        copy(block.get_submodule("project"), f"{prefix}._project_conv.weight", f"{prefix}._bn2")


def _class_weights(photos: Sequence[LabelledPhoto], preset: SegmentationPreset) -> Tensor:
    """Return what each class counts (N,) float32: the root of its rarity, 1 on average over the pixels, bounded."""
    num_classes = preset.network.num_classes
    pixels = np.sum([np.bincount(photo.labels.ravel(), minlength=num_classes) for photo in photos], axis=0)
    pixels[label_id(preset.network.label_space, "unlabeled")] = 0
    share = np.maximum(pixels / pixels.sum(), 1e-6)
    weights = 1 / np.sqrt(share)
    weights /= float((weights * share).sum())
    return torch.from_numpy(np.minimum(weights, preset.schedule.largest_class_weight)).float()


def _rate_share(step: int, num_steps: int, warm_up_steps: int) -> float:
    return min(1.0, (step + 1) / max(warm_up_steps, 1)) * (0.5 + 0.5 * math.cos(math.pi * step / num_steps))


def check_photo_sizes(photos: Sequence[LabelledPhoto], config: CropConfig) -> None:
    """Raise UsageError for a photo that is no larger than a crop."""
    for photo in photos:
        height_px, width_px = photo.labels.shape
        if height_px <= config.height_px or width_px <= config.width_px:
            raise UsageError(
                f"{photo.name} is {width_px}x{height_px}, a crop is {config.width_px}x{config.height_px}",
                "Use larger photos, or a preset with smaller crops",
            )
