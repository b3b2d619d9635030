"""Exhaustion, with a control for each: where the bound is higher the same attempt succeeds."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import docker
import httpx2
import pytest

from runtime.client import Interaction
from tests.support.sandlot import RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("unharmed")]
MIB = 1024**2


def remote(**limits: Any) -> dict[str, Any]:
    """A new environment with less than the operator's figures."""
    return {"type": "remote", "limits": limits}


def config(**more: Any) -> dict[str, Any]:
    return {"type": "antigravity", "model": "script/inline", **more}


def run_with(controller: RunningController, prompt: str, **settings: Any) -> Interaction:
    """A run with a configuration of its own."""
    return controller.client.interactions.create(
        agent="antigravity", agent_config=config(**settings), input=prompt, environment="remote"
    )


SLEEPERS = """
import os, time
for number in range(60):
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
"""


@pytest.mark.parametrize(("pids", "refused"), [(64, True), (200, False)])
def test_x01_so_many_processes_as_were_asked_for(
    unharmed: RunningController, pids: int, refused: bool
) -> None:
    run = unharmed.run(fence("python", SLEEPERS), remote(pids=pids))
    assert (f"limited to {pids} processes" in results(run)[0]) is refused


@pytest.mark.parametrize(("memory", "dies"), [(256, True), (512, False)])
def test_x02_so_much_memory_as_was_asked_for(
    unharmed: RunningController, memory: int, dies: bool
) -> None:
    eat = f"eaten = bytearray({220 * MIB})\nprint('had it')"
    run = unharmed.run(fence("python", eat, "print('alive')"), remote(memory_bytes=memory * MIB))
    assert run.status == "completed" and "alive" in results(run)[1]
    assert ("had it" not in results(run)[0]) is dies
    assert (f"ran out of memory ({memory} MiB)" in results(run)[0]) is dies


KIN = """
import subprocess, sys, time
own = "open('/proc/self/oom_score_adj', 'w').write('500')"
exec(own)
code = own + "; import time; x = bytearray({mib} * 1024 * 1024); time.sleep(60)"
kin = [subprocess.Popen([sys.executable, "-S", "-E", "-c", code]) for _ in range({count})]
print("begun", flush=True)
{then}
"""
"""Many small processes that the kernel has no reason to kill before the supervisor."""


def test_x03_a_sandbox_that_dies_of_memory_says_so_and_keeps_its_files(
    unharmed: RunningController,
) -> None:
    hoard = KIN.format(mib=4, count=150, then="time.sleep(600)")
    # Where the hands die first and their kin with them, the next one goes on.
    prompt = fence("bash", "echo kept > /workspace/kept") + "\n" + fence("python", *[hoard] * 5)
    run = unharmed.run(prompt)
    assert run.status == "failed" and run.errors[0].code == "out_of_memory"
    assert "512 MiB" in run.errors[0].message
    again = unharmed.run(fence("bash", "cat /workspace/kept"), run.environment_id)
    assert again.status == "completed" and results(again) == ["kept\n"]


def test_x03_control_a_few_of_these_processes_harm_nobody(unharmed: RunningController) -> None:
    few = KIN.format(mib=1, count=3, then="[one.kill() for one in kin]; print('done')")
    run = unharmed.run(fence("python", few))
    assert run.status == "completed" and "done" in results(run)[0]


SEGMENTS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
if os.fork() == 0:
    for _ in range(8):
        made = libc.shmget(0, 16 * 1024 * 1024, 0o1600)
        place = libc.shmat(made, None, 0)
        if made < 0 or place in (None, ctypes.c_void_p(-1).value):
            break
        ctypes.memset(ctypes.c_void_p(place), 1, 16 * 1024 * 1024)
        libc.shmdt(ctypes.c_void_p(place))
    os._exit(0)
