from __future__ import annotations

import base64
import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.shell import Shell
from tests.support.wire_controller import Wire, numbered, step_events

ID = "int_0001"
ENV = "0123456789abcdef0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40
USAGE = {"total_input_tokens": 1200, "total_output_tokens": 34, "total_tokens": 1234}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def picture() -> dict[str, Any]:
    return {
        "type": "image",
        "mime_type": "image/png",
        "data": base64.b64encode(PNG).decode(),
    }


def played(wire: Wire, status: str = "completed") -> None:
    """A run that thinks, runs code, writes a file, browses and answers."""
    wire.interaction = {
        "id": ID,
        "status": status,
        "agent": "tour",
        "created": "2026-01-31T12:00:00Z",
        "environment_id": ENV,
        "usage": USAGE,
        "steps": [{"type": "model_output", "content": [text("**42** it is.")]}],
    }
    head = {"id": ID, "status": "in_progress"}
    wire.events = numbered(
        {"event_type": "interaction.created", "interaction": head},
        *step_events(
            0,
            {"type": "thought"},
            {"type": "thought_summary", "content": text("Let me \x1b]0;owned\x07look.")},
        ),
        *step_events(
            1,
            {"type": "code_execution_call", "id": "c1", "arguments": {}},
            {
                "type": "code_execution_call",
                "arguments": {"language": "python", "code": "print(6 * 7)"},
            },
        ),
        *step_events(
            2,
            {"type": "code_execution_result", "call_id": "c1", "result": ""},
            {"type": "code_execution_result", "result": [text("42\n[picture 1]\n"), picture()]},
        ),
        *step_events(
            3,
            {"type": "function_call", "id": "c2", "name": "write_to_file", "arguments": {}},
            {"type": "arguments_delta", "arguments": '{"TargetFile": "/workspace/a.txt"'},
            {"type": "arguments_delta", "arguments": ', "CodeContent": "x"}'},
        ),
        *step_events(
            4,
            {"type": "function_result", "call_id": "c2", "name": "write_to_file"},
            {"type": "function_result", "result": "Wrote 1 byte."},
        ),
        *step_events(
            5,
            {
                "type": "function_call",
                "id": "c3",
                "name": "browser_click",
                "arguments": {"ref": "e7"},
            },
        ),
        *step_events(
            6,
            {
                "type": "function_result",
                "call_id": "c3",
                "name": "browser_click",
                "result": "no element e7",
                "is_error": True,
            },
        ),
        *step_events(7, {"type": "model_output"}, text("**42** "), text("it is.")),
        {"event_type": "interaction.completed", "interaction": {**head, "status": status}},
    )


def test_a_run_is_shown_step_by_step(connected: Shell, wire: Wire, tmp_path: Path) -> None:
    played(wire)
    wire.drops = [3, 5]
    wire.files = {
        "workspace/a.txt": b"hello",
        "workspace/charts/b.png": PNG,
        "workspace/.cache/pip/x": b"junk",
    }

    done = connected("run", "tour", "Count.", "--output", "out")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:-5] == [
        "thinks: Let me look.",
        "runs python:",
        "    print(6 * 7)",
        "output:",
        "    42",
        f"picture saved: out/pictures/01.png ({len(PNG)} B)",
        "write_to_file /workspace/a.txt -> Wrote 1 byte.",
        "browser_click e7 -> error: no element e7",
        "says: **42** it is.",
    ]
    summary, environment, *files = done.stdout.splitlines()[-5:]
    assert summary.startswith("completed · 8 steps · ")
    assert summary.endswith("1,234 tokens (1,200 in, 34 out)")
    assert environment == f"environment: {ENV} (sandlot shell {ENV})"
    assert files == [
        "files: 2 files in out/files",
        "  a.txt (5 B)",
        f"  charts/b.png ({len(PNG)} B)",
    ]
    assert (tmp_path / "out/pictures/01.png").read_bytes() == PNG
    assert (tmp_path / "out/files/a.txt").read_bytes() == b"hello"
    assert (tmp_path / "out/files/charts/b.png").read_bytes() == PNG
    assert not (tmp_path / "out/files/.cache").exists()
    assert wire.bodies == [
        {"agent": "tour", "input": "Count.", "background": True, "environment": "remote"}
    ]


def test_a_dash_reads_the_task_from_standard_input(connected: Shell, wire: Wire) -> None:
    played(wire)

    done = connected("run", "tour", "-", "--no-download", stdin="Count é.\nTwice.\n")

    assert done.returncode == 0, done.stderr
    assert wire.bodies[0]["input"] == "Count é.\nTwice.\n"


def test_a_dash_with_nothing_to_read_is_wrong_usage(connected: Shell, wire: Wire) -> None:
    done = connected("run", "tour", "-", stdin=" \n")

    assert done.returncode == 2
    assert done.stderr == "sandlot: no task: nothing came on standard input\n"
    assert wire.bodies == []


