from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from runtime.errors import Conflict, InvalidRequest, PayloadTooLarge
from runtime.guest.streams import FileStreams
from runtime.guest.tree import Tree
from runtime.guest.unpacking import UnpackLimits
from tests.support.exchange import Content, download, names_in, paths_of, plant, upload

pytestmark = pytest.mark.anyio

LIMITS = UnpackLimits(entries=10, total_bytes=4 * 1024**2)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (tmp_path / "secret").write_text("outside")
    return folder


@pytest.fixture
def streams(workspace: Path) -> FileStreams:
    return FileStreams(Tree(workspace), limits=LIMITS)


def packed(
    *members: tuple[str, Content], mode: str = "w", kind: bytes = b"", size: int = -1
) -> bytes:
    """A tar of files (bytes), links (text) and folders (None); `kind` overrides the last's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = 0o4777, 1_700_000_000
            if isinstance(content, bytes):
                info.size = len(content)
                info.type = kind or tarfile.REGTYPE
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type = kind or (tarfile.DIRTYPE if content is None else tarfile.SYMTYPE)
                info.linkname = content or ""
                archive.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
async def test_an_archive_is_unpacked(streams: FileStreams, workspace: Path, mode: str) -> None:
    data = packed(
        ("folder", None),
        ("folder/a.sh", b"#!/bin/sh\n"),
        ("deep/er/" + "long" * 60, b"x" * 100_001),
        ("folder/link", "../deep/er"),
        ("empty", b""),
        mode=mode,
    )
    written = await upload(streams.extract_tar, data, path="workspace/in")
    place = workspace / "in"
    assert paths_of(written) == [
        *["workspace/in/folder/a.sh", "workspace/in/deep/er/" + "long" * 60, "workspace/in/empty"]
    ]
    assert (place / "folder" / "a.sh").read_bytes() == b"#!/bin/sh\n"
    assert (place / "folder" / "a.sh").stat().st_mode & 0o7777 == 0o755
    assert (place / "folder" / "a.sh").stat().st_mtime == 1_700_000_000
    assert (place / "folder" / "link" / ("long" * 60)).stat().st_size == 100_001


async def test_what_was_packed_can_be_unpacked(streams: FileStreams, workspace: Path) -> None:
    plant(workspace / "b")
    data = (await download(streams.read_tar, path="workspace/b", recursive=True)).received
    await upload(streams.extract_tar, data, path="workspace/copy")
    assert (workspace / "copy" / "b" / "big.bin").read_bytes() == b"big" * 300_000
    assert (workspace / "copy" / "c").read_text() == "a"


async def test_an_archive_of_the_root(streams: FileStreams, workspace: Path) -> None:
    data = packed(("workspace/a.txt", b"a"), ("workspace", None))
    assert paths_of(await upload(streams.extract_tar, data, path="/")) == ["workspace/a.txt"]
    with pytest.raises(InvalidRequest, match="does not lie below workspace/"):
        await upload(streams.extract_tar, packed(("etc/passwd", b"")), path="/")


async def test_existing_files_are_replaced_only_when_asked(
    streams: FileStreams, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "a.txt").write_text("old")
    (workspace / "link").symlink_to("../secret")
    data = packed(("a.txt", b"new"), ("link", b"new"))
    with pytest.raises(Conflict, match=r"'a\.txt' exists already"):
        await upload(streams.extract_tar, data, path="workspace")
    assert (workspace / "a.txt").read_text() == "old"
    await upload(streams.extract_tar, data, path="workspace", overwrite=True)
    assert (workspace / "a.txt").read_text() == "new"
    assert (workspace / "link").read_text() == "new"
    assert (tmp_path / "secret").read_text() == "outside"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (packed(("../evil", b"x")), "leads out"),
        (packed(("a/../../evil", b"x")), "leads out"),
        (packed(("/evil", b"x")), "leads out"),
        (packed(("link", "../.."), ("link/evil", b"x")), "leads out"),
        (packed(("a/link", "../../secret")), "leads out"),
        (packed(("link", "/etc")), "leads out"),
        (packed(("f", None), ("link", "f"), ("link/evil", b"x")), "is not a folder"),
        (packed(("evil", "secret"), kind=tarfile.LNKTYPE), "neither a file"),
        (packed(("evil", None), kind=tarfile.CHRTYPE), "neither a file"),
        (packed(("evil", None), kind=tarfile.FIFOTYPE), "neither a file"),
        (b"this is not a tar" * 100, "no whole tar"),
        (b"", "no whole tar"),
        (b"\x1f\x8b" + b"garbage" * 100, "no whole tar"),
        (packed(("a", b"x" * 10_000))[:5000], "no whole tar"),
        (packed(("a", b"x" * 100_000), mode="w:gz")[:-200], "no whole tar"),
    ],
)
async def test_hostile_and_broken_archives(
    streams: FileStreams, workspace: Path, tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises((InvalidRequest, Conflict), match=message):
        await upload(streams.extract_tar, data, path="workspace/in")
    assert names_in(tmp_path) == ["secret", "workspace"]
    assert (tmp_path / "secret").read_text() == "outside"
    assert names_in(workspace) == ["in"]


async def test_archives_over_the_limits(streams: FileStreams) -> None:
    many = packed(*[(f"{n}", b"") for n in range(11)])
    with pytest.raises(PayloadTooLarge, match="10 entries"):
        await upload(streams.extract_tar, many, path="workspace")
    bomb = packed(("zeros", bytes(5 * 1024**2)), mode="w:gz")
    assert len(bomb) < 100_000
    with pytest.raises(PayloadTooLarge, match="4,194,304 bytes"):
        await upload(streams.extract_tar, bomb, path="workspace")


async def test_a_header_that_would_use_up_memory_is_refused(streams: FileStreams) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 2 * 1024**2
    data = info.tobuf(tarfile.USTAR_FORMAT) + bytes(3 * 1024**2)
    with pytest.raises(InvalidRequest, match="a header is too large"):
        await upload(streams.extract_tar, data, path="workspace")
