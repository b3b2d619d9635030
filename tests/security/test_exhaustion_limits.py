"""Exhaustion, with a control for each: where the bound is higher the same attempt succeeds."""

from __future__ import annotations

import shutil
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


@pytest.mark.parametrize(("pids", "refused"), [(64, True), (200, False)])
def test_x01_so_many_processes_as_were_asked_for(
    unharmed: RunningController, pids: int, refused: bool
) -> None:
    many = "for i in $(seq 60); do sleep 60 & done 2>&1"
    run = unharmed.run(fence("bash", many), remote(pids=pids))
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


PAGE = """<script>const kept = [];
function eat() { for (let n = 0; n < 16; n++) {
  const piece = new Uint8Array(8 * 1024 * 1024);
  for (let at = 0; at < piece.length; at += 4096) piece[at] = 1;
  kept.push(piece); } setTimeout(eat, 0); }
setTimeout(eat, 100);</script>eats"""


def test_x02_a_page_that_eats_memory_costs_the_browser_and_nothing_else(
    unharmed: RunningController,
) -> None:
    write = (
        "import pathlib; kept = 7\n"
        f"pathlib.Path('/workspace/eat.html').write_text({PAGE!r})\n"
        "pathlib.Path('/workspace/calm.html').write_text('<p>calm')"
    )
    open_page = '```tool browser_navigate\n{{"url": "/workspace/{}.html"}}\n```\n'
    wait = '```tool browser_wait\n{"text": "never", "seconds": 60}\n```\n'
    prompt = fence("python", write) + "\n" + open_page.format("eat") + wait
    run = unharmed.run(prompt + open_page.format("calm") + fence("python", "print(kept)"))
    assert run.status == "completed"
    told = "".join(results(run)[1:3])
    assert "ran out of memory (512 MiB)" in told or "crashed" in told, told
    assert "calm" in results(run)[3] and results(run)[4] == "7\n", "the kernel did not notice"


KIN = """
import subprocess, sys, time
own = "open('/proc/self/oom_score_adj', 'w').write('500')"
exec(own)
code = own + "; import time; x = bytearray({mib} * 1024 * 1024); time.sleep(600)"
kin = [subprocess.Popen([sys.executable, "-S", "-E", "-c", code]) for _ in range({count})]
print("begun", flush=True)
{then}
"""
"""Many small processes that the kernel has no reason to kill before the supervisor."""


def test_x03_a_sandbox_that_dies_of_memory_says_so_and_keeps_its_files(
    unharmed: RunningController,
) -> None:
    hoard = KIN.format(mib=4, count=150, then="time.sleep(600)")
    run = unharmed.run(fence("bash", "echo kept > /workspace/kept") + "\n" + fence("python", hoard))
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


QUEUES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
made = 0
while libc.msgget(0, 0o1600) >= 0 and made < 5000: made += 1
print(made)
for folder in ("/tmp", "/dev/shm"):
    os.mkdir(folder + "/many")
    try:
        for number in range(10**6): os.close(os.open(f"{folder}/many/{number}", os.O_CREAT))
    except OSError as error: print(error.strerror)
