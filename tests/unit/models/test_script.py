from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ModelNotConfigured, ModelRefused, ScriptMismatch
from runtime.models.port import ModelInfo
from runtime.models.script import ScriptModel, Scripts
from runtime.models.script_play import filled_in, pieces
from runtime.schema.content import ImageContent, TextContent
from runtime.schema.model import (
    CallArguments,
    CallStart,
    ModelDone,
    ModelPart,
    ModelRequest,
    TextPart,
)
from runtime.schema.steps import STEP, CorrectionStep, Step
from tests.unit.models.stories import ask, call, result, said, told, user

pytestmark = pytest.mark.anyio

INFO = ModelInfo("script/x", "script/x", "script")

THREE_BLOCKS = """Do this:
```python
x = 1
```
```tool view_file
{"AbsolutePath": "/x"}
```
```say
that was it
```"""


async def answer(request: ModelRequest, path: Path | None = None) -> list[ModelPart]:
    return [part async for part in ScriptModel(INFO, path).stream(request)]


async def run(history: list[Step], results: list[Any], path: Path | None = None) -> list[str]:
    """Plays to the end as a loop does: each call gets the next result."""
    history, waiting, heard = list(history), list(results), []
    while True:
        parts = await answer(ask(*history), path)
        heard += told(parts)
        starts = [part for part in parts if isinstance(part, CallStart)]
        if not starts:
            return heard
        history += [call(start.id, start.name) for start in starts]
        history += [waiting.pop(0)(start.id) for start in starts]


def gives(value: Any, *, is_error: bool = False) -> Any:
    return lambda call_id: result(call_id, value, is_error=is_error)


async def test_a_prompt_without_blocks_is_answered_with_its_text() -> None:
    assert told(await answer(ask(user("old"), said("old"), user("Hello ", "there")))) == [
        "say:Hello there",
        "done:stop",
    ]


async def test_the_blocks_of_a_prompt_run_in_order() -> None:
    assert await run([user(THREE_BLOCKS)], [gives("1"), gives("2")]) == [
        'call:code_execution({"code": "x = 1", "language": "python"})',
        "done:calls",
        'call:view_file({"AbsolutePath": "/x"})',
        "done:calls",
        "say:that was it",
        "done:stop",
    ]


async def test_without_a_say_at_the_end_the_last_result_is_the_answer() -> None:
    prompt = "```say\nfirst\n```\n```bash\nls\n```\n```think\nhm\n```"
    heard = await run([user(prompt)], [gives("a.txt")])

    assert heard[0] == "say:first"
    assert heard[-3:] == ["think:hm", "say:a.txt", "done:stop"]


async def test_several_calls_of_one_turn() -> None:
    prompt = '```tools\n[{"name": "a"}, {"name": "b"}]\n```\n```python\n1\n```'
    heard = await run([user(prompt)], [gives("A"), gives("B"), gives("C", is_error=True)])

    assert heard[:3] == ["call:a({})", "call:b({})", "done:calls"]
    assert heard[-2:] == ["say:C", "done:stop"]


async def test_an_earlier_run_does_not_count() -> None:
    before = [user(THREE_BLOCKS), call("c1"), result("c1"), call("c2"), result("c2"), said("it")]
    heard = await run([*before, user("```bash\nls\n```")], [gives("a.txt")])

    assert heard[0].startswith('call:code_execution({"code": "ls"')
    assert heard[-2:] == ["say:a.txt", "done:stop"]


async def test_the_callers_own_result_goes_on_where_the_script_was() -> None:
    history = [user(THREE_BLOCKS), call("c1", "code_execution"), result("c1")]
    history += [call("c2", "view_file"), result("c2", {"rows": 3})]

    assert told(await answer(ask(*history))) == ["say:that was it", "done:stop"]


@pytest.mark.parametrize("word", ["continue", " Continue\n"])
async def test_continue_goes_on_where_the_script_was(word: str) -> None:
    history = [user(THREE_BLOCKS), call("1"), result("1"), user(word)]
    assert await run(history, [gives("there")]) == [
        'call:view_file({"AbsolutePath": "/x"})',
        "done:calls",
        "say:that was it",
        "done:stop",
    ]


async def test_calls_that_a_compaction_took_away_count() -> None:
    gone = {"kind": "summary", "kept_steps": 0, "kept_inputs": [0], "calls": 1}
    history = [user(THREE_BLOCKS), STEP.validate_python({"type": "thought", "compaction": gone})]
    assert (await run(history, [gives("there")]))[0] == 'call:view_file({"AbsolutePath": "/x"})'


async def test_an_answer_that_is_sent_back_is_followed_by_the_next() -> None:
    prompt = "```bash\nls\n```\n```answer\none\n```\n```think\nhm\n```\n```answer\ntwo\n```"
    history = [user(prompt), call("1"), result("1")]
    heard: list[str] = []
    for _ in range(3):
        heard.append(" ".join(told(await answer(ask(*history)))))
        history += [said("?"), CorrectionStep(content=[TextContent(text="no")])]
    assert heard == [
        "say:one done:stop",
        "think:hm say:two done:stop",
        "think:hm say:two done:stop",
    ]


async def test_a_summary_is_told_apart_from_a_turn() -> None:
    parts = await answer(ask(user(THREE_BLOCKS), call("1"), result("1"), purpose="summary"))
    assert told(parts)[0].startswith("say:# Task") and "1 of its calls" in told(parts)[0]


async def test_long_text_comes_in_many_pieces_but_not_too_many() -> None:
    parts = await answer(ask(user("x" * 100)))
    assert len(parts) > 4
    assert len(list(pieces("y" * 1_000_000))) <= 200
    assert "".join(pieces("abc" * 50)) == "abc" * 50


