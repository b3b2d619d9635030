"""Name lookups: a few at once for each environment, so that none uses up those of the others."""

from __future__ import annotations

import math
import socket
from collections import Counter, deque
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from runtime.outbound.door import Resolve

PER_ENVIRONMENT = 8
"""Where nobody else looks names up."""
IN_ALL = 64


class SystemLookups:
    """The operating system's lookups, each in a thread."""

    def __init__(self) -> None:
        self._threads = anyio.CapacityLimiter(IN_ALL)

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of `host`. Raises `OSError`."""

        def ask() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(entry[4][0]) for entry in found))

        return await anyio.to_thread.run_sync(ask, limiter=self._threads)


class Places:
    """Room for the lookups of all environments, which shares what is left of it.

    A name server of a caller's own can take long over each answer. So the more places are taken,
    the fewer may one environment have, and who has the fewest gets the next one.
    """

    def __init__(self) -> None:
        self._free = IN_ALL
        self._taken: Counter[object] = Counter()
        self._waiting: dict[object, deque[anyio.Event]] = {}

    async def take(self, owner: object) -> None:
        """Take a place; waits until `owner` may have another one."""
        if owner not in self._waiting and self._may_take(owner):
            self._count(owner)
            return
        turn = anyio.Event()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self.give_back(owner)
            else:
                self._leave(owner, turn)
            raise

    def give_back(self, owner: object) -> None:
        """Leave a place to whoever waits for one."""
        self._free += 1
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]
        while ready := [one for one in self._waiting if self._may_take(one)]:
            chosen = min(ready, key=self._taken.__getitem__)
            turn = self._waiting[chosen][0]
            self._leave(chosen, turn)
            self._count(chosen)
            turn.set()

    def _may_take(self, owner: object) -> bool:
        # Alone one gets eight of 64, beside many an eighth of what they leave, or one.
        return self._taken[owner] * PER_ENVIRONMENT < self._free

    def _count(self, owner: object) -> None:
        self._free -= 1
        self._taken[owner] += 1

    def _leave(self, owner: object, turn: anyio.Event) -> None:
        queue = self._waiting[owner]
        queue.remove(turn)
        if not queue:
            del self._waiting[owner]


@dataclass(slots=True, eq=False)
class _Answer:
    ready: anyio.Event = field(default_factory=anyio.Event)
    addresses: list[str] = field(default_factory=list[str])
    problem: OSError | None = None


class Lookups:
    """The `Resolve` of one environment: callers can be cancelled, a lookup then keeps its place.

    Who is cancelled before there was a place leaves nothing behind.
    """

    def __init__(self, resolve: Resolve, tasks: TaskGroup, places: Places) -> None:
        """`places` are shared with the other environments."""
        self._resolve = resolve
        self._tasks = tasks
        self._places = places

    async def __call__(self, host: str, port: int, seconds: float = math.inf) -> list[str]:
        """The addresses of `host`; a lookup may take `seconds`, the wait for its place not counted.

        Raises `OSError`.
        """
        answer = _Answer()
        await self._places.take(self)
        self._tasks.start_soon(self._answer, host, port, answer)
        with anyio.fail_after(seconds):
            await answer.ready.wait()
        if answer.problem is not None:
            raise answer.problem
        return answer.addresses

    async def _answer(self, host: str, port: int, answer: _Answer) -> None:
        try:
            answer.addresses = await self._resolve(host, port)
        except OSError as error:
            answer.problem = error
        except (UnicodeError, RuntimeError) as error:
            # No name that can be looked up, or no thread to be had for it.
            answer.problem = OSError(f"{host} cannot be looked up: {error}")
        finally:
            self._places.give_back(self)
            answer.ready.set()
