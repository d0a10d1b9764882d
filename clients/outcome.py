"""The line that `--json` ends with: of a drive that was, and of one that could not begin."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bridge.protocol.errors import VidriveError
from bridge.trace import Trace

FIELDS: Final = (
    "ticks", "rendered", "shown", "dropped", "failed", "resets", "rates_hz", "frame_age_ms", "input_age_ms",
    "stages_ms", "model", "exit",
)  # fmt: skip
ON_REQUEST: Final = ("timewarp", "prediction")  # of drives with that flag


def print_outcome(fields: Mapping[str, Any]) -> None:
    """Print the fields that others script against as one line of JSON on stdout."""
    asked = [name for name in ON_REQUEST if name in fields]
    print(json.dumps({name: fields[name] for name in (*FIELDS, *asked)}), flush=True)


@contextlib.contextmanager
def unbegun(*, as_json: bool, model: str = "") -> Iterator[None]:
    """Print the outcome of a drive without a tick if what is done in here, before it begins, fails."""
    try:
        yield
    except VidriveError as error:
        if as_json:
            print_outcome({**Trace().report().as_dict(), "model": model, "exit": error.what})
        raise