def test_json_is_the_only_thing_on_standard_output(connected: Shell, wire: Wire) -> None:
    played(wire)

    done = connected("run", "tour", "Count.", "--json", "--no-download")

    printed = json.loads(done.stdout)
    assert printed == {**wire.interaction, "output_text": "**42** it is."}
    assert "runs python:" in done.stderr


def test_without_show_only_the_answer_is_printed(connected: Shell, wire: Wire) -> None:
    played(wire)

    done = connected("run", "tour", "Count.", "--no-show", "--no-download")

    assert done.stdout.splitlines()[0] == "**42** it is."
    assert "runs python:" not in done.stdout


@pytest.mark.parametrize(
    ("status", "code"),
    [("completed", 0), ("failed", 1), ("incomplete", 1), ("cancelled", 1), ("requires_action", 4)],
)
def test_the_exit_status_is_the_run_s(connected: Shell, wire: Wire, status: str, code: int) -> None:
    played(wire, status)

    done = connected("run", "tour", "Count.", "--no-download")

    assert done.returncode == code
    assert f"\n{status} · " in done.stdout


def test_an_error_of_the_run_is_said(connected: Shell, wire: Wire) -> None:
    played(wire, "failed")
    fault = {"code": "out_of_memory", "message": "The sandbox used up its memory."}
    wire.events[-1]["interaction"]["errors"] = [fault]

    done = connected("run", "tour", "Count.", "--no-download")

    assert "error: The sandbox used up its memory. (out_of_memory)\n" in done.stdout


def test_a_function_of_the_caller_is_named(connected: Shell, wire: Wire) -> None:
    played(wire, "requires_action")
    call = {"type": "function_call", "id": "c9", "name": "weather", "arguments": {"city": "Rome"}}
    last = wire.events.pop()
    wire.events += [
        {**event, "event_id": f"w{event['event_type']}"} for event in step_events(8, call)
    ]
    wire.events.append(last)

    done = connected("run", "tour", "Count.", "--no-download")

    assert 'waits for you to run: weather({"city": "Rome"})' in done.stdout


def test_in_the_background_only_the_id_is_printed(connected: Shell, wire: Wire) -> None:
    played(wire, "in_progress")

    done = connected("run", "tour", "Count.", "--background")

    assert (done.returncode, done.stdout) == (0, f"{ID}\n")
    assert f"sandlot logs {ID} --follow" in done.stderr


def test_files_travel_with_the_request(connected: Shell, wire: Wire, tmp_path: Path) -> None:
    played(wire)
    (tmp_path / "sales.csv").write_bytes(b"a,b\n1,2\n")
    wire.files = {"workspace/sales.csv": b"a,b\n1,2\n", "workspace/new.txt": b"n"}

    done = connected(
        "run", "tour", "Sum.", "--file", "sales.csv", "--model", "gpt-x", "--output", "out"
    )

    assert done.returncode == 0
    assert wire.bodies[0]["agent_config"] == {"type": "antigravity", "model": "gpt-x"}
    assert wire.bodies[0]["environment"] == {
        "type": "remote",
        "sources": [
            {
                "type": "inline",
                "target": "/workspace/sales.csv",
                "content": base64.b64encode(b"a,b\n1,2\n").decode(),
                "encoding": "base64",
            }
        ],
    }
    assert [path.name for path in (tmp_path / "out/files").iterdir()] == ["new.txt"]


def test_a_file_that_is_too_big_is_refused_with_the_way_out(
    connected: Shell, wire: Wire, tmp_path: Path
) -> None:
    (tmp_path / "big.bin").write_bytes(b"0" * 1_000_001)

    done = connected("run", "tour", "Sum.", "--file", "big.bin")

    assert done.returncode == 2
    assert "--environment ENV" in done.stderr
    assert wire.bodies == []


def test_an_environment_gets_files_first_and_only_what_changed_is_fetched(
    connected: Shell, wire: Wire, tmp_path: Path
) -> None:
    played(wire)
    (tmp_path / "big.bin").write_bytes(b"0" * 1_000_001)
    wire.files = {"workspace/old.txt": b"old"}

    done = connected(
        "run", "tour", "Go.", "--environment", ENV, "--file", "big.bin", "--output", "out"
    )

    assert done.returncode == 0, done.stderr
    assert len(wire.files["workspace/big.bin"]) == 1_000_001
    assert wire.bodies[0]["environment"] == ENV
    assert not (tmp_path / "out/files").exists()


