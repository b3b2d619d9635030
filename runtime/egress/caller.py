"""The end of a connection that a sandbox holds: reads its requests, writes its answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import anyio
import h11
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from runtime.egress.heads import check_head
from runtime.egress.refusals import Refusal
from runtime.egress.rules import Limits
from runtime.egress.wire import PARTS_PER_TURN

_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1024 * 1024
_REASON_BYTES = 400
_MAX_BLANK_BYTES = 4
"""Line ends that may stand before a request line: some clients end a body with one."""
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


class Caller:
    """One connection, request by request."""

    def __init__(self, stream: ByteStream, limits: Limits, first: bytes = b"") -> None:
        """`first` was read from `stream` already."""
        self.stream = stream
        self._limits = limits
        self._unread = first
        self._http = _connection()
        self._answered = False

    @property
    def has_begun_to_answer(self) -> bool:
        """Whether a status was sent for the present request."""
        return self._answered

    @property
    def can_go_on(self) -> bool:
        """Whether another request may follow on this connection."""
        done = h11.DONE
        return self._http.our_state is done and self._http.their_state is done

    async def next_request(self) -> h11.Request | None:
        """The head of the next request; None when no more come. Raises `Refusal`."""
        self._unread = self._unread or self._http.trailing_data[0]
        self._http, self._answered = _connection(), False
        head = await self._head()
        if head is None:
            return None
        check_head(head)
        try:
            self._http.receive_data(head)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise Refusal(error.error_status_hint, "the request is malformed") from error
        if not isinstance(event, h11.Request):
            raise Refusal(400, "the request is malformed")
        if self._unread:
            self._http.receive_data(self._unread)
            self._unread = b""
        return event

    async def body(self) -> AsyncIterator[bytes]:
        """The body of the request. Raises `Refusal` when it is malformed or breaks off."""
        parts = 0
        while self._http.their_state is h11.SEND_BODY:
            parts += 1
            if parts % PARTS_PER_TURN == 0:
                await checkpoint()
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise Refusal(400, "the body of the request is malformed") from error
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._more())
            elif isinstance(event, h11.Data):
                yield bytes(event.data)

    async def invite_body(self) -> None:
        """Tell a caller that waits for it to send its body."""
        if self._http.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[]))

    async def send(self, event: h11.Event) -> None:
        """Send a part of the answer."""
        is_switch = isinstance(event, h11.InformationalResponse) and event.status_code == 101
        self._answered = self._answered or is_switch or isinstance(event, h11.Response)
        data = self._http.send(event)
        if data:
            await self.stream.send(data)

    def leave_out(self, size: int) -> None:
        """The next `size` bytes of the body are sent by somebody else; its length is announced."""
        self._http.send_with_data_passthrough(h11.Data(data=_Length(size)))

    async def refuse(self, refusal: Refusal, summary: str, *, linger: bool = True) -> None:
        """Answer with a sentence, and end the connection; `linger` for who is still sending."""
        # Some clients show nothing but the reason phrase to their users.
        reason = _UNPRINTABLE.sub(" ", refusal.reason).rstrip(".")
        phrase = reason.encode("ascii", "replace")[:_REASON_BYTES]
        text = f"The egress proxy of this sandbox says: {reason}.\n"
        if refusal.status == 403:
            text += f"{summary}\n"
        body = text.encode("utf-8")
        head = (
            b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: %d\r\nConnection: close\r\nX-Sandlot-Egress: %s\r\n\r\n"
        )
        verdict = refusal.verdict.encode("ascii")
        await self.stream.send(head % (refusal.status, phrase, len(body), verdict) + body)
        if linger:
            await self._linger()

    def left_over(self) -> bytes:
        """What was read behind the request: the first bytes of what follows it."""
        return bytes(self._http.trailing_data[0])

    async def _head(self) -> bytes | None:
        """The bytes of the next head; None when the connection ends instead."""
        if not self._unread:
            with anyio.move_on_after(self._limits.idle_seconds):
                self._unread = await self._more()
        if not self._unread:
            return None
        try:
            with anyio.fail_after(self._limits.header_seconds):
                return await self._whole_head()
        except TimeoutError as error:
            raise Refusal(408, "the head of the request did not come in time") from error

    async def _whole_head(self) -> bytes | None:
        data, limit = self._unread, self._limits.header_bytes
        while (span := _head_span(data)) is None:
            if len(data) > limit:
                break
            if _BARE_LINE_FEED.search(data):
                raise Refusal(400, "a line of the request does not end in CR LF")
            more = await self._more()
            if not more:
                return None
            data += more
        if span is None or span.stop - span.start > limit:
            raise Refusal(431, f"the head of the request is longer than {limit} bytes")
        self._unread = data[span.stop :]
        return data[span]

    async def _more(self) -> bytes:
        """What comes next; empty at the end."""
        try:
            return await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return b""

    async def _linger(self) -> None:
        """Read on for a moment: an end that comes with unread bytes can swallow the answer."""
        with anyio.move_on_after(_LINGER_SECONDS):
            try:
                await self.stream.send_eof()
                read = 0
                while read < _LINGER_BYTES:
                    read += len(await self.stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError, NotImplementedError):
                return


class _Length(bytes):
    """Stands for that many bytes where they are only counted."""

    _size: int

    def __new__(cls, size: int) -> _Length:
        self = super().__new__(cls)
        self._size = size
        return self

    def __len__(self) -> int:
        return self._size


def _head_span(data: bytes) -> slice | None:
    """Where the head is, behind line ends that may stand before it; None while its end is not."""
    start = 0
    while start < _MAX_BLANK_BYTES and data.startswith(b"\r\n", start):
        start += 2
    end = data.find(b"\r\n\r\n", start)
    return None if end == -1 else slice(start, end + 4)


def _connection() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
