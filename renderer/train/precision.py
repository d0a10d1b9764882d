"""In which numbers a trainer computes, and steps of an optimizer that are refused where a gradient is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

PrecisionName = Literal["float32", "bfloat16", "float16"]
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SCALER: Final = "scaler"


def autocast(device: torch.device, precision: PrecisionName) -> torch.autocast:
    """Return the context in which networks compute in a precision; their weights stay float32 (AMP)."""
    return torch.autocast(device.type, dtype=_DTYPES[precision], enabled=precision != "float32")


def make_scaler(device: torch.device, precision: PrecisionName) -> torch.amp.GradScaler:
    """Return what scales losses, whose gradients would else vanish in float16; in other precisions it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")


class Descent:
    """An optimizer of some weights whose gradient is bounded in its norm, scaled in float16, and must be finite."""

    def __init__(self, optimizer: torch.optim.Optimizer, max_norm: float, scaler: torch.amp.GradScaler) -> None:
        self.optimizer = optimizer
        self._max_norm = max_norm
        self._scaler = scaler

    def take(self, loss: Tensor) -> bool:
        """Take a step down a loss; refuse it, and return False, where the loss or its gradient is not finite."""
        if not torch.isfinite(loss):
            return False
        self.optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        if self._scaler.is_enabled():
            self._scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self._weights(), self._max_norm)
        finite = bool(torch.isfinite(norm))
        if finite:
            self.optimizer.step()
        if self._scaler.is_enabled():
            self._scaler.update()
        return finite

    def set_rate(self, rate: float) -> None:
        """Set the learning rate, times its share for groups that have one."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state, and in float16 the scaler's."""
        return self.optimizer.state_dict() | ({_SCALER: self._scaler.state_dict()} if self._scaler.is_enabled() else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state; raises KeyError or ValueError for another's."""
        self.optimizer.load_state_dict({name: part for name, part in state.items() if name != _SCALER})
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state[_SCALER])

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]
