"""Frames of the guest protocol: a 4-byte big-endian length, then that many bytes of UTF-8 JSON."""

from __future__ import annotations

import json
import re
import struct
from typing import Any, Protocol

MAX_FRAME_BYTES = 64 * 1024 * 1024
_HEADER = struct.Struct(">I")
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


class FrameError(Exception):
    """The peer sent something that is not a frame."""


class ByteReader(Protocol):
    """What frames are read from; `anyio.streams.buffered.BufferedByteReceiveStream` is one."""

    async def receive_exactly(self, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes; raises `anyio.IncompleteRead` when the stream ends before."""
        ...


def encode_frame(message: dict[str, Any], limit: int = MAX_FRAME_BYTES) -> bytes:
    """The bytes of one frame. Raises `FrameError` for a message larger than a frame may be."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
    if len(body) > limit:
        raise FrameError(f"a message of {len(body)} bytes is over the limit of {limit}")
    return _HEADER.pack(len(body)) + body


async def read_frame(stream: ByteReader, limit: int = MAX_FRAME_BYTES) -> dict[str, Any]:
    """The next frame. Raises `FrameError` for an oversized or malformed one."""
    return decode_frame(await read_body(stream, limit))


async def read_body(stream: ByteReader, limit: int = MAX_FRAME_BYTES) -> bytes:
    """What the next frame holds, unread. Raises `FrameError` for an oversized one."""
    (length,) = _HEADER.unpack(await stream.receive_exactly(_HEADER.size))
    if length > limit:
        raise FrameError(f"a frame of {length} bytes is over the limit of {limit}")
    return await stream.receive_exactly(length)


def decode_frame(body: bytes, most_values: int | None = None) -> dict[str, Any]:
    """The message in a frame. Raises `FrameError` for one that is none, or has too many values."""
    if most_values is not None and holds_more_than(body, most_values):
        raise FrameError(f"a frame holds more than {most_values} values")
    try:
        message = _decoded(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a frame is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise FrameError("a frame is not a JSON object")
    return message


def holds_more_than(body: bytes, most: int) -> bool:
    """Whether JSON has more values than that, in a time that its kind of content cannot stretch.

    Reading a million empty lists takes a hundred times as long as a text of as many bytes.
    """
    if _separators(body) <= most:
        return False
    bare, texts = _TEXT.subn(b"", body, count=2 * most)
    return texts == 2 * most or _separators(bare) > most


def _separators(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _decoded(body: bytes) -> Any:
    """The JSON in `body`: without numbers that are none, and without halves of characters.

    Neither could be stored, or sent on.
    """
    message = json.loads(body, parse_constant=_refuse)
    may_have_halves = b"\\u" in body or b"\xed" in body  # which is found much faster
    if may_have_halves and _HALF_CHARACTER.search(body):
        whole = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(whole)
    return message


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number in JSON")
