from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from runtime.controller import abandoned
from runtime.controller.abandoned import Abandoned

pytestmark = pytest.mark.anyio


class Caller:
    def __init__(self) -> None:
        self.has_left = False

    async def is_gone(self) -> bool:
        return self.has_left


async def test_an_answer_is_owed_once() -> None:
    kept = Abandoned()
    kept.leave("a", "int_1")
    assert await kept.take("b") is None
    assert await kept.take("a") == "int_1"
    assert await kept.take("a") is None


async def test_only_so_many_are_kept() -> None:
    kept = Abandoned()
    for number in range(abandoned.MAX_KEPT + 1):
        kept.leave(str(number), f"int_{number}")
    assert await kept.take("0") is None
    assert await kept.take("1") == "int_1"


async def test_a_call_whose_caller_is_there_is_not_taken() -> None:
    kept, caller = Abandoned(), Caller()
    with kept.calling("a", caller.is_gone) as call:
        assert await kept.take("a") is None
        assert not call.is_taken


async def test_a_call_that_is_still_being_begun_is_taken_once() -> None:
    kept, caller = Abandoned(), Caller()
    caller.has_left = True
    taken: list[str | None] = []

    async def take() -> None:
        taken.append(await kept.take("a"))

    async with anyio.create_task_group() as tasks:
        with kept.calling("a", caller.is_gone) as call:
            tasks.start_soon(take)
            while not call.is_taken:
                await checkpoint()
            assert await kept.take("a") is None
            call.interaction_id = "int_1"
    assert taken == ["int_1"]


async def test_an_end_that_is_noticed_late_is_noticed() -> None:
    kept = Abandoned()
    taken: list[str | None] = []

    async def take() -> None:
        taken.append(await kept.take("a"))

    async with anyio.create_task_group() as tasks:
        with kept.calling("a", None):
            tasks.start_soon(take)
            for _ in range(abandoned.LOOKS - 2):
                await checkpoint()
            kept.leave("a", "int_1")
            await checkpoint()
    assert taken == ["int_1"]


async def test_a_call_that_began_nothing_leaves_nothing() -> None:
    kept, caller = Abandoned(), Caller()
    caller.has_left = True
    with pytest.raises(ValueError, match="refused"), kept.calling("a", caller.is_gone):
        raise ValueError("refused")
    assert await kept.take("a") is None
