"""Connections to clients: one that takes nothing any more is cut off.

What a client does not read waits in the server, a bounded piece of it, and whoever writes it waits
too. Neither may last for ever.
"""

from __future__ import annotations

import asyncio

import structlog

from runtime.api.heads import HeadProtocol

STALLED_SECONDS = 60.0
"""A client that takes not a single byte for so long is cut off; a stream can be resumed."""
CLOSING_SECONDS = 1.0
"""The same while the server shuts down."""

log = structlog.get_logger(__name__)


class Connection(HeadProtocol):
    """Uvicorn's protocol, with an end to its patience."""

    stalled_seconds: float = STALLED_SECONDS
    _timer: asyncio.TimerHandle | None = None
    _waiting_bytes = 0
    _is_ending = False

    def pause_writing(self) -> None:
        """The client is slower than what is written: watch it."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It has caught up."""
        if not self._is_ending:
            self._rest()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._rest()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server goes down: answers may end, but nobody is waited for who reads none."""
        super().shutdown()
        self._is_ending = True
        self.stalled_seconds = CLOSING_SECONDS
        self._watch()

    def _watch(self) -> None:
        self._rest()
        self._waiting_bytes = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(self.stalled_seconds, self._judge)

    def _judge(self) -> None:
        now_waiting = self.transport.get_write_buffer_size()
        if now_waiting == 0 or now_waiting < self._waiting_bytes:
            self._watch()
            return
        log.info("a client was cut off: it takes nothing", seconds=self.stalled_seconds)
        self.transport.abort()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
