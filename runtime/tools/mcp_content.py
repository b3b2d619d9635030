"""What an MCP server says, in our own words: tools, results, and nothing that is too large."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from mcp_types import (
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
)

from runtime.schema import content
from runtime.schema.model import FunctionDeclaration
from runtime.schema.steps import ToolResult
from runtime.tools.mcp_schema import is_schema

MAX_DESCRIPTION = 4000
MAX_TEXT = 200_000
"""Characters of text in one result."""
MAX_PICTURE = 8 * 1024 * 1024
"""Base64 characters of one picture."""
MAX_PARTS = 100
_TEXTS = {"application/json", "application/xml", "application/yaml"}
MAX_NAME = 64
"""What every provider of models takes."""


MIN_SECRET = 8
"""Shorter values of headers are not looked for: they stand in every answer by chance."""
MIN_STORED_SECRET = 4
"""The same for a stored credential, of which it is known that it is secret."""


class Secrets:
    """Values that must not come back to a model, a log or an event."""

    def __init__(self, values: Iterable[str]) -> None:
        self._found = set[str]()
        for value in values:
            self._found |= {one for one in (value, *value.split()) if len(one) >= MIN_SECRET}
        self._values = sorted(self._found, key=len, reverse=True)

    def add(self, value: str) -> None:
        """Hide this, too, the value of a header: the secret in it, also in other forms."""
        secret = value.rpartition(" ")[2]
        if secret in self._found or len(secret) < MIN_STORED_SECRET:
            return
        raw = secret.encode()
        forms = {quote(secret, safe=""), quote_plus(secret), raw.hex(), raw.hex().upper()}
        forms |= {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
        self._found |= {secret, value, *forms}
        self._values = sorted(self._found, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """`text` without them."""
        for value in self._values:
            text = text.replace(value, "[hidden]")
        return text


def declaration(server: str, tool: Tool, taken: set[str], secrets: Secrets) -> FunctionDeclaration:
    """A tool as a model sees it; its name is none of `taken`."""
    schema = json.loads(secrets.hide(json.dumps(tool.input_schema)))
    parameters = {key: value for key, value in schema.items() if key != "$schema"}
    if not is_schema({**parameters, "type": "object"}):
        # Providers refuse a whole call for one such tool; without a schema it can still be called.
        parameters = {}
    description = tool.description or tool.title or ""
    return FunctionDeclaration(
        name=_name(server, tool.name, taken),
        description=secrets.hide(description)[:MAX_DESCRIPTION],
        parameters={**parameters, "type": "object"},
    )


def _name(server: str, tool: str, taken: set[str]) -> str:
    name = f"{server}__{re.sub(r'[^A-Za-z0-9_-]', '_', tool)}"
    if len(name) <= MAX_NAME and name not in taken:
        return name
    digest = hashlib.sha256(tool.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - 9]}_{digest}"


def result(answer: CallToolResult, secrets: Secrets) -> ToolResult:
    """What a tool answered: text and pictures; other kinds are named in a line of text."""
    parts: list[content.Content] = [_part(block, secrets) for block in answer.content[:MAX_PARTS]]
    if len(answer.content) > MAX_PARTS:
        parts.append(_note(f"{len(answer.content) - MAX_PARTS} more parts left out"))
    value: Any = None
    if not parts and answer.structured_content is not None:
        text = secrets.hide(json.dumps(answer.structured_content, ensure_ascii=False))
        parts = [content.TextContent(text=text)]
        value = json.loads(text) if len(text) <= MAX_TEXT else None
    return ToolResult(_bounded(parts), answer.is_error, value)


def _part(block: ContentBlock, secrets: Secrets) -> content.Content:
    match block:
        case TextContent():
            return content.TextContent(text=secrets.hide(block.text))
        case ImageContent():
            return _picture(block.data, block.mime_type)
        case EmbeddedResource(resource=TextResourceContents() as resource):
            text = f"[{resource.uri}]\n{resource.text}"
            return content.TextContent(text=secrets.hide(text))
        case EmbeddedResource(resource=BlobResourceContents() as resource):
            return _blob(resource, secrets)
        case ResourceLink():
            lines = [f"[{block.title or block.name}] {block.uri}", block.description or ""]
            return content.TextContent(text=secrets.hide("\n".join(lines).strip()))
        case _:
            return _note(f"{block.type} left out")


def _blob(resource: BlobResourceContents, secrets: Secrets) -> content.Content:
    mime_type = resource.mime_type or "application/octet-stream"
    if not mime_type.startswith("text/") and mime_type not in _TEXTS:
        return _picture(resource.blob, mime_type)
    try:
        text = base64.b64decode(resource.blob, validate=True).decode("utf-8", "replace")
    except ValueError:
        return _note(f"content of type {mime_type[:80]} that cannot be read left out")
    return content.TextContent(text=secrets.hide(f"[{resource.uri}]\n{text}"))


def _picture(data: str, mime_type: str) -> content.Content:
    if mime_type not in {"image/png", "image/jpeg", "image/gif", "image/webp"}:
        return _note(f"content of type {mime_type[:80]} left out")
    if len(data) > MAX_PICTURE:
        return _note("a picture that is too large left out")
    if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", data) is None:
        return _note("a picture that cannot be read left out")
    return content.ImageContent(data=data, mime_type=mime_type)


def _note(text: str) -> content.Content:
    return content.TextContent(text=f"[{text}]")


def _bounded(parts: list[content.Content]) -> list[content.Content]:
    room, pictures = MAX_TEXT, MAX_PICTURE
    kept: list[content.Content] = []
    for part in parts:
        if isinstance(part, content.TextContent):
            kept.append(_cut(part, room))
            room = max(0, room - len(part.text))
        elif isinstance(part, content.ImageContent):
            pictures -= len(part.data or "")
            kept.append(part if pictures >= 0 else _note("a picture left out"))
    return kept


def _cut(part: content.TextContent, room: int) -> content.TextContent:
    if len(part.text) <= room:
        return part
    note = f"\n[{len(part.text) - room} characters left out]"
    return content.TextContent(text=part.text[:room] + note)