def test_only_agents_that_play_a_script_need_no_task(connected: Shell, wire: Wire) -> None:
    played(wire)
    wire.agents = [{"id": "tour", "model": "script/tour.yaml"}, {"id": "real", "model": "m"}]

    played_run = connected("run", "tour", "--no-download")
    refused = connected("run", "real")

    assert played_run.returncode == 0
    assert wire.bodies[0]["input"] == "Show me around."
    assert refused.returncode == 2
    assert 'sandlot run real "TASK"' in refused.stderr
    assert len(wire.bodies) == 1


def start(connected: Shell, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        connected.command(*arguments),
        cwd=connected.folder,
        env=connected.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_interrupt_cancels_the_run(connected: Shell, wire: Wire) -> None:
    played(wire)
    wire.held = threading.Event()

    run = start(connected, "run", "tour", "Count.", "--no-download")
    assert run.stdout is not None
    until(run, "says: **42** it is.")
    run.send_signal(signal.SIGINT)
    rest, errors = run.communicate(timeout=20)

    assert run.returncode == 130
    assert rest.startswith("cancelling the run")
    assert "\ncancelled · " in rest
    assert "Traceback" not in errors
    assert f"POST /v1/interactions/{ID}/cancel?" in wire.requests


def test_a_second_interrupt_leaves_at_once(connected: Shell, wire: Wire) -> None:
    played(wire)
    wire.held = threading.Event()
    wire.cancel_is_deaf = True

    run = start(connected, "run", "tour", "Count.", "--no-download")
    until(run, "says: **42** it is.")
    run.send_signal(signal.SIGINT)
    until(run, "cancelling the run; interrupt again to leave at once")
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    wire.held.set()

    assert run.returncode == 130
    assert "Traceback" not in errors


def test_a_run_that_takes_too_long_is_cancelled(connected: Shell, wire: Wire) -> None:
    played(wire)
    wire.held = threading.Event()

    done = connected("run", "tour", "Count.", "--no-download", "--timeout", "0.3")

    assert done.returncode == 1
    assert "cancelling the run: it is not done after 0.3 s" in done.stdout
    assert "\ncancelled · " in done.stdout


def until(run: subprocess.Popen[str], line: str) -> None:
    assert run.stdout is not None
    for printed in run.stdout:
        if printed.rstrip("\n") == line:
            return
    raise AssertionError(f"{line!r} was never printed: {run.communicate()}")


def test_logs_show_what_happened(connected: Shell, wire: Wire) -> None:
    played(wire)
    wire.interaction["steps"] = [
        {"type": "user_input", "content": [text("Count.")]},
        {
            "type": "code_execution_call",
            "id": "c1",
            "arguments": {"language": "bash", "code": "ls"},
        },
        {"type": "code_execution_result", "call_id": "c1", "result": [text("x"), picture()]},
        *wire.interaction["steps"],
    ]

    done = connected("logs", ID)

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "task: Count.",
        "runs bash:",
        "    ls",
        "output:",
        "    x",
        f"picture: image/png, {len(PNG)} B",
        "says: **42** it is.",
        "status: completed",
    ]


def test_no_part_of_a_run_steers_the_terminal(connected: Shell, wire: Wire) -> None:
    played(wire)
    wire.interaction["steps"] = [
        {"type": "code_execution_call", "id": "c1", "arguments": {}},
        {
            "type": "code_execution_result",
            "call_id": "c1",
            "result": [{**picture(), "mime_type": "image/\x1b]52;c;AAAA\x07png"}],
        },
    ]

    shown = connected("logs", ID)
    wire.error = (404, {"error": {"code": "not_found", "message": "no \x1b]0;owned\x07such run"}})
    refused = connected("logs", ID)

    assert f"picture: image/png, {len(PNG)} B" in shown.stdout
    assert refused.stderr == "sandlot: no such run\n"
    assert "\x1b" not in shown.stdout + shown.stderr + refused.stdout


def test_files_that_cannot_be_kept_here_are_left_there(connected: Shell, wire: Wire) -> None:
    played(wire)
    long = "workspace/" + "\ufffd" * 100
    wire.files = {long: b"x", "workspace/folder": b"x", "workspace/folder/file": b"x"}

    done = connected("run", "tour", "Go.", "--output", "out")

    assert done.returncode == 0
    assert "2 files left in the environment" in done.stdout
    assert [path.name for path in (connected.folder / "out/files").rglob("*")] == ["folder"]


def test_logs_follow_a_run_to_its_end(connected: Shell, wire: Wire) -> None:
    played(wire)
    wire.interaction["status"] = "in_progress"

    done = connected("logs", ID, "--follow", "--output", "pictures")

    assert done.stdout.splitlines()[-1] == "status: completed"
    assert "picture saved: pictures/01.png" in done.stdout


def test_cancel_prints_the_status(connected: Shell, wire: Wire) -> None:
    played(wire, "in_progress")

    done = connected("cancel", ID)

    assert (done.returncode, done.stdout) == (0, "cancelled\n")
