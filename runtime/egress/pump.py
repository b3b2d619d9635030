"""Passes bytes from one socket to another; bulk by `splice`, which never copies them to us."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from runtime.egress.redaction import Replacer
from runtime.egress.wire import CHUNK_BYTES, Wire

BULK_BYTES = 512 * 1024
"""A direction that carried this much is spliced from then on."""
PIPE_BYTES = 1024 * 1024
MAX_PIPES = 48
"""Pipes that may live at once, each holding up to `PIPE_BYTES`; more tunnels are copied."""

TURN_BYTES = 1024 * 1024
"""After this much, other connections have their turn."""

Count = Callable[[int], None]
"""Is told of bytes before they are passed on; may raise to end the connection."""

_scratch = memoryview(bytearray(CHUNK_BYTES))
"""Read into and written from between two waits: one for all tunnels of a process."""
_pipes = set[tuple[int, int]]()
_ENDLESS = 2**62
_SPLICE_FLAGS = 0x01 | 0x02  # SPLICE_F_MOVE, SPLICE_F_NONBLOCK


async def pump(source: Wire, sink: Wire, count: Count) -> None:
    """Pass bytes on until `source` ends, then end `sink`.

    Raises `anyio.BrokenResourceError` when either is gone, and what `count` raises.
    """
    if await _copy(source, sink, count, BULK_BYTES) == BULK_BYTES:
        await _bulk(source, sink, count, _ENDLESS)
    await sink.send_eof()


async def pump_exactly(source: Wire, sink: Wire, count: Count, size: int) -> None:
    """Pass on `size` bytes. Raises `anyio.EndOfStream` when there are fewer, else like `pump`."""
    if await _bulk(source, sink, count, size) < size:
        raise anyio.EndOfStream


async def pump_stream(
    source: ByteStream, sink: ByteStream, count: Count, redactor: Replacer | None = None
) -> None:
    """Pass bytes on between streams that are not bare sockets, or that must be read on the way.

    `sink` is not ended: TLS has no half-closed connections.
    """
    redactor = redactor or Replacer({})
    try:
        while True:
            await checkpoint()
            data = await source.receive(CHUNK_BYTES)
            count(len(data))
            passed = redactor.feed(data)
            if passed:
                await sink.send(passed)
    except anyio.EndOfStream:
        await sink.send(redactor.finish())


async def _bulk(source: Wire, sink: Wire, count: Count, size: int) -> int:
    with _pipe() as pipe:
        if pipe is None:
            return await _copy(source, sink, count, size)
        return await _splice(source, sink, count, size, pipe)


async def _copy(source: Wire, sink: Wire, count: Count, size: int) -> int:
    """How much was passed on: `size`, or less when `source` ended."""
    left, turn = size, 0
    while left:
        if turn >= TURN_BYTES:
            turn = 0
            await checkpoint()
        read = await source.receive_into(_scratch[:left])
        if read == 0:
            break
        count(read)
        sent = sink.send_some(_scratch[:read])
        if sent < read:
            await sink.send(bytes(_scratch[sent:read]))
        left -= read
        turn += read
    return size - left


async def _splice(source: Wire, sink: Wire, count: Count, size: int, pipe: tuple[int, int]) -> int:
    """The same as `_copy`, by way of a pipe that is empty before and afterwards."""
    left, turn = size, 0
    while left:
        if turn >= TURN_BYTES:
            turn = 0
            await checkpoint()
        read = _moved(source.fileno(), pipe[1], min(left, PIPE_BYTES))
        if read is None:
            await source.readable()
            continue
        if read == 0:
            break
        count(read)
        left -= read
        turn += read
        while read:
            moved = _moved(pipe[0], sink.fileno(), read)
            if moved is None:
                await sink.writable()
            else:
                read -= moved
    return size - left


def _moved(source: int, sink: int, size: int) -> int | None:
    """How much was moved, None when one has to wait. Raises `anyio.BrokenResourceError`."""
    try:
        return os.splice(source, sink, size, flags=_SPLICE_FLAGS)
    except BlockingIOError:
        return None
    except OSError as error:
        raise anyio.BrokenResourceError from error


@contextmanager
def _pipe() -> Generator[tuple[int, int] | None]:
    """A pipe of `PIPE_BYTES`; None when there is none to be had."""
    ends = _made_pipe() if len(_pipes) < MAX_PIPES else None
    if ends is None:
        yield None
        return
    _pipes.add(ends)
    try:
        yield ends
    finally:
        _pipes.discard(ends)
        for end in ends:
            os.close(end)


def _made_pipe() -> tuple[int, int] | None:
    try:
        ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        for end in ends:
            os.close(end)
        return None
    return ends
