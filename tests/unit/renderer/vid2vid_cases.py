"""Small vid2vid networks and frames for the tests of this folder."""

from __future__ import annotations

import msgspec
import torch

from renderer.inputs import ModelInput
from renderer.models import vid2vid
from renderer.models.speed import REFERENCE, Speed
from renderer.models.vid2vid_config import SingleConfig, Vid2vidConfig
from renderer.models.vid2vid_networks import Vid2vid

CPU = torch.device("cpu")
SIZE_HW = (32, 64)
TWO_SCALES = Vid2vidConfig(
    num_labels=35,
    instance_edges=True,
    dense_channels=0,
    width=8,
    num_scales=2,
    num_down=2,
    num_blocks=2,
    num_local_blocks=1,
    num_frames=3,
    foreground=True,
    foreground_labels=(26,),
    flow=True,
    affine_norms=True,
    first_pictures="single",
    single=SingleConfig(kind="global", width=4, num_down=3, num_blocks=1),
    native_size_hw=(256, 512),
)
POSES = msgspec.structs.replace(
    TWO_SCALES,
    num_labels=0,
    instance_edges=False,
    dense_channels=6,
    foreground=False,
    foreground_labels=(),
    first_pictures="none",
    single=None,
)
GIVEN = msgspec.structs.replace(TWO_SCALES, first_pictures="given", single=None)


def make_network(config: Vid2vidConfig, seed: int = 0) -> Vid2vid:
    torch.manual_seed(seed)
    return Vid2vid(config).eval().requires_grad_(False)


def make_frames(config: Vid2vidConfig, number: int, seed: int = 0, labels: tuple[int, ...] = (7, 11, 23, 26)) -> list:
    """Frames of coarse random regions, with instances where the label is the last one."""
    generator = torch.Generator().manual_seed(seed)
    frames = []
    for _ in range(number):
        picks = torch.randint(len(labels), (SIZE_HW[0] // 8, SIZE_HW[1] // 8), generator=generator)
        ids_HW = torch.tensor(labels)[picks].repeat_interleave(8, 0).repeat_interleave(8, 1)
        dense = torch.rand(1, config.dense_channels, *SIZE_HW, generator=generator) if config.dense_channels else None
        instances = (ids_HW == labels[-1]).int()[None, None]
        frames.append(ModelInput(ids_HW[None].to(torch.uint8), instances_B1HW=instances, dense_BCHW=dense))
    return frames


def run(network: Vid2vid, frames: list, speed: Speed = REFERENCE, state: object = None) -> list[vid2vid.Drawn]:
    drawn = []
    with torch.inference_mode():
        for frame in frames:
            picture, state = vid2vid.advance(network, frame, state, speed)  # type: ignore[arg-type]
            drawn.append(picture)
    return drawn
