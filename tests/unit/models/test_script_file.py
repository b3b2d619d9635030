from __future__ import annotations

import re

import pytest

from runtime.errors import ModelRefused
from runtime.models.script_file import ScriptFile
from runtime.models.script_play import Utterance

GOOD = r"""
description: Shows everything.
turns:
  - think: First.
    say: |
      Loading.
    call: code_execution
    arguments:
      language: python
      code: print("rows=3")
      flags: [on, no, 012, 1:30, 1e3, -2, true, null, 2026-01-31]
    expect: 'rows=(?P<rows>\d+)$'
  - calls:
      - {name: list_dir, arguments: {DirectoryPath: "${rows} ${HOME}"}, expect: x}
      - name: browser_screenshot
  - say: There are ${rows} rows, $${rows}.
"""


def test_what_a_file_says() -> None:
    first, second, third = ScriptFile("s.yaml", GOOD).turns()

    assert first.utterances == [Utterance("First.", is_thought=True), Utterance("Loading.\n")]
    (call,) = first.calls
    assert call.name == "code_execution"
    assert call.arguments["flags"] == [
        *("on", "no", "012", "1:30"),
        *(1000.0, -2, True, None),
        "2026-01-31",
    ]
    assert call.expect is not None
    assert call.expect.search("a\nrows=12\nb")
    assert call.where == "s.yaml:7:11"
    assert [(made.name, made.arguments, made.where) for made in second.calls] == [
        ("list_dir", {"DirectoryPath": "${rows} ${HOME}"}, "s.yaml:14:9"),
        ("browser_screenshot", {}, "s.yaml:15:9"),
    ]
    assert third.utterances == [Utterance("There are ${rows} rows, $${rows}.")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.yaml:1:1: the script is empty"),
        ("[]", "s.yaml:1:1: the script must be a mapping"),
        ("description: x", "s.yaml:1:1: `turns` is missing"),
        ("turns: []", "s.yaml:1:8: `turns` is empty"),
        ("turns: {}", "s.yaml:1:8: `turns` must be a list"),
        ("turns:\n  - say: a\n    say: b", "s.yaml:3:5: 'say' stands here twice"),
        ("turns:\n  - sya: a", "s.yaml:2:10: a turn has no field 'sya'"),
        ("turns:\n  - say: 1", "s.yaml:2:10: text must be text"),
        ("turns:\n  - {}", "s.yaml:2:5: a turn says, thinks or calls something"),
        ("turns:\n  - say: a\n  - say: b", "s.yaml:2:5: a turn without a call ends the run"),
        ("turns:\n  - call: f\n    expect: '('", "s.yaml:3:13: `expect` is not a regular"),
        ("turns:\n  - call: f\n    arguments: x", "s.yaml:3:16: `arguments` must be a mapping"),
        ("turns:\n  - expect: x\n    say: a", "s.yaml:2:13: `expect` needs a `call`"),
        ("turns:\n  - calls: [{}]", "s.yaml:2:13: `name` is missing"),
        ("turns:\n  - calls: [{name: f}]\n    expect: x", "s.yaml:3:13: `expect` stands beside"),
        ("turns:\n  - say: '${rows}'", "s.yaml:2:10: no earlier `expect` has a group named 'rows'"),
        (
            "turns:\n  - call: f\n    arguments: {a: {b: 1, b: 2}}",
            "s.yaml:3:27: 'b' stands here twice",
        ),
        (
            "turns:\n  - call: f\n    arguments: {a: !!binary eA==}",
            "s.yaml:3:20: only text, numbers",
        ),
        ("turns: [", "s.yaml:1:9: "),
        ("turns: \x00", "s.yaml:1:8: special characters"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ModelRefused, match=re.escape(message)):
        ScriptFile("s.yaml", text).turns()


def test_a_name_counts_only_in_later_turns() -> None:
    script = "turns:\n  - {say: '${n}', call: f, expect: '(?P<n>.)'}\n  - say: a"
    with pytest.raises(ModelRefused, match="no earlier `expect`"):
        ScriptFile("s.yaml", script).turns()
