"""Numbers the events of a run and keeps them until the controller has stored them.

Small deltas of one step that come close together are joined before they get a number, never
after. Events that were sent and not acknowledged are sent again after a reconnection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from runtime import clock
from runtime.schema.events import StepDelta, StepEvent
from runtime.schema.protocol import RunEvents

JOIN_SECONDS = 0.025
"""Events are sent at most this often; the first one after a pause goes at once."""
MAX_UNSTORED = 4000
"""More events than this and the run waits for the controller."""
MAX_BATCH = 500
MAX_BATCH_BYTES = 4 * 1024 * 1024

Send = Callable[[RunEvents], Awaitable[None]]
_JOINED = {
    "text": "text",
    "arguments_delta": "arguments",
    "code_execution_result": "result",
}


class RunSink:
    """The event sink of one run. `pump` must be running in a task."""

    def __init__(self, run_id: str, send: Send) -> None:
        self._run_id = run_id
        self._send = send
        self._buffer: list[StepEvent] = []
        self._unstored: deque[StepEvent] = deque()
        self._stored = 0
        self._numbered = 0
        self._changed = anyio.Condition()
        self._urgent = False

    async def emit(self, event: StepEvent) -> None:
        """Take one event; waits while too many are not stored yet."""
        async with self._changed:
            while len(self._unstored) + len(self._buffer) >= MAX_UNSTORED:
                self._urgent = True
                self._changed.notify_all()
                await self._changed.wait()
            joined = _join(self._buffer[-1], event) if self._buffer else None
            if joined is not None:
                self._buffer[-1] = joined
            else:
                self._buffer.append(event)
            self._changed.notify_all()

    async def flush(self) -> None:
        """Return when everything emitted so far is stored."""
        async with self._changed:
            self._urgent = True
            self._changed.notify_all()
            while self._buffer or self._stored < self._numbered:
                await self._changed.wait()

    async def stored(self, upto: int) -> None:
        """The controller has stored all events up to number `upto`."""
        async with self._changed:
            upto = min(upto, self._numbered)
            while self._stored < upto:
                self._unstored.popleft()
                self._stored += 1
            self._changed.notify_all()

    async def resend(self) -> None:
        """Send again what was not acknowledged; for a fresh connection."""
        events = list(self._unstored)
        for start in range(0, len(events), MAX_BATCH):
            batch = events[start : start + MAX_BATCH]
            await self._send(self._message(self._stored + 1 + start, batch))

    async def pump(self) -> None:
        """Send what is emitted, for ever."""
        last_sent = 0.0
        while True:
            async with self._changed:
                while not self._buffer:
                    await self._changed.wait()
                urgent = self._urgent
            pause = last_sent + JOIN_SECONDS - clock.monotonic()
            if pause > 0 and not urgent:
                await self._wait_for_urgency(pause)
            await self._send_buffer()
            last_sent = clock.monotonic()

    async def _wait_for_urgency(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            async with self._changed:
                while not self._urgent:
                    await self._changed.wait()

    async def _send_buffer(self) -> None:
        async with self._changed:
            batch = self._take_batch()
            first = self._numbered + 1
            self._numbered += len(batch)
            self._unstored.extend(batch)
            self._urgent = self._urgent and bool(self._buffer)
        await self._send(self._message(first, batch))

    def _take_batch(self) -> list[StepEvent]:
        size, end = 0, 0
        while end < min(len(self._buffer), MAX_BATCH) and size < MAX_BATCH_BYTES:
            size += _rough_size(self._buffer[end])
            end += 1
        batch, self._buffer = self._buffer[:end], self._buffer[end:]
        return batch

    def _message(self, first: int, events: list[StepEvent]) -> RunEvents:
        return RunEvents(run_id=self._run_id, first=first, events=events)


def _join(last: StepEvent, event: StepEvent) -> StepEvent | None:
    """Both deltas as one, or None when they do not go together."""
    if not isinstance(last, StepDelta) or not isinstance(event, StepDelta):
        return None
    if last.index != event.index or last.delta["type"] != event.delta["type"]:
        return None
    if event.delta["type"] == "thought_summary":
        return _join_thoughts(last, event)
    key = _JOINED.get(event.delta["type"])
    if key is None or event.delta.get("is_error") != last.delta.get("is_error"):
        return None
    old, new = last.delta[key], event.delta[key]
    if not isinstance(old, str) or not isinstance(new, str):
        return None
    return StepDelta(index=last.index, delta={**last.delta, key: old + new})


def _join_thoughts(last: StepDelta, event: StepDelta) -> StepDelta | None:
    old: dict[str, Any] = last.delta["content"]
    new: dict[str, Any] = event.delta["content"]
    if old.get("type") != "text" or new.get("type") != "text":
        return None
    content = {**old, "text": old["text"] + new["text"]}
    return StepDelta(index=last.index, delta={**last.delta, "content": content})


def _rough_size(event: StepEvent) -> int:
    if not isinstance(event, StepDelta):
        return 200
    return 200 + sum(len(value) for value in event.delta.values() if isinstance(value, str))