async def test_usage_is_estimated_and_the_repeated_prefix_is_cached() -> None:
    first = (await answer(ask(user(THREE_BLOCKS), system_instruction="s" * 400)))[-1]
    history = [user(THREE_BLOCKS), call("c1", "code_execution"), result("c1", "r" * 400)]
    second = (await answer(ask(*history, system_instruction="s" * 400)))[-1]

    assert isinstance(first, ModelDone)
    assert isinstance(second, ModelDone)
    assert first.usage.total_cached_tokens == 0
    assert second.usage.total_cached_tokens == first.usage.total_input_tokens
    assert second.usage.total_input_tokens >= first.usage.total_input_tokens + 100
    assert first.usage.total_output_tokens > 5
    usage = second.usage
    assert usage.total_tokens == usage.total_input_tokens + usage.total_output_tokens


async def test_a_picture_does_not_count_by_its_characters() -> None:
    picture = ImageContent(data="x" * 100_000, mime_type="image/png")
    done = (await answer(ask(user("look", picture))))[-1]

    assert isinstance(done, ModelDone)
    assert 258 < done.usage.total_input_tokens < 300


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "demo.yaml"
    path.write_text(text)
    return path


COUNT = r"""
turns:
  - say: I count.
    call: code_execution
    arguments: {code: "print(${HOME})"}
    expect: 'rows=(?P<rows>\d+)'
  - call: write_to_file
    arguments: {CodeContent: "rows ${rows}", list: ["$${rows}", 1]}
  - say: There are ${rows} rows.
"""


async def test_a_file_is_played_with_what_the_results_say(tmp_path: Path) -> None:
    heard = await run([user("go")], [gives("rows=12"), gives("ok")], script(tmp_path, COUNT))

    assert heard == [
        "say:I count.",
        'call:code_execution({"code": "print(${HOME})"})',
        "done:calls",
        'call:write_to_file({"CodeContent": "rows 12", "list": ["${rows}", 1]})',
        "done:calls",
        "say:There are 12 rows.",
        "done:stop",
    ]


async def test_a_result_that_was_not_expected_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ScriptMismatch) as caught:
        await run([user("go")], [gives("no rows at all " * 100)], script(tmp_path, COUNT))

    message = caught.value.message
    assert message.startswith(f"{tmp_path.name}/demo.yaml:4:11: ")
    assert r"'rows=(?P<rows>\\d+)'" in message
    assert "it is: no rows at all" in message
    assert len(message) < 800


async def test_an_error_where_nothing_was_expected_ends_the_run(tmp_path: Path) -> None:
    results = [gives("rows=1"), gives("disk full", is_error=True)]
    with pytest.raises(ScriptMismatch, match="did not fail; it failed with: disk full"):
        await run([user("go")], results, script(tmp_path, COUNT))


async def test_an_expected_error_does_not(tmp_path: Path) -> None:
    path = script(
        tmp_path, "turns:\n  - {call: f, expect: '(?P<what>disk \\w+)'}\n  - say: ${what}!"
    )
    heard = await run([user("go")], [gives("disk full", is_error=True)], path)

    assert heard[-2:] == ["say:disk full!", "done:stop"]


async def test_each_of_several_calls_has_its_own_expectation(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        "turns:\n  - calls:\n      - {name: a, expect: '(?P<a>.)'}\n"
        "      - {name: b, expect: '(?P<b>.)'}\n  - say: ${a}${b}",
    )
    assert (await run([user("go")], [gives("1"), gives("2")], path))[-2:] == [
        "say:12",
        "done:stop",
    ]
    with pytest.raises(ScriptMismatch, match="result of b"):
        await run([user("go")], [gives("1"), gives("")], path)


async def test_a_script_that_ends_with_a_call_answers_with_its_result(tmp_path: Path) -> None:
    path = script(tmp_path, "turns:\n  - {call: f}")
    assert (await run([user("go")], [gives("42")], path))[-2:] == ["say:42", "done:stop"]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"\xff"), "not UTF-8"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_text("#" * 4_200_000), "at most"),
    ],
)
async def test_a_file_that_cannot_be_read(tmp_path: Path, write: Any, message: str) -> None:
    path = tmp_path / "demo.yaml"
    write(path)
    with pytest.raises(ModelRefused, match=message):
        await answer(ask(user("go")), path)


def test_scripts_are_found_by_name(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, names in ((first, ["a", "both"]), (second, ["both", "z", "inline"])):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.yaml").touch()
    (tmp_path / "secret.yaml").touch()
    scripts = Scripts([first, second])

    assert scripts.names() == ["a", "both", "z"]
    assert scripts.find("both") == first / "both.yaml"
    assert scripts.find("z") == second / "z.yaml"
    for wrong in ("nope", "../secret", "", ".", "a/b", "x" * 200, "a\n"):
        with pytest.raises(ModelNotConfigured, match="script/inline, script/a, script/both"):
            scripts.find(wrong)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${a}", "1"),
        ("x${a}${b}y", "x12y"),
        ("$${a}", "${a}"),
        ("${c} $a {a} ${a", "${c} $a {a} ${a"),
        ("$${c}", "$${c}"),
        ("${HOME:-x}", "${HOME:-x}"),
        ("${b}", "2"),
    ],
)
def test_variables(text: str, filled: str) -> None:
    assert filled_in(text, {"a": "1", "b": "2"}) == filled


async def test_the_arguments_are_json_however_they_are_cut() -> None:
    arguments = {"text": 'ä"\n' * 50}
    parts = await answer(ask(user(f"```tool f\n{json.dumps(arguments)}\n```")))
    fragments = [part.fragment for part in parts if isinstance(part, CallArguments)]

    assert len(fragments) > 1
    assert json.loads("".join(fragments)) == arguments
    assert not any(isinstance(part, TextPart) for part in parts)
