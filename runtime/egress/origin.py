"""The end of a connection that a server holds: sends requests to it, reads its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import h11
from anyio.lowlevel import checkpoint

from runtime.egress.flow import Flow
from runtime.egress.heads import Target
from runtime.egress.refusals import Broken
from runtime.egress.treatment import Headers
from runtime.egress.uplink import Line
from runtime.egress.wire import PARTS_PER_TURN

_MAX_HEAD_BYTES = 128 * 1024
_MAX_LENGTH_DIGITS = 18


class Origin:
    """One connection to a server, request by request; all of its bytes are counted by a flow."""

    def __init__(self, line: Line, target: Target, flow: Flow) -> None:
        self.line = line
        self.is_fresh = True
        """Whether no request was sent on it yet."""
        self._target = target
        self._flow = flow
        self._http = _connection()
        self._unread = 0
        self._parts = 0
        self._was_passed_on = False

    @property
    def unread(self) -> int:
        """How much of the answer's body is on the wire still, and may be taken from there."""
        return 0 if self._http.trailing_data[0] else self._unread

    def passed_on(self) -> None:
        """What was `unread` has been taken from the wire."""
        self._unread, self._was_passed_on = 0, True

    def serves(self, target: Target) -> bool:
        """Whether a request for `target` can be sent on this connection, which must be idle."""
        same = (self._target.scheme, self._target.authority) == (target.scheme, target.authority)
        complete = self._http.their_state is h11.DONE or self._was_passed_on
        idle = self._http.our_state is h11.DONE and complete
        clean = self.is_fresh or (idle and not self._http.trailing_data[0])
        return same and clean and self.line.is_quiet()

    async def start(self, method: bytes, target: Target, headers: Headers, flow: Flow) -> None:
        """Send the head of a request. Raises `Broken`."""
        self._flow, self._target, self.is_fresh = flow, target, False
        self._http, self._unread, self._was_passed_on = _connection(), 0, False
        self._parts = 0
        path = target.path
        if self.line.proxied is not None:
            path = target.absolute
            if self.line.proxied.authorization is not None:
                value = self.line.proxied.authorization.encode("latin-1")
                headers = [*headers, (b"proxy-authorization", value)]
        headers = [(b"host", target.host_header), *(one for one in headers if one[0] != b"host")]
        await self.send(h11.Request(method=method, target=path, headers=headers))

    async def send(self, event: h11.Event) -> None:
        """Send a part of the request. Raises `Broken`, `Stopped`."""
        data = self._http.send(event)
        if data:
            self._flow.sent(len(data))
            try:
                await self.line.stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                raise Broken("the server closed the connection") from error

    async def next_event(self) -> h11.Event | None:
        """The next part of the answer, None when no more comes. Raises `Broken`, `Stopped`."""
        while True:
            self._parts += 1
            if self._parts % PARTS_PER_TURN == 0:
                await checkpoint()
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    self._measure(event)
                    return event if isinstance(event, h11.Event) else None
                self._http.receive_data(await self._more())
            except h11.RemoteProtocolError as error:
                raise Broken("the server's answer is malformed or breaks off") from error

    async def body(self) -> AsyncIterator[bytes]:
        """The body of the answer. Raises `Broken`, `Stopped`."""
        while not self._was_passed_on and isinstance(event := await self.next_event(), h11.Data):
            yield bytes(event.data)

    def left_over(self) -> bytes:
        """What was read behind the head of an upgrade."""
        return bytes(self._http.trailing_data[0])

    async def aclose(self) -> None:
        """Close the connection."""
        await self.line.stream.aclose()

    def _measure(self, event: object) -> None:
        if isinstance(event, h11.Data):
            self._unread = max(0, self._unread - len(event.data))
        elif isinstance(event, h11.Response):
            headers = dict(event.headers)
            length = headers.get(b"content-length", b"0")
            if len(length) > _MAX_LENGTH_DIGITS:
                raise Broken("the server's answer is longer than any answer can be")
            # Of answers without a body the length says what another request would have got.
            counts = self._http.their_state is h11.SEND_BODY
            counts = counts and b"transfer-encoding" not in headers
            self._unread = int(length) if counts else 0

    async def _more(self) -> bytes:
        try:
            data = await self.line.stream.receive()
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Broken("the server closed the connection") from error
        self._flow.received(len(data))
        return data


def _connection() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
