from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.guest.searching import MAX_FOUND, MAX_MATCHES, glob_pattern
from tests.support.exchange import very_deep
from tests.support.file_bench import FileBench

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def bench(workspace: Path) -> FileBench:
    return FileBench(workspace)


async def test_a_folder_is_listed(bench: FileBench, workspace: Path) -> None:
    (workspace / "b.txt").write_text("x" * 1234)
    (workspace / "zoo").mkdir()
    (workspace / "link").symlink_to("b.txt")
    os.mkfifo(workspace / "pipe")
    text = await bench.text("list_dir", DirectoryPath=".")
    assert text == "zoo/\nb.txt (1,234 bytes)\nlink -> b.txt\npipe (named pipe)"
    assert await bench.text("list_dir", DirectoryPath="zoo") == f"{workspace}/zoo is empty."


async def test_names_that_are_not_utf_8_can_be_sent(bench: FileBench, workspace: Path) -> None:
    (workspace / os.fsdecode(b"caf\xe9.txt")).touch()
    for name, arguments in [
        ("list_dir", {"DirectoryPath": "."}),
        ("find_by_name", {"SearchDirectory": ".", "Pattern": "*.txt"}),
    ]:
        assert "caf\ufffd.txt" in await bench.text(name, **arguments)
    assert "caf\ufffd.txt" in await bench.fault("list_dir", DirectoryPath="none")


async def test_no_folder_is_too_deep_to_be_searched(bench: FileBench, workspace: Path) -> None:
    with very_deep(workspace) as deepest:
        (workspace / deepest / "found.txt").touch()
        found = await bench.text("find_by_name", SearchDirectory=".", Pattern="*.txt")
    assert found == f"{workspace}/{deepest}/found.txt"


@pytest.fixture
def tree(workspace: Path) -> Path:
    for name in ("a.csv", "src/b.csv", "src/deep/c.CSV", "src/deep/d.py", ".git/e.csv", ".h/f.csv"):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name {name}\nneedle+ in {name}\n")
    (workspace / "loop").symlink_to(".")
    return workspace


@pytest.mark.parametrize(
    ("pattern", "depth", "names"),
    [
        ("*.csv", None, [".h/f.csv", "a.csv", "src/b.csv"]),
        ("*.csv", 1, ["a.csv"]),
        ("*.{csv,py}", None, [".h/f.csv", "a.csv", "src/b.csv", "src/deep/d.py"]),
        ("src/**/*.py", None, ["src/deep/d.py"]),
        ("src/*", None, ["src/b.csv", "src/deep/"]),
        ("[ab].csv", None, ["a.csv", "src/b.csv"]),
        ("?.py", None, ["src/deep/d.py"]),
        ("deep", None, ["src/deep/"]),
        ("loop", None, ["loop"]),
    ],
)
async def test_names_are_found(
    bench: FileBench, tree: Path, pattern: str, depth: int | None, names: list[str]
) -> None:
    more = {} if depth is None else {"MaxDepth": depth}
    text = await bench.text("find_by_name", SearchDirectory=".", Pattern=pattern, **more)
    assert text.splitlines() == [f"{tree}/{name}" for name in names]


async def test_nothing_is_found(bench: FileBench, tree: Path) -> None:
    text = await bench.text("find_by_name", SearchDirectory="src", Pattern="*.xyz")
    assert text == f"Nothing below {tree}/src matches *.xyz."
    text = await bench.text("grep_search", SearchPath="src", Query="absent")
    assert text == f"No line in {tree}/src matches absent."


async def test_too_much_is_found(bench: FileBench, workspace: Path) -> None:
    for n in range(MAX_FOUND + 1):
        (workspace / f"{n}.txt").write_text("needle\n")
    text = await bench.text("find_by_name", SearchDirectory=".", Pattern="*.txt")
    assert len(text.splitlines()) == MAX_FOUND + 1
    assert text.endswith(f"[more than {MAX_FOUND}; narrow the pattern or the folder]")
    text = await bench.text("grep_search", SearchPath=".", Query="needle")
    assert len(text.splitlines()) == MAX_MATCHES + 1
    assert f"[more than {MAX_MATCHES} lines;" in text


@pytest.mark.parametrize("pattern", ["[!a]*", "[^a]*"])
def test_a_negated_class(pattern: str) -> None:
    assert glob_pattern(pattern).fullmatch("b.txt")


async def test_lines_are_found(bench: FileBench, tree: Path) -> None:
    text = await bench.text("grep_search", SearchPath=".", Query="needle+ in")
    names = [".h/f.csv", "a.csv", "src/b.csv", "src/deep/c.CSV", "src/deep/d.py"]
    assert sorted(text.splitlines()) == [f"{tree}/{name}:2: needle+ in {name}" for name in names]
    text = await bench.text("grep_search", SearchPath="a.csv", Query="needle. in", IsRegex=True)
    assert text == f"{tree}/a.csv:2: needle+ in a.csv"
    text = await bench.text("grep_search", SearchPath="a.csv", Query="-e")
    assert text.startswith("No line")


async def test_long_lines_and_binary_files_do_not_flood(bench: FileBench, workspace: Path) -> None:
    (workspace / "wide.json").write_text("needle" + "x" * 3_000_000 + "\nneedle 2\n")
    (workspace / "a.bin").write_bytes(b"\0needle\n")
    text = await bench.text("grep_search", SearchPath=".", Query="needle")
    wide, second = text.splitlines()
    assert wide.endswith("xxx...")
    assert len(wide) < 500
    assert second == f"{workspace}/wide.json:2: needle 2"


async def test_a_wrong_expression_is_a_fault(bench: FileBench, tree: Path) -> None:
    text = await bench.fault("grep_search", SearchPath=".", Query="(unclosed", IsRegex=True)
    assert text.startswith("The search failed: ")
