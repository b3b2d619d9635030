"""Runs in a real sandbox, from the API to the kernel and back."""

from __future__ import annotations

import time

import pytest

from runtime.errors import SandlotError
from tests.support.sandlot import RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def environment(sandlot: RunningController) -> str:
    run = sandlot.run(fence("python", "kept = 41"))
    assert run.status == "completed" and run.environment_id
    return run.environment_id


def test_variables_live_across_interactions_of_an_environment(
    sandlot: RunningController, environment: str
) -> None:
    run = sandlot.run(fence("python", "kept + 1"), environment)
    assert (run.status, results(run), run.environment_id) == ("completed", ["42\n"], environment)


def test_the_shell_keeps_its_folder_and_variables(
    sandlot: RunningController, environment: str
) -> None:
    run = sandlot.run(fence("bash", "mkdir -p d && cd d && X=7", "pwd; echo $X"), environment)
    assert results(run)[1].split() == ["/workspace/d", "7"]


def test_python_and_bash_see_the_same_files_and_plots_come_back(
    sandlot: RunningController, environment: str
) -> None:
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.savefig('/workspace/p.png')"
    run = sandlot.run(
        fence("python", plot) + "\n" + fence("bash", "file /workspace/p.png"), environment
    )
    assert run.status == "completed"
    assert "PNG image data" in results(run)[1]
    first = next(step for step in run.steps if step.type == "code_execution_result")
    assert isinstance(first.result, list)
    assert [part.type for part in first.result][-1] == "image"


def test_data_frames_come_back_as_text(sandlot: RunningController, environment: str) -> None:
    run = sandlot.run(
        fence("python", "import pandas as pd\npd.DataFrame({'a': [1, 2]})"), environment
    )
    assert "0  1" in results(run)[0]


def test_an_error_reaches_the_model_as_a_result(
    sandlot: RunningController, environment: str
) -> None:
    run = sandlot.run(fence("python", "1/0", "'still here'"), environment)
    assert run.status == "completed"
    assert "ZeroDivisionError" in results(run)[0] and "still here" in results(run)[1]


def test_input_says_that_nobody_can_answer(sandlot: RunningController, environment: str) -> None:
    run = sandlot.run(fence("python", "input('name? ')"), environment)
    assert "no user" in results(run)[0].lower() or "no one" in results(run)[0].lower()


def test_long_output_is_cut_and_kept(sandlot: RunningController, environment: str) -> None:
    run = sandlot.run(fence("python", "print('x' * 300_000)"), environment)
    (text,) = results(run)
    assert len(text) < 40_000 and "/workspace/.sandlot/outputs/" in text
    path = text[text.index("/workspace/.sandlot/outputs/") :].split("]")[0].split()[0]
    kept = sandlot.client.environments.files.read(environment, path)
    assert len(kept) >= 300_000


def test_file_tools_and_unknown_arguments(sandlot: RunningController, environment: str) -> None:
    prompt = """
```tool write_to_file
{"TargetFile": "notes/a.txt", "CodeContent": "one\\ntwo\\n"}
```
```tool replace_file_content
{"TargetFile": "notes/a.txt", "TargetContent": "two", "ReplacementContent": "zwei"}
```
```tool view_file
{"AbsolutePath": "/workspace/notes/a.txt"}
```
```tool grep_search
{"SearchPath": "/workspace/notes", "Query": "zwei"}
```
```tool view_file
{"Path": "x"}
```
"""
    run = sandlot.run(prompt, environment)
    found = results(run)
    assert "zwei" in found[2] and "a.txt" in found[3]
    assert "AbsolutePath" in found[4], "the error names what is missing"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "import time\nprint('begun', flush=True)\ntime.sleep(600)"),
        ("python", "print('begun', flush=True)\nwhile True: pass"),
        ("bash", "echo begun; sleep 600"),
        ("bash", "echo begun; trap '' INT; while true; do :; done"),
    ],
)
def test_cancel_takes_hold_in_the_middle_of_a_cell(
    sandlot: RunningController, environment: str, language: str, code: str
) -> None:
    started = sandlot.start(fence(language, code), environment)
    sandlot.wait_for_step(started.id, "begun")
    before = time.monotonic()
    cancelled = sandlot.client.interactions.cancel(started.id)
    assert cancelled.status == "cancelled"
    assert time.monotonic() - before < 20, "long before the cell would end"
    again = sandlot.run(fence("python", "'usable'"), environment)
    assert again.status == "completed" and "usable" in results(again)[0]