"""


def test_x04_queues_and_files_in_memory_are_counted(unharmed: RunningController) -> None:
    run = unharmed.run(fence("python", QUEUES, "import pandas; print('room left')"))
    assert results(run)[0] == "32\n" + "No space left on device\n" * 2
    assert results(run)[1] == "room left\n"


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


def test_x07_pictures_and_displays_without_end_are_cut(unharmed: RunningController) -> None:
    show = "from IPython.display import display\n"
    pictures = show + "for _ in range(60): display({'image/png': 'A' * 8_388_608}, raw=True)"
    displays = show + "for number in range(100_000): display(number)"
    run = unharmed.run(fence("python", pictures, displays, "print('alive')"))
    assert run.status == "completed"
    assert "59 more pictures left out" in results(run)[0]
    assert "left out" in results(run)[1] and len(results(run)[1]) < 25_000
    assert results(run)[2] == "alive\n"


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


def test_x08_busy_loops_are_held_at_what_was_asked_for(unharmed: RunningController) -> None:
    loops = THROTTLED.format(loops=64, seconds=60)
    assert results(unharmed.run(fence("python", loops), remote(cpus=0.2))) == ["True\n"]
    assert unharmed.client.is_ready(), "the controller has its own time"


def test_x10_what_unpacks_to_too_much_ends_at_the_workspace(unharmed: RunningController) -> None:
    before = shutil.disk_usage(unharmed.folder.path).free
    bomb = "head -c 300M /dev/zero | gzip > bomb.gz; ls -s bomb.gz; gunzip -c bomb.gz > big 2>&1"
    parts = "gunzip -c bomb.gz | split -b 20M - part. 2>&1; rm -f part.* big"
    sparse = "truncate -s 1T sparse 2>&1; truncate -s 20M small && echo made"
    run = unharmed.run(fence("bash", bomb, parts, sparse, "gunzip -c bomb.gz | wc -c"))
    assert "File" in results(run)[0] or "exit status" in results(run)[0]
    assert "No space left" in results(run)[1]
    assert "File too large" in results(run)[2] or "File size limit" in results(run)[2]
    assert "made" in results(run)[2]
    assert results(run)[3] == f"{300 * MIB}\n", "as a stream it does no harm"
    assert before - shutil.disk_usage(unharmed.folder.path).free < 300 * MIB


def test_x14_a_budget_of_tokens_is_checked_before_the_next_call(
    unharmed: RunningController,
) -> None:
    prompt = fence("bash", "echo one > /workspace/one", "echo two > /workspace/two")
    broke = run_with(unharmed, prompt, max_total_tokens=1)
    assert broke.status == "incomplete" and broke.errors[0].code == "token_limit"
    left = unharmed.run(fence("bash", "ls /workspace"), broke.environment_id)
    assert results(left) == ["one\n"], "the second turn was never asked for"
    assert run_with(unharmed, prompt, max_total_tokens=1_000_000).status == "completed"


def test_x14_turns_without_end_end(unharmed: RunningController) -> None:
    prompt = fence("bash", *["true"] * 5)
    run = run_with(unharmed, prompt, limits={"max_steps": 2})
    assert run.status == "incomplete" and run.errors[0].code == "step_limit"
    assert len(results(run)) == 2
    assert len(results(run_with(unharmed, prompt))) == 5


def test_x14_a_run_and_a_tool_have_their_time_and_it_is_told(unharmed: RunningController) -> None:
    sleep = fence("bash", "sleep 600")
    tool = run_with(unharmed, sleep, limits={"tool_timeout_seconds": 0.5})
    assert tool.status == "completed" and "stopped after 0.5 s" in results(tool)[0]
    whole = run_with(unharmed, sleep, limits={"timeout_seconds": 1})
    assert whole.status == "incomplete" and whole.errors[0].code == "time_limit"


@pytest.mark.parametrize(
    "limits",
    [{"memory_bytes": 2**40}, {"cpus": 64}, {"pids": 10**6}, {"sent_bytes": 2**60}],
    ids=lambda limits: next(iter(limits)),
)
def test_x14_nobody_gets_more_than_the_operator_allows(
    http: httpx2.Client, limits: dict[str, Any]
) -> None:
    body = {"agent": "antigravity", "agent_config": config(), "input": "hi"}
    answer = http.post("/v1/interactions", json={**body, "environment": remote(**limits)})
    assert answer.status_code == 400
    assert f"environment.limits.{next(iter(limits))}" in answer.text


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
    names: list[str] = []
    query: dict[str, Any] = {"page_size": 1000}
    while True:
        page = http.get(f"{where}/many", params=query).json()
        assert len(page["files"]) <= 1000
        names += [one["name"] for one in page["files"]]
        if not page.get("next_page_token"):
            break
        query["page_token"] = page["next_page_token"]
    assert len(names) == 5000 == len(set(names))
    deep = http.get(f"{where}/deep", params={"recursive": "true", "page_size": 1000})
    assert deep.status_code < 500 and len(deep.content) < 16 * MIB


def test_x17_a_sandbox_works_while_another_writes_without_pause(
    unharmed: RunningController,
) -> None:
    hog = "echo begun; while :; do head -c 30M /dev/zero > big; sync big; rm big; done"
    started = unharmed.start(fence("bash", hog))
    unharmed.wait_for_step(started.id, "begun")
    work = "import os\nwith open('/workspace/x', 'w') as file:\n    for _ in range(20):\n"
    work += "        file.write('x' * 1000); file.flush(); os.fsync(file.fileno())\nprint('done')"
    assert results(unharmed.run(fence("python", work))) == ["done\n"]
    assert unharmed.client.interactions.get(started.id).status == "in_progress"
    unharmed.client.interactions.cancel(started.id)
