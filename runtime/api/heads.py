"""Heads of requests: bounded, in time, and refused like everything else, with the error object.

What stands here happens before the application sees anything, to whoever can connect.
"""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Of one request line and its headers; what else arrived with them may be a little more."""
HEAD_SECONDS = 30.0
"""For one head, from its first byte, or from the beginning of the connection."""
_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class HeadProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, with limits to the heads of requests."""

    head_seconds: float = HEAD_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; it has something to say, or is not waited for."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes, of a head only as many as one may have."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"The head of the request is larger than {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0
        self._expect_head()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._is_in_head = False
        self._head_bytes = 0
        self._rest_deadline()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._rest_deadline()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "This is not an HTTP/1.1 request.")

    def _expect_head(self) -> None:
        self._rest_deadline()
        self._deadline = self.loop.call_later(self.head_seconds, self._give_up)

    def _rest_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._refuse(408, f"The head of the request did not arrive within {self.head_seconds:g} s.")

    def _refuse(self, status: int, message: str) -> None:
        self._rest_deadline()
        if self.transport.is_closing():
            return
        # In the middle of another answer, words would become part of it.
        if not self._is_answering():
            self.transport.write(_refusal(status, message))
        self.transport.close()

    def _is_answering(self) -> bool:
        # There is no cycle before the first request, whatever its type says.
        return bool(self.cycle) and self.cycle.response_started and not self.cycle.response_complete


def _refusal(status: int, message: str) -> bytes:
    code = "request_timeout" if status == 408 else "invalid_request"
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
