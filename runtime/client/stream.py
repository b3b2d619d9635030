"""Reading an interaction's events live, over as many connections as it takes."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, cast

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
Messages = AsyncGenerator[httpx2.ServerSentEvent]
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
        self._messages: Messages | None = None
        self._patience = Patience()
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    # No generator: one would hold this stream, which holds it, and who drops a stream before its
    # end would leave the connection open until the garbage collector comes.
    async def __anext__(self) -> StreamEvent:
        while not self._ended or self._response is not None:
            problem = await self._try_to_read()
            if isinstance(problem, StreamEvent):
                self._patience = Patience()
                return problem
            await self._hang_up()
            if not self._ended:
                await self._pause(problem)
        raise StopAsyncIteration

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
        self._ended = True
        await self._hang_up()

    async def _try_to_read(self) -> StreamEvent | SandlotError:
        """The next event, or why there is none on this connection. Raises what is final."""
        try:
            event = await self._read()
        except _DROPPED as dropped:
            return self._transport.unreachable(dropped)
        except _Broken as broken:
            return broken.fault
        except SandlotError as fault:
            if fault.retryable:
                return fault
            await self.aclose()
            raise
        return event or ControllerUnreachable("the stream ended before the interaction did")

    async def _read(self) -> StreamEvent | None:
        """The next event of the connection, which is opened first; None at its end."""
        if self._messages is None:
            self._response = self._response or await self._dial()
            _check_is_stream(self._response)
            self._messages = _messages(self._response)
        async for message in self._messages:
            if message.data == _END:
                self._ended = True
                return None
            event = read_event(message.data, message.id)
            if event is not None:
                self._note(event)
                return event
        return None

    async def _pause(self, problem: SandlotError) -> None:
        delay = self._patience.next_delay()
        if delay is None or self.interaction_id is None:
            await self.aclose()
            raise problem
        await anyio.sleep(delay)

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
        messages, self._messages = self._messages, None
        response, self._response = self._response, None
        if messages is not None:
            await messages.aclose()
        if response is not None:
            await response.aclose()


class _Texts:
    """What `EventSource` reads of a response, with the bytes in somebody else's hands.

    By itself it would leave their generator to the garbage collector where it is stopped early,
    which closes it while the connection is closed, too.
    """

    def __init__(self, response: httpx2.Response, pieces: AsyncIterator[bytes]) -> None:
        self.request = response.request
        self.headers = response.headers
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def aiter_text(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        return self._decoder.decode(await anext(self._pieces))


async def _messages(response: httpx2.Response) -> Messages:
    async with aclosing(response.aiter_bytes()) as pieces:
        texts = cast("httpx2.Response", _Texts(response, pieces))
        source = aiter(httpx2.EventSource(texts, MAX_EVENT_BYTES))
        async with aclosing(cast("Messages", source)) as messages:
            async for message in messages:
                yield message


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
