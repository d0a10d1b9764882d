"""What a checkpoint of SPADE is, from the keys and shapes in its files, and its tensors as ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from torch import Tensor

from bridge.protocol.errors import WeightsError
from renderer.models.family import Recognition, Shapes
from renderer.models.spade_networks import SpadeConfig
from renderer.models.upstream import fold_spectral_norm, without_statistics

CITYSCAPES_CLASSES: Final = 35
_TOGETHER: Final = "Give files that were trained together"
_BELONGING: Final = "Give the options that belong to these files"


def recognise(networks: Mapping[str, Shapes]) -> Recognition | None:
    """Return what a checkpoint is, from the shapes of its networks; None if no generator of this family is there."""
    generators = [source for source, shapes in networks.items() if _is_generator(shapes)]
    if not generators:
        return None
    if len(generators) > 1:
        raise WeightsError(
            f"there are several generators of SPADE: {', '.join(sorted(generators))}", "Give one of them"
        )
    config, notes = _read_generator(networks[generators[0]])
    roles = {"G": generators[0]}
    encoder = next((source for source, shapes in networks.items() if "fc_mu.weight" in shapes), None)
    unused = [source for source, shapes in networks.items() if _is_discriminator(shapes)]
    if encoder is not None and config.latent_dim:
        roles["E"] = encoder
        config = msgspec.structs.replace(config, encoder_width=_encoder_width(networks[encoder], config))
    elif encoder is not None:
        unused.append(encoder)
    elif config.latent_dim:
        notes.append("no style encoder came with it: its style can be a seed or a vector, not a picture")
    return Recognition("spade", config, roles, tuple(unused), tuple(notes))


def _is_generator(shapes: Shapes) -> bool:
    return "head_0.conv_0.bias" in shapes and "head_0.norm_0.mlp_shared.0.weight" in shapes and "fc.weight" in shapes


def _is_discriminator(shapes: Shapes) -> bool:
    return any(key.startswith("discriminator_") for key in shapes)


def _read_generator(shapes: Shapes) -> tuple[SpadeConfig, list[str]]:
    notes: list[str] = []
    width = shapes["head_0.conv_0.bias"][0] // 16
    hidden, planes, kernel_px, _ = shapes["head_0.norm_0.mlp_shared.0.weight"]
    edges = planes != CITYSCAPES_CLASSES
    on_cityscapes = planes in (CITYSCAPES_CLASSES, CITYSCAPES_CLASSES + 1)
    if not on_cityscapes:
        notes.append(f"its {planes} planes are taken for {planes - 1} classes and instance edges")
    upsampling: Literal["normal", "more", "most"] = "more" if on_cityscapes else "normal"
    if "up_4.conv_0.bias" in shapes:
        upsampling = "most"
    has_statistics = "head_0.norm_0.param_free_norm.running_mean" in shapes
    config = SpadeConfig(
        num_labels=planes - edges,
        instance_edges=edges,
        width=width,
        hidden=hidden,
        kernel_px=kernel_px,
        norm="batch" if has_statistics else "instance",
        upsampling=upsampling,
        native_size_hw=(256, 512) if on_cityscapes else (256, 256),
    )
    if len(shapes["fc.weight"]) == 4:
        return config, notes
    rows, latent_dim = shapes["fc.weight"]
    config = msgspec.structs.replace(config, latent_dim=latent_dim)
    return _with_latent_size(config, _latent_size(rows, width)), notes


def _latent_size(rows: int, width: int) -> tuple[int, int]:
    """Return the latent picture's height and width: as wide as high, or twice as wide."""
    area, rest = divmod(rows, 16 * width)
    for aspect in (2, 1):
        height = math.isqrt(area // aspect)
        if not rest and height and aspect * height * height == area:
            return height, aspect * height
    raise WeightsError(
        f"the style vector's layer has {rows} rows, which make no latent picture of {16 * width} channels as wide as "
        "high, or twice as wide",
        "Say crop_size and aspect_ratio, as in its opt.txt" if not rest else _TOGETHER,
    )


def _with_latent_size(config: SpadeConfig, size_hw: tuple[int, int]) -> SpadeConfig:
    multiple = config.size_multiple_px
    native_hw = (size_hw[0] * multiple, size_hw[1] * multiple)
    return msgspec.structs.replace(config, latent_size_hw=size_hw, native_size_hw=native_hw)


def _encoder_width(shapes: Shapes, config: SpadeConfig) -> int:
    latent_dim = shapes["fc_mu.weight"][0]
    if latent_dim != config.latent_dim:
        raise WeightsError(
            f"the style encoder's fc_mu.weight has shape {shapes['fc_mu.weight']}, and the generator's fc.weight reads "
            f"vectors of {config.latent_dim}",
            _TOGETHER,
        )
    first = [shape for key, shape in shapes.items() if key.startswith("layer1.0.") and len(shape) == 4]
    if not first:
        raise WeightsError(
            "the checkpoint misses the tensor layer1.0.weight of the style encoder", "Get the file again"
        )
    return first[0][0]


def apply_options(config: SpadeConfig, options: Mapping[str, str]) -> SpadeConfig:
    """Return the configuration with what upstream's options say beyond the keys; raises WeightsError if they differ."""
    said = {"ngf": str(config.width), "use_vae": str(bool(config.latent_dim))}
    if config.latent_dim:
        said["z_dim"] = str(config.latent_dim)
    for name, found in said.items():
        if name in options and options[name] != found:
            raise WeightsError(f"the options say {name} {options[name]}, and the files {found}", _BELONGING)
    config = _apply_planes(config, options)
    upsampling = options.get("num_upsampling_layers", config.upsampling)
    if upsampling not in ("normal", "more", "most") or ("most" in (upsampling, config.upsampling)) != (
        upsampling == config.upsampling == "most"
    ):
        raise WeightsError(f"the options say num_upsampling_layers {upsampling}, which the files are not", _BELONGING)
    config = msgspec.structs.replace(config, upsampling=upsampling)
    if "crop_size" in options:
        width = int(options["crop_size"]) // config.size_multiple_px
        height = round(width / float(options.get("aspect_ratio", "1.0")))
        area = config.latent_size_hw and config.latent_size_hw[0] * config.latent_size_hw[1]
        if area and width * height != area:
            raise WeightsError(
                f"the options say crop_size {options['crop_size']}, a latent picture of {width}x{height}, and the "
                f"files hold one of {area} pixels",
                _BELONGING,
            )
        if config.latent_size_hw:
            return _with_latent_size(config, (height, width))
        multiple = config.size_multiple_px
        return msgspec.structs.replace(config, native_size_hw=(height * multiple, width * multiple))
    return _with_latent_size(config, config.latent_size_hw) if config.latent_size_hw else config


def _apply_planes(config: SpadeConfig, options: Mapping[str, str]) -> SpadeConfig:
    if "label_nc" not in options and "no_instance" not in options:
        return config
    edges = options.get("no_instance", str(not config.instance_edges)) != "True"
    more = options.get("contain_dontcare_label", "False") == "True"
    num_labels = int(options.get("label_nc", str(config.semantic_channels - edges - more))) + more
    if num_labels + edges != config.semantic_channels:
        raise WeightsError(
            f"the options say {num_labels} classes {'with' if edges else 'without'} instance edges, and the generator "
            f"reads {config.semantic_channels} planes",
            _BELONGING,
        )
    return msgspec.structs.replace(config, num_labels=num_labels, instance_edges=edges)


def adapt(config: SpadeConfig, role: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a file's tensors as ours: spectral norms folded, and of running statistics those that are used."""
    plain = fold_spectral_norm(tensors)
    if role == "G" and config.norm == "batch":
        return {key: value for key, value in plain.items() if not key.endswith(".num_batches_tracked")}
    return without_statistics(plain)
