"""vid2vid against stored numbers of the published networks: every named output of several scenes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import lru_cache

import msgspec
import numpy as np
import pytest
import torch
from golden import GoldenCase, frozen_weights, load_case

from renderer.inputs import ModelInput
from renderer.models import fast_layers, vid2vid
from renderer.models.family import shapes_of
from renderer.models.speed import REFERENCE, Speed
from renderer.models.vid2vid_config import SingleConfig, Vid2vidConfig
from renderer.models.vid2vid_networks import Drawing, Vid2vid
from tests.unit.renderer.vid2vid_cases import TWO_SCALES

STREET_512 = msgspec.structs.replace(
    TWO_SCALES,
    num_scales=1,
    num_down=3,
    num_blocks=9,
    num_local_blocks=3,
    single=SingleConfig(kind="global", width=4, num_down=3),
)
STREET_1024_G1 = msgspec.structs.replace(
    STREET_512, num_scales=3, num_down=2, single=SingleConfig(kind="global", width=4, num_down=4)
)
FACE_512 = msgspec.structs.replace(
    STREET_512,
    num_labels=0,
    instance_edges=False,
    dense_channels=15,
    foreground=False,
    foreground_labels=(),
    first_pictures="given",
    single=None,
)
CASES = {
    "v2v_label2city_512": STREET_512,
    "v2v_label2city_1024_g1": STREET_1024_G1,
    "v2v_edge2face_512": FACE_512,
}
UPSTREAM_NAMES = {"single": "single_G"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this narrow only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def network_of(case: str, config: Vid2vidConfig) -> Vid2vid:
    """Return the networks of a case with its frozen weights."""
    network = Vid2vid(config).eval()
    shapes = shapes_of(network)
    tensors = {}
    for role in {key.split(".")[0] for key in shapes}:
        own = {key.removeprefix(f"{role}."): shape for key, shape in shapes.items() if key.startswith(f"{role}.")}
        frozen = frozen_weights(case, UPSTREAM_NAMES.get(role, role), own)
        tensors |= {f"{role}.{key}": value for key, value in frozen.items()}
    network.load_state_dict(tensors)
    return network


def scenes(case: GoldenCase, config: Vid2vidConfig) -> Iterator[tuple[int, list[ModelInput]]]:
    """Yield number and frames of each scene; a face's first pictures are given, those of streets are not."""
    for scene in range(sum(key.startswith("A") for key in case.arrays)):
        inputs, ids = torch.from_numpy(case.arrays[f"A{scene}"]), case.arrays[f"I{scene}"].astype(np.int32)
        if config.dense_channels:
            first = torch.from_numpy(case.arrays[f"{scene}/2/first"])
            yield (
                scene,
                [
                    ModelInput(
                        torch.from_numpy(ids[i].astype(np.uint8))[None],
                        dense_BCHW=planes[None],
                        first_B3HW=first[i][None] if i < len(first) else None,
                    )
                    for i, planes in enumerate(inputs)
                ],
            )
        else:
            instances = torch.from_numpy(ids)[:, None, None]
            yield scene, [ModelInput(labels[None], instances_B1HW=instances[i]) for i, labels in enumerate(inputs)]


def outputs_of(drawings: tuple[Drawing, ...]) -> dict[str, torch.Tensor | None]:
    """Return a frame's outputs by their stored names."""
    finest = drawings[-1]
    return {
        "image": finest.picture_B3HW,
        "raw": finest.raw_B3HW,
        "flow": finest.flow_B2HW,
        "weight": finest.occlusion_mask_B1HW,
        "fg": finest.foreground_B3HW,
        **{f"image_s{scale}": drawing.picture_B3HW for scale, drawing in enumerate(drawings[:-1])},
    }


@torch.inference_mode()
def errors_of(case: GoldenCase, network: Vid2vid, speed: Speed) -> dict[str, list[float]]:
    """Return the largest errors of each named output, one a stored frame."""
    errors: dict[str, list[float]] = {}
    for scene, frames in scenes(case, network.config):
        state, first = None, []
        for index, frame in enumerate(frames):
            drawn, state = vid2vid.advance(network, frame, state, speed)
            if index < 2:
                first.append(drawn.picture_B3HW[0])
                continue
            outputs = outputs_of(drawn.scales)
            if index == 2 and not network.config.dense_channels:
                outputs["first"] = torch.stack(first)[None]
            for what, value in outputs.items():
                stored = case.arrays.get(f"{scene}/{index}/{what}")
                if stored is not None:
                    assert value is not None, what
                    error = (case.sampled(value[0]) - torch.from_numpy(stored)).abs().max()
                    errors.setdefault(what, []).append(float(error))
    return errors


@pytest.mark.parametrize("speed", [REFERENCE, Speed()], ids=["reference", "fast"])
@pytest.mark.parametrize("name", list(CASES))
def test_outputs_are_those_of_the_published_networks(name: str, speed: Speed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_layers, "WINOGRAD_CHANNELS", 16)  # the widths of the stored cases are narrow
    case = load_case(name)
    network = copy.deepcopy(network_of(name, CASES[name]))
    fast_layers.prepare(network, torch.device("cpu"), speed)
    errors = errors_of(case, network, speed)
    expected = {"image", "raw", "flow", "weight"} | ({"fg", "first"} if CASES[name].foreground else set())
    assert expected <= errors.keys()
    assert sum(len(found) for found in errors.values()) >= 12
    too_far = {what: found for what, found in errors.items() if max(found) > case.limit(what)}
    assert not too_far, too_far
