"""A drive that begins with another look than the server's."""

from __future__ import annotations

import argparse

import pytest

from bridge.protocol.errors import RenderRefused, SimulatorAbsent
from clients.commands import drive as command
from clients.drive_plan import make_plan
from clients.driving import DriveThread
from renderer.looks import Looks
from renderer.models.reprojecting import ReprojectingModel
from tests.unit.renderer.server_peers import StartServer
from tests.unit.renderer.test_looks import OTHER, Loader

DEADLINE_S = 60.0


def ended(start_server: StartServer, tiny_model: ReprojectingModel, loader: Loader, *words: str) -> DriveThread:
    """A drive that has its look, and then no simulator."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(["--headless", *words])
    server = start_server(looks=Looks(tiny_model, (OTHER,), loader))
    drive = DriveThread(make_plan("drive", args, carla=("127.0.0.1", 1), endpoint=server.endpoint, model=args.model))
    drive.start()
    assert drive.wait(DEADLINE_S)
    return drive


def test_it_has_that_look_before_the_street_is_opened(start_server: StartServer, tiny_model: ReprojectingModel) -> None:
    loader = Loader()
    drive = ended(start_server, tiny_model, loader, "--model", OTHER, "--style", "7")
    assert loader.loaded == [(OTHER, "7")]
    assert drive.model == OTHER
    with pytest.raises(SimulatorAbsent):
        drive.result()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "none"), "this server has no model 'none'"),
        (("--style", "a/dusk"), "the style 'a/dusk' is no seed"),
    ],
)
def test_a_look_that_cannot_be_had_ends_it(
    start_server: StartServer, tiny_model: ReprojectingModel, words: tuple[str, ...], sentence: str
) -> None:
    drive = ended(start_server, tiny_model, Loader(), *words)
    with pytest.raises(RenderRefused, match=sentence):
        drive.result()
