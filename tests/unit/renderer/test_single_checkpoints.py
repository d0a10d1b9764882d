"""Checkpoints of SPADE and pix2pixHD: what they are is found in keys and shapes, and what does not fit is said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from bridge.protocol.errors import WeightsError
from renderer.models import pix2pixhd, spade
from renderer.models.family import check_fit, recognise, shapes_of
from renderer.models.pix2pixhd_networks import Pix2PixHD, Pix2PixHDConfig
from renderer.models.spade_networks import Spade, SpadeConfig

Shapes = dict[str, tuple[int, ...]]

CITY = SpadeConfig(num_labels=35, instance_edges=True, width=2, hidden=8, upsampling="more", native_size_hw=(256, 512))
STYLED = msgspec.structs.replace(CITY, latent_dim=6, latent_size_hw=(2, 4), encoder_width=2, native_size_hw=(128, 256))
LOCAL = Pix2PixHDConfig(
    kind="local", num_labels=35, instance_edges=True, width=2, num_down=3, num_blocks=2, native_size_hw=(1024, 2048)
)
FEATURES = msgspec.structs.replace(
    LOCAL, num_features=4, encoder_width=3, encoder_num_down=2, cluster_rows={"7": 3, "26": 10}
)
GLOBAL = msgspec.structs.replace(LOCAL, kind="global", instance_edges=False, native_size_hw=(512, 1024))


def files_of(network: torch.nn.Module) -> dict[str, Shapes]:
    """Return the shapes of each network of a model, as its own file."""
    files: dict[str, Shapes] = {}
    for key, shape in shapes_of(network).items():
        role, _, name = key.partition(".")
        files.setdefault(f"latest_net_{role}.pth", {})[name] = shape
    return files


@pytest.mark.parametrize("config", [CITY, STYLED, msgspec.structs.replace(CITY, norm="instance")])
def test_spades_configuration_is_found(config: SpadeConfig) -> None:
    with torch.device("meta"):
        found = recognise({**files_of(Spade(config)), "D.pth": {"discriminator_0.model0.0.weight": (64, 39, 4, 4)}})
    assert (found.family, found.config, found.unused) == ("spade", config, ("D.pth",))


@pytest.mark.parametrize("config", [LOCAL, FEATURES, GLOBAL, msgspec.structs.replace(GLOBAL, num_down=4)])
def test_pix2pixhds_configuration_is_found(config: Pix2PixHDConfig) -> None:
    with torch.device("meta"):
        found = recognise({**files_of(Pix2PixHD(config)), "D.pth": {"scale0_layer0.0.weight": (64, 39, 4, 4)}})
    assert (found.family, found.config, found.unused) == ("pix2pixhd", config, ("D.pth",))


def test_shares_of_pixels_beside_known_looks_are_left_out() -> None:
    with torch.device("meta"):
        files = files_of(Pix2PixHD(FEATURES))
    files["latest_net_features.pth"] = {"7": (3, 5), "26": (10, 5), "3": (0, 5)}
    found = recognise(files)
    assert found.config == FEATURES
    tables = {label: torch.arange(rows * 5.0).view(rows, 5) for label, rows in (("7", 3), ("26", 10), ("3", 0))}
    adapted = pix2pixhd.FAMILY.adapt(found.config, "features", tables)
    assert {label: tuple(table.shape) for label, table in adapted.items()} == {"7": (3, 4), "26": (10, 4)}
    assert torch.equal(adapted["7"], tables["7"][:, :4])


def normed(kind: str, seed: int = 1) -> tuple[dict[str, Tensor], Tensor]:
    """Return a spectrally normalised convolution as files of several years hold it, and the weight it stands for."""
    random = torch.Generator().manual_seed(seed)
    original = torch.randn(4, 3, 3, 3, generator=random)
    u = torch.nn.functional.normalize(torch.randn(4, generator=random), dim=0)
    matrix = original.flatten(1)
    for _ in range(20):
        v = torch.nn.functional.normalize(matrix.t() @ u, dim=0)
        u = torch.nn.functional.normalize(matrix @ v, dim=0)
    v = torch.nn.functional.normalize(matrix.t() @ u, dim=0)
    weight = original / torch.linalg.matrix_norm(matrix, 2)
    new, vectors = "up_0.conv_0.parametrizations.weight", {"up_0.conv_0.weight_u": u}
    files: dict[str, dict[str, Tensor]] = {
        "torch 1": {"up_0.conv_0.weight_orig": original, "up_0.conv_0.weight_v": v, **vectors},
        "without v": {"up_0.conv_0.weight_orig": original, **vectors},
        "in use": {"up_0.conv_0.weight": weight, **vectors},
        "parametrized": {f"{new}.original": original, f"{new}.0._u": u, f"{new}.0._v": v},
        "plain": {"up_0.conv_0.weight": weight},
    }
    return files[kind], weight


@pytest.mark.parametrize("kind", ["torch 1", "without v", "in use", "parametrized", "plain"])
def test_spectral_norms_of_all_years_are_folded(kind: str) -> None:
    tensors, weight = normed(kind)
    plain = spade.FAMILY.adapt(CITY, "G", tensors)
    assert list(plain) == ["up_0.conv_0.weight"]
    assert torch.allclose(plain["up_0.conv_0.weight"], weight, atol=1e-6)


def test_a_spectral_norm_that_is_cut_off_is_refused() -> None:
    tensors, _ = normed("torch 1")
    short = {**tensors, "up_0.conv_0.weight_u": torch.zeros(3)}
    del tensors["up_0.conv_0.weight_u"]
    with pytest.raises(WeightsError, match=r"up_0\.conv_0\.weight_u"):
        spade.FAMILY.adapt(CITY, "G", tensors)
    with pytest.raises(WeightsError, match=r"\(4, 3, 3, 3\)"):
        spade.FAMILY.adapt(CITY, "G", short)


def test_running_statistics_are_kept_where_they_are_used_and_dropped_where_not() -> None:
    norm = "head_0.norm_0.param_free_norm"
    counts = {f"{norm}.{leaf}": torch.zeros(2) for leaf in ("running_mean", "running_var", "num_batches_tracked")}
    assert set(spade.FAMILY.adapt(CITY, "G", counts)) == {f"{norm}.running_mean", f"{norm}.running_var"}
    assert not pix2pixhd.FAMILY.adapt(LOCAL, "G", {"model.2.running_mean": torch.zeros(2)})
    with torch.device("meta"):
        found = files_of(Spade(CITY))["latest_net_G.pth"]
        del found[f"{norm}.running_var"]
        with pytest.raises(WeightsError, match="running_var"):
            check_fit({key.removeprefix("G."): shape for key, shape in shapes_of(Spade(CITY)).items()}, found)


@pytest.mark.parametrize(
    ("config", "options", "changes"),
    [
        (CITY, {"label_nc": "35", "no_instance": "False", "ngf": "2"}, {}),
        (CITY, {"label_nc": "36", "no_instance": "True"}, {"num_labels": 36, "instance_edges": False}),
        (CITY, {"label_nc": "34", "contain_dontcare_label": "True"}, {}),
        (CITY, {"num_upsampling_layers": "normal"}, {"upsampling": "normal"}),
        (CITY, {"crop_size": "1024", "aspect_ratio": "2.0"}, {"native_size_hw": (512, 1024)}),
        (STYLED, {"crop_size": "256", "aspect_ratio": "2.0", "z_dim": "6"}, {}),
        (STYLED, {"crop_size": "128", "aspect_ratio": "0.5"}, {"latent_size_hw": (4, 2), "native_size_hw": (256, 128)}),
        (LOCAL, {"label_nc": "36", "no_instance": "True"}, {"num_labels": 36, "instance_edges": False}),
        (LOCAL, {"netG": "local", "n_downsample_global": "3"}, {}),
    ],
)
def test_options_say_what_keys_cannot_tell(config: Any, options: dict[str, str], changes: dict[str, Any]) -> None:
    family = spade.FAMILY if isinstance(config, SpadeConfig) else pix2pixhd.FAMILY
    assert family.apply_options is not None
    assert family.apply_options(config, options) == msgspec.structs.replace(config, **changes)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (CITY, {"ngf": "64"}),
        (CITY, {"use_vae": "True"}),
        (CITY, {"label_nc": "150"}),
        (CITY, {"num_upsampling_layers": "most"}),
        (STYLED, {"crop_size": "512", "aspect_ratio": "2.0"}),
        (STYLED, {"z_dim": "256"}),
        (LOCAL, {"netG": "global"}),
        (LOCAL, {"label_nc": "19"}),
    ],
)
def test_options_that_contradict_the_files_are_refused(config: Any, options: dict[str, str]) -> None:
    family = spade.FAMILY if isinstance(config, SpadeConfig) else pix2pixhd.FAMILY
    assert family.apply_options is not None
    with pytest.raises(WeightsError) as refused:
        family.apply_options(config, options)
    assert next(iter(options.values())) in refused.value.what
    assert refused.value.hint


def test_files_that_do_not_belong_together_are_refused() -> None:
    with torch.device("meta"):
        styled, features = files_of(Spade(STYLED)), files_of(Pix2PixHD(FEATURES))
    styled["latest_net_E.pth"]["fc_mu.weight"] = (256, 256)
    with pytest.raises(WeightsError, match=r"fc_mu\.weight.*256"):
        recognise(styled)
    features["latest_net_features.pth"] = {"7": (3, 9)}
    with pytest.raises(WeightsError, match="9 columns"):
        recognise(features)
    with pytest.raises(WeightsError, match="several generators"):
        recognise({"a.pth": styled["latest_net_G.pth"], "b.pth": styled["latest_net_G.pth"]})
