from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from runtime.egress.lookups import PER_ENVIRONMENT, Lookups

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30.0


class SlowNames:
    """A name service that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = anyio.Event()

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        await self.may_answer.wait()
        return ["192.0.2.1"]

    async def until_asked(self, count: int) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(self.asked) < count:
                await checkpoint()


async def test_lookups_that_nobody_waits_for_any_more_are_not_begun() -> None:
    names = SlowNames()
    async with anyio.create_task_group() as tasks, anyio.create_task_group() as callers:
        lookups = Lookups(names, tasks)
        for number in range(PER_ENVIRONMENT):
            callers.start_soon(lookups, f"slow{number}.example.com", 443)
        await names.until_asked(PER_ENVIRONMENT)
        for _ in range(3):
            with anyio.move_on_after(0.01) as gave_up:
                await lookups("abandoned.example.com", 443)
            assert gave_up.cancelled_caught
        names.may_answer.set()
        assert await lookups("last.example.com", 443) == ["192.0.2.1"]
    assert "abandoned.example.com" not in names.asked


async def test_a_lookup_whose_caller_is_gone_keeps_its_place() -> None:
    names = SlowNames()
    async with anyio.create_task_group() as tasks:
        lookups = Lookups(names, tasks)
        async with anyio.create_task_group() as callers:
            for number in range(PER_ENVIRONMENT):
                callers.start_soon(lookups, f"slow{number}.example.com", 443)
            await names.until_asked(PER_ENVIRONMENT)
            callers.cancel_scope.cancel()
        with anyio.move_on_after(0.01) as gave_up:
            await lookups("waiting.example.com", 443)
        assert gave_up.cancelled_caught and "waiting.example.com" not in names.asked
        names.may_answer.set()
        assert await lookups("last.example.com", 443) == ["192.0.2.1"]
