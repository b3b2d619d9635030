"""What a model is shown of a file: numbered lines, a picture, or how to read it otherwise."""

from __future__ import annotations

import codecs
import io
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runtime.errors import ToolFault
from runtime.guest.paths import open_regular
from runtime.schema.content import TextContent, image_from_bytes
from runtime.schema.steps import ToolResult, text_result

MAX_PICTURE_BYTES = 5 * 1024**2
_BLOCK_CHARS = 1024**2
_COUNTED_CHARS = 256 * 1024**2
"""Lines beyond the shown ones are counted that far."""
_SNIFFED_BYTES = 8192
_MAX_CONTROL_SHARE = 0.02

_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_READERS = {
    ".pdf": "`pdftotext -layout {path} -` in bash",
    ".ipynb": "`jq -r '.cells[] | .cell_type, (.source | join(\"\"))' {path}` in bash",
    ".xlsx": "`pandas.read_excel` in python",
    ".xls": "`pandas.read_excel` in python",
    ".docx": "`unzip -p {path} word/document.xml` in bash",
    ".parquet": "`pandas.read_parquet` in python",
    ".npy": "`numpy.load` in python",
    ".sqlite": "`sqlite3 {path} .schema` in bash",
    ".db": "`sqlite3 {path} .schema` in bash",
    ".zip": "`unzip -l {path}` in bash",
    ".tar": "`tar -tf {path}` in bash",
    ".tgz": "`tar -tf {path}` in bash",
    ".gz": "`zcat {path} | head` in bash",
}
_ANY_READER = "`file {path}` and `xxd {path} | head` in bash, or open it in python"


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a file to show: lines from 1, the last one included, characters skipped."""

    start_line: int = 1
    end_line: int | None = None
    skip_chars: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing in particular was asked for."""
        return self == Window()


def view(path: Path, window: Window, max_chars: int) -> ToolResult:
    """Show a file. Raises `ToolFault` for one that cannot be shown."""
    with open_regular(path) as file:
        start = file.read(_SNIFFED_BYTES)
        file.seek(0)
        mime_type = picture_type(start)
        if mime_type is not None:
            return _view_picture(path, file, mime_type)
        encoding = guess_encoding(start)
        if encoding is None or (path.suffix == ".ipynb" and window.is_whole):
            raise ToolFault(_other_way(path, os.fstat(file.fileno()).st_size))
        with io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="\n") as text:
            return text_result(_Viewer(path, text).show(window, max_chars))


def picture_type(start: bytes) -> str | None:
    """The mime type of a picture that begins with these bytes; None for anything else."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _PICTURES.items() if start.startswith(magic)), None)


def guess_encoding(start: bytes) -> str | None:
    """How text that begins with these bytes is encoded; None for what is not text."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in start or start.startswith(b"%PDF-"):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        control = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in start)
        return "latin-1" if control <= len(start) * _MAX_CONTROL_SHARE else None
    return "utf-8-sig"


class _Viewer:
    """Reads through a text once, keeping count of where it is."""

    def __init__(self, path: Path, text: io.TextIOWrapper) -> None:
        self._path = path
        self._text = text
        self._line = 1
        self._column = 0

    def show(self, window: Window, max_chars: int) -> str:
        """The lines of the window, numbered, and a note when there are more."""
        self._skip_lines(window.start_line - 1)
        self._skip_chars(window.skip_chars)
        first, room, shown = self._line, max_chars, list[str]()
        while window.end_line is None or self._line <= window.end_line:
            number = self._line
            piece = self._text.readline(max_chars)
            self._advance(piece)
            if len(piece) > room:
                return "\n".join([*shown, self._note_rest(first, number)])
            if not piece:
                break
            room -= len(piece)
            shown.append(f"{number}: {piece.rstrip(chr(10)).rstrip(chr(13))}")
            if room == 0 and self._column and self._text.read(1):
                shown.append(
                    f"[line {number} is cut; go on with StartLine={number} "
                    f"ContentOffset={self._column}]"
                )
                break
        if not shown:
            return "[the file is empty]" if self._line == 1 else "[nothing is left to show]"
        return "\n".join(shown)

    def _note_rest(self, first: int, next_line: int) -> str:
        total = self._count_lines()
        of = f" of {total:,}" if total else ""
        return f"[lines {first}-{next_line - 1}{of}; go on with StartLine={next_line}]"

    def _count_lines(self) -> int:
        """How many lines the file has; 0 when it is too long to count them."""
        counted = 0
        while block := self._text.read(_BLOCK_CHARS):
            self._advance(block)
            counted += len(block)
            if counted > _COUNTED_CHARS:
                return 0
        return self._line - (self._column == 0)

    def _skip_lines(self, count: int) -> None:
        while self._line <= count:
            piece = self._text.readline(_BLOCK_CHARS)
            if not piece:
                lines = self._line - (self._column == 0)
                raise ToolFault(f"{self._path} has only {lines:,} lines.")
            self._advance(piece)

    def _skip_chars(self, count: int) -> None:
        while count > 0:
            block = self._text.read(min(count, _BLOCK_CHARS))
            if not block:
                raise ToolFault(f"{self._path} has fewer characters than ContentOffset from there.")
            self._advance(block)
            count -= len(block)

    def _advance(self, piece: str) -> None:
        newlines = piece.count("\n")
        self._line += newlines
        self._column = len(piece) - piece.rfind("\n") - 1 + (0 if newlines else self._column)


def _view_picture(path: Path, file: BinaryIO, mime_type: str) -> ToolResult:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_PICTURE_BYTES:
        raise ToolFault(
            f"{path} is a picture of {size:,} bytes; only those up to {MAX_PICTURE_BYTES:,} can be "
            "shown. Make it smaller first, with Pillow in python."
        )
    text = TextContent(text=f"{path} ({mime_type}, {size:,} bytes)")
    return ToolResult([text, image_from_bytes(file.read(), mime_type)])


def _other_way(path: Path, size_bytes: int) -> str:
    kind = "a notebook" if path.suffix == ".ipynb" else "a binary file"
    reader = _READERS.get(path.suffix.lower(), _ANY_READER)
    how = reader.format(path=shlex.quote(str(path)))
    return f"{path} is {kind} of {size_bytes:,} bytes. Use code_execution: {how}."
