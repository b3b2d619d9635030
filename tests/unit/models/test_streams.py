"""Calls whose pieces come mixed, thoughts in tags, and the ways of chat-completion servers."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.models.calls import CallStream
from runtime.models.chat_events import ChatReader
from runtime.models.faults import ProviderFailed
from runtime.models.think_tags import ThinkTags
from runtime.schema.model import CallStart, Generation, ModelDone, ModelPart
from tests.unit.models.stories import ask, call, told, user


def test_calls_whose_pieces_come_mixed_are_given_on_one_after_another() -> None:
    calls = CallStream()
    parts = [
        *calls.start(0, "a", "first"),
        *calls.start(1, "b", "second"),
        *calls.arguments(1, '{"b":'),
        *calls.arguments(0, '{"a":'),
        *calls.arguments(1, "2}"),
        *calls.end(1),
        *calls.arguments(0, "1}"),
        *calls.start(2, "c", "third"),
        *calls.end(0),
        *calls.end_all(),
    ]
    assert told(parts) == ['call:first({"a":1})', 'call:second({"b":2})', "call:third({})"]


def test_a_missing_or_taken_id_is_replaced() -> None:
    fresh = iter(["call_x", "call_y", "call_z"])
    calls = CallStream(["a"], lambda _: next(fresh))
    parts: list[ModelPart] = []
    for key, call_id in enumerate(["a", "b", "b", None]):
        parts += [*calls.start(key, call_id, "f"), *calls.end(key)]

    starts = [part.id for part in parts if isinstance(part, CallStart)]
    assert starts == ["call_x", "b", "call_y", "call_z"]


@pytest.mark.parametrize(
    ("pieces", "heard"),
    [
        (["Hello"], ["say:Hello"]),
        (["<think>hm</think>Hello"], ["think:hm", "say:Hello"]),
        (["<th", "ink>", "\nhm", "</thi", "nk>\n\n", "Hello"], ["think:hm", "say:Hello"]),
        (["\n<think>a<b></thing></think>x"], ["think:a<b></thing>", "say:x"]),
        (["<think></think>", "\n", "x"], ["say:x"]),
        (["<think>never closed"], ["think:never closed"]),
        (["<think>cut at </th"], ["think:cut at </th"]),
        (["Say <think>x</think>"], ["say:Say <think>x</think>"]),
        (["<thin"], ["say:<thin"]),
        (["<b>"], ["say:<b>"]),
        (["x", "<think>y"], ["say:x<think>y"]),
        (["<think>a</think>b</think>"], ["think:a", "say:b</think>"]),
        (["<think>a</think>"], ["think:a"]),
        (["  ", ""], ["say:  "]),
    ],
)
def test_thoughts_in_tags(pieces: list[str], heard: list[str]) -> None:
    for cut in (pieces, list("".join(pieces))):
        tags = ThinkTags()
        parts = [part for piece in cut for part in tags.feed(piece)]
        assert told([*parts, *tags.finish()]) == heard


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


def end(reason: str | None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **fields}


def tool(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "function": {key: value for key, value in function.items() if value is not None}
    } | fields


def read(*chunks: dict[str, Any], **fields: Any) -> list[ModelPart]:
    reader = ChatReader(ask(user("hello"), **fields))
    parts = [part for chunk in chunks for part in reader.feed(chunk)]
    return [*parts, *reader.finish()]


CALLS = {
    "whole, with index and id": [
        [tool("a", '{"n": 1}', index=0, id="x"), tool("b", "{}", index=1, id="y")]
    ],
    "all with index 0, and ids": [
        [tool("a", '{"n": 1}', index=0, id="x")],
        [tool("b", "{}", index=0, id="y")],
    ],
    "without index, with ids": [
        [tool("a", '{"n"', id="x")],
        [tool(None, ": 1}", id="x")],
        [tool("b", "{}", id="y")],
    ],
    "without index and id": [[tool("a", '{"n"')], [tool(None, ": 1}")], [tool("b", "{}")]],
    "with index, without ids": [
        [tool("a", "", index=0)],
        [tool(None, '{"n": 1}', index=0)],
        [tool("b", "{}", index=1)],
    ],
    "with index 0 only, without ids": [
        [tool("a", '{"n": 1}', index=0)],
        [tool("b", "{}", index=0)],
    ],
    "id and name repeated in every piece": [
        [tool("a", '{"n"', index=0, id="x")],
        [tool("a", ": 1}", index=0, id="x")],
        [tool("b", "{}", index=1, id="y")],
    ],
    "empty id in later pieces": [
        [tool("a", '{"n"', index=0, id="x")],
        [tool("", ": 1}", index=0, id="")],
        [tool("b", "{}", index=1, id="y")],
    ],
    "arguments as objects": [[tool("a", {"n": 1}, index=0), tool("b", {}, index=1)]],
    "no arguments at all": [[tool("a", '{"n": 1}', index=0, id="x")], [tool("b", index=1, id="y")]],
    "mixed pieces": [
        [tool("a", '{"n"', index=0, id="x")],
        [tool("b", "{", index=1, id="y")],
        [tool(None, ": 1}", index=0)],
        [tool(None, "}", index=1)],
    ],
}


@pytest.mark.parametrize("story", CALLS)
@pytest.mark.parametrize("reason", ["tool_calls", "stop", None])
def test_calls_however_a_server_sends_them(story: str, reason: str | None) -> None:
    chunks = [delta(tool_calls=calls) for calls in CALLS[story]]
    assert told(read(*chunks, end(reason))) == ['call:a({"n": 1})', "call:b({})", "done:calls"]


def test_ids_that_servers_use_again_are_made_new() -> None:
    reader = ChatReader(ask(user("hello"), call("call_0")))
    (start, *_) = reader.feed(delta(tool_calls=[tool("f", "{}", index=0, id="call_0")]))
    assert isinstance(start, CallStart)
    assert start.id != "call_0"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_in_a_field(field: str) -> None:
    chunks = [delta(**{field: "h"}), delta(**{field: "m"}), delta(content="x"), end("stop")]
    assert told(read(*chunks)) == [
        "think:hm",
        f"signature:openai_compatible:{field}",
        "say:x",
        "done:stop",
    ]
    quiet = Generation(thinking_summaries="none")
    assert told(read(*chunks, generation=quiet)) == ["say:x", "done:stop"]


def test_reasoning_right_before_a_call() -> None:
    chunks = [delta(reasoning="hm"), delta(tool_calls=[tool("f", "{}", index=0, id="x")])]
    assert told(read(*chunks, end("tool_calls"))) == [
        "think:hm",
        "signature:openai_compatible:reasoning",
        "call:f({})",
        "done:calls",
    ]


def test_reasoning_in_tags_before_a_call() -> None:
    chunks = [delta(content="<think>hm</th"), delta(tool_calls=[tool("f", "{}", index=0)])]
    assert told(read(*chunks, end("stop"))) == ["think:hm</th", "call:f({})", "done:calls"]


def test_a_stream_without_an_end_counts_if_something_came() -> None:
    assert told(read(delta(content="x"), {"choices": None}, {})) == ["say:x", "done:stop"]
    with pytest.raises(ProviderFailed):
        read({"choices": []})


def test_arguments_that_were_cut_off_end_all_the_same() -> None:
    chunks = [delta(tool_calls=[tool("f", '{"a": "b', index=0)]), end("length")]
    assert told(read(*chunks)) == ['call:f({"a": "b)', "done:length"]


def test_usage_that_is_missing_is_estimated() -> None:
    *_, done = read(delta(content="x" * 40), end("stop"))
    assert isinstance(done, ModelDone)
    assert done.usage.total_output_tokens == 10
    assert done.usage.total_input_tokens > 0


def test_usage_with_the_last_chunk() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2}
    *_, done = read(delta(content="x"), end("stop", usage=usage))
    assert isinstance(done, ModelDone)
    assert (done.usage.total_input_tokens, done.usage.total_output_tokens) == (9, 2)
    assert done.usage.total_tokens == 11
