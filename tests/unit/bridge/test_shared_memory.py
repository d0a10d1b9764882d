"""Memory that two processes map: what is written on one side is read on the other, and nothing else is mapped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.errors import WireError
from bridge.protocol.shared_memory import (
    ALIGNMENT_BYTES,
    NUM_BYTES,
    TOKEN_BYTES,
    MemoryOffer,
    SharedMemory,
    attach,
    lay_out,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has sealed anonymous files")

OTHER_PROCESS = """
import sys
from bridge.protocol.shared_memory import MemoryOffer, attach
memory = attach(
    MemoryOffer(process_id=int(sys.argv[1]), file_descriptor=int(sys.argv[2]), token=bytes.fromhex(sys.argv[3]))
)
print(bytes(memory[100:105]).decode())
memory[200:203] = b"yes"
"""


def test_another_process_reads_and_writes_it() -> None:
    memory = SharedMemory()
    memory.buffer[100:105] = b"hello"
    offer = memory.offer
    numbers = [str(offer.process_id), str(offer.file_descriptor), offer.token.hex()]
    words = [sys.executable, "-c", OTHER_PROCESS, *numbers]
    heard = subprocess.run(words, cwd=Path(__file__).parents[3], check=True, capture_output=True, text=True, timeout=60)
    assert heard.stdout.strip() == "hello"
    assert bytes(memory.buffer[200:203]) == b"yes"
    memory.close()


def test_it_costs_nothing_until_it_is_used() -> None:
    memory = SharedMemory()
    memory.buffer[0] = 1
    assert os.fstat(memory.offer.file_descriptor).st_blocks * 512 <= 4 * 4096
    memory.close()


def test_a_mapping_outlives_its_offer() -> None:
    """A client that is killed takes nothing away from under the server."""
    memory = SharedMemory()
    mapped = attach(memory.offer)
    memory.buffer[7] = 9
    memory.close()
    assert mapped[7] == 9
    with pytest.raises(WireError):
        attach(memory.offer)


def test_nobody_can_shrink_it_under_a_reader() -> None:
    memory = SharedMemory()
    with pytest.raises(PermissionError):
        os.ftruncate(memory.offer.file_descriptor, 4096)
    memory.close()


def refused(file_descriptor: int, process_id: int = os.getpid()) -> str:
    with pytest.raises(WireError) as caught:
        attach(MemoryOffer(process_id=process_id, file_descriptor=file_descriptor, token=b"0" * TOKEN_BYTES))
    assert caught.value.hint
    return caught.value.what


def test_what_is_not_such_memory_is_refused(tmp_path: Path) -> None:
    ordinary = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(ordinary, NUM_BYTES)
    pipe, _ = os.pipe()
    unsealed = os.memfd_create("vidrive-planes", os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, NUM_BYTES)
    small = os.memfd_create("vidrive-planes")
    assert "something else" in refused(ordinary)
    assert "something else" in refused(pipe)
    assert "seal" in refused(unsealed)
    assert "size" in refused(small)
    assert "cannot be opened" in refused(1 << 30)
    assert "cannot be opened" in refused(0, process_id=1 << 60)
    another = SharedMemory()
    assert "another client's" in refused(another.offer.file_descriptor)
    another.close()


@given(st.lists(st.integers(0, NUM_BYTES), max_size=6))
def test_planes_lie_apart_and_inside(sizes_bytes: list[int]) -> None:
    offsets = lay_out(sizes_bytes)
    if offsets is None:
        assert sum(sizes_bytes) > NUM_BYTES - TOKEN_BYTES - ALIGNMENT_BYTES * len(sizes_bytes)
        return
    ends = [offset + size for offset, size in zip(offsets, sizes_bytes, strict=True)]
    assert all(end <= start for end, start in zip(ends, offsets[1:], strict=False))
    assert all(offset % ALIGNMENT_BYTES == 0 for offset in offsets)
    assert max(ends, default=0) <= NUM_BYTES - TOKEN_BYTES
