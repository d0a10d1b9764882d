"""What a checkpoint of imaginaire's vid2vid is, from the keys and shapes in its files, and its tensors as ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from torch import Tensor

from bridge.protocol.errors import WeightsError
from renderer.models.family import Recognition, Shapes
from renderer.models.imaginaire_networks import ImaginaireConfig
from renderer.models.upstream import fold_spectral_norm

_CONVOLUTION: Final = re.compile(r"(.+)\.layers\.conv\.(?:weight|weight_orig|parametrizations\.weight\.original)")
_MARK: Final = "flow_network_temp.conv_flow.0"


def recognise(networks: Mapping[str, Shapes]) -> Recognition | None:
    """Return what a checkpoint is, from the shapes of its networks; None if no generator of this family is there."""
    generators = [source for source, shapes in networks.items() if f"{_MARK}.layers.conv.weight" in shapes]
    if not generators:
        return None
    if len(generators) > 1:
        raise WeightsError(
            f"there are several generators of imaginaire: {', '.join(sorted(generators))}", "Give one of them"
        )
    config = _read(networks[generators[0]])
    unused = [source for source, shapes in networks.items() if any(key.startswith("net_D") for key in shapes)]
    notes: list[str] = []
    if config.guidance_hidden:
        notes.append(
            "world-consistent: known colours come from the simulator's depth and poses; the separate network that "
            "upstream draws the first two frames with is not read, this one draws them from its labels unless they "
            "are given"
        )
    return Recognition("imaginaire", config, {"G": generators[0]}, tuple(unused), tuple(notes))


def _read(shapes: Shapes) -> ImaginaireConfig:
    convolutions = {match[1]: shape for key, shape in shapes.items() if (match := _CONVOLUTION.fullmatch(key))}
    try:
        return _configuration(convolutions)
    except KeyError as error:
        raise WeightsError(
            f"the checkpoint misses the tensor {error.args[0]}.layers.conv.weight of imaginaire's vid2vid",
            "Get the file again, or give one of the street models (label maps, SPADE blocks)",
        ) from None


def _configuration(convolutions: Mapping[str, tuple[int, ...]]) -> ImaginaireConfig:
    num_labels = convolutions["fc"][1]
    embedding, warped = (
        [convolutions[f"{name}.down_{level}"][0] for level in range(_count(convolutions, rf"{name}\.down_(\d+)"))]
        for name in ("label_embedding", "img_prev_embedding")
    )
    flow = [convolutions[f"flow_network_temp.down_lbl.{level}"] for level in range(_count(convolutions, _FLOW_DOWN))]
    guidance = convolutions.get("up_0.conv_block_0.layers.norm.mlps.2.0")
    modulated = "up_{}.conv_block_0.layers.norm.mlps.{}.0"
    num_layers = _count(convolutions, r"up_(\d+)\.conv_block_0") - 1
    return ImaginaireConfig(
        num_labels=num_labels,
        num_frames=flow[0][1] // num_labels,
        width=convolutions["conv_img"][1],
        max_width=convolutions["fc"][0],
        num_layers=num_layers,
        num_down=_count(convolutions, r"down_(\d+)\.conv_block_0") - 1,
        num_blocks=_count(convolutions, r"res_(\d+)\.conv_block_0"),
        num_fine_layers=sum(modulated.format(layer, 1) in convolutions for layer in range(num_layers + 1)),
        modulation_kernel_px=convolutions[modulated.format(num_layers, 0)][-1],
        guidance_hidden=guidance[0] if guidance else 0,
        embedding_width=convolutions["label_embedding.conv_first"][0],
        embedding_max_width=max(embedding),
        embedding_num_down=len(embedding),
        warped_width=convolutions["img_prev_embedding.conv_first"][0],
        warped_max_width=max(warped),
        flow_width=flow[0][0],
        flow_max_width=max(shape[0] for shape in flow),
        flow_num_down=len(flow) - 1,
        flow_num_blocks=_count(convolutions, r"flow_network_temp\.res_flow\.(\d+)\.conv_block_0"),
    )


_FLOW_DOWN: Final = r"flow_network_temp\.down_lbl\.(\d+)"


def _count(names: Iterable[str], pattern: str) -> int:
    """Return how many modules are numbered like that, from 0 on."""
    numbers = {int(match[1]) for name in names if (match := re.fullmatch(pattern, name))}
    if not numbers:
        raise KeyError(pattern.replace("\\", ""))
    return max(numbers) + 1


def apply_options(config: ImaginaireConfig, options: Mapping[str, str]) -> ImaginaireConfig:
    """Return the configuration as it is: imaginaire has no options file, and its keys tell all."""
    del options
    return config


def adapt(config: ImaginaireConfig, role: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a file's tensors as ours: spectral norms folded, without the moving average's count."""
    del config, role
    plain = fold_spectral_norm(tensors)
    return {key: value for key, value in plain.items() if not key.endswith("num_updates_tracked")}
