"""Opens what a person has: a folder, a zip, a tar, or single checkpoint files; takes out what may be weights, bounded.

Archives come from strangers: members that would leave the folder, links, encrypted members and bombs are refused
before a byte is written, and what is written is counted again.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from bridge.protocol.errors import OutputError, WeightsError

CHECKPOINT_SUFFIXES: Final = (".pth", ".pt", ".ckpt", ".pth.tar")
OPTIONS_NAME: Final = "opt.txt"
MAX_MEMBERS: Final = 20_000
MAX_BYTES: Final = 64 << 30  # of all that is taken out; the largest published set has 7.4 GB
MAX_DEPTH: Final = 8  # folders below the given one
MAX_RATIO: Final = 60  # of what is unpacked to the archive's size; trained weights hardly shrink at all
RATIO_COUNTS_FROM_BYTES: Final = 16 << 20
_TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_BLOCK_BYTES: Final = 1 << 20
_UNPACKERS: Final = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_DAMAGES: Final = (EOFError, zlib.error, lzma.LZMAError, struct.error, ValueError, RecursionError, OSError)


@dataclass(frozen=True)
class SourceFile:
    """A file that may hold weights, or options beside them: its name within the source, and where its bytes are."""

    name: PurePosixPath
    path: Path

    @property
    def folder(self) -> PurePosixPath:
        """The folder within the source."""
        return self.name.parent


def source_files(paths: Sequence[Path], staging: Path) -> list[SourceFile]:
    """Return the files of interest of folders, archives and single files, sorted by name.

    Archives are unpacked below `staging`, which the caller deletes. Raises WeightsError for what is missing, empty,
    no archive, or an archive that is damaged or malicious, and OutputError if there is no room.
    """
    files: list[SourceFile] = []
    for index, path in enumerate(paths):
        if not path.exists():
            raise WeightsError(f"there is no {path}", "Name a folder, a zip, a tar or .pth files")
        files += _from_path(path, staging / str(index))
    files += _single_files([path for path in paths if not path.is_dir() and _is_of_interest(path.name)])
    if not files:
        raise WeightsError(
            f"{paths[0]} holds no checkpoints", f"Name a folder or an archive with files that end in {_kinds()}"
        )
    return sorted(files, key=lambda file: str(file.name))


def _from_path(path: Path, staging: Path) -> list[SourceFile]:
    if path.is_dir():
        return list(_from_folder(path))
    if _is_of_interest(path.name):
        return []
    check_kind(path)
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"PK"):
        return _from_zip(path, staging)
    if path.name.lower().endswith(_TAR_SUFFIXES) or _is_tar(path):
        return _from_tar(path, staging)
    raise WeightsError(
        f"{path} is no zip, no tar and no checkpoint", f"Name a folder, an archive or a file that ends in {_kinds()}"
    )


def _single_files(paths: Sequence[Path]) -> list[SourceFile]:
    """Return files that were named one by one as one folder's: that of the first, with the options beside it."""
    if not paths:
        return []
    own = paths[0].resolve().parent
    options = [own / OPTIONS_NAME] if (own / OPTIONS_NAME).is_file() else []
    files = {PurePosixPath(own.name) / path.name: path for path in (*paths, *options)}
    if len(files) < len({*paths, *options}):
        raise WeightsError("two files have the same name", "Name the folder that both are in")
    return [SourceFile(name, path) for name, path in files.items()]


def check_kind(path: Path) -> None:
    """Raise WeightsError for a file that is empty, or that is what a browser or git saves in place of weights."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror})", "Check the file") from None
    if not start:
        raise WeightsError(f"{path} is empty", "Get the file again")
    head = start.lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise WeightsError(
            f"{path} is a web page that was saved under that name",
            "Open its address in a browser, confirm the download, and import what comes",
        )
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a pointer that git-lfs left in place of the file", "Run git lfs pull there")


def _from_folder(root: Path) -> Iterator[SourceFile]:
    base = PurePosixPath(root.resolve().name)
    folders, seen = [(root, base)], 0
    while folders:
        folder, name = folders.pop()
        try:
            children = sorted(folder.iterdir())
        except OSError as error:
            raise WeightsError(f"{folder} cannot be read ({error.strerror})", "Check the folder") from None
        seen += len(children)
        if seen > MAX_MEMBERS:
            raise WeightsError(f"{root} holds more than {MAX_MEMBERS} files", "Name the folder of the checkpoints")
        for child in children:
            if child.is_dir() and not child.is_symlink() and len(name.parts) <= MAX_DEPTH:
                folders.append((child, name / child.name))
            elif child.is_file() and _is_of_interest(child.name):
                yield SourceFile(name / child.name, child)


def _from_zip(path: Path, staging: Path) -> list[SourceFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_number(path, len(members))
            if sum(member.file_size for member in members) > _allowed_bytes(path):
                raise _bomb(path)
            for member in members:
                _check_place(path, member.filename, stat.S_ISLNK(member.external_attr >> 16))
                if member.flag_bits & 1:
                    raise WeightsError(f"{path} is encrypted", "Unpack it and name the folder")
            wanted = [m for m in members if not m.is_dir() and _is_of_interest(PurePosixPath(m.filename).name)]
            _check_room(path, sum(member.file_size for member in wanted), staging)
            files = []
            for member in wanted:
                with archive.open(member) as source:
                    files.append(_take_out(path, source, PurePosixPath(member.filename), member.file_size, staging))
            return files
    except (zipfile.BadZipFile, NotImplementedError, *_DAMAGES) as error:
        if _is_of_the_machine(error):
            raise
        raise WeightsError(f"{path} is a damaged zip ({error})", "Get the file again") from None


def _from_tar(path: Path, staging: Path) -> list[SourceFile]:
    allowed_bytes = _allowed_bytes(path)
    files, seen, total_bytes = [], 0, 0
    try:
        with _opened_tar(path) as archive:
            for member in archive:
                seen += 1
                total_bytes += member.size
                _check_number(path, seen)
                _check_place(path, member.name, member.issym() or member.islnk() or member.isdev())
                if total_bytes > allowed_bytes:
                    raise _bomb(path)
                if not member.isfile() or not _is_of_interest(PurePosixPath(member.name).name):
                    continue
                _check_room(path, member.size, staging)
                source = archive.extractfile(member)
                assert source is not None, "a plain file has content"
                files.append(_take_out(path, source, PurePosixPath(member.name), member.size, staging))
    except (tarfile.TarError, *_DAMAGES) as error:
        if _is_of_the_machine(error):
            raise
        raise WeightsError(f"{path} is a damaged tar ({error})", "Get the file again") from None
    return files


class _Counted:
    """A tar's bytes as tarfile reads them: names and headers too, which it would take whole whatever they claim."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._allowed_bytes = _allowed_bytes(path)

    def read(self, size_bytes: int, /) -> bytes:
        """Return the next bytes; raises WeightsError for more at once, or in all, than honest archives ask for."""
        if not 0 <= size_bytes <= _BLOCK_BYTES or self.tell() + size_bytes > self._allowed_bytes + _BLOCK_BYTES:
            raise _bomb(self._path)
        return self._stream.read(size_bytes)

    def seek(self, place_bytes: int, /) -> int:
        """Go to a place; raises WeightsError for one beyond what may be unpacked."""
        if place_bytes > self._allowed_bytes + _BLOCK_BYTES:
            raise _bomb(self._path)
        return self._stream.seek(place_bytes)

    def tell(self) -> int:
        """Return the place."""
        return self._stream.tell()