def test_a_killed_kernel_is_told_of_and_replaced(
    sandlot: RunningController, environment: str
) -> None:
    run = sandlot.run(fence("python", "import os; os._exit(3)", "print('new')"), environment)
    first, second = results(run)
    assert "kernel" in first.lower() and "restarted" in second and "new" in second


def test_killing_everything_one_may_kill_costs_the_state_not_the_run(
    sandlot: RunningController, environment: str
) -> None:
    run = sandlot.run(fence("python", "import os; os.kill(-1, 9)", "print('back')"), environment)
    assert run.status == "completed"
    assert "back" in results(run)[1]


def test_memory_beyond_the_limit_kills_the_kernel_not_the_run(
    sandlot: RunningController, environment: str
) -> None:
    hog = "hoard = []\nwhile True: hoard.append(bytearray(50_000_000))"
    run = sandlot.run(fence("python", hog, "print('alive')"), environment)
    assert run.status == "completed"
    assert "memory" in results(run)[0].lower() and "alive" in results(run)[1]


def test_a_full_workspace_is_an_error_of_the_cell(sandlot: RunningController) -> None:
    run = sandlot.run(fence("bash", "head -c 400M /dev/zero > big; ls -la big; rm big; echo freed"))
    assert run.status == "completed"
    assert "No space left" in results(run)[0] and "freed" in results(run)[0]


def test_a_sandbox_that_is_killed_fails_the_run_and_keeps_the_files(
    sandlot: RunningController,
) -> None:
    first = sandlot.run(fence("bash", "echo precious > kept.txt"))
    assert first.environment_id
    started = sandlot.start(fence("bash", "echo begun; sleep 600"), first.environment_id)
    sandlot.wait_for_step(started.id, "begun")
    sandlot.sandbox_of(first.environment_id).kill()
    ended = sandlot.client.interactions.operations.wait(started.id, 60)
    assert ended.status == "failed" and ended.error is not None
    assert ended.error.code == "sandbox_lost"
    again = sandlot.run(fence("bash", "cat kept.txt"), first.environment_id)
    assert results(again) == ["precious\n"]


def test_a_deleted_environment_is_gone(sandlot: RunningController) -> None:
    run = sandlot.run(fence("bash", "true"))
    assert run.environment_id
    sandlot.client.environments.delete(run.environment_id)
    assert run.environment_id not in {
        one.labels["dev.sandlot.environment"] for one in sandlot.containers()
    }
    with pytest.raises(SandlotError) as gone:
        sandlot.run("hi", run.environment_id)
    assert gone.value.code == "not_found"


def test_one_environment_runs_one_interaction_at_a_time(
    sandlot: RunningController, environment: str
) -> None:
    first = sandlot.start(fence("bash", "sleep 1; echo a >> order.txt"), environment)
    second = sandlot.start(fence("bash", "echo b >> order.txt; cat order.txt"), environment)
    for started in (first, second):
        sandlot.client.interactions.operations.wait(started.id, 60)
    ended = sandlot.client.interactions.get(second.id)
    assert results(ended) == ["a\nb\n"]


def test_a_streamed_run_adds_up_to_the_interaction(
    sandlot: RunningController, environment: str
) -> None:
    stream = sandlot.run(fence("python", "print('hello')"), environment, stream=True)
    kinds = [event.event_type for event in stream]
    assert kinds[0] == "interaction.created" and kinds[-1] == "interaction.completed"
