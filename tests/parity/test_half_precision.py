"""What half precision costs vid2vid's pictures: `pytest tests/parity/test_half_precision.py -s` prints the table."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from golden import load_case
from test_vid2vid import CASES, network_of, one_thread, scenes

from renderer.models import imaginaire
from renderer.models.imaginaire_networks import Imaginaire, ImaginaireConfig
from renderer.speed_trial import half_precision_psnr_db, psnr_db, rounded_to, street_frames

__all__ = ["one_thread"]  # a fixture: two threads take ten times as long for networks this narrow


@pytest.mark.parametrize("name", ["v2v_label2city_512", "v2v_label2city_1024_g1"])
def test_float16_keeps_more_of_the_picture_than_bfloat16(name: str) -> None:
    network = network_of(name, CASES[name])
    _, frames = next(scenes(load_case(name), CASES[name]))
    float16, bfloat16 = (half_precision_psnr_db(network, frames, dtype) for dtype in (torch.float16, torch.bfloat16))
    for dtype, ratios_db in (("float16", float16), ("bfloat16", bfloat16)):
        print(f"\n{name} {dtype}: " + ", ".join(f"{ratio:.1f}" for ratio in ratios_db), "dB", end="")
    assert len(float16) == len(frames) - 2
    assert float16[0] > 40  # dB; random weights are pessimistic
    assert min(one - other for one, other in zip(float16, bfloat16, strict=True)) > 5


@torch.inference_mode()
def test_float16_keeps_more_of_imaginaires_pictures(one_thread: None) -> None:
    """A narrow network with random weights, five frames: from labels, from the last picture, then with flow."""
    torch.manual_seed(0)
    network = Imaginaire(ImaginaireConfig(width=4, max_width=64, embedding_width=4, embedding_max_width=64)).eval()
    frames = [replace(frame, first_B3HW=None) for frame in street_frames(5, (128, 256))]
    found: dict[torch.dtype, list[float]] = {}
    for dtype in (torch.float16, torch.bfloat16):
        rounded = rounded_to(network, dtype, imaginaire.EXACT)
        assert isinstance(rounded, Imaginaire)
        state, other_state, found[dtype] = None, None, []
        for frame in frames:
            drawing, state = imaginaire.advance(network.G, frame, state)
            other, other_state = imaginaire.advance(rounded.G, frame, other_state)
            found[dtype].append(psnr_db(drawing.picture_B3HW, other.picture_B3HW))
        print(f"\nimaginaire {dtype}: " + ", ".join(f"{ratio:.1f}" for ratio in found[dtype]), "dB", end="")
    assert found[torch.float16][0] > 40
    assert min(one - other for one, other in zip(found[torch.float16], found[torch.bfloat16], strict=True)) > 5
