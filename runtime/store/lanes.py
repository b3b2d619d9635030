"""Work for a database, handed to threads in batches.

A hop to a thread costs more than a small query, and a commit that is synced more than what it
commits. So who comes while all lanes are busy waits, and all who wait take the next hop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection

LARGEST_BATCH = 64
T = TypeVar("T")


class Job(Generic[T]):
    """One piece of work, and what came of it."""

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self._work = work
        self._made: list[T] = []
        self._error: BaseException | None = None
        self.woken = anyio.Event()
        self.batch: list[Job[Any]] | None = None
        """What it has to lead, when it is woken for that."""

    def perform(self, connection: Connection) -> None:
        """Do the work, again if it was done before. Raises what the work raises."""
        self._made = [self._work(connection)]
        self._error = None

    def fail(self, error: BaseException) -> None:
        """The work came to nothing."""
        self._error = error

    def outcome(self) -> T:
        """What the work returned. Raises what went wrong."""
        if self._error is not None:
            raise self._error
        return self._made[0]


class Lanes:
    """As many batches at once as there are lanes; `perform` carries one out, in a thread.

    `perform` leaves every job with an outcome and raises nothing.
    """

    def __init__(self, perform: Callable[[list[Job[Any]]], None], count: int) -> None:
        self._perform = perform
        self._waiting: deque[Job[Any]] = deque()
        self._free = count
        self._threads = anyio.CapacityLimiter(count)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns. A cancellation waits until it is done: keep it short."""
        job = Job(work)
        with anyio.CancelScope(shield=True):
            if self._free:
                self._free -= 1
                await self._lead([job])
            else:
                self._waiting.append(job)
                await job.woken.wait()
                if job.batch is not None:
                    await self._lead(job.batch)
        return job.outcome()

    async def _lead(self, batch: list[Job[Any]]) -> None:
        try:
            await anyio.to_thread.run_sync(self._perform, batch, limiter=self._threads)
        except BaseException as error:
            for job in batch:
                job.fail(error)
            raise
        finally:
            self._hand_over()
            for job in batch[1:]:
                job.woken.set()

    def _hand_over(self) -> None:
        size = min(len(self._waiting), LARGEST_BATCH)
        if not size:
            self._free += 1
            return
        batch = [self._waiting.popleft() for _ in range(size)]
        batch[0].batch = batch
        batch[0].woken.set()
