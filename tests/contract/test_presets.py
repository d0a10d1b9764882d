"""Every preset that ships loads, is complete, fits the others, and says where it comes from."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import msgspec
import pytest
import torch

from bridge.capture.presets import RigPreset, SessionPreset, load_rig, load_session
from bridge.edits.rules import load_edits
from bridge.protocol.labels import LABEL_SPACES
from clients.viewer.keys import NUM_RULE_KEYS
from configs import load_preset, preset_names
from renderer import weights_catalogue
from renderer.models.family import find_family, shapes_of
from renderer.models.registry import DEFAULT_MODEL, find_preset, load_model, model_names, shipped_names
from renderer.models.vid2vid_networks import Vid2vid
from renderer.train.preset import find_train_preset
from renderer.train.video.networks import StageNetworks
from renderer.train.video.preset import check_preset, find_video_preset

KINDS = ("edits", "models", "mounts", "pads", "rigs", "sessions", "train", "train_segmentation", "train_video")
MAX_WEIGHTS_BYTES = 16_000_000


def preset_files(root: Path) -> list[Path]:
    """Return every YAML file of configs."""
    return sorted((root / "configs").rglob("*.yaml"))


def test_every_preset_has_a_known_kind_and_a_header(root: Path) -> None:
    files = preset_files(root)
    assert {path.parent.name for path in files} == set(KINDS)
    assert not [str(path) for path in files if not path.read_text().startswith("# ")]
    assert {(path.parent.name, path.stem) for path in files} == {(k, n) for k in KINDS for n in preset_names(k)}


@pytest.mark.parametrize("name", preset_names("rigs"))
def test_rig_loads(name: str) -> None:
    assert "labels" in load_rig(name).planes


@pytest.mark.parametrize("name", preset_names("sessions"))
def test_session_loads_and_its_rig_feeds_the_default_model(name: str) -> None:
    rig = load_rig(load_session(name).rig)
    model = find_preset(DEFAULT_MODEL)
    assert set(model.planes) <= set(rig.planes)
    assert rig.width_px % model.size_multiple_px == rig.height_px % model.size_multiple_px == 0


@pytest.mark.parametrize("name", preset_names("edits"))
def test_edits_load_and_every_rule_has_a_key_and_a_name(name: str) -> None:
    edits = load_edits(name)
    assert 0 < len(edits.rules) <= NUM_RULE_KEYS
    assert all(rule.name for rule in edits.rules)


@pytest.mark.parametrize("name", preset_names("train"))
def test_training_preset_makes_a_model_that_is_served(name: str) -> None:
    training = find_train_preset(name)
    if name in ("street-photo-large", "street-photo-gpu"):  # no weights ship: served as the file that training writes
        assert find_preset(f"{name}.safetensors").label_space == training.label_space
        return
    model = find_preset(name)
    assert training.label_space == model.label_space
    assert model.licence.startswith(training.provenance.licence)


@pytest.mark.parametrize("name", preset_names("train_video"))
def test_video_training_preset_loads_and_its_networks_build(name: str) -> None:
    preset = check_preset(find_video_preset(name))
    assert preset.name == name
    with torch.device("meta"):
        generator = Vid2vid(preset.generator)
        for stage in range(len(preset.schedule.stages)):
            StageNetworks(preset, stage, generator, None)


@pytest.mark.parametrize("kind", ["rigs", "sessions"])
def test_presets_are_literal(kind: str, root: Path) -> None:
    """A reader sees every value: nothing is left to a default but what may be absent."""
    schema = {"rigs": RigPreset, "sessions": SessionPreset}[kind]
    for name in preset_names(kind):
        text = (root / "configs" / kind / f"{name}.yaml").read_text()
        written = set(re.findall(r"^(\w+):", text, re.MULTILINE))
        assert written == set(schema.__struct_fields__), name


def test_a_mistyped_field_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rigs").mkdir()
    (tmp_path / "rigs" / "odd.yaml").write_text("mount: {x_m: 1.0}\nwidth_pixels: 512\n")
    monkeypatch.setattr("configs.resources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match=r"preset rigs/odd: .*width_pixels"):
        load_preset("rigs", "odd", RigPreset)


@pytest.mark.parametrize("name", shipped_names())
def test_model_loads_and_its_weights_are_those_of_its_card(name: str) -> None:
    preset = find_preset(name)
    assert preset.name == name
    assert preset.label_space in LABEL_SPACES
    weights = weights_catalogue.find_weights(preset.weights)
    assert weights.stat().st_size <= MAX_WEIGHTS_BYTES
    card = weights_catalogue.read_card(weights)
    assert card.weights_sha256, "a card beside the weights names their sha256"
    assert load_model(name).card.weights_sha256 == card.weights_sha256


@pytest.mark.parametrize("name", shipped_names())
def test_model_states_the_licence_that_licenses_md_states(name: str, root: Path) -> None:
    row = re.search(rf"^\| `{re.escape(name)}` \|.*$", (root / "LICENSES.md").read_text(), re.MULTILINE)
    assert row is not None, f"LICENSES.md has no row for {name}"
    preset = find_preset(name)
    card = weights_catalogue.read_card(weights_catalogue.find_weights(preset.weights))
    stated = row.group().split("|")[3].partition(":")[0].strip()
    assert stated in preset.licence
    assert stated in card.licence
    assert preset.restricted == ("NC" in stated)


PUBLISHED = sorted(set(model_names()) - set(shipped_names()))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_generator_has_the_tensors_of_its_checkpoints(name: str, root: Path) -> None:
    """Keys and shapes of every network, against digests of those in the published code's own checkpoints."""
    preset = find_preset(name)
    family = find_family(preset.family)
    with torch.device("meta"):
        shapes = shapes_of(family.build(msgspec.convert(preset.config, family.config_type)))
    lines: dict[str, list[str]] = {}
    for key, shape in shapes.items():
        role, _, rest = key.partition(".")
        lines.setdefault(role, []).append(f"{rest} {'x'.join(map(str, shape))}")
    found = {
        role: {"tensors": len(keys), "sha256": hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()}
        for role, keys in lines.items()
    }
    assert found == json.loads((root / "tests" / "fixtures" / "published_networks.json").read_text())[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_preset_is_literal_and_says_what_follows_from_it(name: str, root: Path) -> None:
    preset = find_preset(name)
    family = find_family(preset.family)
    config = msgspec.convert(preset.config, family.config_type)
    assert msgspec.json.decode(msgspec.json.encode(config)) == preset.config, "no field is left to a default"
    traits = family.traits(config)
    stated = (preset.label_space, preset.planes, preset.size_multiple_px, preset.past_frames)
    assert stated == (traits.label_space, traits.planes, traits.size_multiple_px, traits.past_frames)
    assert preset.name == name and preset.restricted and not preset.weights
    header = (root / "configs" / "models" / f"{name}.yaml").read_text()
    assert f"{traits.native_size_hw[1]}x{traits.native_size_hw[0]}" in header.partition("name:")[0]
