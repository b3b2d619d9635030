from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from runtime.controller.presence import Presence
from runtime.controller.quotas import Bucket, Quotas
from runtime.errors import QuotaExceeded
from runtime.schema.callers import Caller
from runtime.schema.quotas import QuotaLimits, QuotasSettings
from runtime.specs.settings import load_settings
from runtime.store import BoundReached, Bounds

pytestmark = pytest.mark.anyio
KEY = Caller("small", frozenset({"read"}), "key_1")


def quotas(**limits: float | None) -> Quotas:
    return Quotas(QuotasSettings(projects={"small": QuotaLimits(**limits)}))  # type: ignore[arg-type]


def test_a_bucket_lets_so_many_through_each_second() -> None:
    bucket = Bucket(2.0, 2.0, 100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert bucket.take(100.5) == 0.0
    assert bucket.take(100.5) == 0.5
    assert [bucket.take(900.0) for _ in range(3)] == [0.0, 0.0, 0.5], "it never overflows"


def test_a_slow_bucket_lets_one_through() -> None:
    bucket = Bucket(0.1, 1.0, 0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(5.0) == pytest.approx(5.0)
    assert bucket.take(10.0) == 0.0


def test_requests_that_come_too_fast_are_told_when_to_come_again() -> None:
    found = quotas(requests_per_second=0.25)
    found.admit("small")
    with pytest.raises(QuotaExceeded, match=r"quotas[.]requests_per_second") as refused:
        found.admit("small")
    assert 1 <= refused.value.retry_seconds <= 4
    for _ in range(1000):
        found.admit("default")


def test_what_a_project_says_itself_wins() -> None:
    settings = QuotasSettings(queued=5, running=2, projects={"a": QuotaLimits(queued=None)})
    assert (settings.of("a").running, settings.of("a").queued) == (2, None)
    assert (settings.of("b").running, settings.of("b").queued) == (2, 5)


def test_quotas_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sandlot.yaml"
    path.write_text(
        "quotas:\n  stored: 2GiB\n"
        "  projects:\n    team: {running: 3, stored: 5MiB, queued: null}\n",
        encoding="utf-8",
    )
    found = load_settings(path, {"HOME": str(tmp_path)}).quotas
    assert (found.of("x").stored_bytes, found.of("team").stored_bytes) == (2 * 1024**3, 5 * 1024**2)
    assert (found.of("team").running, found.of("team").queued) == (3, None)
    assert found.of("x").queued == 10_000


def test_a_single_user_meets_no_quota() -> None:
    limits = QuotasSettings().of("default")
    assert (limits.running, limits.stored_bytes, limits.requests_per_second) == (None, None, None)
    assert Quotas().bounds("default") == Bounds(10_008, 10_000)


def test_the_bound_of_unsettled_interactions_is_what_may_run_and_wait() -> None:
    assert quotas(running=2, queued=3).bounds("small").unsettled == 5
    assert quotas(queued=0).bounds("small").unsettled == 8
    assert quotas(queued=None).bounds("small").unsettled is None


@pytest.mark.parametrize("name", ["unsettled", "environments"])
def test_a_refusal_says_which_quota_it_is_and_who_changes_it(name: str) -> None:
    error = quotas().reached("small", BoundReached(name, 7))  # type: ignore[arg-type]
    assert "project 'small' has 7" in error.message
    assert "quotas." in error.message and "quotas.projects" in error.message
    assert (error.http_status, error.code) == (429, "resource_exhausted")


async def test_no_more_run_than_may() -> None:
    found, inside, most = quotas(running=2), 0, 0

    async def run() -> None:
        nonlocal inside, most
        async with found.slot("small"):
            inside += 1
            most = max(most, inside)
            await anyio.lowlevel.checkpoint()
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(run)
    assert (inside, most) == (0, 2)


async def test_bytes_are_counted_where_there_is_a_limit() -> None:
    async def stored(project_id: str) -> int:
        assert project_id == "small"
        return 90

    settings = QuotasSettings(projects={"small": QuotaLimits(stored_bytes=100)})
    found = Quotas(settings, stored=stored)
    await found.check_stored("small", 10)
    with pytest.raises(QuotaExceeded, match=r"may have 100 bytes.*10 are left"):
        await found.check_stored("small", 11)
    await found.check_stored("default", 10**18)


async def test_calls_that_last_are_counted_until_they_leave() -> None:
    presence = Presence(quotas(streams=2))
    first = presence.enter(KEY)
    presence.enter(KEY)
    with pytest.raises(QuotaExceeded, match=r"quotas[.]streams"):
        presence.enter(KEY)
    presence.enter(Caller("other", frozenset(), "key_2"))
    first.leave()
    first.leave()
    presence.enter(KEY)
    assert presence.count("small") == 2


async def test_the_calls_of_a_revoked_key_end_and_no_others() -> None:
    presence = Presence()
    mine, other = presence.enter(KEY), presence.enter(Caller("small", frozenset(), "key_2"))
    async with anyio.create_task_group() as tasks:

        async def last() -> None:
            with mine.scope:
                await anyio.sleep_forever()

        tasks.start_soon(last)
        await anyio.wait_all_tasks_blocked()
        await presence.end("key_1")
    assert mine.is_ended and not other.is_ended
    assert not other.scope.cancel_called
