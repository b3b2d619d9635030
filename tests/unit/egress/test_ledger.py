from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from runtime import clock
from runtime.egress.ledger import MAX_WAITING, Ledger
from runtime.egress.protocol import EVENTS_PER_FRAME, EgressEvent, Verdict
from tests.support.egress import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio


def event(environment: str = "env", number: int = 0, verdict: Verdict = "allowed") -> EgressEvent:
    return EgressEvent(
        environment=environment,
        at=clock.now(),
        kind="http",
        method="GET",
        host=f"h{number}.example.com",
        port=80,
        rule=None,
        verdict=verdict,
        reason="",
        address=None,
        credential=None,
        bytes_out=0,
        bytes_in=0,
        duration_seconds=0.0,
    )


async def test_events_come_out_in_the_order_of_their_environment() -> None:
    ledger = Ledger()
    for number in range(EVENTS_PER_FRAME + 3):
        await ledger.record(event(number=number))
    first, second = await ledger.take(), await ledger.take()
    assert [one.host for one in [*first, *second]] == [
        f"h{number}.example.com" for number in range(EVENTS_PER_FRAME + 3)
    ]
    assert len(first) == EVENTS_PER_FRAME


async def test_environments_take_turns() -> None:
    ledger = Ledger()
    for number in range(200):
        await ledger.record(event("env_loud", number))
    await ledger.record(event("env_quiet"))
    assert "env_quiet" in {one.environment for one in (await ledger.take())[:2]}


async def test_refusals_of_one_kind_are_counted_together() -> None:
    ledger = Ledger()
    for _ in range(5000):
        await ledger.record(event(number=1, verdict="refused"))
    await ledger.record(event(number=2, verdict="refused"))
    await ledger.record(event(number=2))
    await ledger.record(event(number=2))
    assert [one.count for one in await ledger.take()] == [5000, 1, 1, 1]


async def test_a_full_ledger_holds_up_its_own_environment_only() -> None:
    ledger, waited = Ledger(), anyio.Event()

    async def record_one_more() -> None:
        await ledger.record(event(number=MAX_WAITING))
        waited.set()

    for number in range(MAX_WAITING):
        await ledger.record(event(number=number))
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(record_one_more)
            await ledger.record(event("env_other"))
            for _ in range(20):
                await checkpoint()
            assert not waited.is_set()
            await ledger.take()
            await waited.wait()
    assert ledger.lost == 0


async def test_an_event_is_recorded_although_its_connection_is_cancelled() -> None:
    ledger = Ledger()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ledger.record(event())
    assert len(await ledger.take()) == 1


async def test_all_is_told_when_what_was_taken_has_been_told() -> None:
    ledger = Ledger()
    await ledger.record(event())
    await ledger.take()
    with anyio.move_on_after(0) as scope:
        await ledger.until_empty()
    assert scope.cancelled_caught
    await ledger.told()
    with anyio.fail_after(PATIENCE_SECONDS):
        await ledger.until_empty()
