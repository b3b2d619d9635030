from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from runtime.egress.lookups import IN_ALL, PER_ENVIRONMENT, Lookups, Places

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
        lookups = Lookups(names, tasks, Places())
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
        lookups = Lookups(names, tasks, Places())
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


async def test_environments_with_slow_names_leave_places_to_others() -> None:
    names, places = SlowNames(), Places()
    async with anyio.create_task_group() as tasks, anyio.create_task_group() as callers:

        def ask_often(count: int) -> None:
            lookups = Lookups(names, tasks, places)
            for _ in range(count):
                callers.start_soon(lookups, "slow.example.com", 443)

        for _ in range(10):
            ask_often(2 * PER_ENVIRONMENT)
        await anyio.wait_all_tasks_blocked()
        assert PER_ENVIRONMENT < len(names.asked) < IN_ALL - PER_ENVIRONMENT
        before = len(names.asked)
        ask_often(1)
        await names.until_asked(before + 1)
        names.may_answer.set()


async def test_a_place_goes_to_who_has_the_fewest() -> None:
    places, taken = Places(), list[str]()

    async def take(owner: str) -> None:
        await places.take(owner)
        taken.append(owner)

    async with anyio.create_task_group() as tasks:
        for number in range(IN_ALL):
            tasks.start_soon(take, f"each{number}")
        await anyio.wait_all_tasks_blocked()
        for owner in ("each1", "each1", "late"):
            tasks.start_soon(take, owner)
            await anyio.wait_all_tasks_blocked()
        assert len(taken) == IN_ALL
        places.give_back("each0")
        await anyio.wait_all_tasks_blocked()
        assert taken[IN_ALL:] == ["late"]
        for number in range(2, IN_ALL):
            places.give_back(f"each{number}")
    assert taken[IN_ALL:] == ["late", "each1", "each1"]


async def test_who_stops_waiting_for_a_place_just_as_it_comes_gives_it_back() -> None:
    places = Places()
    for number in range(IN_ALL):
        await places.take(number)
    late = places.take("late")
    late.send(None)
    places.give_back(0)
    with pytest.raises(KeyboardInterrupt):
        late.throw(KeyboardInterrupt())
    with anyio.fail_after(PATIENCE_SECONDS):
        await places.take("next")
