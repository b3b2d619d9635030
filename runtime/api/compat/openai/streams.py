"""OpenAI-style streams over the event log."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

from runtime.api.compat.openai.chat import chunk_block
from runtime.api.compat.openai.faults import error_body
from runtime.api.stream import Framing
from runtime.errors import SandlotError

Json = dict[str, Any]
Events = AsyncGenerator[tuple[int, Json]]


class Translation(Protocol):
    """Turns a log into another stream's events, one event at a time."""

    def feed(self, event: Json) -> list[Json]:
        """What one event of the log says there."""
        ...


async def translated(events: Events, translation: Translation, after: int = -1) -> Events:
    """The events of a log, translated; without those numbered up to `after`."""
    async with aclosing(events):
        async for seq, event in events:
            for found in translation.feed(event):
                if found.get("sequence_number", seq) > after:
                    yield seq, found


def _response_block(_seq: int, event: Json) -> bytes:
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def _fault(error: SandlotError) -> Json:
    return error_body(error.http_status, error.code, error.message)


def _response_fault(error: SandlotError) -> bytes:
    return b"event: error\n" + chunk_block(_fault(error))


def _chat_fault(error: SandlotError) -> bytes:
    return chunk_block(_fault(error))


def _chat_block(_seq: int, chunk: Json) -> bytes:
    return chunk_block(chunk)


RESPONSES = Framing(_response_block, _response_fault, b"")
CHAT = Framing(_chat_block, _chat_fault, b"data: [DONE]\n\n")