@contextmanager
def _opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        unpack = next((unpack for magic, unpack in _UNPACKERS.items() if start.startswith(magic)), None)
        stream = cast("IO[bytes]", unpack(file, "rb") if unpack else file)
        with stream, tarfile.open(fileobj=cast("IO[bytes]", _Counted(stream, path)), mode="r:") as archive:
            yield archive


def _is_tar(path: Path) -> bool:
    try:
        with _opened_tar(path):
            return True
    except (tarfile.TarError, *_DAMAGES) as error:
        if _is_of_the_machine(error):
            raise
        return False


def _is_of_the_machine(error: BaseException) -> bool:
    """Tell a failure of disk or rights from one of the archive's content, whose OSErrors have no number or EINVAL."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def _take_out(archive: Path, source: IO[bytes], name: PurePosixPath, size_bytes: int, staging: Path) -> SourceFile:
    """Write a member to a file of a name of our own: nothing of the archive decides where."""
    staging.mkdir(parents=True, exist_ok=True)
    target = staging / f"member-{len(list(staging.iterdir()))}"
    left_bytes = size_bytes
    try:
        with target.open("xb") as file:
            while block := source.read(_BLOCK_BYTES):
                left_bytes -= len(block)
                if left_bytes < 0:
                    raise _bomb(archive)
                file.write(block)
    except OSError as error:
        if error.errno is None:
            raise
        raise OutputError(
            f"{name} cannot be unpacked ({error.strerror})", "Make room, or set VIDRIVE_WEIGHTS"
        ) from None
    if left_bytes:
        raise WeightsError(f"{archive} is cut short: {name} ends {left_bytes} bytes early", "Get the file again")
    return SourceFile(PurePosixPath(*(part for part in name.parts if part != ".")), target)


def _check_number(path: Path, number: int) -> None:
    if number > MAX_MEMBERS:
        raise WeightsError(f"{path} has more than {MAX_MEMBERS} members", "Unpack it and name the folder")


def _check_place(path: Path, name: str, is_link: bool) -> None:
    place = PurePosixPath(name.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or ":" in (place.parts or ("",))[0] or "\0" in name:
        raise WeightsError(f"{path} has a member {name!r} that would be written outside its folder", "Do not use it")
    if is_link:
        raise WeightsError(f"{path} has a link or device {name!r} in place of a file", "Do not use it")


def _allowed_bytes(path: Path) -> int:
    """Return how much an archive may hold in all, wanted or not."""
    return max(RATIO_COUNTS_FROM_BYTES, MAX_RATIO * path.stat().st_size)


def _check_room(path: Path, size_bytes: int, staging: Path) -> None:
    if size_bytes > MAX_BYTES:
        raise _bomb(path)
    place = next(folder for folder in (staging, *staging.parents) if folder.exists())
    if size_bytes > shutil.disk_usage(place).free:
        raise OutputError(
            f"{path} unpacks to {size_bytes / 1e9:.1f} GB, more than there is room for in {place}",
            "Make room, or set VIDRIVE_WEIGHTS to a folder elsewhere",
        )


def _bomb(path: Path) -> WeightsError:
    return WeightsError(f"{path} unpacks to far more than weights of its size can be", "Do not use it")


def is_checkpoint_name(name: str) -> bool:
    """Tell whether a file of that name may hold tensors."""
    return name.lower().endswith(CHECKPOINT_SUFFIXES) and not name.startswith(".")


def is_features_name(name: str) -> bool:
    """Tell whether a file of that name may hold upstream's clusters of features."""
    return name.startswith("features") and name.endswith(".npy")


def _is_of_interest(name: str) -> bool:
    return is_checkpoint_name(name) or is_features_name(name) or name == OPTIONS_NAME


def _kinds() -> str:
    return ", ".join(CHECKPOINT_SUFFIXES[:-1])
