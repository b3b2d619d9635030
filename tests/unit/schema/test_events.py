"""The fold from a log to its steps, where the log is long, deep or odd."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest

from runtime.schema.events import MAX_ARGUMENT_DEPTH, MAX_ARGUMENT_VALUES, fold

ENOUGH_SECONDS = 20
"""Of this thread's own time, a hundred times what it takes."""


def log_of(step: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    started = {"event_type": "step.start", "index": 0, "step": step}
    return [
        started,
        *({"event_type": "step.delta", "index": 0, "delta": delta} for delta in deltas),
    ]


def called_with(*fragments: str) -> Any:
    call = {"type": "function_call", "id": "c", "name": "f"}
    deltas = [{"type": "arguments_delta", "arguments": fragment} for fragment in fragments]
    return fold(log_of(call, *deltas))[0]["arguments"]


LONG = {
    "text": ({"type": "model_output"}, {"type": "text", "text": "x" * 300}),
    "thought": (
        {"type": "thought"},
        {"type": "thought_summary", "content": {"type": "text", "text": "x" * 300}},
    ),
    "signature": ({"type": "thought"}, {"type": "thought_signature", "signature": "x" * 300}),
    "arguments": (
        {"type": "function_call", "id": "c", "name": "f"},
        {"type": "arguments_delta", "arguments": "x" * 300},
    ),
    "result": (
        {"type": "code_execution_result", "call_id": "c", "result": ""},
        {"type": "code_execution_result", "result": "x" * 300},
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_a_log_takes_no_longer_than_its_length(name: str) -> None:
    step, delta = LONG[name]
    events = log_of(step, *[delta] * 40_000)
    began = time.thread_time()
    (folded,) = fold(events)
    assert time.thread_time() - began < ENOUGH_SECONDS
    assert json.dumps(folded).count("x" * 300) == 40_000


def test_many_annotations_and_arguments_take_no_longer_than_their_number() -> None:
    annotated = log_of(
        {"type": "model_output"},
        {"type": "text", "text": "x"},
        *[{"type": "text_annotation_delta", "annotations": [{"n": 1}]}] * 100_000,
    )
    named = log_of(
        {"type": "code_execution_call", "id": "c"},
        *[{"type": "code_execution_call", "arguments": {str(n): n}} for n in range(100_000)],
    )
    began = time.thread_time()
    (text,), (call,) = fold(annotated), fold(named)
    assert time.thread_time() - began < ENOUGH_SECONDS
    assert len(text["content"][0]["annotations"]) == len(call["arguments"]) == 100_000


def test_the_events_stay_as_they_are() -> None:
    picture = {"type": "image", "data": "AA=="}
    words = {"type": "function_result", "result": [{"type": "text", "text": "a"}]}
    events = log_of(
        {"type": "function_result", "call_id": "c"},
        words,
        picture,
        {"type": "function_result", "result": [{"type": "text", "text": "b"}]},
        {"type": "function_result", "result": "c"},
    )
    before = copy.deepcopy(events)
    (step,) = fold(events)
    assert [part.get("text") for part in step["result"]] == ["a", None, "bc"]
    assert events == before
    assert fold(events) == [step]


def test_a_text_becomes_a_part_when_a_picture_follows() -> None:
    output = {"type": "code_execution_result"}
    (step,) = fold(
        log_of(
            {**output, "call_id": "c", "result": ""},
            {**output, "result": "a"},
            {**output, "result": "b"},
            {"type": "image", "data": "AA=="},
        )
    )
    assert [part["type"] for part in step["result"]] == ["text", "image"]
    assert step["result"][0]["text"] == "ab"


def test_arguments_are_read_whatever_pieces_they_come_in() -> None:
    assert called_with('{"a": [1, ', '{"b": "]"}', "]}") == {"a": [1, {"b": "]"}]}


@pytest.mark.parametrize("inner", ["1", "NaN"])
def test_arguments_that_are_nested_too_deeply_stay_a_text(inner: str) -> None:
    deepest = MAX_ARGUMENT_DEPTH - 2
    for depth in (deepest + 1, 600, 100_000):
        text = '{"a":' + "[" * depth + inner + "]" * depth + "}"
        assert called_with(text) == {"_partial": text}
    assert "_partial" not in called_with('{"a":' + "[" * deepest + "1" + "]" * deepest + "}")


def test_arguments_of_too_many_values_stay_a_text() -> None:
    text = '{"a":[' + "[]," * MAX_ARGUMENT_VALUES + "[]]}"
    assert called_with(text) == {"_partial": text}