os.wait()
print(sum(1 for line in open("/proc/sysvipc/shm")) - 1)
"""


def test_x04_memory_without_an_owner_does_not_stay(unharmed: RunningController, image: str) -> None:
    run = unharmed.run(fence("bash", f"python3 - <<'END'\n{SEGMENTS}\nEND"))
    assert results(run) == ["0\n"]
    client = docker.from_env()
    try:
        arguments: dict[str, Any] = {"entrypoint": ["/usr/bin/python3", "-c"], "remove": True}
        weak: bytes = client.containers.run(image, [SEGMENTS], network_mode="none", **arguments)
    finally:
        client.close()
    assert int(weak) == 8, "where nothing holds them they outlive their process"


@pytest.mark.parametrize("most", [300, 4096])
def test_x05_so_many_open_files_as_were_asked_for(unharmed: RunningController, most: int) -> None:
    code = (
        "import os\nopened = []\ntry:\n    while True: opened.append(os.eventfd(0))\n"
        "except OSError as error: reason = error.strerror\n"
        "count = len(opened)\nfor one in opened: os.close(one)\nprint(reason, count)"
    )
    run = unharmed.run(fence("python", code), remote(open_files=most))
    reason, _, count = results(run)[0].rpartition(" ")
    assert reason == "Too many open files" and most - 100 < int(count) < most


SHOW = """
from IPython.display import display
for number in range({pictures}): display({{'image/png': 'A' * {size}}}, raw=True)
for number in range({displays}): display(number)
"""


@pytest.mark.parametrize("is_too_much", [True, False])
def test_x07_pictures_and_displays_without_end_are_cut(
    unharmed: RunningController, is_too_much: bool
) -> None:
    cells = [SHOW.format(pictures=60, size=1_398_100, displays=0)]
    cells += [SHOW.format(pictures=0, size=0, displays=20_000)]
    if not is_too_much:
        cells = [SHOW.format(pictures=3, size=1024, displays=0)]
        cells += [SHOW.format(pictures=0, size=0, displays=1000)]
    run = unharmed.run(fence("python", *cells, "print('alive')"))
    assert run.status == "completed"
    pictures, displays, alive = results(run)
    assert ("52 more pictures left out" in pictures) is is_too_much, "8 MiB of them fit"
    assert pictures.count("[picture") == (8 if is_too_much else 3)
    assert ("left out" in displays) is is_too_much and len(displays) < 25_000
    assert is_too_much or displays.split() == [str(number) for number in range(1000)]
    assert alive == "alive\n"


NOISE = "import base64, os\nfrom IPython.display import display\n" + (
    "display({'image/png': base64.b64encode(os.urandom(2_000_000)).decode()}, raw=True)"
)


@pytest.mark.parametrize(("log_mib", "status"), [(5, "incomplete"), (64, "completed")])
def test_x07_what_an_interaction_stores_is_bounded_and_its_sandbox_goes_on(
    unharmed: RunningController, log_mib: int, status: str
) -> None:
    prompt = fence("python", "kept = 7", NOISE, NOISE, NOISE, "print('end')")
    run = run_with(unharmed, prompt, limits={"log_bytes": log_mib * MIB})
    assert run.status == status
    if status == "incomplete":
        assert run.errors[0].code == "log_limit" and "5 MiB" in run.errors[0].message
    else:
        assert results(run)[-1] == "end\n"
    again = unharmed.run(fence("python", "print(kept)"), run.environment_id)
    assert results(again) == ["7\n"], "the kernel of the same sandbox"


def test_x07_results_are_as_long_as_was_asked_for(unharmed: RunningController) -> None:
    cell = fence("python", "print('y' * 5000)")
    short = run_with(unharmed, cell, limits={"output_chars": 1000})
    assert 1000 < len(results(short)[0]) < 1300 and "4,001 characters left out" in results(short)[0]
    assert results(run_with(unharmed, cell))[0] == "y" * 5000 + "\n"


THROTTLED = """
import pathlib, subprocess, time
found = [path for path in ("/sys/fs/cgroup/cpu/cpu.stat", "/sys/fs/cgroup/cpu.stat")
    if pathlib.Path(path).exists()][0]
def throttled():
    lines = [line.split() for line in open(found)]
    return int(dict(lines)["nr_throttled"])
