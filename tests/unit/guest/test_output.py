from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from runtime.guest.output import OutputFolder, OutputLimits, Transcript

pytestmark = pytest.mark.anyio

LIMITS = OutputLimits(text_chars=1000, file_bytes=50_000, folder_bytes=100_000)


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    return OutputFolder(tmp_path / "outputs", LIMITS)


class Reader:
    """Takes what is emitted, and can wait for it."""

    def __init__(self) -> None:
        self.text = ""
        self._grown = anyio.Event()

    async def emit(self, piece: str) -> None:
        self.text += piece
        self._grown.set()

    async def wait_for(self, is_enough: Callable[[str], bool]) -> None:
        while not is_enough(self.text):
            await self._grown.wait()
            self._grown = anyio.Event()


def kept_in(text: str, pattern: str = r"output is in (\S+)\]") -> Path:
    found = re.search(pattern, text)
    assert found is not None
    return Path(found.group(1))


async def test_short_output_is_whole(folder: OutputFolder, tmp_path: Path) -> None:
    transcript = Transcript(folder, "bash")
    transcript.write("one\ntwo")
    assert transcript.finish() == "one\ntwo"
    assert not (tmp_path / "outputs").exists()


async def test_closing_lines_stand_on_their_own(folder: OutputFolder) -> None:
    transcript = Transcript(folder, "bash")
    transcript.write("no newline")
    assert transcript.finish("[exit status 1]") == "no newline\n[exit status 1]\n"


async def test_long_output_is_cut_in_the_middle_and_kept(folder: OutputFolder) -> None:
    lines = "".join(f"line {n}\n" for n in range(2000))
    transcript = Transcript(folder, "bash")
    for start in range(0, len(lines), 37):
        transcript.write(lines[start : start + 37])
    text = transcript.finish("[exit status 1]")
    left_out = f"[... {len(lines) - 1000:,} characters left out; the whole output is in "
    assert left_out in text
    head, _, rest = text.partition("\n[... ")
    assert head == lines[:500]
    assert rest.partition("]\n")[2] == lines[-500:] + "[exit status 1]\n"
    assert kept_in(text).read_text() == lines
    assert kept_in(text).name.startswith("bash-")


async def test_the_kept_file_has_a_limit(folder: OutputFolder) -> None:
    transcript = Transcript(folder, "bash")
    transcript.write("é" * 60_000)
    text = transcript.finish()
    kept = kept_in(text, r"its beginning is in (\S+), up to the limit")
    assert kept.stat().st_size == 50_000


async def test_old_outputs_make_room(folder: OutputFolder, tmp_path: Path) -> None:
    for _ in range(5):
        transcript = Transcript(folder, "bash")
        transcript.write("x" * 40_000)
        newest = kept_in(transcript.finish())
    kept = list((tmp_path / "outputs").iterdir())
    assert newest in kept
    assert len(kept) == 3


async def test_output_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file in the way")
    transcript = Transcript(OutputFolder(tmp_path / "outputs", LIMITS), "bash")
    transcript.write("x" * 5000)
    assert "could not be kept: File exists" in transcript.finish()


async def test_what_is_emitted_starts_the_final_text(folder: OutputFolder) -> None:
    reader = Reader()
    transcript = Transcript(folder, "bash")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transcript.pump, reader.emit)
        transcript.write("first\nthinking...")
        await reader.wait_for(lambda text: "thinking..." in text)
        transcript.write("\rthought\nfetch 1%")
        await reader.wait_for(lambda text: "thought\n" in text)
        transcript.write("\rfetch 9%\n")
        transcript.write("y" * 5000)
        await reader.wait_for(lambda text: len(text) == 500)
        tasks.cancel_scope.cancel()
    text = transcript.finish()
    assert reader.text.startswith("first\nthinking...\nthought\nfetch")
    assert "left out" in text
    assert text.startswith(reader.text)


async def test_what_is_held_is_not_emitted_and_can_be_cleared(folder: OutputFolder) -> None:
    reader = Reader()
    transcript = Transcript(folder, "python")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transcript.pump, reader.emit)
        transcript.write("title\n")
        transcript.hold()
        transcript.write_block("[picture 1]")
        await reader.wait_for(lambda text: text == "title\n")
        assert transcript.clear()
        transcript.write("after\n")
        await reader.wait_for(lambda text: "after" in text)
        tasks.cancel_scope.cancel()
    assert transcript.finish() == "title\nafter\n"


async def test_cut_output_cannot_be_cleared(folder: OutputFolder) -> None:
    transcript = Transcript(folder, "python")
    transcript.write("x" * 2000 + "\n")
    assert not transcript.clear()
    assert "left out" in transcript.finish()


async def test_blocks_stand_on_lines_of_their_own(folder: OutputFolder) -> None:
    transcript = Transcript(folder, "python")
    transcript.write("printed")
    transcript.write_block("value\n")
    transcript.write_block("next")
    assert transcript.finish() == "printed\nvalue\nnext\n"
