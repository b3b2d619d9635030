"""Frames of the guest protocol: a 4-byte big-endian length, then that many bytes of UTF-8 JSON."""

from __future__ import annotations

import json
import re
import struct
from typing import Any, Protocol

MAX_FRAME_BYTES = 64 * 1024 * 1024
_HEADER = struct.Struct(">I")
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


class FrameError(Exception):
    """The peer sent something that is not a frame."""


class ByteReader(Protocol):
    """What frames are read from; `anyio.streams.buffered.BufferedByteReceiveStream` is one."""

    async def receive_exactly(self, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes; raises `anyio.IncompleteRead` when the stream ends before."""
        ...


def encode_frame(message: dict[str, Any]) -> bytes:
    """The bytes of one frame. Raises `FrameError` for a message larger than a frame may be."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return _HEADER.pack(len(body)) + body


async def read_frame(stream: ByteReader, limit: int = MAX_FRAME_BYTES) -> dict[str, Any]:
    """The next frame. Raises `FrameError` for an oversized or malformed one."""
    (length,) = _HEADER.unpack(await stream.receive_exactly(_HEADER.size))
    if length > limit:
        raise FrameError(f"a frame of {length} bytes is over the limit of {limit}")
    body = await stream.receive_exactly(length)
    try:
        message = _decoded(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a frame is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise FrameError("a frame is not a JSON object")
    return message


def _decoded(body: bytes) -> Any:
    """The JSON in `body`: without numbers that are none, and without halves of characters.

    Neither could be stored, or sent on.
    """
    message = json.loads(body, parse_constant=_refuse)
    if _HALF_CHARACTER.search(body):
        whole = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(whole)
    return message


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number in JSON")
