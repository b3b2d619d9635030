"""Frames from a peer that may send anything."""

from __future__ import annotations

import struct
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from runtime.schema.framing import FrameError, encode_frame, read_frame

pytestmark = pytest.mark.anyio


async def read(raw: bytes) -> dict[str, Any]:
    send, receive = anyio.create_memory_object_stream[bytes](1)
    with send, receive:
        send.send_nowait(raw)
        send.close()
        return await read_frame(BufferedByteReceiveStream(receive), 1024 * 1024)


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


async def test_what_is_written_is_read() -> None:
    message = {"text": "ä\u2028😀", "n": 1.5, "none": None}
    assert await read(encode_frame(message)) == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b'{"a": ' + b"[" * 100_000,
        b'{"a": 1} {"b": 2}',
    ],
)
async def test_what_is_no_frame_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        await read(frame(body))


async def test_a_length_over_the_limit_is_refused_before_the_body_is_read() -> None:
    with pytest.raises(FrameError):
        await read(struct.pack(">I", 0xFFFFFFFF))


@pytest.mark.parametrize(
    "half", [b"\\ud800", b"\\uDFff", "\ud800".encode("utf-8", "surrogatepass")]
)
async def test_half_a_character_becomes_a_question_mark(half: bytes) -> None:
    assert await read(frame(b'{"a": "x' + half + b'y"}')) == {"a": "x?y"}


async def test_two_halves_are_a_character() -> None:
    assert await read(frame(b'{"a": "\\ud83d\\ude00 \\ud83d"}')) == {"a": "😀 ?"}
