"""Exhaustion, each attempt twice: under tight bounds, and where the operator's are higher."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.security import host
from tests.security.conftest import RUNTIME, WeakRunner
from tests.support.sandlot import AGENT, INLINE, RunningController, fence, results
from tests.support.sandlot import running_controller as running

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("unharmed")]
MIB = 1024**2
CONFIG = """
sandbox:
  image: {image}
  runtime: {runtime}
  memory: 2GiB
  workspace: 1GiB
  file_size: 1GiB
  open_files: 8192
  pids: 2000
  max_running: 2
"""


@pytest.fixture(scope="module")
def roomy(image: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningController]:
    """A controller whose operator gives sandboxes far more."""
    folder: Path = tmp_path_factory.mktemp("roomy")
    with running(folder, CONFIG.format(image=image, runtime=RUNTIME)) as controller:
        yield controller
    host.check_nothing_left(controller)


@dataclass(frozen=True)
class Place:
    """Where an attempt is made, and whether it is to fail there."""

    controller: RunningController
    is_tight: bool


@pytest.fixture(params=["tight", "roomy"])
def place(request: pytest.FixtureRequest) -> Generator[Place]:
    name = "sandlot" if request.param == "tight" else "roomy"
    controller: RunningController = request.getfixturevalue(name)
    yield Place(controller, request.param == "tight")
    host.check(controller)


PAGE = """eats<script>const kept = [];
while (kept.length < 64) {
  const piece = new Uint8Array(8 * 1024 * 1024);
  for (let at = 0; at < piece.length; at += 4096) piece[at] = 1;
  kept.push(piece); }
document.body.append('all eaten');</script>"""


def test_x02_a_page_that_eats_memory_costs_the_browser_and_nothing_else(place: Place) -> None:
    write = (
        "import pathlib; kept = 7\n"
        f"pathlib.Path('/workspace/eat.html').write_text({PAGE!r})\n"
        "pathlib.Path('/workspace/calm.html').write_text('<p>calm')"
    )
    open_page = '```tool browser_navigate\n{{"url": "/workspace/{}.html"}}\n```\n'
    pages = open_page.format("eat") + open_page.format("calm")
    run = place.controller.run(f"{fence('python', write)}\n{pages}{fence('python', 'print(kept)')}")
    assert run.status == "completed"
    _, eaten, calm, kept = results(run)
    assert ("ran out of memory (512 MiB)" in eaten) is place.is_tight, eaten
    assert ("all eaten" in eaten) is not place.is_tight, eaten
    assert "calm" in calm and kept == "7\n", "the kernel did not notice"


PLACES = ("/workspace", "/tmp", "/dev/shm")


def test_x04_full_disks_are_told_and_the_host_has_its_own(place: Place) -> None:
    before = shutil.disk_usage(place.controller.folder.path).free
    fill = "; ".join(
        f"for i in $(seq 7); do head -c 30M /dev/zero > {one}/big$i || break; done 2>&1"
        for one in PLACES
    )
    clean = "rm -f /workspace/big* /tmp/big* /dev/shm/big*; echo works > /workspace/after"
    run = place.controller.run(fence("bash", fill, clean, "cat /workspace/after"))
    full = results(run)[0].count("No space left on device")
    assert full == (len(PLACES) if place.is_tight else 0), results(run)[0]
    assert results(run)[2] == "works\n"
    assert before - shutil.disk_usage(place.controller.folder.path).free < 1024**3


def test_x04_a_file_has_a_largest_size(place: Place) -> None:
    run = place.controller.run(
        fence("bash", "head -c 40M /dev/zero > big; echo $(($(wc -c < big) >> 20)) big")
    )
    said = results(run)[0]
    refused = "File too large" in said or "File size limit" in said
    assert refused is place.is_tight
    assert ("32 big" if place.is_tight else "40 big") in said


MANY = """
import os
most = {most}
{queues}
for folder in {folders}:
    os.mkdir(folder + "/many")
    try:
        for number in range(most): os.close(os.open(f"{{folder}}/many/{{number}}", os.O_CREAT))
    except OSError as error: print(error.strerror)
    else: print("made them all")
"""
QUEUES = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
made = 0
while made < 100 and libc.msgget(0, 0o1600) >= 0: made += 1
print(made)
"""


@pytest.mark.parametrize(("inodes", "said"), [(2000, "No space left on device"), (None, "made")])
def test_x04_files_of_a_workspace_are_counted(
    unharmed: RunningController, inodes: int | None, said: str
) -> None:
    limits = {} if inodes is None else {"limits": {"workspace_inodes": inodes}}
    code = MANY.format(most=4000, queues="", folders=("/workspace",))
    run = unharmed.run(fence("python", code, "print(1)"), {"type": "remote", **limits})
    assert results(run)[0].startswith(said), results(run)
    assert results(run)[1] == "1\n", "the kernel still runs"


def test_x04_queues_and_files_in_memory_are_counted(
    unharmed: RunningController, run_weakly: WeakRunner
) -> None:
    code = MANY.format(most=40_000, queues=QUEUES, folders=("/tmp", "/dev/shm"))
    run = unharmed.run(fence("python", code, "import pandas; print('room left')"))
    assert results(run)[0] == "32\n" + "No space left on device\n" * 2
    assert results(run)[1] == "room left\n"
    assert run_weakly(code).decode() == "100\n" + "made them all\n" * 2


def test_x10_what_unpacks_to_too_much_ends_at_the_workspace(place: Place) -> None:
    before = shutil.disk_usage(place.controller.folder.path).free
    bomb = "head -c 200M /dev/zero | gzip -1 > bomb.gz; gunzip -c bomb.gz > big 2>&1"
    parts = "rm -f big; gunzip -c bomb.gz | split -b 20M - part. 2>&1; rm -f part.*"
    sparse = "truncate -s 1T sparse 2>&1; truncate -s 500M half 2>&1 && echo made"
    run = place.controller.run(fence("bash", bomb, parts, sparse, "gunzip -c bomb.gz | wc -c"))
    whole, pieces, holes, streamed = results(run)
    assert ("File" in whole or "exit status" in whole) is place.is_tight, whole
    assert ("No space left" in pieces) is place.is_tight, pieces
    assert "File too large" in holes or "File size limit" in holes
    assert ("made" in holes) is not place.is_tight, holes
    assert streamed == f"{200 * MIB}\n", "as a stream it does no harm"
    assert before - shutil.disk_usage(place.controller.folder.path).free < 300 * MIB


LIMITS: dict[str, int] = {
    "memory_bytes": 1024 * MIB,
    "pids": 1000,
    "workspace_bytes": 512 * MIB,
    "file_size_bytes": 512 * MIB,
    "open_files": 5000,
}


def create(controller: RunningController, **limits: Any) -> httpx2.Response:
    body = {
        "agent": AGENT,
        "agent_config": INLINE,
        "input": "hi",
        "environment": {"type": "remote", "limits": limits},
    }
    key = {"x-goog-api-key": controller.api_key or ""}
    return httpx2.post(f"{controller.url}/v1/interactions", json=body, headers=key, timeout=60)


def test_x14_nobody_gets_more_than_the_operator_allows(
    unharmed: RunningController, roomy: RunningController
) -> None:
    more = {**LIMITS, "cpus": 64, "sent_bytes": 2**60}
    for name, value in more.items():
        answer = create(unharmed, **{name: value})
        assert answer.status_code == 400
        assert f"environment.limits.{name}" in answer.text
    answer = create(roomy, **LIMITS)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
