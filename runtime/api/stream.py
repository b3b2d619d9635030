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
from runtime.errors import SandlotError

KEEP_ALIVE_SECONDS = 15.0
SEND_SECONDS = 60.0
"""A client that takes nothing for so long is cut off; it can come back with its last id."""
DONE = b"event: done\ndata: [DONE]\n\n"

log = structlog.get_logger(__name__)
Events = AsyncGenerator[tuple[int, dict[str, Any]]]


def event_block(seq: int, event: dict[str, Any]) -> bytes:
    """One event on the wire."""
    data = json.dumps({**event, "event_id": str(seq)}, ensure_ascii=False, separators=(",", ":"))
    return f"id: {seq}\nevent: {event['event_type']}\ndata: {data}\n\n".encode()


def fault_block(error: SandlotError) -> bytes:
    """An error that is not in the log: the stream broke off."""
    fault = {"code": error.code, "message": error.message}
    data = json.dumps({"event_type": "error", "error": fault})
    return f"event: error\ndata: {data}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Framing:
    """How events look on the wire, and what stands at the end."""

    block: Callable[[int, dict[str, Any]], bytes] = event_block
    fault: Callable[[SandlotError], bytes] = fault_block
    done: bytes = DONE


class EventStream(Response):
    """Sends events until they end, the client goes, or the server drains."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: Events,
        draining: anyio.Event,
        at_end: Callable[[], Awaitable[None]] | None = None,
        *,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        framing: Framing | None = None,
    ) -> None:
        super().__init__(
            headers={
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
            }
        )
        del self.headers["content-length"]
        self._events = events
        self._draining = draining
        self._at_end = at_end
        self._keep_alive_seconds = keep_alive_seconds
        self._framing = framing or Framing()

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
            async with anyio.create_task_group() as tasks:
                scope_ = tasks.cancel_scope
                tasks.start_soon(_until_gone, receive, scope_)
                tasks.start_soon(_until_drained, self._draining, scope_)
                tasks.start_soon(_keep_alive, writer, self._keep_alive_seconds)
                await self._write(writer)
                scope_.cancel()
            await writer.close()
        finally:
            if self._at_end is not None:
                with anyio.CancelScope(shield=True):
                    await self._at_end()

    async def _write(self, writer: _Writer) -> None:
        try:
            async with aclosing(self._events) as events:
                async for seq, event in events:
                    await writer.write(self._framing.block(seq, event))
            await writer.write(self._framing.done)
        except SandlotError as error:
            log.warning("a stream broke off", code=error.code, message=error.message)
            await writer.write(self._framing.fault(error))
        except TimeoutError:
            log.info("a stream was cut off: its client takes nothing")
            writer.is_stuck = True


class _Writer:
    """Sends whole blocks, one at a time."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = anyio.Lock()
        self.last_sent = clock.monotonic()
        self.is_stuck = False

    async def write(self, block: bytes) -> None:
        with anyio.fail_after(SEND_SECONDS):
            async with self._turn:
                await self._send({"type": "http.response.body", "body": block, "more_body": True})
        self.last_sent = clock.monotonic()

    async def close(self) -> None:
        if self.is_stuck:
            return
        with anyio.move_on_after(1):
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _until_drained(draining: anyio.Event, scope: anyio.CancelScope) -> None:
    await draining.wait()
    scope.cancel()


async def _keep_alive(writer: _Writer, seconds: float) -> None:
    while True:
        silent = clock.monotonic() - writer.last_sent
        if silent < seconds:
            await anyio.sleep(seconds - silent)
            continue
        try:
            await writer.write(b": keep-alive\n\n")
        except TimeoutError:
            return
