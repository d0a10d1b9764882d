"""The baked town: everything slow to make, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.client_scene import client_pieces
from bridge.town.engine.kernel_cache import user_cache_dir
from bridge.town.engine.light import BakedLight, bake_light, plain_light
from bridge.town.engine.materials import paint_materials
from bridge.town.engine.packing import PackedMesh, pack_static
from bridge.town.engine.scene import parked_boxes, static_pieces
from bridge.town.engine.sky import cloud_layer
from bridge.town.streets import StreetNetwork

LOG = logging.getLogger(__name__)
KEPT_TOWNS = 2  # each is about 150 MB
_SOURCES = (
    "*.py",
    "../environment.py",
    "../plan.py",
    "../plots.py",
    "../lots.py",
    "../kerbside.py",
    "../districts.py",
    "../surface.py",
    "../profiles.py",
)


@dataclass(frozen=True)
class BakedTown:
    """Static mesh, textures (see `paint_materials`), baked light and cloud layer (see `cloud_layer`) of one network."""

    mesh: PackedMesh
    textures: NDArray[np.uint8]
    light: BakedLight
    clouds: NDArray[np.int16]


def load_or_bake(network: StreetNetwork, seed: int, cache_dir: Path | None) -> BakedTown:
    """Return the baked town of a network from the cache, or bake it and keep it there.

    The file's name holds a hash of the sources that make the town, so a change of code bakes anew. A cache that cannot
    be read or written costs only time.
    """
    directory = user_cache_dir() if cache_dir is None else cache_dir
    path = directory / f"town-{_content_key(network, seed)}.npz"
    town = _load(path)
    if town is not None:
        return town
    start = time.perf_counter()
    LOG.info("building the town (once; kept in %s)", directory)
    town = _bake(network, seed)
    _store(path, town)
    LOG.info("the town is built: %.0f s", time.perf_counter() - start)
    return town


def _bake(network: StreetNetwork, seed: int) -> BakedTown:
    textures = paint_materials()
    mesh = pack_static(static_pieces(network))
    light = bake_light(mesh, textures, parked_boxes(network), seed)
    return BakedTown(mesh, textures, light, cloud_layer(3 + seed))


def bake_client_world(network: StreetNetwork, like: BakedTown) -> BakedTown:
    """Return the mesh and light of a client's world, with another town's textures and clouds; kept nowhere."""
    mesh = pack_static(client_pieces(network))
    surface = network.surface
    light = plain_light(surface.origin_m, surface.inside_m.shape, network.seed)
    return BakedTown(mesh, like.textures, light, like.clouds)


def _content_key(network: StreetNetwork, seed: int) -> str:
    digest = hashlib.sha256(f"{network.name} {network.seed} {seed} {np.__version__}".encode())
    digest.update(network.opendrive.encode())
    here = Path(__file__).parent
    for pattern in _SOURCES:
        for source in sorted(here.glob(pattern)):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:20]


def _load(path: Path) -> BakedTown | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            return BakedTown(
                PackedMesh(**{item.name: kept["mesh_" + item.name] for item in fields(PackedMesh)}),
                kept["textures"],
                BakedLight(**{item.name: kept["light_" + item.name] for item in fields(BakedLight)}),
                kept["clouds"],
            )
    except (OSError, ValueError, KeyError) as error:
        LOG.warning("the baked town in %s cannot be read (%s); baking it anew", path, error)
        return None


def _store(path: Path, town: BakedTown) -> None:
    """Write a baked town so that no reader ever sees half of it, and drop those of other versions."""
    arrays = {"mesh_" + item.name: getattr(town.mesh, item.name) for item in fields(PackedMesh)}
    arrays |= {"light_" + item.name: getattr(town.light, item.name) for item in fields(BakedLight)}
    arrays |= {"textures": town.textures, "clouds": town.clouds}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as scratch:
            np.savez(scratch, allow_pickle=False, **arrays)
        Path(scratch.name).replace(path)
        newest_first = sorted(path.parent.glob("town-*.npz"), key=lambda kept: kept.stat().st_mtime, reverse=True)
        for stale in newest_first[KEPT_TOWNS:]:
            stale.unlink(missing_ok=True)
    except OSError as error:
        LOG.warning("the baked town cannot be kept in %s (%s); the next start builds it again", path.parent, error)