before = throttled()
busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range({loops})]
end = time.monotonic() + {seconds}
while throttled() == before and time.monotonic() < end: time.sleep(0.1)
for one in busy: one.kill()
print(throttled() > before)
"""


@pytest.mark.parametrize(
    ("cpus", "loops", "is_held"), [(0.5, 64, True), (2, 1, False)], ids=["tight", "roomy"]
)
def test_x08_busy_loops_are_held_at_what_was_asked_for(
    unharmed: RunningController, cpus: float, loops: int, is_held: bool
) -> None:
    code = THROTTLED.format(loops=loops, seconds=60 if is_held else 2)
    assert results(unharmed.run(fence("python", code), remote(cpus=cpus))) == [f"{is_held}\n"]
    assert unharmed.client.is_ready(), "the controller has its own time"


def test_x14_a_budget_of_tokens_is_checked_before_the_next_call(
    unharmed: RunningController,
) -> None:
    prompt = fence("bash", "echo one > /workspace/one", "echo two > /workspace/two")
    broke = run_with(unharmed, prompt, max_total_tokens=1)
    assert broke.status == "incomplete" and broke.errors[0].code == "token_limit"
    left = unharmed.run(fence("bash", "cd /workspace; echo *"), broke.environment_id)
    assert results(left) == ["one\n"], "the second turn was never asked for"
    assert run_with(unharmed, prompt, max_total_tokens=1_000_000).status == "completed"


def test_x14_turns_without_end_end(unharmed: RunningController) -> None:
    prompt = fence("bash", *["true"] * 5)
    run = run_with(unharmed, prompt, limits={"max_steps": 2})
    assert run.status == "incomplete" and run.errors[0].code == "step_limit"
    assert len(results(run)) == 2
    assert len(results(run_with(unharmed, prompt))) == 5


def test_x14_a_run_and_a_tool_have_their_time_and_it_is_told(unharmed: RunningController) -> None:
    sleep = fence("bash", "sleep {}; echo slept")
    tool = run_with(unharmed, sleep.format(600), limits={"tool_timeout_seconds": 0.5})
    assert tool.status == "completed" and "stopped after 0.5 s" in results(tool)[0]
    whole = run_with(unharmed, sleep.format(600), limits={"timeout_seconds": 1})
    assert whole.status == "incomplete" and whole.errors[0].code == "time_limit"
    more = {"tool_timeout_seconds": 200, "timeout_seconds": 250}
    assert results(run_with(unharmed, sleep.format(1.5), limits=more)) == ["slept\n"]


CROWD = """
import os
os.makedirs("/workspace/many")
for number in range(5000): os.close(os.open(f"/workspace/many/{number:05}" + "n" * 200, os.O_CREAT))
os.makedirs("/workspace/deep"); os.chdir("/workspace/deep")
for _ in range(1500): os.mkdir("d"); os.chdir("d")
os.chdir("/workspace")
"""


def test_x16_crowds_of_files_and_deep_folders_come_in_pages(
    unharmed: RunningController, http: httpx2.Client
) -> None:
    run = unharmed.run(fence("python", CROWD))
    assert run.status == "completed"
    where = f"/v1/environments/{run.environment_id}/files/workspace"
    names = listed(http, f"{where}/many")
    assert len(names) == 5000 == len(set(names))
    assert len(listed(http, f"{where}/deep", recursive="true")) == 1500
    packed = http.get(where, params={"alt": "media", "recursive": "true"})
    with tarfile.open(fileobj=io.BytesIO(packed.content)) as archive:
        assert sum(name.startswith(("many/", "deep/")) for name in archive.getnames()) == 6500
    assert len(listed(http, f"{where}/many", page_size=1000, pages=1)) == 1000, "it is a page"


def listed(http: httpx2.Client, folder: str, pages: int = 100, **more: Any) -> list[str]:
    """The names of a folder's entries, of so many pages."""
    names: list[str] = []
    query: dict[str, Any] = {"page_size": 1000, **more}
    while pages > 0:
        answer = http.get(folder, params=query)
        assert answer.status_code == 200 and len(answer.content) < 16 * MIB
        page = answer.json()
        assert len(page["files"]) <= 1000
        names += [one["name"] for one in page["files"]]
        query["page_token"] = page.get("next_page_token")
        pages = pages - 1 if query["page_token"] else 0
    return names


def test_x17_a_sandbox_works_while_another_writes_without_pause(
    unharmed: RunningController,
) -> None:
    hog = (
        "for ((n = 1; ; n++)); do head -c 30M /dev/zero > big; sync big; rm big; "
        "touch round-$n; done"
    )
    started = unharmed.start(fence("bash", hog))
    unharmed.wait_for_file(started, "round-1")
    work = "import os\nwith open('/workspace/x', 'w') as file:\n    for _ in range(20):\n"
    work += "        file.write('x' * 1000); file.flush(); os.fsync(file.fileno())\nprint('done')"
    assert results(unharmed.run(fence("python", work))) == ["done\n"]
    assert unharmed.client.interactions.get(started.id).status == "in_progress"
    unharmed.client.interactions.cancel(started.id)
