"""Recognises vid2vid's configurations by the keys and shapes of a checkpoint's networks.

Which scale a network is for, how wide and deep it is and which branches it has follows from its tensors. What no tensor
shows is assumed as upstream's options have it by default: which classes are foreground, and that a model of poses
begins from black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
import torch

from bridge.protocol.errors import WeightsError
from renderer.models.face_looks import FEATURE_CHANNELS, NUM_FACE_PARTS
from renderer.models.family import Recognition, Shapes, check_fit, shapes_of
from renderer.models.upstream import is_running_statistic
from renderer.models.vid2vid_config import SingleConfig, Vid2vidConfig
from renderer.models.vid2vid_networks import Vid2vid

Role = Literal["coarsest", "finer", "single", "encoder", "features", "discriminator", ""]

STREET_LABELS: Final = 35
FACE_CHANNELS: Final = 15
POSE_CHANNELS: Final = (6, 3)  # DensePose and OpenPose, or one of the two
DEFAULT_FOREGROUND: Final = (26,)  # cars
_FIRST: Final = "model_down_seg.1.weight"
_PAST: Final = "model_down_img.1.weight"
# width of the frames that a street model was trained for, by scales and halvings
_STREET_WIDTH_PX: Final = {(3, 3): 2048, (2, 3): 1024, (1, 3): 512, (3, 2): 1024, (2, 2): 512, (1, 2): 256}
_POSE_SIZE_HW: Final = {1: (256, 256), 2: (512, 448), 3: (1024, 896)}
_FACE_SIZE_PX: Final = {(1, 128): 512, (2, 64): 512, (1, 64): 256}  # by scales and width


def role_of(shapes: Shapes) -> Role:
    """Return which part of a vid2vid a network is by its keys, "" for none."""
    if _FIRST in shapes:
        return "coarsest" if any(key.startswith("model_res_img.") for key in shapes) else "finer"
    if any(key.startswith("scale0_layer0.") for key in shapes):
        return "discriminator"
    if "model_downsample.1.weight" in shapes:
        return "single"
    if "model.1.weight" in shapes:
        return "single" if any(".conv_block." in key for key in shapes) else "encoder"
    if shapes and all(key.isdigit() for key in shapes):
        return "features"
    return ""


def recognise(networks: Mapping[str, Shapes]) -> Recognition | None:
    """Return the configuration of a checkpoint; None if it holds no vid2vid.

    Raises WeightsError for networks that do not belong together, with key and shapes where it is about one.
    """
    networks = {source: _parameters(shapes) for source, shapes in networks.items()}
    sources: dict[Role, list[str]] = {}
    for source in sorted(networks):
        sources.setdefault(role_of(networks[source]), []).append(source)
    coarsest, finer = sources.get("coarsest", []), sources.get("finer", [])
    if not coarsest:
        if finer:
            raise WeightsError(
                f"{finer[0]} draws a finer scale of a vid2vid, and the network of its coarsest scale, G0, is missing",
                "Import the folder that holds all networks of the model",
            )
        return None
    if len(coarsest) > 1:
        raise WeightsError(
            f"several networks are of a coarsest scale: {', '.join(coarsest)}",
            "Import the files of one model and one epoch",
        )
    finer = sorted(finer, key=lambda source: -networks[source][_FIRST][0])
    roles = {f"G{scale}": source for scale, source in enumerate([*coarsest, *finer])}
    shapes = networks[coarsest[0]]
    config = _of_coarsest(coarsest[0], shapes)
    config = _replace(config, num_scales=1 + len(finer))
    for scale, source in enumerate(finer, start=1):
        _check_scale(config, scale, source, shapes, networks[source])
    if finer:
        config = _replace(config, num_local_blocks=_count(networks[finer[0]], "model_up_img.", ".conv_block.1.weight"))
    config, first_roles = _with_first_pictures(config, networks, sources)
    roles |= first_roles
    config = _replace(config, native_size_hw=_native_size_hw(config))
    _check_all(config, networks, roles)
    unused = tuple(name for role, names in sources.items() if role for name in names if name not in roles.values())
    return Recognition("vid2vid", config, roles, unused)


def _parameters(shapes: Shapes) -> Shapes:
    return {key: tuple(shape) for key, shape in shapes.items() if not is_running_statistic(key)}


def _replace(config: Vid2vidConfig, **changes: object) -> Vid2vidConfig:
    return msgspec.structs.replace(config, **changes)


def _count(shapes: Shapes, prefix: str, suffix: str) -> int:
    return sum(key.startswith(prefix) and key.endswith(suffix) for key in shapes)


def _halvings(shapes: Shapes, prefix: str) -> int:
    """How many convolutions follow the first one, each three layers after the one before it."""
    number = 0
    while f"{prefix}.{4 + 3 * number}.weight" in shapes:
        number += 1
    return number


def _of_coarsest(source: str, shapes: Shapes) -> Vid2vidConfig:
    """Return what the network of the coarsest scale tells of a configuration."""
    try:
        width, columns = shapes[_FIRST][:2]
        past_columns = shapes[_PAST][1]
    except (KeyError, ValueError, IndexError):
        raise WeightsError(f"{source} lacks a whole {_PAST}", "Get the file again") from None
    num_frames = past_columns // 3 + 1
    if past_columns % 3 or num_frames < 2 or columns % num_frames:
        raise WeightsError(
            f"{source} reads {columns} label planes ({_FIRST}) and {past_columns} planes of past pictures ({_PAST}): "
            "no number of frames fits both",
            "Import files of one model",
        )
    channels = columns // num_frames
    if channels not in (STREET_LABELS, STREET_LABELS + 1, FACE_CHANNELS, *POSE_CHANNELS):
        raise WeightsError(
            f"{source} reads {channels} planes a frame ({_FIRST} has {columns} columns), which is neither a street of "
            f"{STREET_LABELS} Cityscapes labels, with instance edges or without, nor a face's edges, nor poses",
            "Only models of these inputs can be fed",
        )
    dense = channels == FACE_CHANNELS or channels in POSE_CHANNELS
    return Vid2vidConfig(
        num_labels=0 if dense else min(channels, STREET_LABELS),
        instance_edges=not dense and channels == STREET_LABELS + 1,
        dense_channels=channels if dense else 0,
        width=width,
        num_scales=1,
        num_down=_halvings(shapes, "model_down_seg"),
        num_blocks=_count(shapes, "model_down_seg.", ".conv_block.1.weight")
        + _count(shapes, "model_res_img.", ".conv_block.1.weight"),
        num_local_blocks=3,
        num_frames=num_frames,
        foreground="indv_down.1.weight" in shapes,
        foreground_labels=DEFAULT_FOREGROUND if "indv_down.1.weight" in shapes else (),
        flow="model_final_flow.1.weight" in shapes,
        affine_norms="model_down_seg.2.weight" in shapes,
        first_pictures="none" if channels in POSE_CHANNELS else "given",
        single=None,
        native_size_hw=(0, 0),
    )


def _check_scale(config: Vid2vidConfig, scale: int, source: str, coarsest: Shapes, finer: Shapes) -> None:
    """Raise WeightsError if a network cannot be that finer scale of the model whose coarsest scale is given."""
    width = finer[_FIRST][0]
    if width != config.width >> scale:
        missing = next((s for s in range(scale, 8) if config.width >> s == width), None)
        if missing is not None and missing > scale:
            raise WeightsError(
                f"{source} is the network of scale {missing} by its width, and that of scale {scale} is missing",
                f"Add the file of G{scale}",
            )
        raise WeightsError(
            f"{source} has {_FIRST} of {tuple(finer[_FIRST])}, and scale {scale} of a model whose coarsest scale has "
            f"width {config.width} has width {config.width >> scale}",
            "Import the files of one model: these are of different stages of training or of different ngf",
        )
    for key in (_FIRST, _PAST):
        if key not in finer or finer[key][1] != coarsest[key][1]:
            raise WeightsError(
                f"{source} has {key} of shape {finer.get(key)}, and the coarsest scale has {coarsest[key]}: they read "
                "different inputs",
                "Import the files of one model: these differ in label_nc, use_instance or n_frames_G",
            )
    for branch, key in (("foreground", "indv_down.1.weight"), ("flow", "model_final_flow.1.weight")):
        if (key in finer) != (key in coarsest):
            raise WeightsError(
                f"of {source} and the network of the coarsest scale one has a {branch} branch ({key}) and one has not",
                "Import the files of one model",
            )


def _with_first_pictures(
    config: Vid2vidConfig, networks: Mapping[str, Shapes], sources: Mapping[Role, Sequence[str]]
) -> tuple[Vid2vidConfig, dict[str, str]]:
    """Return the configuration with the single-frame network that suits it best, and the roles that come with it."""
    if config.first_pictures == "none":
        return config, {}
    face = bool(config.dense_channels)
    channels = config.dense_channels or config.num_labels
    singles: dict[str, SingleConfig] = {}
    foreign: list[str] = []
    for source in sources.get("single", ()):
        single = _single_config(networks[source])
        first = networks[source].get("model_downsample.1.weight" if face else "model.1.weight", ())
        fits = len(first) == 4 and first[1] == channels + (FEATURE_CHANNELS if face else 0)
        if fits and (single.kind == "features") == face:
            singles[source] = single
        else:
            foreign.append(f"{source} reads {first[1] if len(first) == 4 else 'no'} planes")
    if not singles:
        if foreign:
            raise WeightsError(
                f"no single-frame network fits: {'; '.join(foreign)}, and this model's reads {channels}",
                "Import the single-frame network of this model, or none and give first frames",
            )
        return config, {}
    wanted = _preferred_single(config)
    chosen = min(singles, key=lambda source: (_kind(singles[source]) != wanted, source))
    if len(singles) > 1 and _kind(singles[chosen]) != wanted:
        raise WeightsError(
            f"several single-frame networks could make first frames: {', '.join(sorted(singles))}",
            "Leave the one that belongs to this model",
        )
    return _with_face_looks(config, networks, sources, singles[chosen], {"single": chosen})


def _with_face_looks(
    config: Vid2vidConfig,
    networks: Mapping[str, Shapes],
    sources: Mapping[Role, Sequence[str]],
    single: SingleConfig,
    roles: dict[str, str],
) -> tuple[Vid2vidConfig, dict[str, str]]:
    """Return configuration and roles with the encoder of looks and the known looks, where the network reads them."""
    if single.kind == "features":
        encoders = sources.get("encoder", ())
        if len(encoders) != 1:
            raise WeightsError(
                f"{roles['single']} reads encoded looks, and there are {len(encoders)} encoders of them",
                "Add the one file latest_net_E.pth that belongs to it",
            )
        roles["encoder"] = encoders[0]
        encoder = networks[encoders[0]]
        single = msgspec.structs.replace(
            single,
            encoder_width=encoder["model.1.weight"][0],
            encoder_down=_halvings(encoder, "model") // 2,
        )
        looks = sources.get("features", ())
        if looks:
            roles["features"] = looks[0]
            single = msgspec.structs.replace(single, feature_rows=_look_rows(looks[0], networks[looks[0]]))
    return _replace(config, first_pictures="single", single=single), roles


def _look_rows(source: str, shapes: Shapes) -> tuple[int, ...]:
    for part in range(NUM_FACE_PARTS):
        shape = shapes.get(str(part), ())
        if len(shape) != 2 or shape[0] < 1 or shape[1] < FEATURE_CHANNELS:
            raise WeightsError(
                f"{source} has looks of shape {shape} for face part {part}, and rows of {FEATURE_CHANNELS} numbers are "
                "needed",
                "Import the features.npy that belongs to these networks",
            )
    return tuple(shapes[str(part)][0] for part in range(NUM_FACE_PARTS))


def _single_config(shapes: Shapes) -> SingleConfig:
    if "model_downsample.1.weight" in shapes:
        return SingleConfig(
            kind="features",
            width=shapes["model_downsample.1.weight"][0],
            num_down=_halvings(shapes, "model_downsample"),
            num_blocks=_count(shapes, "model_resnet.", ".conv_block.1.weight"),
        )
    num_blocks = _count(shapes, "model.", ".conv_block.1.weight")
    if "model1_1.1.weight" in shapes:
        num_local_blocks = _count(shapes, "model1_2.", ".conv_block.1.weight")
        width = shapes["model1_1.1.weight"][0]
        return SingleConfig(
            kind="local",
            width=width,
            num_down=_halvings(shapes, "model"),
            num_blocks=num_blocks,
            num_local_blocks=num_local_blocks,
        )
    return SingleConfig(
        kind="global", width=shapes["model.1.weight"][0], num_down=_halvings(shapes, "model"), num_blocks=num_blocks
    )


def _kind(single: SingleConfig) -> tuple[str, int]:
    return single.kind, single.num_down


def _preferred_single(config: Vid2vidConfig) -> tuple[str, int]:
    """Return kind and halvings of the single-frame network that upstream's scripts use with a configuration."""
    if config.dense_channels:
        return "features", 3
    width_px = _STREET_WIDTH_PX.get((config.num_scales, config.num_down), 512)
    return {2048: ("local", 4), 1024: ("global", 4)}.get(width_px, ("global", 3))


def _native_size_hw(config: Vid2vidConfig) -> tuple[int, int]:
    """Return the size that upstream's scripts train such a configuration for; 2:1 for streets."""
    if config.dense_channels in POSE_CHANNELS:
        return _POSE_SIZE_HW.get(config.num_scales, (512, 448))
    if config.dense_channels:
        side_px = _FACE_SIZE_PX.get((config.num_scales, config.width), 512)
        return side_px, side_px
    width_px = _STREET_WIDTH_PX.get((config.num_scales, config.num_down), 512)
    return width_px // 2, width_px


def _check_all(config: Vid2vidConfig, networks: Mapping[str, Shapes], roles: Mapping[str, str]) -> None:
    """Raise WeightsError, with key and both shapes, unless all networks are what the configuration builds."""
    with torch.device("meta"):
        expected = shapes_of(Vid2vid(config))
    for role, source in roles.items():
        if role == "features":
            continue
        of_role = {key.removeprefix(f"{role}."): shape for key, shape in expected.items() if key.startswith(f"{role}.")}
        check_fit(of_role, networks[source], f"{source} is damaged, or of another model than the other files")
