from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.schema.content import ImageContent
from tests.support.file_bench import MAX_CHARS, FileBench

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def bench(workspace: Path) -> FileBench:
    return FileBench(workspace)


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\0")
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


# view_file


async def test_lines_are_numbered(bench: FileBench, workspace: Path) -> None:
    (workspace / "a.txt").write_text("one\ntwo\r\n\nfour")
    assert await bench.text("view_file", AbsolutePath="a.txt") == "1: one\n2: two\n3: \n4: four"


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [(2, 3, "2: b\n3: c"), (3, None, "3: c\n4: d"), (4, 9, "4: d"), (1, 1, "1: a")],
)
async def test_a_range_of_lines(
    bench: FileBench, workspace: Path, start: int, end: int | None, shown: str
) -> None:
    (workspace / "a.txt").write_text("a\nb\nc\nd\n")
    arguments = {"StartLine": start} | ({} if end is None else {"EndLine": end})
    assert await bench.text("view_file", AbsolutePath="a.txt", **arguments) == shown


async def test_a_long_file_can_be_read_to_its_end(bench: FileBench, workspace: Path) -> None:
    lines = [f"line {n} of many" for n in range(1, 101)]
    (workspace / "long.txt").write_text("\n".join(lines) + "\n")
    seen: list[str] = []
    next_line: int | None = 1
    while next_line is not None:
        text = await bench.text("view_file", AbsolutePath="long.txt", StartLine=next_line)
        assert len(text) < MAX_CHARS * 2
        note = re.search(r"\n\[lines \d+-\d+ of 100; go on with StartLine=(\d+)\]$", text)
        shown = text[: note.start()] if note else text
        seen += [line.partition(": ")[2] for line in shown.splitlines()]
        next_line = int(note.group(1)) if note else None
    assert seen == lines


async def test_a_long_line_can_be_read_to_its_end(bench: FileBench, workspace: Path) -> None:
    line = "".join(f"<{n}>" for n in range(500))
    (workspace / "wide.json").write_text(f"first\n{line}\nlast\n")
    arguments = {"StartLine": 2}
    seen = ""
    while True:
        text = await bench.text("view_file", AbsolutePath="wide.json", **arguments)
        note = re.search(r"\n\[line 2 is cut; go on with StartLine=2 ContentOffset=(\d+)\]$", text)
        if note is None:
            break
        seen += text[: note.start()].rpartition("2: ")[2]
        arguments = {"StartLine": 2, "ContentOffset": int(note.group(1))}
    rest, _, last = text.partition("\n")
    assert seen + rest.removeprefix("2: ") == line
    assert last == "3: last"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("\ufeffbom\n".encode(), "1: bom"),
        ("é\n".encode("latin-1"), "1: é"),
        ("wide é\n".encode("utf-16"), "1: wide é"),
        (b"", "[the file is empty]"),
        ("日本 🙂".encode(), "1: 日本 🙂"),
    ],
)
async def test_text_of_every_encoding(
    bench: FileBench, workspace: Path, data: bytes, shown: str
) -> None:
    (workspace / "a.txt").write_bytes(data)
    assert await bench.text("view_file", AbsolutePath="a.txt") == shown


async def test_pictures_come_as_pictures(bench: FileBench, workspace: Path) -> None:
    (workspace / "dot.png").write_bytes(png())
    result = await bench.call("view_file", AbsolutePath="dot.png")
    assert result.text == f"{workspace}/dot.png (image/png, {len(png())} bytes)"
    picture = result.content[1]
    assert isinstance(picture, ImageContent)
    assert picture.mime_type == "image/png"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.bin", b"\0\1\2", "is a binary file of 3 bytes. Use code_execution: `file "),
        ("a.pdf", b"%PDF-1.7\n", "`pdftotext -layout "),
        ("a b.zip", b"PK\3\4\0", "unzip -l '"),
        ("a.ipynb", b"{}", "is a notebook of 2 bytes. Use code_execution: `jq"),
        ("big.png", png() + b"\0" * 5 * 1024**2, "Make it smaller first"),
    ],
)
async def test_what_cannot_be_shown_says_how_to_read_it(
    bench: FileBench, workspace: Path, name: str, data: bytes, message: str
) -> None:
    (workspace / name).write_bytes(data)
    assert message in await bench.fault("view_file", AbsolutePath=name)


