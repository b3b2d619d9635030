"""What one cell printed, showed and raised, as text and pictures. Knows message contents only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from runtime.guest.kernel_wire import Message
from runtime.guest.output import Transcript
from runtime.schema.content import Content, ImageContent, TextContent
from runtime.schema.steps import ToolResult

MAX_PICTURES = 20
MAX_PICTURE_BYTES = 8 * 1024**2
"""Of all pictures of a cell, before base64."""
_MAX_DISPLAYS = 1000
_MAX_HTML_CHARS = 2000
_PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")
_PLACEHOLDER = re.compile(r"<IPython\.core\.display\.\w+ object>")
_NO_USER = (
    "There is no user to ask: input() and getpass() do not work here. "
    "Put the value into the code, or ask for it in your answer."
)


@dataclass(frozen=True, slots=True)
class _Picture:
    mime_type: str
    data: str

    @property
    def size_bytes(self) -> int:
        return len(self.data) * 3 // 4


class CellOutput:
    """Collects the messages of one cell.

    The result's text comes first and names each picture in its place (`[picture 1]`); the pictures
    follow in that order.
    """

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.failed = False
        self._pictures: list[_Picture] = []
        self._left_out = 0
        self._must_clear = False
        self._numbers: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._updates: dict[str, str] = {}

    def take(self, message: Message) -> None:
        """Take one message of the cell; kinds that show nothing are passed over."""
        content = message.content
        match message.kind:
            case "stream":
                self._begin_output()
                self.transcript.write(_string(content, "text"))
            case "display_data" | "execute_result":
                self._begin_output()
                self._show(_bundle(content), _display_id(content))
            case "update_display_data":
                self._update(_bundle(content), _display_id(content))
            case "clear_output":
                self._must_clear = True
                if not content.get("wait"):
                    self._begin_output()
            case "error":
                self._begin_output()
                self._fail(content)
            case "execute_reply":
                self._take_reply(content)
            case _:
                pass

    def result(self, *closing: str, is_error: bool = False) -> ToolResult:
        """All of it; each of `closing` is a last line."""
        for display_id, text in self._updates.items():
            if text != self._texts.get(display_id):
                self.transcript.write_block(text)
        text = self.transcript.finish(*self._notes(), *closing)
        content: list[Content] = [TextContent(text=text)] if text else []
        content += [ImageContent(data=it.data, mime_type=it.mime_type) for it in self._pictures]
        return ToolResult(content, is_error or self.failed)

    def _notes(self) -> list[str]:
        if not self._left_out:
            return []
        limit = f"{MAX_PICTURES} pictures and {MAX_PICTURE_BYTES // 1024**2} MB"
        return [
            f"[{self._left_out} more pictures left out: at most {limit} a cell; "
            "save further ones to files]"
        ]

    def _begin_output(self) -> None:
        if self._must_clear:
            self._must_clear = False
            if self.transcript.clear():
                self._pictures.clear()
                self._left_out = 0

    def _show(self, bundle: dict[str, Any], display_id: str) -> None:
        picture = _picture(bundle)
        if picture is not None:
            self._add_picture(picture, display_id)
            return
        text = describe(bundle)
        self.transcript.write_block(text)
        if display_id and len(self._texts) < _MAX_DISPLAYS:
            self._texts[display_id] = text

    def _add_picture(self, picture: _Picture, display_id: str) -> None:
        if len(self._pictures) >= MAX_PICTURES or not self._fits(picture):
            self._left_out += 1
            return
        self.transcript.hold()
        self._pictures.append(picture)
        if display_id:
            self._numbers[display_id] = len(self._pictures)
        self.transcript.write_block(f"[picture {len(self._pictures)}]")

    def _fits(self, picture: _Picture, replaced_bytes: int = 0) -> bool:
        used = sum(kept.size_bytes for kept in self._pictures) - replaced_bytes
        return used + picture.size_bytes <= MAX_PICTURE_BYTES

    def _update(self, bundle: dict[str, Any], display_id: str) -> None:
        picture, number = _picture(bundle), self._numbers.get(display_id, 0)
        if picture is None:
            if display_id in self._texts:
                self._updates[display_id] = describe(bundle)
        elif 0 < number <= len(self._pictures):
            replaced = self._pictures[number - 1]
            if self._fits(picture, replaced.size_bytes):
                self._pictures[number - 1] = picture

    def _fail(self, content: dict[str, Any]) -> None:
        self.failed = True
        traceback = content.get("traceback")
        lines = [str(line) for line in traceback] if isinstance(traceback, list) else []
        name, value = _string(content, "ename"), _string(content, "evalue")
        self.transcript.write_block("\n".join(lines) or f"{name}: {value}")
        if name == "StdinNotImplementedError":
            self.transcript.write_block(_NO_USER)

    def _take_reply(self, content: dict[str, Any]) -> None:
        self.failed = self.failed or content.get("status") != "ok"
        payload = content.get("payload")
        for item in payload if isinstance(payload, list) else []:
            if isinstance(item, dict) and item.get("source") == "page":
                self.transcript.write_block(describe(_bundle(item)))


def describe(bundle: dict[str, Any]) -> str:
    """The best text for something shown: plain text, unless it only names a class."""
    plain = _string(bundle, "text/plain")
    if "image/svg+xml" in bundle:
        return f"{plain}\n[an SVG picture, not shown here: save it to a file]".lstrip()
    if plain and not _PLACEHOLDER.fullmatch(plain):
        return plain
    for kind in ("text/markdown", "text/latex"):
        if kind in bundle:
            return _string(bundle, kind)
    if "application/json" in bundle:
        return json.dumps(bundle["application/json"], ensure_ascii=False, default=str)
    html = _string(bundle, "text/html")
    if html and len(html) <= _MAX_HTML_CHARS:
        return html
    return f"{plain} [{len(html):,} characters of HTML, not shown]" if html else plain


def _picture(bundle: dict[str, Any]) -> _Picture | None:
    for mime_type in _PICTURES:
        data = bundle.get(mime_type)
        if isinstance(data, str):
            return _Picture(mime_type, "".join(data.split()))
    return None


def _bundle(content: dict[str, Any]) -> dict[str, Any]:
    data = content.get("data")
    return data if isinstance(data, dict) else {}


def _display_id(content: dict[str, Any]) -> str:
    transient = content.get("transient")
    return _string(transient, "display_id") if isinstance(transient, dict) else ""


def _string(content: dict[str, Any], key: str) -> str:
    value = content.get(key)
    if isinstance(value, list):
        return "".join(str(part) for part in value)
    return "" if value is None else str(value)
