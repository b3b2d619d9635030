"""Tar streams between a sandbox and this machine, in constant memory.

What comes from a sandbox is not trusted: only regular files and folders are taken, only below the
destination, never through a link, and no header may claim more memory than a path needs.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runtime.errors import InvalidRequest, PayloadTooLarge

BLOCK = 512
CHUNK_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
"""Of an extended header: a path, and a few numbers."""
MAX_MEMBERS = 1_000_000
"""Of one archive: an environment may hold hundreds of thousands of files."""
_LONGEST_NUMBER = 20
_REGULAR = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_EXTENDED = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Copied:
    """What a copy did."""

    files: int
    size_bytes: int
    skipped: list[str]
    """Links, devices and names that lead elsewhere."""


def bounded(chunks: Iterable[bytes], room: int, otherwise: str) -> Iterator[bytes]:
    """`chunks`, at most `room` bytes of them. Raises `PayloadTooLarge`, saying `otherwise`."""
    for chunk in chunks:
        room -= len(chunk)
        if room < 0:
            raise PayloadTooLarge(otherwise)
        yield chunk


class _Reader:
    """Exact reads from pieces of any length."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def pieces(self, count: int) -> Iterator[memoryview]:
        """The next `count` bytes, in pieces."""
        while count > 0:
            if not self._rest:
                self._rest = memoryview(self._next())
            piece, self._rest = self._rest[:count], self._rest[count:]
            count -= len(piece)
            yield piece

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        return b"".join(self.pieces(count))

    def _next(self) -> bytes:
        for chunk in self._chunks:
            if chunk:
                return chunk
        raise InvalidRequest("the archive ended in the middle of a file")


@dataclass(slots=True)
class _Extended:
    """What extended headers say of the member that follows."""

    path: str | None = None
    size: int | None = None


def unpack(chunks: Iterable[bytes], destination: Path, most_members: int = MAX_MEMBERS) -> Copied:
    """Write the regular files and folders of a tar stream below `destination`.

    Raises `InvalidRequest` for a stream that is no tar, or that is cut off, and `PayloadTooLarge`
    for more than `most_members` files and folders.
    """
    reader = _Reader(chunks)
    copied = Copied(0, 0, [])
    for count, member in enumerate(_members(reader)):
        if count >= most_members:
            raise PayloadTooLarge(f"stopped after {most_members:,} files and folders")
        target = safe_path(destination, member.name)
        length = _data_length(member)
        if target is not None and member.isdir():
            target.mkdir(parents=True, exist_ok=True)
        elif target is not None and member.type in _REGULAR and target != destination:
            _write(target, reader.pieces(length), member.mode)
            _skip(reader, -length % BLOCK)
            copied.files += 1
            copied.size_bytes += length
        else:
            copied.skipped.append(member.name)
            _skip(reader, length + -length % BLOCK)
    return copied


def _data_length(member: tarfile.TarInfo) -> int:
    """How many bytes of data follow: links, folders and devices have none, whatever they claim."""
    if member.type in tarfile.SUPPORTED_TYPES and not member.isreg():
        return 0
    if member.size < 0:
        raise InvalidRequest("the archive has a damaged header")
    return member.size


def _members(reader: _Reader) -> Generator[tarfile.TarInfo]:
    extended = _Extended()
    while (block := reader.take(BLOCK)).strip(b"\0"):
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        except tarfile.HeaderError as problem:
            raise InvalidRequest(f"this is not a tar archive: {problem}") from problem
        if _extend(extended, member, reader):
            continue
        member.name = extended.path or member.name
        member.size = member.size if extended.size is None else extended.size
        extended = _Extended()
        yield member


def _extend(extended: _Extended, member: tarfile.TarInfo, reader: _Reader) -> bool:
    """Read an extended header; False for a member of its own."""
    if member.type not in _EXTENDED:
        return False
    if not 0 <= member.size <= MAX_HEADER_BYTES:
        raise InvalidRequest(f"the archive has a header of {member.size} bytes")
    data = reader.take(member.size)
    _skip(reader, -member.size % BLOCK)
    if member.type == tarfile.GNUTYPE_LONGNAME:
        extended.path = data.rstrip(b"\0").decode("utf-8", "replace")
    elif member.type == tarfile.XHDTYPE:
        _read_pax(extended, data)
    return True


def _read_pax(extended: _Extended, data: bytes) -> None:
    while data:
        length, _, _ = data.partition(b" ")
        if not _is_number(length) or not 0 < int(length) <= len(data):
            raise InvalidRequest("the archive has a damaged header")
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key == b"path":
            extended.path = value.decode("utf-8", "replace")
        elif key == b"size" and _is_number(value):
            extended.size = int(value)


def _is_number(digits: bytes) -> bool:
    """Whether it is one of a size that anything can have; longer ones cannot even be read."""
    return digits.isdigit() and len(digits) < _LONGEST_NUMBER


def _skip(reader: _Reader, count: int) -> None:
    for _ in reader.pieces(count):
        continue


def safe_path(root: Path, name: str) -> Path | None:
    """The place of `name` below `root`; None when it would lead elsewhere, also by a link.

    None, too, when this machine has no room for such a name.
    """
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\0" in name or ".." in parts:
        return None
    place = root
    for part in parts:
        place = place / part
        if _is_link_or_too_long(place):
            return None
    return place


def _is_link_or_too_long(place: Path) -> bool:
    """Names of a sandbox that are not UTF-8 are longer here; a folder there may lie deeper."""
    try:
        return place.is_symlink()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return True


def _write(target: Path, pieces: Iterable[memoryview], mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    permissions = 0o755 if mode & stat.S_IXUSR else 0o644
    with os.fdopen(os.open(target, _WRITE_FLAGS, permissions), "wb") as file:
        for piece in pieces:
            file.write(piece)


class Packing:
    """The regular files and folders below `folder` as a tar stream, counted as it is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.copied = Copied(0, 0, [])

    def __iter__(self) -> Iterator[bytes]:
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                yield _header(name, tarfile.DIRTYPE, 0, kind)
            elif stat.S_ISREG(kind):
                yield from self._packed(path, name)
            else:
                self.copied.skipped.append(name)
        yield b"\0" * (2 * BLOCK)

    def _packed(self, path: Path, name: str) -> Iterator[bytes]:
        with os.fdopen(os.open(path, _READ_FLAGS), "rb") as file:
            about = os.fstat(file.fileno())
            yield _header(name, tarfile.REGTYPE, about.st_size, about.st_mode)
            left = about.st_size
            while left:
                chunk = file.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise InvalidRequest(f"{path} became shorter while it was copied")
                left -= len(chunk)
                yield chunk
        yield b"\0" * (-about.st_size % BLOCK)
        self.copied.files += 1
        self.copied.size_bytes += about.st_size


def _header(name: str, kind: bytes, size: int, mode: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    info.mode = 0o755 if mode & stat.S_IXUSR else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
