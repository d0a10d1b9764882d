"""A client changes model and style while it drives: through the real server and client, without a stale frame."""

from __future__ import annotations

import threading
import time

import msgspec
import numpy as np
import pytest
import torch

from bridge.protocol.errors import UsageError
from bridge.protocol.frames import RenderedFrame
from bridge.protocol.messages import Hello, Look, Refusal
from bridge.render_client import RenderClient
from renderer.backends.runner import EagerRunner
from renderer.looks import MAX_LOADED, Looks
from renderer.models.reprojecting import ReprojectingModel
from tests.unit.renderer.conftest import CARD, tiny_generator
from tests.unit.renderer.server_peers import (
    DEADLINE_S,
    StartServer,
    ask,
    connected,
    raw_peer,
    rendered,
    request,
    street,
)

OTHER = "other"


def other_model(name: str, seed: int) -> ReprojectingModel:
    device = torch.device("cpu")
    card = msgspec.structs.replace(CARD, name=name, weights_sha256=str(seed))
    return ReprojectingModel(card, EagerRunner(tiny_generator(seed), device, torch.float32), device)


class Loader:
    """Loads models of random weights; holds until it may, and refuses one name."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.loaded: list[tuple[str, str]] = []

    def __call__(self, name: str, style: str) -> ReprojectingModel:
        assert self.may.wait(DEADLINE_S)
        self.loaded.append((name, style))
        if name == "broken":
            raise UsageError("the weights of broken are damaged", "Get the file again")
        return other_model(name, int(style) if style.isdecimal() else 99 + len(style))


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def looks(loader: Loader, tiny_model: ReprojectingModel) -> Looks:
    return Looks(tiny_model, (OTHER, "broken"), loader)


def settle(client: RenderClient) -> None:
    """Let a client take the answer to its wish."""
    deadline_s = time.monotonic() + DEADLINE_S
    while client.looks.awaited:
        assert time.monotonic() < deadline_s
        assert client.poll(0.05) == []


def alone(model: ReprojectingModel, start_server: StartServer, frame_ids: range) -> list[np.ndarray]:
    """The pictures of a drive that this model serves from the first frame on."""
    with connected(start_server(model=model)) as client:
        return [rendered(client, street(frame_id)).rgb for frame_id in frame_ids]


def test_the_next_frame_is_of_the_new_model_as_if_it_had_begun_there(start_server: StartServer, looks: Looks) -> None:
    with connected(start_server(looks=looks)) as client:
        assert client.looks.models == ("tiny", OTHER, "broken")
        before = [rendered(client, street(frame_id)) for frame_id in (1, 2)]
        client.change_look(OTHER)
        settle(client)
        assert client.card is not None
        assert client.card.name == OTHER
        after = [rendered(client, street(frame_id)) for frame_id in (3, 4, 5)]
        client.change_look("")
        settle(client)
        back = rendered(client, street(6))
    assert [frame.reset for frame in (*before, *after, back)] == ["first frame", "", "new look", "", "", "new look"]
    for frame, alone_rgb in zip(after, alone(other_model(OTHER, 99), start_server, range(3, 6)), strict=True):
        assert (frame.rgb == alone_rgb).all()


def test_a_seed_is_a_look_too(start_server: StartServer, looks: Looks, loader: Loader) -> None:
    with connected(start_server(looks=looks)) as client:
        pictures = []
        for style in ("", "7", "8", "7"):
            client.change_look(OTHER, style)
            settle(client)
            pictures.append(rendered(client, street(1)).rgb)
    assert (pictures[1] == pictures[3]).all()
    assert (pictures[1] != pictures[2]).any()
    assert loader.loaded == [(OTHER, ""), (OTHER, "7"), (OTHER, "8")]


def test_a_name_is_a_look_and_the_card_says_which_there_are(
    start_server: StartServer, looks: Looks, loader: Loader, tiny_model: ReprojectingModel
) -> None:
    named = msgspec.structs.replace(tiny_model.card, styles=("spring", "cloudy"))
    model = ReprojectingModel(named, EagerRunner(tiny_generator(), tiny_model.device, torch.float32), tiny_model.device)
    with connected(start_server(model=model, looks=looks)) as client:
        assert client.drawing_styles == ("spring", "cloudy")
        for style in ("cloudy", "spring,cloudy,0.5"):
            client.change_look(OTHER, style)
            settle(client)
            assert client.looks.style_in_use == style
        assert client.drawing_styles == ()
    assert loader.loaded == [(OTHER, "cloudy"), (OTHER, "spring,cloudy,0.5")]


def test_frames_go_on_while_it_is_loaded_and_none_is_stale(
    start_server: StartServer, looks: Looks, loader: Loader
) -> None:
    loader.may.clear()
    with connected(start_server(looks=looks)) as client:
        rendered(client, street(1))
        client.change_look(OTHER)
        for frame_id in (2, 3):
            assert rendered(client, street(frame_id)).reset == ""
        assert client.looks.awaited
        assert client.submit(street(4), 0)
        loader.may.set()
        answers: list[object] = []
        deadline_s = time.monotonic() + DEADLINE_S
        while (not answers or client.looks.awaited) and time.monotonic() < deadline_s:
            answers += client.poll(0.05)
        (in_flight,) = answers
        assert isinstance(in_flight, RenderedFrame)
        assert (in_flight.frame_id, in_flight.reset) == (4, "")
        assert rendered(client, street(5)).reset == "new look"


@pytest.mark.parametrize(
    ("model", "style", "sentence"),
    [
        ("nonsense", "", r"this server has no model 'nonsense'\. It has tiny, other, broken"),
        ("/etc/passwd", "", r"this server has no model '/etc/passwd'"),
        (OTHER, "/etc/passwd", r"the style '/etc/passwd' is no seed"),
        (OTHER, "1,2,3", r"the style '1,2,3' is no seed"),
        ("broken", "", r"the weights of broken are damaged"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_the_drive_goes_on(
    model: str, style: str, sentence: str, start_server: StartServer, looks: Looks
) -> None:
    with connected(start_server(looks=looks)) as client:
        rendered(client, street(1))
        client.change_look(model, style)
        settle(client)
        problem = client.looks.problem
        assert problem is not None
        with pytest.raises(type(problem), match=sentence):
            raise problem
        assert client.card is not None
        assert client.card.name == "tiny"
        assert rendered(client, street(2)).reset == ""


def test_a_server_of_one_model_says_so(start_server: StartServer) -> None:
    with connected(start_server()) as client:
        client.change_look(OTHER)
        settle(client)
        assert client.looks.problem is not None
        assert client.looks.problem.what == "this server serves the model tiny only"
        rendered(client, street(1))


def test_of_several_wishes_the_newest_counts(start_server: StartServer, looks: Looks, loader: Loader) -> None:
    loader.may.clear()
    with connected(start_server(looks=looks)) as client:
        for style in ("1", "2", "3", "4"):
            client.change_look(OTHER, style)
        rendered(client, street(1))  # all wishes have arrived before it
        loader.may.set()
        settle(client)
        assert client.card is not None
        assert client.card.weights_sha256 == "4"
    assert loader.loaded[-1] == (OTHER, "4")
    assert len(loader.loaded) <= 2, "those in between are not loaded"


def test_a_lost_server_is_asked_again(start_server: StartServer, looks: Looks, loader: Loader) -> None:
    server = start_server(looks=looks, max_sessions=1)
    with connected(server) as client:
        client.change_look(OTHER)
        settle(client)
        with connected(server):
            pass  # there was room for this one only
        client.submit(street(1), 0)
        deadline_s = time.monotonic() + DEADLINE_S
        while client.in_flight or client.looks.awaited or not client.connected:
            assert time.monotonic() < deadline_s
            client.poll(0.05)
        assert client.card is not None
        assert client.card.name == OTHER
        assert rendered(client, street(2)).reset == "first frame"


def test_a_look_that_was_never_granted_is_refused(start_server: StartServer, looks: Looks) -> None:
    with raw_peer(start_server(looks=looks)) as peer:
        ask(peer, Hello(client="raw"))
        refusal = ask(peer, *request(street(1), look=3))
        assert isinstance(refusal, Refusal)
        assert refusal.code == "no-session"


def test_few_models_are_kept_and_the_served_one_always(tiny_model: ReprojectingModel, loader: Loader) -> None:
    looks = Looks(tiny_model, (OTHER,), loader)
    told = threading.Semaphore(0)
    looks.on_answer = told.release
    for number, style in enumerate(("1", "2", "3", "4", "1")):
        looks.ask(b"client", Look(number=number, model=OTHER, style=style))
        assert told.acquire(timeout=DEADLINE_S)
    looks.ask(b"client", Look(number=9))
    assert told.acquire(timeout=DEADLINE_S)
    assert looks.answers()[-1].model is tiny_model
    looks.close()
    assert len(loader.loaded) == 5, "the first was dropped for the fourth"
    assert MAX_LOADED == 3