async def test_a_notebook_is_shown_when_lines_are_asked_for(
    bench: FileBench, workspace: Path
) -> None:
    (workspace / "a.ipynb").write_text("{\n}")
    shown = await bench.text("view_file", AbsolutePath="a.ipynb", StartLine=2)
    assert shown == "2: }"


async def test_a_missing_file_has_a_suggestion(bench: FileBench, workspace: Path) -> None:
    (workspace / "data").mkdir()
    (workspace / "data" / "sales.csv").touch()
    text = await bench.fault("view_file", AbsolutePath="data/sale.csv")
    assert text.endswith(f"does not exist. Did you mean {workspace}/data/sales.csv?")
    text = await bench.fault("view_file", AbsolutePath="dta/sales.csv")
    assert text.endswith(f"Did you mean {workspace}/data?")
    text = await bench.fault("view_file", AbsolutePath="data/zzz")
    assert text.endswith(f"{workspace}/data holds: sales.csv.")


async def test_what_is_no_file_is_refused_at_once(bench: FileBench, workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    (workspace / "dangling").symlink_to("nowhere")
    with anyio.fail_after(30):
        assert "is a named pipe" in await bench.fault("view_file", AbsolutePath="pipe")
        assert "is a device" in await bench.fault("view_file", AbsolutePath="/dev/zero")
        assert "is a folder. List it" in await bench.fault("view_file", AbsolutePath=".")
        assert "is a link to nowhere" in await bench.fault("view_file", AbsolutePath="dangling")
        assert "is a named pipe" in await bench.fault("grep_search", SearchPath="pipe", Query="x")
        text = await bench.fault("write_to_file", TargetFile="pipe", CodeContent="", Overwrite=True)
        assert "is a named pipe" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"StartLine": 9}, "has only 2 lines"),
        ({"StartLine": 2, "EndLine": 1}, "counted from 1"),
        ({"StartLine": 0}, "counted from 1"),
        ({"ContentOffset": 100}, "fewer characters than ContentOffset"),
        ({"AbsolutePath": ""}, "is empty"),
        ({"AbsolutePath": "a\0b"}, "NUL"),
    ],
)
async def test_a_window_beyond_the_file(
    bench: FileBench, workspace: Path, arguments: dict[str, Any], message: str
) -> None:
    (workspace / "a.txt").write_text("a\nb\n")
    assert message in await bench.fault("view_file", **{"AbsolutePath": "a.txt", **arguments})


# write_to_file


async def test_a_file_is_written_with_its_folders(bench: FileBench, workspace: Path) -> None:
    text = await bench.text("write_to_file", TargetFile="new/deep/é.txt", CodeContent="é\nb")
    assert text == f"Wrote {workspace}/new/deep/é.txt: 2 lines, 4 bytes."
    assert (workspace / "new" / "deep" / "é.txt").read_bytes() == "é\nb".encode()
    assert [path.name for path in (workspace / "new" / "deep").iterdir()] == ["é.txt"]


async def test_an_existing_file_is_replaced_only_when_asked(
    bench: FileBench, workspace: Path
) -> None:
    script = workspace / "run.sh"
    script.write_text("old")
    script.chmod(0o755)
    text = await bench.fault("write_to_file", TargetFile="run.sh", CodeContent="new")
    assert "exists already (3 bytes)" in text
    assert script.read_text() == "old"
    await bench.text("write_to_file", TargetFile="run.sh", CodeContent="new", Overwrite=True)
    assert script.read_text() == "new"
    assert script.stat().st_mode & 0o777 == 0o755


async def test_writing_through_a_link_changes_the_file(bench: FileBench, workspace: Path) -> None:
    (workspace / "real.txt").write_text("old")
    (workspace / "link.txt").symlink_to("real.txt")
    await bench.text("write_to_file", TargetFile="link.txt", CodeContent="new", Overwrite=True)
    assert (workspace / "real.txt").read_text() == "new"
    assert (workspace / "link.txt").is_symlink()


