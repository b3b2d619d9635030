"""Name lookups of one environment: a few at once, so that one cannot use up those of the others."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from runtime.outbound.door import Resolve

PER_ENVIRONMENT = 8
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


@dataclass(slots=True, eq=False)
class _Answer:
    ready: anyio.Event = field(default_factory=anyio.Event)
    addresses: list[str] = field(default_factory=list[str])
    problem: OSError | None = None


class Lookups:
    """A `Resolve` whose callers can be cancelled while the lookup goes on and keeps its place.

    Who is cancelled before there was a place leaves nothing behind.
    """

    def __init__(self, resolve: Resolve, tasks: TaskGroup) -> None:
        self._resolve = resolve
        self._tasks = tasks
        self._places = anyio.CapacityLimiter(PER_ENVIRONMENT)

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of `host`. Raises `OSError`."""
        answer = _Answer()
        await self._places.acquire_on_behalf_of(answer)
        self._tasks.start_soon(self._answer, host, port, answer)
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
            self._places.release_on_behalf_of(answer)
            answer.ready.set()
