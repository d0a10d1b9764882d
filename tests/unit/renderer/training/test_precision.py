"""Half precision: what is learnt in it, what is refused, and that a checkpoint keeps its scale."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from renderer.train.checkpoint import load_checkpoint, save_checkpoint
from renderer.train.data import LabelledPhoto
from renderer.train.preset import TrainPreset

from .conftest import assert_same, changed, differs, make_trainer, weights_of


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_and_resumes_to_the_bit(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path, precision: str
) -> None:
    preset = changed(tiny, schedule=changed(tiny.schedule, num_steps=12, precision=precision))
    whole, first = make_trainer(preset, photos), make_trainer(preset, photos)
    before = weights_of(whole.generator)
    reports = [whole.step() for _ in range(10)]
    assert all(report.taken for report in reports[-4:])
    assert differs(before, weights_of(whole.generator))
    for _ in range(6):  # float16's scale has come down by then
        first.step()
    save_checkpoint(tmp_path, first)
    second = make_trainer(preset, photos, seed=123)
    load_checkpoint(tmp_path, second)
    for _ in range(4):
        second.step()
    for part in ("generator", "average", "discriminators"):
        assert_same(weights_of(getattr(whole, part)), weights_of(getattr(second, part)))


def test_gradient_too_large_for_float16_is_refused_and_its_scale_comes_down(
    tiny: TrainPreset, photos: list[LabelledPhoto]
) -> None:
    losses = changed(tiny.losses, fine=3e3)
    schedule = changed(tiny.schedule, num_steps=30, precision="float16")
    trainer = make_trainer(changed(tiny, losses=losses, schedule=schedule), photos)
    before = weights_of(trainer.generator)
    scales = [trainer.state_dict()["generator_optimizer"]["scaler"]["scale"]]
    taken = trainer.step().taken
    scales.append(trainer.state_dict()["generator_optimizer"]["scaler"]["scale"])
    assert not taken and scales[1] == scales[0] / 2
    assert_same(before, weights_of(trainer.generator))
    assert any(trainer.step().taken for _ in range(15))
    assert all(torch.isfinite(value).all() for value in weights_of(trainer.generator).values())


def test_checkpoint_of_another_precision_is_refused(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    trainer = make_trainer(tiny, photos)
    trainer.step()
    save_checkpoint(tmp_path, trainer)
    other = make_trainer(changed(tiny, schedule=changed(tiny.schedule, precision="float16")), photos)
    with pytest.raises(Exception, match="was made with other settings of schedule"):
        load_checkpoint(tmp_path, other)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, of itself
def test_compiled_networks_learn_the_same(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    compiled, plain = make_trainer(tiny, photos), make_trainer(tiny, photos)
    assert compiled.compile() == ""
    assert not any(parameter.grad is not None for parameter in compiled.generator.parameters())
    assert compiled.step().terms == pytest.approx(plain.step().terms, rel=1e-4, abs=1e-5)
    for _ in range(3):  # Adam's first steps are as long for a gradient of rounding as for any other
        assert compiled.step().terms == pytest.approx(plain.step().terms, rel=2e-2, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, of itself
def test_networks_that_cannot_be_compiled_are_trained_as_they_are(
    tiny: TrainPreset, photos: list[LabelledPhoto], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch._inductor.config as inductor

    torch.compiler.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    monkeypatch.setattr(inductor.cpp, "cxx", ("/no/compiler",))
    failing, plain = make_trainer(tiny, photos), make_trainer(tiny, photos)
    assert failing.compile()
    failing.step()
    plain.step()
    assert_same(weights_of(failing.generator), weights_of(plain.generator))
