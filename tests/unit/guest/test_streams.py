from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    SandboxLost,
    SandlotError,
)
from runtime.guest.streams import FileStreams
from runtime.guest.tree import Tree
from tests.support.exchange import Content, download, names_in, plant, upload

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (tmp_path / "secret").write_text("outside")
    return folder


@pytest.fixture
def streams(workspace: Path) -> FileStreams:
    return FileStreams(Tree(workspace), max_file_bytes=8 * 1024**2)


async def test_a_file_comes_whole(streams: FileStreams, workspace: Path) -> None:
    data = os.urandom(3_000_001)
    (workspace / "a.csv").write_bytes(data)
    done = await download(streams.read_file, path="workspace/a.csv")
    assert done.received == data
    assert done.told == {"size_bytes": len(data), "mime_type": "text/csv"}


async def test_an_empty_file_comes(streams: FileStreams, workspace: Path) -> None:
    (workspace / "empty").touch()
    done = await download(streams.read_file, path="/workspace/empty")
    assert (done.received, done.told["size_bytes"]) == (b"", 0)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("workspace/none", NotFound),
        ("workspace/a.csv/b", NotFound),
        ("secret", NotFound),
        ("workspace/../secret", NotFound),
        ("workspace/outside", NotFound),
        ("workspace/folder-link/secret", NotFound),
        ("workspace/pipe", InvalidRequest),
        ("workspace", InvalidRequest),
        ("", InvalidRequest),
        ("workspace/a\0b", InvalidRequest),
    ],
)
async def test_what_cannot_be_read(
    streams: FileStreams, workspace: Path, path: str, error: type[SandlotError]
) -> None:
    (workspace / "a.csv").touch()
    (workspace / "outside").symlink_to("../secret")
    (workspace / "folder-link").symlink_to("..")
    os.mkfifo(workspace / "pipe")
    with pytest.raises(error):
        await download(streams.read_file, path=path)


async def test_links_inside_the_workspace_are_followed(
    streams: FileStreams, workspace: Path
) -> None:
    (workspace / "real").mkdir()
    (workspace / "real" / "a.txt").write_text("text")
    (workspace / "link").symlink_to("real")
    done = await download(streams.read_file, path="workspace/link/a.txt")
    assert done.received == b"text"


async def test_a_file_is_written_with_its_folders(streams: FileStreams, workspace: Path) -> None:
    data = os.urandom(2_500_000)
    written = await upload(streams.write_file, data, path="workspace/new/deep/a.png")
    assert (workspace / "new" / "deep" / "a.png").read_bytes() == data
    entry = written["files"][0]
    assert entry["path"] == "workspace/new/deep/a.png"
    assert (entry["name"], entry["type"], entry["mime_type"]) == ("a.png", "file", "image/png")
    assert entry["size_bytes"] == "2500000"
    assert names_in(workspace / "new" / "deep") == ["a.png"]


async def test_an_existing_file_is_replaced_only_when_asked(
    streams: FileStreams, workspace: Path
) -> None:
    (workspace / "a.txt").write_text("old")
    with pytest.raises(Conflict, match="exists already"):
        await upload(streams.write_file, b"new", path="workspace/a.txt")
    assert (workspace / "a.txt").read_text() == "old"
    await upload(streams.write_file, b"new", path="workspace/a.txt", overwrite=True)
    assert (workspace / "a.txt").read_text() == "new"


async def test_a_link_is_replaced_and_not_written_through(
    streams: FileStreams, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "link").symlink_to("../secret")
    await upload(streams.write_file, b"new", path="workspace/link", overwrite=True)
    assert (tmp_path / "secret").read_text() == "outside"
    assert (workspace / "link").read_text() == "new"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("workspace", InvalidRequest),
        ("", InvalidRequest),
        ("etc/passwd", NotFound),
        ("workspace/folder", Conflict),
        ("workspace/file/below", Conflict),
        ("workspace/out/a.txt", NotFound),
    ],
)
async def test_where_nothing_can_be_written(
    streams: FileStreams, workspace: Path, tmp_path: Path, path: str, error: type[SandlotError]
) -> None:
    (workspace / "folder").mkdir()
    (workspace / "file").touch()
    (workspace / "out").symlink_to("..")
    with pytest.raises(error):
        await upload(streams.write_file, b"x", path=path, overwrite=True)
    assert names_in(tmp_path) == ["secret", "workspace"]


