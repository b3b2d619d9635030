"""Reading an interaction's events live, over as many connections as it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Any, Self

import anyio
import httpx2

from runtime.client.faults import ControllerUnreachable, UnexpectedAnswer, fault_in
from runtime.client.patience import Patience
from runtime.client.records import StreamEvent
from runtime.client.transport import Transport
from runtime.errors import SandlotError

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""A picture travels in one event."""
SILENCE_SECONDS = 60.0
"""The controller says something at least every 15 s; a connection silent for longer is dead."""
_END = "[DONE]"
_EVENT_STREAM = {"accept": "text/event-stream"}
_DROPPED = (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.TimeoutException)


class EventStream:
    """The events of one interaction, each once and in order, until it has settled.

    A connection that breaks is opened again from the last event that arrived, for as long as
    `PATIENCE_SECONDS` without one.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        interaction_id: str | None = None,
        last_event_id: str | None = None,
        response: httpx2.Response | None = None,
    ) -> None:
        self.interaction_id = interaction_id
        self.last_event_id = last_event_id
        self._transport = transport
        self._response = response
        self._ended = False
        self._events = self._run()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading; the interaction goes on."""
        await self._events.aclose()
        await self._hang_up()

    async def _run(self) -> AsyncGenerator[StreamEvent, None]:
        patience = Patience()
        while not self._ended:
            try:
                async for event in self._connection():
                    patience = Patience()
                    yield event
                problem = ControllerUnreachable("the stream ended before the interaction did")
            except _DROPPED as dropped:
                problem = self._transport.unreachable(dropped)
            except _Broken as broken:
                problem = broken.fault
            except SandlotError as fault:
                if not fault.retryable:
                    raise
                problem = fault
            finally:
                await self._hang_up()
            if not self._ended:
                await self._pause(patience, problem)

    async def _pause(self, patience: Patience, problem: SandlotError) -> None:
        delay = patience.next_delay()
        if delay is None or self.interaction_id is None:
            raise problem
        await anyio.sleep(delay)

    async def _connection(self) -> AsyncIterator[StreamEvent]:
        response = self._response or await self._dial()
        self._response = response
        _check_is_stream(response)
        async for message in httpx2.EventSource(response, MAX_EVENT_BYTES):
            if message.data == _END:
                self._ended = True
                return
            event = read_event(message.data, message.id)
            if event is not None:
                self._note(event)
                yield event

    async def _dial(self) -> httpx2.Response:
        if self.interaction_id is None:
            raise ControllerUnreachable("the stream broke before it said which interaction it is")
        return await self._transport.start(
            "GET",
            f"/v1/interactions/{self.interaction_id}",
            query={"stream": True, "last_event_id": self.last_event_id},
            headers=_EVENT_STREAM,
            read_seconds=SILENCE_SECONDS,
        )

    def _note(self, event: StreamEvent) -> None:
        if event.event_type == "error" and event.event_id is None:
            # It is not in the log: the stream broke, not the run.
            raise _Broken(fault_in(event.wire))
        self.last_event_id = event.event_id or self.last_event_id
        if event.interaction and self.interaction_id is None:
            self.interaction_id = event.interaction.get("id")
        if event.event_type == "interaction.completed":
            self._ended = True

    async def _hang_up(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            await response.aclose()


class _Broken(Exception):
    """The controller says why it cannot go on with a stream."""

    def __init__(self, fault: SandlotError) -> None:
        super().__init__(fault)
        self.fault = fault


def read_event(data: str, sse_id: str = "") -> StreamEvent | None:
    """The event in the data of a server-sent event; None for what is not one."""
    try:
        parsed: Any = json.loads(data)
    except ValueError:
        return None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("event_type"), str):
        return None
    if sse_id and not parsed.get("event_id"):
        parsed["event_id"] = sse_id
    return StreamEvent.model_validate(parsed)


def _check_is_stream(response: httpx2.Response) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/event-stream":
        raise UnexpectedAnswer(f"{response.request.url} answered with {kind!r}, not with events")
