"""What a checkpoint of pix2pixHD is, from the keys and shapes in its files, and its tensors as ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from torch import Tensor

from bridge.protocol.errors import WeightsError
from renderer.models.family import Recognition, Shapes
from renderer.models.pix2pixhd_networks import Pix2PixHDConfig
from renderer.models.upstream import without_statistics

CITYSCAPES_CLASSES: Final = 35


def recognise(networks: Mapping[str, Shapes]) -> Recognition | None:
    """Return what a checkpoint is, from the shapes of its networks; None if no generator of this family is there."""
    generators = {source: shapes for source, shapes in networks.items() if _is_generator(shapes)}
    if not generators:
        return None
    if len(generators) > 1:
        raise WeightsError(
            f"there are several generators of pix2pixHD: {', '.join(sorted(generators))}", "Give one of these files"
        )
    ((source, shapes),) = generators.items()
    roles = {"G": source}
    encoder = next((name for name, found in networks.items() if _is_encoder(found)), None)
    looks = next((name for name, found in networks.items() if found and all(key.isdecimal() for key in found)), None)
    config = _read_generator(shapes)
    notes: list[str] = []
    if encoder is not None:
        roles["E"] = encoder
        config = msgspec.structs.replace(config, **_read_encoder(networks[encoder]))
    if looks is not None:
        roles["features"] = looks
        config = msgspec.structs.replace(config, **_read_looks(networks[looks], config.num_features))
    channels = shapes[_stem(shapes)][1]
    config = _with_planes(config, channels, notes)
    if config.num_features and not (config.encoder_width or config.cluster_rows):
        notes.append("neither encoder nor clusters came with it: a look can only be given as a vector")
    unused = tuple(name for name, found in networks.items() if _is_discriminator(found))
    return Recognition("pix2pixhd", config, roles, unused, tuple(notes))


_BLOCK: Final = re.compile(r"(model|model1_2)\.(\d+)\.conv_block\.1\.weight")


def _is_generator(shapes: Shapes) -> bool:
    return "model.1.weight" in shapes and any(_BLOCK.fullmatch(key) for key in shapes)


def _is_encoder(shapes: Shapes) -> bool:
    return shapes.get("model.1.weight", ())[1:2] == (3,) and not any(_BLOCK.fullmatch(key) for key in shapes)


def _is_discriminator(shapes: Shapes) -> bool:
    return any(key.startswith(("scale0_", "layer0.")) for key in shapes)


def _stem(shapes: Shapes) -> str:
    return "model1_1.1.weight" if "model1_1.1.weight" in shapes else "model.1.weight"


def _read_generator(shapes: Shapes) -> Pix2PixHDConfig:
    """Return the configuration of a generator, its planes not yet told apart."""
    blocks: dict[str, list[int]] = {"model": [], "model1_2": []}
    for key in shapes:
        if match := _BLOCK.fullmatch(key):
            blocks[match[1]].append(int(match[2]))
    kind = "local" if _stem(shapes) != "model.1.weight" else "global"
    if any(key.startswith("model2_") for key in shapes):
        raise WeightsError(
            "this pix2pixHD has two local enhancers one on the other", "Give a generator of one (--n_local_enhancers 1)"
        )
    return Pix2PixHDConfig(
        kind=kind,
        num_labels=0,
        instance_edges=False,
        width=shapes[_stem(shapes)][0],
        num_down=(min(blocks["model"]) - 4) // 3,
        num_blocks=len(blocks["model"]),
        num_local_blocks=len(blocks["model1_2"]) or 3,
        native_size_hw=(1024, 2048) if kind == "local" else (512, 1024),
    )


def _read_encoder(shapes: Shapes) -> dict[str, int]:
    convolutions = sorted(int(key.split(".")[1]) for key in shapes if re.fullmatch(r"model\.\d+\.weight", key))
    num_down = (len(convolutions) - 2) // 2
    return {
        "num_features": shapes[f"model.{convolutions[-1]}.weight"][0],
        "encoder_width": shapes["model.1.weight"][0],
        "encoder_num_down": num_down,
    }


def _read_looks(shapes: Shapes, num_features: int) -> dict[str, Any]:
    """Return how many looks of each class there are; a last column more than features is their share of pixels."""
    filled = {label: shape for label, shape in shapes.items() if len(shape) == 2 and shape[0]}
    columns = {shape[1] for shape in filled.values()}
    if not filled or len(columns) > 1:
        raise WeightsError("the clusters of features are not tables of equal width", "Give pix2pixHD's own file")
    (found,) = columns
    if num_features and found not in (num_features, num_features + 1):
        raise WeightsError(
            f"the clusters have {found} columns, and the encoder {num_features} features",
            "Give files that were trained together",
        )
    return {
        "num_features": num_features or found,
        "cluster_rows": {label: filled[label][0] for label in sorted(filled, key=int)},
    }


def _with_planes(config: Pix2PixHDConfig, channels: int, notes: list[str]) -> Pix2PixHDConfig:
    """Tell apart what the planes of the first convolution are: labels, edges, features."""
    num_features = config.num_features
    if not num_features and channels == CITYSCAPES_CLASSES + 1 + 3:
        num_features = 3
    planes = channels - num_features
    if planes < 1:
        raise WeightsError(
            f"the generator reads {channels} planes, and {num_features} features do not fit in them",
            "Give files that were trained together",
        )
    replaced = {"num_features": num_features}
    if planes == 3:
        notes.append("it reads pictures of three channels, not labels")
        return msgspec.structs.replace(config, dense_channels=3, **replaced)
    edges = planes != CITYSCAPES_CLASSES
    if planes not in (CITYSCAPES_CLASSES, CITYSCAPES_CLASSES + 1):
        notes.append(f"its {planes} planes are taken for {planes - 1} classes and instance edges")
    return msgspec.structs.replace(config, num_labels=planes - edges, instance_edges=edges, **replaced)


def apply_options(config: Pix2PixHDConfig, options: Mapping[str, str]) -> Pix2PixHDConfig:
    """Return the configuration with what upstream's options say beyond the keys; raises WeightsError if they differ."""
    said = {
        "netG": config.kind,
        "ngf": str(config.width),
        "n_downsample_global": str(config.num_down),
        "n_blocks_global": str(config.num_blocks),
    }
    for name, found in said.items():
        if name in options and options[name] != found:
            raise WeightsError(
                f"the options say {name} {options[name]}, and the generator was trained with {found}",
                "Give the options that belong to these files",
            )
    if "label_nc" not in options and "no_instance" not in options:
        return config
    edges = options.get("no_instance", str(not config.instance_edges)) != "True"
    planes = config.label_channels
    num_labels = int(options.get("label_nc", str(planes - edges)))
    dense = 0 if num_labels else planes - edges
    if (num_labels or dense) + edges != planes:
        raise WeightsError(
            f"the options say label_nc {num_labels} {'with' if edges else 'without'} instance edges, and the generator "
            f"reads {planes} planes",
            "Give the options that belong to these files",
        )
    return msgspec.structs.replace(config, num_labels=num_labels, dense_channels=dense, instance_edges=edges)


def adapt(config: Pix2PixHDConfig, role: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a file's tensors as ours: without running statistics, which nobody reads, looks without their shares."""
    if role == "features":
        return {label: tensors[label][:, : config.num_features] for label in config.cluster_rows}
    return without_statistics(tensors)
