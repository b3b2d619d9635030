"""The text of documents, made once and kept beside the document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import anyio

from runtime.controller.media import text_path
from runtime.ids import new_id
from runtime.tools.documents import UnreadableError

__all__ = ["DocumentTexts", "Reader", "UnreadableError"]


class Reader(Protocol):
    """Turns documents into text."""

    async def read(self, kind: str, document: bytes | Path, url: str = "") -> tuple[str, str]:
        """Title and text. Raises `UnreadableError`, `OSError`."""
        ...


class DocumentTexts:
    """Texts of the documents of callers."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of(self, path: Path, kind: str) -> str:
        """The text of the document at `path`. Raises `UnreadableError`, `FileNotFoundError`."""
        kept = anyio.Path(text_path(path))
        if await kept.exists():
            found: Any = json.loads(await kept.read_text("utf-8"))
            if found["kind"] == kind:
                return found["text"]
        title, text = await self._reader.read(kind, path)
        if title.strip() and title.strip() not in text:
            text = f"# {title.strip()}\n\n{text}"
        made = anyio.Path(path.with_name(f"{path.name}.{new_id('new')}"))
        await made.write_text(json.dumps({"kind": kind, "text": text}), "utf-8")
        await made.rename(kept)
        return text
