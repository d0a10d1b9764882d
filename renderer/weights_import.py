"""Brings published checkpoints into the user's weights folder: read, recognised, checked, converted, described.

Nothing is fetched and nothing in the files is run. A model appears under its name when all of it is there and fits
together; a refusal says which key, both shapes and the likely cause, and leaves nothing behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import safetensors.torch
import torch
from torch import Tensor

from bridge.protocol.errors import OutputError, WeightsError
from configs import load_preset, preset_names
from renderer import weights_store
from renderer.models import cost
from renderer.models.family import Family, Recognition, Shapes, check_fit, find_family, recognise, shapes_of
from renderer.models.registry import shipped_names
from renderer.weights_archive import SourceFile, is_features_name, source_files
from renderer.weights_checkpoint import check_finite, read_tensors
from renderer.weights_features import read_features
from renderer.weights_groups import (
    EPOCH_OPTION,
    CheckpointGroup,
    find_groups,
    first_frame_neighbours,
    network_of,
)
from renderer.weights_licences import licence_text

Say = Callable[[str], None]
_SCALE: Final = re.compile(r"G\d")
_CAUSE: Final = "Likely another label_nc, with or without use_instance, another ngf, or files of several stages"


@dataclass(frozen=True)
class Imported:
    """What an import made: the card, and the folder where it is."""

    card: weights_store.ImportedCard
    folder: Path


def import_weights(
    paths: Sequence[Path], name: str = "", options: Mapping[str, str] | None = None, say: Say = lambda _: None
) -> list[Imported]:
    """Import the models in a folder, a zip, a tar or single checkpoint files, each into a folder of its own.

    `name` is what one model is called, "" for the name of its folder; `options` overrule those of opt.txt. Of several
    models those that cannot be imported are said and left out. Raises WeightsError if there is none that can, and
    OutputError if there is no room.
    """
    own_options = dict(options or {})
    if name:
        _check_name(name)
    with weights_store.staging_folder() as staging:
        files = source_files(paths, staging / "unpacked")
        groups = find_groups(files, first_frame_neighbours(paths), own_options.get(EPOCH_OPTION, ""))
        if name and len(groups) > 1:
            found = ", ".join(group.name for group in groups)
            raise WeightsError(f"there are several models: {found}", "Name the folder of one, or leave --name out")
        if not groups:
            raise WeightsError(f"{paths[0]} holds no checkpoints", "Name the folder or archive that does")
        imports = [_Import(group, staging / str(index), own_options, say) for index, group in enumerate(groups)]
        if len(imports) == 1:
            return [imports[0].publish(name or groups[0].name)]
        done = [one for each in imports if (one := each.publish_or_say_why()) is not None]
        if not done:
            raise WeightsError(f"none of the {len(groups)} models in {paths[0]} can be imported", "See why above")
        return done


class _Import:
    """One model on its way into the store."""

    def __init__(self, group: CheckpointGroup, staging: Path, options: Mapping[str, str], say: Say) -> None:
        self._group = group
        self._staging = staging
        self._options = {**group.options, **options}
        self._say = say
        self._files = {str(file.name): file for file in (*group.files, *group.beside)}

    def publish(self, name: str) -> Imported:
        """Do all of it; raises WeightsError or OutputError."""
        _check_name(name)
        recognition = self._recognise()
        family = find_family(recognition.family)
        config = family.apply_options(recognition.config, self._options)
        tensors = self._convert(family, recognition, config)
        self._staging.mkdir()
        path = self._staging / weights_store.TENSORS_NAME
        try:
            safetensors.torch.save_file(tensors, path)
        except (OSError, safetensors.SafetensorError) as error:
            raise OutputError(f"{path} cannot be written ({error})", "Make room") from None
        card = self._card(name, family, recognition, config, tensors, path)
        return Imported(card, weights_store.publish(self._staging, card, licence_text(family)))

    def publish_or_say_why(self) -> Imported | None:
        """Do all of it under the folder's own name; None if that cannot be, which is said."""
        try:
            return self.publish(self._group.name)
        except WeightsError as error:
            self._say(f"left out {self._group.name}: {error}")
            return None

    def _recognise(self) -> Recognition:
        """Recognise by the model's own files; with those of first-frame folders only where a network is missing."""
        own = {str(file.name): self._shapes(file) for file in self._group.files}
        recognition = recognise(own)
        if not self._group.beside or "single" in recognition.roles:
            return recognition
        beside = {str(file.name): self._shapes(file) for file in self._group.beside}
        try:
            return recognise({**own, **beside})
        except WeightsError as error:
            self._say(f"first-frame networks beside it were left out: {error.what}")
            return recognition

    def _shapes(self, file: SourceFile) -> Shapes:
        return {key: tuple(value.shape) for key, value in self._read(file).items()}

    def _read(self, file: SourceFile) -> dict[str, Tensor]:
        read = read_features if is_features_name(file.name.name) else read_tensors
        return read(file.path, str(file.name))

    def _convert(self, family: Family, recognition: Recognition, config: Any) -> dict[str, Tensor]:
        """Return all tensors by role and key, checked against the network that the configuration describes."""
        with torch.device("meta"):
            expected = shapes_of(family.build(config))
        tensors: dict[str, Tensor] = {}
        for role, source in sorted(recognition.roles.items()):
            file = self._files[source]
            said = network_of(file)
            if said != role and _SCALE.fullmatch(said) and _SCALE.fullmatch(role):
                self._say(f"{source} holds the network {role}, whatever its name says")
            self._say(f"{role}: {source}")
            try:
                adapted = family.adapt(config, role, self._read(file))
                check_fit(
                    _of_role(expected, role), {f"{role}.{key}": tuple(v.shape) for key, v in adapted.items()}, _CAUSE
                )
            except KeyError as error:
                raise WeightsError(f"{source} misses the tensor {error.args[0]}", "Get the file again") from None
            except WeightsError as error:
                raise WeightsError(f"{source}: {error.what}", error.hint) from None
            check_finite(adapted, source)
            for key, value in adapted.items():
                tensors[f"{role}.{key}"] = value.to(torch.float32).contiguous() if value.is_floating_point() else value
        check_fit(expected, {key: tuple(value.shape) for key, value in tensors.items()}, _CAUSE)
        return tensors

    def _card(
        self,
        name: str,
        family: Family,
        recognition: Recognition,
        config: Any,
        tensors: Mapping[str, Tensor],
        path: Path,
    ) -> weights_store.ImportedCard:
        traits = family.traits(config)
        self._say("counting what a frame costs")
        costs = cost.measure(family, config, traits.native_size_hw)
        parameters: dict[str, int] = {}
        for key, value in tensors.items():
            role = key.partition(".")[0]
            parameters[role] = parameters.get(role, 0) + value.numel()
        return weights_store.ImportedCard(
            name=name,
            family=family.name,
            preset=_equal_preset(family, config),
            config=msgspec.to_builtins(config),
            label_space=traits.label_space,
            planes=traits.planes,
            size_multiple_px=traits.size_multiple_px,
            native_size_hw=traits.native_size_hw,
            past_frames=traits.past_frames,
            dense_channels=traits.dense_channels,
            licence=family.licence,
            parameters=parameters,
            cost_gflop={kind: round(one.flops / 1e9, 1) for kind, one in costs.items()},
            activations_mib={kind: round(one.peak_bytes / 2**20, 1) for kind, one in costs.items()},
            weights_bytes=path.stat().st_size,
            weights_sha256=weights_store.sha256_of(path),
            sources=tuple(self._entry(role, source) for role, source in sorted(recognition.roles.items())),
            notes=(*recognition.notes, *family.notes(config, self._options)),
        )

    def _entry(self, role: str, source: str) -> weights_store.SourceEntry:
        path = self._files[source].path
        return weights_store.SourceEntry(
            name=source, role=role, bytes=path.stat().st_size, sha256=weights_store.sha256_of(path)
        )


def _check_name(name: str) -> None:
    """Raise WeightsError for a name that cannot be, or is taken."""
    if name in shipped_names():
        raise WeightsError(f"{name} is the name of a model that ships", "Give another --name")
    weights_store.check_name(name)


def _of_role(shapes: Shapes, role: str) -> Shapes:
    return {key: shape for key, shape in shapes.items() if key.startswith(f"{role}.")}


def _equal_preset(family: Family, config: Any) -> str:
    """Return the name of the published preset that describes the same generator, "" if none does."""
    for name in preset_names("models"):
        preset = load_preset("models", name, dict)
        same_family = preset["family"] == family.name and "config" in preset
        if same_family and msgspec.convert(preset["config"], family.config_type) == config:
            return name
    return ""
