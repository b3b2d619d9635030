from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import pytest

from runtime.guest.children import (
    Child,
    all_processes,
    children_of,
    describe_end,
    kill_kin,
    kin,
    signal_process,
)

pytestmark = pytest.mark.anyio

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def start(script: str, folder: Path, **more: int) -> Child:
    return Child.start(["bash", "-c", script], cwd=folder, env=ENVIRONMENT, **more)


async def pids_in(file: Path, count: int) -> list[int]:
    """The process ids that a script wrote, as soon as there are so many."""
    with anyio.fail_after(30):
        while len(words := words_in(file)) < count:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    return [int(word) for word in words]


def words_in(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def running(pids: list[int]) -> list[int]:
    return [entry.pid for entry in all_processes() if entry.pid in pids and not entry.is_zombie]


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -TERM $$", -15)])
async def test_the_end_of_a_child_is_seen_by_all_who_wait(
    tmp_path: Path, script: str, status: int
) -> None:
    child = start(script, tmp_path)
    seen: list[int] = []

    async def wait() -> None:
        seen.append(await child.wait())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await child.watch()
    assert seen == [status, status]
    assert child.exit_status == status
    child.send_signal(signal.SIGKILL)


async def test_giving_up_a_child_kills_it(tmp_path: Path) -> None:
    child = start("sleep 1000", tmp_path)
    with anyio.move_on_after(0.05):
        await child.watch()
    assert child.exit_status == -9


async def test_kin_are_descendants_and_the_session(tmp_path: Path) -> None:
    script = (
        "echo $$ >pids; (sleep 1000 & echo $! >>pids) ; setsid sleep 1000 & echo $! >>pids; wait"
    )
    child = start(script, tmp_path)
    pids = await pids_in(tmp_path / "pids", 3)
    orphan = next(entry for entry in all_processes() if entry.pid == pids[1])
    assert orphan.parent != child.pid
    assert orphan.session == child.pid
    with anyio.fail_after(30):
        while len({entry.session for entry in kin(child.pid)}) < 2:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    assert {entry.pid for entry in kin(child.pid)} == set(pids)
    child.kill_with_kin()
    assert running(pids) == []
    assert child.exit_status == -9


async def test_what_a_dead_leader_left_in_its_session_is_found(tmp_path: Path) -> None:
    child = start("sleep 1000 & echo $! >pids", tmp_path)
    await child.watch()
    pids = await pids_in(tmp_path / "pids", 1)
    assert running(pids) == pids
    kill_kin(child.pid)
    assert running(pids) == []


async def test_children_come_in_order_and_without_known_groups(tmp_path: Path) -> None:
    script = "set -m; sleep 1000 & echo $! >pids; sleep 1000 & echo $! >>pids; wait"
    child = start(script, tmp_path)
    first, second = await pids_in(tmp_path / "pids", 2)
    assert [entry.pid for entry in children_of(child.pid, set())] == [first, second]
    assert [entry.pid for entry in children_of(child.pid, {first})] == [second]
    child.kill_with_kin()


async def test_a_missing_program_or_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child.start(["/no/such/program"], cwd=tmp_path, env={})
    with pytest.raises(FileNotFoundError):
        start("true", tmp_path / "none")


def test_a_process_that_is_gone_is_not_signalled() -> None:
    signal_process(2**22 + 1, signal.SIGKILL)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-11, "was killed by SIGSEGV"),
        (-60, "was killed by signal 60"),
    ],
)
def test_how_an_end_is_told(status: int, text: str) -> None:
    assert describe_end(status) == text
