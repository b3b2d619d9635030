"""The text output of one tool call: told live from its start, cut in the middle, kept whole.

What is emitted while a tool runs is always a prefix of the final text: `finish()` returns a text
that starts with everything that `pump` handed to `emit`, so a reader who has shown n characters
goes on with `final[n:]`. Only the first half of the budget is told live; when the output turns out
longer than the budget, the final text is that half, a note with the place of the whole, and the
end of the output. A finished text is never changed, so what could still change (a progress line)
is held back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from runtime import clock
from runtime.guest.cleaning import Cleaner
from runtime.guest.tools import Emit

_FIRST_EMIT_SECONDS = 0.03
_EMIT_SECONDS = 0.05
_PIECE_CHARS = 64 * 1024
"""What is cleaned at once, so that one huge piece is not copied several times."""


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """How much text a result may hold, and how much is kept in files beside it."""

    text_chars: int = 20_000
    file_bytes: int = 64 * 1024**2
    """Of one output; the rest is dropped."""
    folder_bytes: int = 256 * 1024**2
    """Of all kept outputs; the oldest are deleted."""


class OutputFolder:
    """Where outputs that were cut are kept whole."""

    def __init__(self, folder: Path, limits: OutputLimits) -> None:
        self.limits = limits
        self._folder = folder

    def set_text_limit(self, text_chars: int | None) -> None:
        """How much text a result may hold from now on; None for the default."""
        default = type(self.limits)().text_chars
        self.limits = replace(self.limits, text_chars=text_chars or default)

    def create(self, kind: str) -> KeptOutput:
        """A new file for an output of `kind`, such as `bash`. Raises `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._prune()
        stamp = clock.now().strftime("%Y%m%d-%H%M%S-%f")
        path = self._folder / f"{kind}-{stamp}.txt"
        return KeptOutput(path, self.limits.file_bytes)

    def _prune(self) -> None:
        files = [(path, path.stat()) for path in self._folder.iterdir() if path.is_file()]
        files.sort(key=lambda item: item[1].st_mtime)
        excess = sum(stat.st_size for _, stat in files) - self.limits.folder_bytes
        for path, stat in files:
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= stat.st_size


class KeptOutput:
    """A file that takes text up to a limit. A full disk ends it early; the tool goes on."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Make the file. Raises `OSError`."""
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._room = limit_bytes
        self._failure = ""

    def write(self, text: str) -> None:
        """Append `text`, as far as there is room for it."""
        data = text.encode("utf-8", "replace")[: self._room]
        if self._failure or not data:
            return
        try:
            self._room -= self._file.write(data)
        except OSError as error:
            self._failure = error.strerror or str(error)

    def close(self) -> None:
        """Finish the file; may be called twice."""
        self._file.close()

    def describe(self) -> str:
        """Where the output is, and how much of it."""
        if self._failure:
            return f"its beginning is in {self._path}, then writing failed: {self._failure}"
        if self._room <= 0:
            return f"its beginning is in {self._path}, up to the limit of such a file"
        return f"the whole output is in {self._path}"


class Transcript:
    """Collects the output of one tool call within the budget."""

    def __init__(self, folder: OutputFolder, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        limit = folder.limits.text_chars
        self._limit = limit
        self._head_room = limit // 2
        self._tail_room = limit - limit // 2
        self._cleaner = Cleaner()
        self._changed = anyio.Event()
        self._head = ""
        self._tail = ""
        self._total = 0
        self._emitted = 0
        self._emit_up_to = self._head_room
        self._kept: KeptOutput | None = None
        self._lost = ""

    def write(self, raw: str) -> None:
        """Take a piece of raw output, cut anywhere."""
        for start in range(0, len(raw), _PIECE_CHARS):
            self._keep(self._cleaner.feed(raw[start : start + _PIECE_CHARS]))
        self._changed.set()

    def write_block(self, text: str) -> None:
        """Take text that stands on lines of its own, such as the value of an expression."""
        self._keep(self._cleaner.finish())
        last = (self._head + self._tail[-1:])[-1:]
        separator = "\n" if last not in ("", "\n") else ""
        self.write(separator + text.rstrip("\n") + "\n")

    def hold(self) -> None:
        """Emit nothing that is written from here on: it may yet be cleared."""
        self._keep(self._cleaner.flush())
        self._emit_up_to = min(self._emit_up_to, len(self._head))

    def clear(self) -> bool:
        """Forget what was not emitted yet; False when the output was cut and kept already."""
        if self._total > self._limit:
            return False
        self._cleaner.drop_line()
        self._head = self._head[: self._emitted]
        self._tail = ""
        self._total = len(self._head)
        self._emit_up_to = self._head_room
        if self._head and not self._head.endswith("\n"):
            self._keep("\n")
        return True

    async def pump(self, emit: Emit) -> None:
        """Emit the output while it grows; cancel it when the tool is done."""
        pause = _FIRST_EMIT_SECONDS
        while self._emitted < self._head_room:
            await self._changed.wait()
            await anyio.sleep(pause)
            self._changed = anyio.Event()
            self._keep(self._cleaner.flush())
            piece = self._head[self._emitted : self._emit_up_to]
            self._emitted += len(piece)
            if piece:
                await emit(piece)
            pause = _EMIT_SECONDS

    def finish(self, *closing: str) -> str:
        """The final text; each of `closing` is a last line that is never cut."""
        self._keep(self._cleaner.finish())
        self.close()
        text = self._head + self._rest()
        for line in closing:
            text += "\n" if text and not text.endswith("\n") else ""
            text += line + "\n"
        return text

    def close(self) -> None:
        """Let go of the file of a cut output; may be called twice."""
        if self._kept is not None:
            self._kept.close()

    def _rest(self) -> str:
        if self._total <= self._limit:
            return self._tail
        left_out = self._total - self._limit
        place = self._kept.describe() if self._kept else f"it could not be kept: {self._lost}"
        end = self._tail[-self._tail_room :]
        return f"\n[... {left_out:,} characters left out; {place}]\n{end}"

    def _keep(self, text: str) -> None:
        room = self._head_room - len(self._head)
        self._head += text[:room]
        self._tail += text[room:]
        self._total += len(text)
        if self._total <= self._limit:
            return
        if self._kept is not None:
            self._kept.write(text)
        elif not self._lost:
            self._keep_whole()
        if len(self._tail) > 4 * self._tail_room:
            self._tail = self._tail[-self._tail_room :]

    def _keep_whole(self) -> None:
        try:
            self._kept = self._folder.create(self._kind)
        except OSError as error:
            self._lost = error.strerror or str(error)
        else:
            self._kept.write(self._head + self._tail)
