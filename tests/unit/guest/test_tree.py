from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import Conflict, InvalidRequest, NotFound, SandlotError
from runtime.guest.tree import FileOperations, Tree
from tests.support.exchange import Content, names_in, paths_of, plant, very_deep

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (tmp_path / "secret").write_text("outside")
    return folder


@pytest.fixture
def operations(workspace: Path) -> FileOperations:
    return FileOperations(Tree(workspace))


@pytest.fixture
def tree(workspace: Path) -> dict[str, Content]:
    return plant(workspace)


@pytest.mark.parametrize("path", ["", "/", ".", "workspace/.."])
async def test_the_root_holds_the_workspace(operations: FileOperations, path: str) -> None:
    listed = await operations.list_files({"path": path})
    assert [(entry["path"], entry["type"]) for entry in listed["files"]] == [
        ("workspace", "directory")
    ]


async def test_a_folder_is_listed(operations: FileOperations, tree: dict[str, Content]) -> None:
    listed = await operations.list_files({"path": "workspace"})
    shown = [(entry["name"], entry["type"], entry["size_bytes"]) for entry in listed["files"]]
    assert shown == [
        ("a.txt", "file", "1"),
        ("b", "directory", "0"),
        ("c", "link", "0"),
        ("pipe", "named_pipe", "0"),
    ]
    listed = await operations.list_files({"path": "workspace", "recursive": True})
    names = [f"workspace/{name}" for name in tree] + ["workspace/pipe"]
    assert paths_of(listed) == names
    assert paths_of(await operations.list_files({"recursive": True})) == names


async def test_no_folder_is_too_deep_to_be_listed(
    operations: FileOperations, workspace: Path
) -> None:
    with very_deep(workspace) as deepest:
        query: dict[str, Any] = {"path": "workspace", "recursive": True, "page_size": 1000}
        first = await operations.list_files(query)
        token = first["next_page_token"]
        second = await operations.list_files({**query, "page_token": token})
    paths = paths_of(first) + paths_of(second)
    assert len(paths) == len(deepest.split("/"))
    assert paths[-1] == f"workspace/{deepest}"


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_pages_add_up(
    operations: FileOperations, tree: dict[str, Content], size: int
) -> None:
    query: dict[str, Any] = {"path": "workspace", "recursive": True, "page_size": size}
    names: list[str] = []
    while True:
        listed = await operations.list_files(query)
        assert len(listed["files"]) <= size
        names += paths_of(listed)
        if "next_page_token" not in listed:
            break
        query["page_token"] = listed["next_page_token"]
    assert names == [f"workspace/{name}" for name in tree] + ["workspace/pipe"]


async def test_one_entry(operations: FileOperations, workspace: Path) -> None:
    (workspace / "a.csv").write_text("x")
    os.utime(workspace / "a.csv", (1_700_000_000, 1_700_000_000))
    entry = await operations.list_files({"path": "workspace/a.csv", "stat": True})
    assert entry["modified"] == "2023-11-14T22:13:20Z"
    listed = await operations.list_files({"path": "workspace/a.csv"})
    assert listed == {"files": [entry]}
    assert (await operations.list_files({"path": "", "stat": True}))["type"] == "directory"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"path": "workspace/none"}, NotFound),
        ({"path": "workspace/none", "stat": True}, NotFound),
        ({"path": "etc"}, NotFound),
        ({"path": "workspace", "page_token": "zz"}, InvalidRequest),
    ],
)
async def test_what_cannot_be_listed(
    operations: FileOperations, arguments: dict[str, Any], error: type[SandlotError]
) -> None:
    with pytest.raises(error):
        await operations.list_files(arguments)


async def test_files_are_deleted(
    operations: FileOperations, workspace: Path, tree: dict[str, Content]
) -> None:
    await operations.delete({"path": "workspace/c"})
    assert (workspace / "a.txt").exists()
    with pytest.raises(Conflict):
        await operations.delete({"path": "workspace/b"})
    await operations.delete({"path": "workspace/b", "recursive": True})
    assert names_in(workspace) == ["a.txt", "pipe"]
    for path in ("workspace", "", "workspace/none"):
        with pytest.raises((InvalidRequest, NotFound)):
            await operations.delete({"path": path, "recursive": True})
