"""Frames of several clients through a network at once, where their shapes agree.

On a GPU that one small frame does not fill, several take little longer than one. It is asked for (`serve --batch`) and
not the rule: a network may round differently in company, so that pictures would depend on who else is drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bridge.protocol.messages import Render
from renderer.inputs import ModelInput
from renderer.models.base import Model, ModelOutput
from renderer.sessions import Session


@dataclass(frozen=True)
class Job:
    """A client's frame that is ready for its model; `decoded_ms` is what that took."""

    routing_id: bytes
    session: Session
    model: Model
    request: Render
    frame: ModelInput
    decoded_ms: float


@runtime_checkable
class Together(Protocol):
    """A model that draws several frames of one size at once."""

    def step_together(self, frames: Sequence[ModelInput], states: Sequence[Any]) -> Sequence[tuple[ModelOutput, Any]]:
        """Synthesize frames of different sequences; see `Model.step` for each."""
        ...


def groups(jobs: Iterable[Job], max_batch: int) -> list[list[Job]]:
    """Return jobs in the order in which the oldest of each group came; a group has one model and one size.

    A session's frames stay in their order, because each is in a group of its own session's once only.
    """
    found: list[list[Job]] = []
    for job in jobs:
        kind = (id(job.model), job.request.width_px, job.request.height_px)
        for group in found:
            first = group[0]
            if (
                kind == (id(first.model), first.request.width_px, first.request.height_px)
                and len(group) < max_batch
                and isinstance(job.model, Together)
            ):
                group.append(job)
                break
        else:
            found.append([job])
    return found


def step_group(group: Sequence[Job]) -> list[tuple[ModelOutput, str]]:
    """Synthesize a group's frames; returns each one's output and why its temporal state began anew, "" if not.

    If the model fails, the states of all of them are dropped, and each begins anew with its next frame.
    """
    first = group[0]
    if len(group) == 1 or not isinstance(first.model, Together):
        return [job.session.render(job.model, job.frame, job.request) for job in group]
    begun = [job.session.begin(job.request) for job in group]
    stepped = first.model.step_together([job.frame for job in group], [state for state, _ in begun])
    found = []
    for job, (_, reset), (output, state) in zip(group, begun, stepped, strict=True):
        job.session.finish(job.request, state)
        found.append((output, reset))
    return found
