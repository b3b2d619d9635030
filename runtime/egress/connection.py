"""Orders to one proxy process, each with its answer."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import anyio
from pydantic import ValidationError

from runtime.egress.channel import Channel
from runtime.egress.protocol import Authority as Certificates
from runtime.egress.protocol import (
    Close,
    Configure,
    Done,
    Health,
    Open,
    Order,
    Ping,
    ProxySettings,
    Replace,
)
from runtime.egress.rules import REVEAL, Rules
from runtime.errors import Internal
from runtime.schema.framing import FrameError

ORDER_SECONDS = 15.0
"""A process that has not obeyed by then is taken for broken."""
START_SECONDS = 30.0
"""The same for its first order, which it obeys once it has started."""


class ProcessLost(Exception):
    """The process ended, or does not answer."""


@dataclass(slots=True)
class _Waiting:
    ready: anyio.Event = field(default_factory=anyio.Event)
    done: Done | None = None


class ProxyConnection:
    """The order channel of one process. Orders raise `ProcessLost`; `Internal` when refused."""

    def __init__(self, channel: Channel, order_seconds: float) -> None:
        self._channel = channel
        self._order_seconds = order_seconds
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._ended = False

    async def read(self) -> None:
        """Take answers until the process ends."""
        try:
            while True:
                done = Done.model_validate(await self._channel.receive())
                waiting = self._waiting.get(done.id)
                if waiting is not None:
                    waiting.done = done
                    waiting.ready.set()
        except (anyio.IncompleteRead, anyio.BrokenResourceError, FrameError, ValidationError):
            return
        finally:
            self._ended = True
            for waiting in self._waiting.values():
                waiting.ready.set()

    async def configure(self, settings: ProxySettings) -> None:
        """Send the settings; comes first. Raises `Internal` for what cannot be read."""
        await self._ask(Configure(id=next(self._ids), settings=settings), seconds=START_SECONDS)

    async def open(
        self, environment: str, rules: Rules, authority: Certificates, listening: int
    ) -> None:
        """Have an environment served on the socket with the descriptor `listening`."""
        order = Open(id=next(self._ids), environment=environment, rules=rules, authority=authority)
        await self._ask(order, listening)

    async def replace(self, environment: str, rules: Rules) -> None:
        """Have new rules in force."""
        await self._ask(Replace(id=next(self._ids), environment=environment, rules=rules))

    async def close(self, environment: str) -> None:
        """Have all connections of an environment ended."""
        await self._ask(Close(id=next(self._ids), environment=environment))

    async def health(self) -> Health:
        """How the process does."""
        done = await self._ask(Ping(id=next(self._ids)))
        if done.health is None:
            raise Internal("The egress proxy does not say how it does.")
        return done.health

    async def _ask(
        self, order: Order, descriptor: int | None = None, seconds: float | None = None
    ) -> Done:
        waiting = self._waiting[order.id] = _Waiting()
        try:
            if self._ended:
                raise ProcessLost
            with anyio.fail_after(seconds or self._order_seconds):
                message = order.model_dump(mode="json", context=REVEAL)
                await self._channel.send(message, descriptor)
                await waiting.ready.wait()
        except (TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ProcessLost from error
        finally:
            del self._waiting[order.id]
        if waiting.done is None:
            raise ProcessLost
        if waiting.done.error is not None:
            raise Internal(f"The egress proxy refused an order: {waiting.done.error}")
        return waiting.done
