"""Pictures that a composer gives away are not drawn over while somebody has them."""

from __future__ import annotations

import numpy as np
import pytest

from clients.viewer.canvas import Canvases


def test_what_is_drawn_is_in_the_picture() -> None:
    surface, picture_bgra = Canvases().take((8, 4))
    surface.fill((10, 20, 30))
    assert picture_bgra.shape == (4, 8, 4)
    assert (picture_bgra == (30, 20, 10, 255)).all()


def test_a_picture_or_a_part_of_it_that_is_kept_stays_as_it_is() -> None:
    canvases = Canvases()
    parts = []
    for shade in range(12):
        surface, picture_bgra = canvases.take((8, 4))
        surface.fill((shade, shade, shade))
        parts.append(picture_bgra[1:3, ::2, 0] if shade % 2 else picture_bgra[..., 1])
        del picture_bgra
    assert [np.unique(part).tolist() for part in parts] == [[shade] for shade in range(12)]


def test_the_memory_of_pictures_that_nobody_has_is_used_again() -> None:
    canvases = Canvases()
    places = {canvases.take((8, 4))[1].__array_interface__["data"][0] for _ in range(20)}
    assert len(places) == 1


def test_another_size_begins_anew() -> None:
    canvases = Canvases()
    small = canvases.take((8, 4))[1]
    surface, large = canvases.take((16, 8))
    surface.fill((1, 2, 3))
    assert small.shape == (4, 8, 4)
    assert (large == (3, 2, 1, 255)).all()


def test_a_picture_cannot_be_written_to() -> None:
    _, picture_bgra = Canvases().take((8, 4))
    with pytest.raises(ValueError, match="read-only"):
        picture_bgra[0] = 0
