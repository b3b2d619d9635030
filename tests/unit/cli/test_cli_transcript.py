from __future__ import annotations

from typing import Any

import pytest

from runtime.cli.acts import Act, act_of, doing
from runtime.cli.harvest import made, snapshot
from runtime.cli.places import Remote, place_of
from runtime.cli.transcript import Code, Fault, Item, Output, Say, Thought, Transcript
from runtime.cli.wording import cut, duration, one_line, printable, size
from runtime.client import EnvironmentFile
from runtime.schema.steps import ToolCall, text_result
from tests.support.wire_controller import step_events


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;AAAA\x07", ""),
        ("a\x07\x08\x7f\x9bb", "ab"),
        ("back\rover", "backover"),
        ("user\u202efdp.exe", "userfdp.exe"),
        ("line\r\n\tnext ü 🦉", "line\n\tnext ü 🦉"),
        ("\x1b", ""),
    ],
)
def test_nothing_that_a_sandbox_writes_steers_the_terminal(raw: str, safe: str) -> None:
    assert printable(raw) == safe


def test_long_texts_are_cut_in_the_middle() -> None:
    text = "\n".join(str(number) for number in range(1000))

    shown = cut(text, max_lines=6).split("\n")

    assert shown == ["0", "1", "2", "3", "… 994 lines left out …", "998", "999"]
    assert cut("x" * 100, max_chars=10) == "xxxxx\n… 90 characters left out …\nxxxxx"
    assert cut("a\nb\n") == "a\nb"


def test_figures_are_short() -> None:
    assert [size(999), size(34_100), size(5_000_000_000)] == ["999 B", "34.1 kB", "5.0 GB"]
    assert [duration(4.21), duration(200), duration(7500)] == ["4.2 s", "3 min 20 s", "2 h 5 min"]
    assert one_line(" a \n b ") == "a b"
    assert one_line("abcdef", 4) == "abc…"


def fed(*events: dict[str, Any]) -> tuple[Transcript, list[Item]]:
    transcript = Transcript()
    return transcript, [item for event in events for item in transcript.feed(event)]


def test_a_step_is_shown_when_it_is_whole() -> None:
    whole = step_events(0, {"type": "model_output"}, {"type": "text", "text": "hel"})

    transcript, items = fed(*whole[:2])
    assert (items, transcript.draft, transcript.activity) == ([], "hel", "writing")

    assert transcript.feed(whole[2]) == [Say("hel")]
    assert (transcript.draft, transcript.activity) == ("", "thinking")


def test_what_goes_on_is_said() -> None:
    call = {"type": "code_execution_call", "id": "c", "arguments": {"language": "bash"}}

    transcript = Transcript()
    seen = [transcript.activity]
    for event in step_events(0, call):
        transcript.feed(event)
        seen.append(transcript.activity)

    assert seen == ["starting", "writing code", "running bash"]


def test_empty_thoughts_and_outputs_are_not_shown() -> None:
    _, items = fed(
        *step_events(0, {"type": "thought", "signature": "x"}),
        *step_events(1, {"type": "thought"}, summary("hm")),
        *step_events(2, {"type": "code_execution_call", "id": "c", "arguments": {"code": "x=1"}}),
        *step_events(3, {"type": "code_execution_result", "call_id": "c", "result": "\n"}),
    )

    assert items == [Thought("hm"), Code("python", "x=1")]


def summary(text: str) -> dict[str, Any]:
    return {"type": "thought_summary", "content": {"type": "text", "text": text}}


def test_output_that_is_an_error_is_marked() -> None:
    _, items = fed(
        *step_events(0, {"type": "code_execution_call", "id": "c", "arguments": {}}),
        *step_events(
            1,
            {
                "type": "code_execution_result",
                "call_id": "c",
                "result": "NameError",
                "is_error": True,
            },
        ),
    )

    assert items == [Output("NameError", is_error=True)]


