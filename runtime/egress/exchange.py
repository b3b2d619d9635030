"""One request and its answer, passed between a sandbox and a server."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import anyio
import h11
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from runtime.egress.caller import Caller
from runtime.egress.decoding import Decoder, Plain, decoder
from runtime.egress.flow import Flow
from runtime.egress.heads import Target, announces_body, end_to_end, wants_websocket
from runtime.egress.origin import Origin
from runtime.egress.pump import BULK_BYTES, pump_exactly, pump_stream
from runtime.egress.redaction import Following, Replacer
from runtime.egress.refusals import Broken
from runtime.egress.treatment import Headers, Treatment
from runtime.egress.wire import Rewound, Wire
from runtime.groups import collapsed

MAX_WHOLE_BODY = 1024 * 1024
"""A body up to here is read whole before placeholders in it are filled in: its length changes."""

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the caller wrote it, and where it goes."""

    method: bytes
    target: Target
    headers: Headers

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return announces_body(self.headers)

    @property
    def is_websocket(self) -> bool:
        """Whether it asks to go on as a WebSocket: only what has no body of its own can."""
        return not self.has_body and wants_websocket(self.method, self.headers)

    def header(self, name: bytes) -> str:
        """The value of a header, empty without it."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


class Exchange:
    """Carries one request to a server and its answer back."""

    def __init__(
        self,
        caller: Caller,
        origin: Origin,
        asked: Asked,
        treatment: Callable[[], Treatment],
        flow: Flow,
    ) -> None:
        """`treatment` is asked whenever something is passed on: rules may change meanwhile."""
        self._caller = caller
        self._origin = origin
        self._asked = asked
        self._treatment = treatment
        self._flow = flow
        self.has_heard = False
        """Whether anything of an answer came."""

    async def run(self) -> None:
        """Until the answer is complete, or the WebSocket is closed. Raises `Broken`, `Stopped`."""
        if not self._asked.has_body or not self._fillings():
            await self._carry(self._outgoing(), self._caller.body())
            return
        await self._caller.invite_body()
        body, length = await self._filled()
        framing = (b"transfer-encoding", b"chunked")
        if length is not None:
            framing = (b"content-length", str(length).encode("ascii"))
        changed = _FRAMING | {b"expect"}
        headers = [one for one in self._outgoing() if one[0] not in changed]
        await self._carry([*headers, framing], body)

    def _fillings(self) -> Mapping[bytes, bytes]:
        return self._treatment().fillings(self._asked.header(b"content-type").lower())

    async def _filled(self) -> tuple[AsyncIterator[bytes], int | None]:
        """The body with its placeholders filled in, and its length where it is known beforehand."""
        body, announced = self._caller.body(), self._asked.header(b"content-length")
        if self._asked.header(b"content-encoding"):
            return body, int(announced) if announced else None
        if (int(announced) if announced else math.inf) > MAX_WHOLE_BODY:
            return _streamed(body, Following(self._fillings)), None
        data = b"".join([chunk async for chunk in body])
        whole = Replacer(self._fillings()).whole(data)
        return _single(whole), len(whole)

    def _outgoing(self) -> Headers:
        asked, treatment = self._asked, self._treatment()
        headers = end_to_end(asked.headers)
        if asked.header(b"transfer-encoding"):
            headers.append((b"transfer-encoding", b"chunked"))
        headers = treatment.headers(headers)
        if treatment.needs_interception:
            # What is packed cannot be searched for secrets.
            unwanted = {b"accept-encoding", b"sec-websocket-extensions"}
            headers = [one for one in headers if one[0] not in unwanted]
            headers.append((b"accept-encoding", b"identity"))
        if asked.is_websocket:
            headers += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        return headers

    async def _carry(self, headers: Headers, body: AsyncIterator[bytes]) -> None:
        target = Target(
            self._asked.target.scheme,
            self._asked.target.authority,
            self._treatment().target(self._asked.target.path),
        )
        await self._origin.start(self._asked.method, target, headers, self._flow)
        if not self._asked.has_body:
            await self._send_body(body)
            await self._answer()
            return
        with collapsed():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._try_to_send_body, body)
                await self._answer()
                tasks.cancel_scope.cancel()

    async def _try_to_send_body(self, body: AsyncIterator[bytes]) -> None:
        # A server may answer without wanting the whole body; whether it did, its answer says.
        with suppress(Broken):
            await self._send_body(body)

    async def _send_body(self, body: AsyncIterator[bytes]) -> None:
        async for chunk in body:
            if chunk:
                await self._origin.send(h11.Data(data=chunk))
        await self._origin.send(h11.EndOfMessage())

    async def _answer(self) -> None:
        while True:
            event = await self._origin.next_event()
            self.has_heard = True
            if isinstance(event, h11.Response):
                await self._pass_on(event)
                return
            if not isinstance(event, h11.InformationalResponse):
                raise Broken("the server closed the connection without an answer")
            if event.status_code == 101:
                await self._switch(event)
                return
            headers = self._treatment().redacted(end_to_end(event.headers))
            await self._caller.send(
                h11.InformationalResponse(status_code=event.status_code, headers=headers)
            )

    async def _pass_on(self, event: h11.Response) -> None:
        headers, redactor = end_to_end(event.headers), self._redactor()
        unpack: Decoder = Plain()
        if redactor is not None:
            codings = [value for name, value in headers if name == b"content-encoding"]
            unpack = decoder(b",".join(codings).decode("latin-1"))
            if not isinstance(unpack, Plain):
                packed = {b"content-encoding", b"content-length"}
                headers = [one for one in headers if one[0] not in packed]
        reason = self._treatment().redacted([(b"", bytes(event.reason))])[0][1]
        await self._caller.send(
            h11.Response(
                status_code=event.status_code,
                headers=self._treatment().redacted(headers),
                reason=reason,
            )
        )
        if redactor is None:
            await self._pass_as_it_is()
        else:
            await self._pass_body(unpack, redactor)
        await self._caller.send(h11.EndOfMessage())

    def _redactor(self) -> Replacer | None:
        """What a body of an answer is passed through; None when it comes in as it is."""
        if not self._treatment().masks:
            return None
        return Following(lambda: self._treatment().masks)

    async def _pass_as_it_is(self) -> None:
        async for chunk in self._origin.body():
            await self._send_answer(chunk)
            outside, inside = self._origin.line.stream, self._caller.stream
            if (
                self._origin.unread > BULK_BYTES
                and isinstance(outside, Wire)
                and isinstance(inside, Wire)
            ):
                await self._pass_unread(outside, inside)

    async def _pass_unread(self, outside: Wire, inside: Wire) -> None:
        """Pass on what is left of a long body without reading it."""
        size = self._origin.unread
        self._caller.leave_out(size)
        try:
            await pump_exactly(outside, inside, self._flow.received, size)
        except anyio.EndOfStream as error:
            raise Broken("the server's answer breaks off") from error
        self._origin.passed_on()

    async def _pass_body(self, unpack: Decoder, redactor: Replacer) -> None:
        async for chunk in self._origin.body():
            for piece in unpack.feed(chunk):
                await checkpoint()
                await self._send_answer(redactor.feed(piece))
        await self._send_answer(redactor.finish())

    async def _send_answer(self, data: bytes) -> None:
        if data:
            await self._caller.send(h11.Data(data=data))

    async def _switch(self, event: h11.InformationalResponse) -> None:
        """Go on as a WebSocket. Masks keep lengths, so that its frames stay whole."""
        if not self._asked.is_websocket:
            raise Broken("the server switched to a protocol that nobody asked for")
        upgrade = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        headers = self._treatment().redacted(end_to_end(event.headers))
        await self._caller.send(
            h11.InformationalResponse(status_code=101, headers=[*headers, *upgrade])
        )
        inside = Rewound(self._caller.left_over(), self._caller.stream)
        outside = Rewound(self._origin.left_over(), self._origin.line.stream)
        flow, redactor = self._flow, self._redactor()
        with collapsed():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_end, tasks, pump_stream(inside, outside, flow.sent))
                await pump_stream(outside, inside, flow.received, redactor)
                tasks.cancel_scope.cancel()


async def _until_end(tasks: TaskGroup, pumping: Awaitable[None]) -> None:
    await pumping
    tasks.cancel_scope.cancel()


async def _streamed(body: AsyncIterator[bytes], replacer: Replacer) -> AsyncIterator[bytes]:
    async for chunk in body:
        yield replacer.feed(chunk)
    yield replacer.finish()


async def _single(data: bytes) -> AsyncIterator[bytes]:
    yield data
