"""Server-sent events from an interaction's log, exactly as the wire has them.

Every event is `id:`, `event:` and `data:` lines; the end is `event: done` with `[DONE]`. A stream
that ends without it was cut, and goes on after its last id.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from runtime import clock
from runtime.controller.presence import Stay
from runtime.errors import SandlotError
from runtime.store import Logged

KEEP_ALIVE_SECONDS = 15.0
PIECE_BYTES = 64 * 1024
"""Sent at once: what a client does not take waits here, and no more than this in the server."""
DONE = b"event: done\ndata: [DONE]\n\n"

log = structlog.get_logger(__name__)
Events = AsyncGenerator[tuple[int, dict[str, Any]]]
Stored = AsyncGenerator[list[Logged]]
Blocks = AsyncGenerator[bytes]


def event_block(seq: int, event: dict[str, Any]) -> bytes:
    """One event on the wire."""
    data = json.dumps({**event, "event_id": str(seq)}, ensure_ascii=False, separators=(",", ":"))
    return f"id: {seq}\nevent: {event['event_type']}\ndata: {data}\n\n".encode()


def stored_block(stored: Logged) -> bytes:
    """The same of its stored text; made once, however many read it."""
    if stored.block is None:
        stored.block = _block(stored)
    return stored.block


def _block(stored: Logged) -> bytes:
    if '"event_id":' in stored.text:
        return event_block(stored.seq, stored.event)
    data = f'{stored.text[:-1]},"event_id":"{stored.seq}"}}'
    return f"id: {stored.seq}\nevent: {stored.kind}\ndata: {data}\n\n".encode()


async def stored_blocks(stretches: Stored) -> Blocks:
    """The events of a log on the wire, those that are there together in one."""
    async with aclosing(stretches):
        async for stretch in stretches:
            yield b"".join(map(stored_block, stretch))


def fault_block(error: SandlotError) -> bytes:
    """An error that is not in the log: the stream broke off."""
    fault = {"code": error.code, "message": error.message}
    data = json.dumps({"event_type": "error", "error": fault})
    return f"event: error\ndata: {data}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Framing:
    """How events look on the wire, and what stands at the end."""

    block: Callable[[int, dict[str, Any]], bytes]
    fault: Callable[[SandlotError], bytes] = fault_block
    done: bytes = DONE

    async def blocks(self, events: Events) -> Blocks:
        """The events on the wire."""
        async with aclosing(events):
            async for seq, event in events:
                yield self.block(seq, event)


NATIVE = Framing(event_block)


class EventStream(Response):
    """Sends events until they end, the client goes, the key is revoked, or the server drains."""

    media_type = "text/event-stream"

    def __init__(
        self,
        blocks: Blocks,
        draining: anyio.Event,
        at_end: Callable[[], Awaitable[None]] | None = None,
        *,
        stay: Stay,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        fault: Callable[[SandlotError], bytes] = fault_block,
        done: bytes = DONE,
    ) -> None:
        super().__init__(
            headers={
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
            }
        )
        del self.headers["content-length"]
        self._blocks = blocks
        self._draining = draining
        self._at_end = at_end
        self._stay = stay
        stay.is_handed_on = True
        self._keep_alive_seconds = keep_alive_seconds
        self._fault = fault
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        writer = _Writer(send)
        start: Message = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            await send(start)
            # Who sees a stream end without its last block knows that it was cut.
            with self._stay.scope:
                await self._serve(receive, writer)
            # What is not kept is gone for whoever has seen the end.
            await self._end()
            await writer.close()
        finally:
            self._stay.leave()
            await self._end()

    async def _end(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._blocks.aclose()
            at_end, self._at_end = self._at_end, None
            if at_end is not None:
                await at_end()

    async def _serve(self, receive: Receive, writer: _Writer) -> None:
        async with anyio.create_task_group() as tasks:
            scope = tasks.cancel_scope
            tasks.start_soon(_until_drained, self._draining, scope)
            tasks.start_soon(_attend, receive, writer, self._keep_alive_seconds, scope)
            await self._write(writer)
            scope.cancel()

    async def _write(self, writer: _Writer) -> None:
        try:
            async for block in self._blocks:
                await writer.write(block)
            await writer.write(self._done)
        except SandlotError as error:
            log.warning("a stream broke off", code=error.code, message=error.message)
            await writer.write(self._fault(error))


class _Writer:
    """Sends whole blocks, one at a time."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_inside = False
        self._last_sent = clock.monotonic()

    async def write(self, block: bytes) -> None:
        self._is_inside = True
        for start in range(0, len(block), PIECE_BYTES):
            await self._put(block[start : start + PIECE_BYTES])
        self._is_inside = False

    async def keep_alive(self) -> None:
        # A comment inside a block would tear it.
        if not self._is_inside:
            await self._put(b": keep-alive\n\n")

    @property
    def silent_seconds(self) -> float:
        return clock.monotonic() - self._last_sent

    async def close(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _put(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        self._last_sent = clock.monotonic()


async def _attend(
    receive: Receive, writer: _Writer, seconds: float, scope: anyio.CancelScope
) -> None:
    """Until the client has gone; a stream that was silent for so long is kept alive meanwhile."""
    is_there = True
    while is_there:
        with anyio.move_on_after(max(0.0, seconds - writer.silent_seconds)) as pause:
            is_there = (await receive())["type"] != "http.disconnect"
        if pause.cancelled_caught and writer.silent_seconds >= seconds:
            await writer.keep_alive()
    scope.cancel()


async def _until_drained(draining: anyio.Event, scope: anyio.CancelScope) -> None:
    await draining.wait()
    scope.cancel()
