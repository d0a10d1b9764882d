"""Reads upstream's cluster files (features.npy, features_clustered_010.npy) without running anything in them.

They are numpy object arrays that hold one dict of label -> float array (n, channels): a pickle. It is read by an
interpreter in which every name that a pickle can call is replaced by an inert record of this module, so that nothing of
numpy, and nothing else either, is called by the file; the arrays are then rebuilt from the records' bytes.
"""

from __future__ import annotations

import ast
import io
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.errors import WeightsError
from renderer.weights_archive import check_kind

MAX_FILE_BYTES: Final = 256 << 20
_MAX_STEPS: Final = 1 << 20  # of the pickle, and of its memo, which the interpreter allocates up to the highest index
_SLACK_BYTES: Final = 1 << 20
_MAGIC: Final = b"\x93NUMPY"
_FLOATS: Final = ("<f4", "<f8", ">f4", ">f8", "f4", "f8")
_AGAIN: Final = "Get the file again"


class _Record:
    """What a pickle builds here in place of an object: the arguments and the state that it was given."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Array(_Record):
    """A numpy array, as `_reconstruct` and its state describe it."""


class _Type(_Record):
    """A numpy dtype."""


class _Name(_Record):
    """The class `numpy.ndarray`, which is only named."""


class _Bytes(_Record):
    """Bytes that Python 2 wrote as text and Python 3 decodes."""


_STAND_INS: Final = {
    ("multiarray", "_reconstruct"): _Array,
    ("multiarray", "scalar"): _Array,
    ("numpy", "ndarray"): _Name,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _Bytes,
}


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> type[_Record]:
        stand_in = _STAND_INS.get((module_name.rpartition(".")[2], global_name))
        if stand_in is None:
            raise _ForeignName(f"{module_name}.{global_name}")
        return stand_in

    def persistent_load(self, pid: object, /) -> NoReturn:
        raise _ForeignName("a persistent id")


class _ForeignName(Exception):
    """A pickle names what no array of numbers needs."""


def read_features(path: Path, name: str) -> dict[str, Tensor]:
    """Return the clusters of a file as label -> float32 (n, channels), labels as text.

    `name` is what people know the file by. Raises WeightsError for what is damaged, holds code, or is not of this form.
    """
    check_kind(path)
    data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
    if not data.startswith(_MAGIC):
        raise WeightsError(f"{name} is no numpy file of features", _AGAIN)
    try:
        pickled = _pickle_of(data)
        _check_steps(pickled)
        clusters = _dict_in(_InertUnpickler(io.BytesIO(pickled), encoding="latin1").load())
        return _tensors(clusters, len(data) + _SLACK_BYTES)
    except _ForeignName as error:
        raise WeightsError(
            f"{name} holds a reference to {error}, and features are numbers alone",
            "Nothing of it was run; do not use it",
        ) from None
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError) as error:
        raise WeightsError(f"{name} is damaged or no dict of label -> features ({error})", _AGAIN) from None
    except (MemoryError, OverflowError, RecursionError, SyntaxError) as error:
        raise WeightsError(f"{name} claims what it cannot hold ({type(error).__name__})", "Do not use it") from None


def _check_steps(pickled: bytes) -> None:
    """Raise ValueError for a pickle of more steps, or with a higher index in its memo, than features need."""
    for step, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
        if step > _MAX_STEPS or (opcode.name.endswith("PUT") and int(argument or 0) > _MAX_STEPS):
            raise ValueError("it asks for more memory than features need")


def _tensors(clusters: Mapping[object, object], allowed_bytes: int) -> dict[str, Tensor]:
    """Return the clusters as tensors; raises ValueError where labels that share one array come to more than allowed."""
    tensors: dict[str, Tensor] = {}
    for label, value in clusters.items():
        array = _array(value)
        allowed_bytes -= array.nbytes
        if allowed_bytes < 0:
            raise ValueError("its arrays are larger than the file")
        tensors[str(_integer(label))] = torch.from_numpy(array)
    return tensors


def _pickle_of(data: bytes) -> bytes:
    """Return what follows the header of a .npy file (its format version 1 or 2), which must be an object array."""
    width_bytes = 2 if data[6] == 1 else 4
    start = 8 + width_bytes
    length = int.from_bytes(data[8:start], "little")
    header = ast.literal_eval(data[start : start + length].decode("latin1"))
    if header["descr"] != "|O" or header["shape"] != ():
        raise ValueError(f"an array of {header['descr']} {header['shape']}")
    return data[start + length :]


def _dict_in(content: object) -> Mapping[object, object]:
    """Return the dict in a pickled object array of no dimensions, or in the dict itself."""
    if isinstance(content, _Array) and isinstance(content.state, tuple):
        content = content.state[4][0] if isinstance(content.state[4], list) else content.state[4]
    if not isinstance(content, dict) or not content:
        raise ValueError("no dict")
    return content


def _integer(label: object) -> int:
    if isinstance(label, _Array):  # a numpy scalar: its type and its bytes
        kind, data = label.arguments
        label = int(np.frombuffer(_bytes(data), _dtype(kind, integers=True))[0])
    if not isinstance(label, int):
        raise ValueError(f"a label {label!r}")
    return label


def _array(value: object) -> NDArray[np.float32]:
    """Return the array of a record as float32 (n, channels)."""
    if not isinstance(value, _Array) or not isinstance(value.state, tuple):
        raise ValueError("a value that is no array")
    _, shape, kind, is_fortran, data = value.state
    numbers = np.frombuffer(_bytes(data), _dtype(kind))
    array = numbers.reshape(shape, order="F" if is_fortran else "C")
    if array.ndim != 2:
        raise ValueError(f"an array of shape {shape}")
    return np.array(array, np.float32, order="C")  # a copy: torch wants arrays that can be written


def _dtype(kind: object, *, integers: bool = False) -> np.dtype:
    """Return the dtype of a record: a float, or an integer where one belongs."""
    if not isinstance(kind, _Type) or not isinstance(kind.state, tuple):
        raise ValueError("a foreign dtype")
    order = str(kind.state[1])
    text = ("" if order == "|" else order) + str(kind.arguments[0])
    if not (text in _FLOATS or (integers and text.strip("<>=") in ("i4", "i8"))):
        raise ValueError(f"an array of {text}")
    return np.dtype(text)


def _bytes(data: object) -> bytes:
    if isinstance(data, _Bytes):
        data = data.arguments[0]
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes):
        raise ValueError("an array without bytes")
    return data
