"""From a model's name to a server that serves it: loaded, measured, warmed up, listening."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch

from bridge.protocol import sockets
from renderer.backends.calibration import read_calibration
from renderer.backends.choice import BackendName
from renderer.backends.runner import TRIAL_SIZE_HW
from renderer.batching import Together
from renderer.counts import ServerCounts
from renderer.inputs import ModelInput
from renderer.looks import Looks
from renderer.models.base import OWN_FAMILY, Model
from renderer.models.imported import ModelOptions, announce, guesses_flow
from renderer.models.registry import load_model, shipped_names
from renderer.models.speed import live_speed
from renderer.models.style import read_style
from renderer.server import RenderServer
from renderer.temporal import EngineMotion
from renderer.weights_store import imported_names

log: Final = logging.getLogger("renderer")


def warm_up(model: Model, max_batch: int = 1) -> None:
    """Step a model on an empty street, so that no client waits for what is prepared at the first steps.

    It is one step more than the model looks back. Published generators take seconds for a frame: theirs are small.
    On CUDA a batch of each size is a recording of its own: those are made too.
    """
    sides = TRIAL_SIZE_HW if model.card.family == OWN_FAMILY else (TRIAL_SIZE_HW[0] // 2, TRIAL_SIZE_HW[1] // 2)
    picture_B3HW = torch.zeros(1, 3, *sides, device=model.device) if "rgb" in model.card.planes else None
    frame = ModelInput(
        labels_BHW=torch.zeros(1, *sides, dtype=torch.uint8, device=model.device),
        depth_B1HW=torch.full((1, 1, *sides), 10.0, device=model.device),
        instances_B1HW=torch.zeros(1, 1, *sides, dtype=torch.int32, device=model.device),
        first_B3HW=picture_B3HW,
        motion=EngineMotion(float(sides[1]), np.eye(4)),
    )
    state = None
    for step in range(model.card.past_frames + 1):
        motion = EngineMotion(float(sides[1]), np.eye(4) + 0.1 * step * np.eye(4, k=3))
        _, state = model.step(replace(frame, motion=motion), state)
    batch = 2
    while model.device.type == "cuda" and isinstance(model, Together) and batch < 2 * max_batch:
        model.step_together([frame] * batch, [state] * batch)
        batch *= 2


def run_server(
    model_name: str,
    listen: str,
    device_name: str = "cpu",
    ready: Callable[[str], None] | None = None,
    secret_key: Path | None = None,
    backend: BackendName = "auto",
    *,
    stabilise: bool = False,
    flow: Literal["guessed", "engine"] = "guessed",
    max_batch: int = 1,
    calibration: Path | None = None,
    counts: ServerCounts | None = None,
) -> None:
    """Load a model and serve it until an exception such as KeyboardInterrupt ends it.

    `stabilise` steadies its pictures; `flow` says what moves the last picture of a model that guesses a flow. `ready`
    is called with the endpoint, its port filled in, once clients can connect; `counts` takes what is counted.
    """
    sockets.check_listen(listen, secret_key)
    options = ModelOptions(live_speed(device_name), stabilise=stabilise, flow=flow)
    ranges = read_calibration(calibration) if calibration is not None else None
    model = load_model(model_name, device_name, options, backend, calibration=ranges)
    announce(model_name, model.device)
    warm_up(model, max_batch)
    look_backend: BackendName = "auto" if backend == "int8" else backend  # its ranges are those of one model
    looks = Looks(model, (*shipped_names(), *imported_names()), partial(_load_look, device_name, look_backend, options))
    with RenderServer(model, listen, secret_key=secret_key, looks=looks, max_batch=max_batch, counts=counts) as server:
        log.info("renderer %s is listening on %s (%s)", model.card.name, server.endpoint, model.summary)
        if ready is not None:
            ready(server.endpoint)
        server.serve()


def _load_look(device_name: str, backend: BackendName, served: ModelOptions, name: str, style: str) -> Model:
    """A model that a client changes to, warmed up: its first frame must not be late."""
    is_own = name in shipped_names()  # steady by themselves, and the only ones that other runtimes draw
    chosen = read_style(style, files=False) if style else None
    options = replace(served, style=chosen, stabilise=served.stabilise and not is_own)
    if is_own or not guesses_flow(name):
        options = replace(options, flow="guessed")
    model = load_model(name, device_name, options, backend if is_own else "auto")
    warm_up(model)
    return model
