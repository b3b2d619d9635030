"""Requests as bytes, and where an answer ends. Pure."""

from __future__ import annotations

import json
from typing import Any

_LENGTH = b"\r\ncontent-length: "


def request(method: str, path: str, key: str, body: Any = None) -> str:
    """A request in HTTP/1.1 whose connection stays open."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"x-goog-api-key: {key}"]
    text = ""
    if body is not None:
        text = json.dumps(body, ensure_ascii=True)
        lines += ["Content-Type: application/json", f"Content-Length: {len(text)}"]
    return "\r\n".join([*lines, "", text])


def answer_length(received: bytes) -> int | None:
    """How many bytes the answer has that `received` begins with; None while that is not known."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return None
    start = received[: head + 2].lower().find(_LENGTH)
    if start < 0:
        raise ValueError(f"An answer without content-length: {received[:head]!r}")
    start += len(_LENGTH)
    return head + 4 + int(received[start : received.index(b"\r", start)])


def status(received: bytes) -> int:
    """The status in the first line of an answer."""
    return int(received[9:12])
