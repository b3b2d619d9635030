from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.controller.budgets import MAX_EVENTS
from runtime.controller.gate import EventGate, GapError
from runtime.errors import LimitExceeded, SandboxFault
from runtime.schema.events import STEP_EVENTS
from runtime.schema.protocol import RunEvents

ROOM = 64 * 1024**2


def batch(first: int, *events: dict[str, Any]) -> RunEvents:
    return RunEvents(run_id="r", first=first, events=STEP_EVENTS.validate_python(list(events)))


def start(index: int, kind: str = "model_output") -> dict[str, Any]:
    return {"event_type": "step.start", "index": index, "step": {"type": kind}}


def delta(index: int, **more: Any) -> dict[str, Any]:
    return {"event_type": "step.delta", "index": index, "delta": {"type": "text", **more}}


def odd(index: int, **step: Any) -> dict[str, Any]:
    return {"event_type": "step.start", "index": index, "step": step}


def stop(index: int) -> dict[str, Any]:
    return {"event_type": "step.stop", "index": index}


def test_a_step_passes_and_a_repeated_batch_passes_once() -> None:
    gate = EventGate(ROOM)
    events = [start(0), delta(0, text="a"), stop(0)]
    assert len(gate.admit(batch(1, *events))) == 3
    assert gate.admit(batch(1, *events)) == []
    assert len(gate.admit(batch(2, *events[1:], start(1)))) == 1
    assert gate.accepted == 4


@pytest.mark.parametrize(
    ("kind", "sound"),
    [
        ("model_output", {"type": "text", "text": "a"}),
        ("model_output", {"type": "text_annotation_delta", "annotations": [{"type": "x"}]}),
        ("model_output", {"type": "image", "data": "AA==", "mime_type": "image/png"}),
        ("thought", {"type": "thought_summary", "content": {"type": "text", "text": "a"}}),
        ("thought", {"type": "thought_summary", "content": {"type": "image", "data": "AA=="}}),
        ("thought", {"type": "thought_signature", "signature": "a"}),
        ("function_call", {"type": "arguments_delta", "arguments": '{"a"'}),
        ("code_execution_call", {"type": "code_execution_call", "arguments": {"code": "1"}}),
        ("code_execution_result", {"type": "code_execution_result", "result": "a"}),
        ("google_search_result", {"type": "google_search_result", "result": [{"url": "u"}]}),
    ],
)
def test_what_loops_send_passes(kind: str, sound: dict[str, Any]) -> None:
    assert len(EventGate(ROOM).admit(batch(1, start(0, kind), delta(0, **sound), stop(0)))) == 3


def test_a_gap_is_told_apart_from_a_broken_rule() -> None:
    with pytest.raises(GapError):
        EventGate(ROOM).admit(batch(2, start(0)))


@pytest.mark.parametrize(
    "events",
    [
        [delta(0, text="a")],
        [start(1)],
        [start(0), start(1)],
        [start(0), stop(0), delta(0, text="late")],
        [start(0), delta(1, text="other")],
        [start(0, "user_input")],
        [start(0, "made_up")],
        [odd(0, type=["text"])],
        [odd(0, type="model_output", more=json.loads("[" * 400 + "]" * 400))],
        [odd(0, type="model_output", content="text")],
        [odd(0, type="function_call", arguments=[1])],
        [start(0), delta(0)],
        [start(0), delta(0, text=7)],
        [start(0), delta(0, type=["text"])],
        [start(0, "thought"), delta(0, type="thought_summary", content=[1])],
        [start(0, "thought"), delta(0, type="thought_summary", content={"type": "text"})],
        [start(0, "thought"), delta(0, type="thought_signature")],
        [start(0, "function_call"), delta(0, type="arguments_delta", arguments={})],
        [start(0, "code_execution_call"), delta(0, type="code_execution_call", arguments="x")],
        [start(0), delta(0, type="text_annotation_delta", annotations=[1])],
    ],
)
def test_broken_rules_are_refused(events: list[dict[str, Any]]) -> None:
    with pytest.raises(SandboxFault):
        EventGate(ROOM).admit(batch(1, *events))


def test_only_what_is_counted_is_kept() -> None:
    gate = EventGate(10 * 1024**2)
    junk = "x" * 1024**2
    usage = {"total_tokens": 1, "more": junk}
    admitted = gate.admit(batch(1, start(0), {**stop(0), "junk": junk, "usage": usage}))
    assert "junk" not in admitted[1]
    with pytest.raises(LimitExceeded, match=r"limits\.log"):
        for index in range(1, 11):
            gate.admit(batch(gate.accepted + 1, start(index), {**stop(index), "usage": usage}))


@pytest.mark.parametrize("place", ["step", "delta"])
def test_an_interaction_has_so_much_room_and_it_is_said_how_much(place: str) -> None:
    text = "x" * (1024 * 1024)
    gate = EventGate(10 * 1024**2)
    told = r"more than 10 MiB.*limits\.log"
    with pytest.raises(LimitExceeded, match=told) as caught:
        for index in range(20):
            content: dict[str, Any] = {"text": text}
            begin = start(index)
            begin["step"].update(content if place == "step" else {})
            more = [delta(index, **content)] if place == "delta" else []
            gate.admit(batch(gate.accepted + 1, begin, *more, stop(index)))
    assert caught.value.code == "log_limit"
    assert 9 * 2 <= gate.accepted < 20 * 2, "what fits is taken"


def test_events_without_content_are_counted_too() -> None:
    gate = EventGate(ROOM)
    with pytest.raises(LimitExceeded, match="more than 200000 events"):
        for index in range(MAX_EVENTS):
            gate.admit(batch(2 * index + 1, start(index), stop(index)))
