"""What half precision costs vid2vid's pictures: `pytest tests/parity/test_half_precision.py -s` prints the table."""

from __future__ import annotations

import pytest
import torch
from golden import load_case
from test_vid2vid import CASES, network_of, one_thread, scenes

from renderer.speed_trial import half_precision_psnr_db

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