async def test_a_file_over_the_limit_leaves_nothing(streams: FileStreams, workspace: Path) -> None:
    with pytest.raises(PayloadTooLarge, match="8,388,608 bytes"):
        await upload(streams.write_file, b"x" * (8 * 1024**2 + 1), path="workspace/big")
    assert names_in(workspace) == []


async def test_cancelling_ends_a_transfer_and_leaves_nothing(
    streams: FileStreams, workspace: Path
) -> None:
    ours, theirs = socket.socketpair()
    begun = anyio.Event()

    async def started(info: dict[str, Any]) -> None:
        begun.set()

    with ours, theirs, anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            arguments = {"path": "workspace/a.bin"}
            tasks.start_soon(streams.write_file, arguments, theirs, started)
            await begun.wait()
            ours.sendall(b"part of it")
            tasks.cancel_scope.cancel()
    assert names_in(workspace) == []


async def test_a_sender_that_goes_away_leaves_nothing(
    streams: FileStreams, workspace: Path
) -> None:
    ours, theirs = socket.socketpair()

    async def started(info: dict[str, Any]) -> None:
        ours.sendall(b"part of it")
        ours.close()

    with theirs, pytest.raises(SandboxLost, match="broke off before the end"):
        await streams.write_file({"path": "workspace/a.bin"}, theirs, started)
    assert names_in(workspace) == []


async def test_a_reader_that_goes_away_is_noticed(streams: FileStreams, workspace: Path) -> None:
    (workspace / "big").write_bytes(b"x" * 4_000_000)
    ours, theirs = socket.socketpair()

    async def started(info: dict[str, Any]) -> None:
        ours.close()

    with theirs, pytest.raises(SandboxLost):
        await streams.read_file({"path": "workspace/big"}, theirs, started)


def unpacked(data: bytes) -> dict[str, Content]:
    """Names in a tar: to the bytes of files, the targets of links, None for folders."""
    assert len(data) % 512 == 0
    assert data.endswith(b"\0" * 1024)
    found: dict[str, Content] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            found[member.name] = file.read() if file else member.linkname or None
    return found


@pytest.fixture
def tree(workspace: Path) -> dict[str, Content]:
    return plant(workspace)


async def test_a_folder_comes_as_a_tar(streams: FileStreams, tree: dict[str, Content]) -> None:
    done = await download(streams.read_tar, path="workspace", recursive=True)
    found = unpacked(done.received)
    assert found == tree
    assert list(found) == list(tree)


async def test_the_root_comes_as_a_tar(streams: FileStreams, tree: dict[str, Content]) -> None:
    done = await download(streams.read_tar, path="", recursive=True)
    below = {f"workspace/{name}": content for name, content in tree.items()}
    assert unpacked(done.received) == {"workspace": None, **below}
    assert unpacked((await download(streams.read_tar, path="")).received) == {}


async def test_a_tar_that_is_not_recursive_holds_the_files(
    streams: FileStreams, tree: dict[str, Content]
) -> None:
    found = unpacked((await download(streams.read_tar, path="workspace")).received)
    assert found == {"a.txt": b"a", "c": "a.txt"}


async def test_a_file_is_no_tar(streams: FileStreams, workspace: Path) -> None:
    (workspace / "a.txt").touch()
    with pytest.raises(InvalidRequest, match="is not a folder"):
        await download(streams.read_tar, path="workspace/a.txt")