def test_steps_that_make_no_sense_are_passed_over() -> None:
    _, items = fed(
        {"event_type": "step.stop", "index": 5},
        {"event_type": "step.delta", "index": 6, "delta": {"type": "text", "text": "x"}},
        {"event_type": "step.stop", "index": 6},
        *step_events(7, {"type": "function_call"}),
        *step_events(8, {"type": "function_result", "call_id": "?", "result": {"a": 1}}),
        *step_events(9, {"type": "hologram"}),
        *step_events(10, {"type": "model_output"}, {"type": "text"}),
        *step_events(11, {"type": "thought"}, {"type": "thought_summary", "content": [1]}),
        {"event_type": "error", "error": {"code": "internal", "message": "m"}},
    )

    assert items == [Act("tool", "", '{"a": 1}', is_error=False), Fault("internal", "m")]


@pytest.mark.parametrize(
    ("name", "arguments", "result", "line"),
    [
        (
            "browser_navigate",
            {"url": "/workspace/r.html"},
            "Page: My report (/workspace/r.html)\nSnapshot:\n- heading",
            ("/workspace/r.html", "My report (/workspace/r.html)"),
        ),
        ("view_file", {"AbsolutePath": "/a"}, "1: x\n2: y", ("/a", "2 lines")),
        ("grep_search", {"SearchPath": "/a", "Query": "q"}, "none", ("/a q", "none")),
        ("weather", {"city": "Rome"}, "sunny", ('{"city": "Rome"}', "sunny")),
        ("browser_back", {}, "", ("", "")),
    ],
)
def test_a_tool_call_is_one_line(
    name: str, arguments: dict[str, Any], result: str, line: tuple[str, str]
) -> None:
    act = act_of(ToolCall("c", name, arguments), text_result(result))

    assert (act.target, act.outcome) == line


def test_a_failed_call_ends_with_its_last_line() -> None:
    call = ToolCall("c", "view_file", {"AbsolutePath": "/a"})

    act = act_of(call, text_result("Traceback\n  x\nno such file: /a\n", is_error=True))

    assert (act.outcome, act.is_error) == ("no such file: /a", True)
    assert doing(call) == "view_file /a"


def file(path: str, size_bytes: int = 1, modified: str | None = None) -> EnvironmentFile:
    return EnvironmentFile(path=path, size_bytes=size_bytes, modified=modified)


def test_only_what_a_run_made_is_fetched() -> None:
    folder = EnvironmentFile(path="workspace/d", type="directory")
    before = [file("workspace/kept", 3, "t1"), file("workspace/changed", 3, "t1")]
    after = [
        folder,
        file("workspace/kept", 3, "t1"),
        file("workspace/changed", 3, "t2"),
        file("workspace/given.csv"),
        file("workspace/.venv/x"),
        file("workspace/app/node_modules/y"),
        file("workspace/new"),
    ]

    found = made(after, before=snapshot(before), since=None, given=["/workspace/given.csv"])

    assert [row.path for row in found] == ["workspace/changed", "workspace/new"]


def test_in_a_new_environment_older_files_are_not_the_run_s() -> None:
    after = [
        file("workspace/data.csv", 1, "2025-12-31T23:59:59Z"),
        file("workspace/new", 1, "2026-01-01T00:00:00.25Z"),
        file("workspace/undated"),
        file("workspace/oddly-dated", 1, "yesterday"),
    ]

    found = made(after, before={}, since="2026-01-01T00:00:00Z", given=[])

    assert [row.path for row in found] == [
        "workspace/new",
        "workspace/undated",
        "workspace/oddly-dated",
    ]


def test_places() -> None:
    assert place_of("0123abcd:a/b") == Remote("0123abcd", "/workspace/a/b", as_folder=False)
    assert place_of("0123abcd:/tmp/") == Remote("0123abcd", "/tmp", as_folder=True)
    assert place_of("0123abcd:") == Remote("0123abcd", "/workspace", as_folder=False)
    assert str(place_of("./0123abcd:x")) == "0123abcd:x"