async def test_a_folder_that_is_a_file_is_an_error(bench: FileBench, workspace: Path) -> None:
    (workspace / "a").write_text("")
    text = await bench.fault("write_to_file", TargetFile="a/b.txt", CodeContent="")
    assert "Not a directory" in text or "File exists" in text


async def test_text_that_is_not_text_is_refused(bench: FileBench) -> None:
    text = await bench.fault("write_to_file", TargetFile="a.txt", CodeContent="ab\ud83d")
    assert text == "Character 2 of the text is half of a pair."


# replace_file_content


async def replace(bench: FileBench, target: str, replacement: str, **more: Any) -> str:
    arguments = {"TargetContent": target, "ReplacementContent": replacement, **more}
    return await bench.text("replace_file_content", TargetFile="a.py", **arguments)


async def replace_fault(
    bench: FileBench, target: str, replacement: str = "new", **more: Any
) -> str:
    arguments = {"TargetContent": target, "ReplacementContent": replacement, **more}
    return await bench.fault("replace_file_content", TargetFile="a.py", **arguments)


async def test_a_piece_is_replaced_and_shown(bench: FileBench, workspace: Path) -> None:
    (workspace / "a.py").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    text = await replace(bench, "line 5\nline 6\n", "five\nand a half\nsix\n")
    assert text.splitlines() == [
        f"Replaced in {workspace}/a.py:",
        *["2: line 2", "3: line 3", "4: line 4", "5: five", "6: and a half", "7: six"],
        *["8: line 7", "9: line 8", "10: line 9", "11: line 10"],
    ]


async def test_a_range_decides_between_several_places(bench: FileBench, workspace: Path) -> None:
    (workspace / "a.py").write_text("x = 1\ny\nx = 1\nz\nx = 1\n")
    text = await replace_fault(bench, "x = 1")
    assert "stands 3 times in" in text
    assert "at lines 1, 3, 5." in text
    await replace(bench, "x = 1", "x = 2", StartLine=2, EndLine=4)
    assert (workspace / "a.py").read_text() == "x = 1\ny\nx = 2\nz\nx = 1\n"


async def test_overlapping_places_are_counted(bench: FileBench, workspace: Path) -> None:
    (workspace / "a.py").write_text("aaa")
    assert "stands 2 times" in await replace_fault(bench, "aa")


async def test_a_near_match_is_shown(bench: FileBench, workspace: Path) -> None:
    (workspace / "a.py").write_text("def f():\n    return  total(x)\n\nother\n")
    text = await replace_fault(bench, "return total(x)")
    assert "does not stand in" in text
    assert "2:     return  total(x)" in text
    text = await replace_fault(bench, "other\nline")
    assert "Line 4 comes close (its white space or the lines after it differ)" in text
    assert "nothing in it looks similar" in await replace_fault(bench, "zzzzzzzz")


async def test_windows_line_ends_are_kept(bench: FileBench, workspace: Path) -> None:
    (workspace / "a.py").write_bytes(b"a\r\nb\r\nc\r\n")
    await replace(bench, "a\nb", "x\ny\nz")
    assert (workspace / "a.py").read_bytes() == b"x\r\ny\r\nz\r\nc\r\n"


@pytest.mark.parametrize(
    ("target", "replacement", "more", "message"),
    [
        ("", "x", {}, "TargetContent is empty"),
        ("a", "a", {}, "are the same"),
        ("a", "b", {"StartLine": 7}, "has 1 lines; 7 to 1 is no range"),
        (" ", "b", {}, "nothing but white space"),
    ],
)
async def test_changes_that_make_no_sense(
    bench: FileBench, workspace: Path, target: str, replacement: str, more: Any, message: str
) -> None:
    (workspace / "a.py").write_text("a\n")
    assert message in await replace_fault(bench, target, replacement, **more)


async def test_bytes_that_are_no_text_are_not_edited(bench: FileBench, workspace: Path) -> None:
    (workspace / "a.py").write_bytes(b"\xff\xfe a")
    assert "is not UTF-8 text" in await replace_fault(bench, "a")
