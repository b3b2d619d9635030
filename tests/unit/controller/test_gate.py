from __future__ import annotations

from typing import Any

import pytest

from runtime.controller.gate import EventGate, GapError
from runtime.errors import SandboxFault
from runtime.schema.events import STEP_EVENTS
from runtime.schema.protocol import RunEvents


def batch(first: int, *events: dict[str, Any]) -> RunEvents:
    return RunEvents(run_id="r", first=first, events=STEP_EVENTS.validate_python(list(events)))


def start(index: int, kind: str = "model_output") -> dict[str, Any]:
    return {"event_type": "step.start", "index": index, "step": {"type": kind}}


def delta(index: int, **more: Any) -> dict[str, Any]:
    return {"event_type": "step.delta", "index": index, "delta": {"type": "text", **more}}


def stop(index: int) -> dict[str, Any]:
    return {"event_type": "step.stop", "index": index}


def test_a_step_passes_and_a_repeated_batch_passes_once() -> None:
    gate = EventGate()
    events = [start(0), delta(0, text="a"), stop(0)]
    assert len(gate.admit(batch(1, *events))) == 3
    assert gate.admit(batch(1, *events)) == []
    assert len(gate.admit(batch(2, *events[1:], start(1)))) == 1
    assert gate.accepted == 4


def test_a_gap_is_told_apart_from_a_broken_rule() -> None:
    with pytest.raises(GapError):
        EventGate().admit(batch(2, start(0)))


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
    ],
)
def test_broken_rules_are_refused(events: list[dict[str, Any]]) -> None:
    with pytest.raises(SandboxFault):
        EventGate().admit(batch(1, *events))


def test_what_steps_begin_with_counts_as_output() -> None:
    text = "x" * (64 * 1024**2)
    gate = EventGate()
    with pytest.raises(SandboxFault, match="MiB of output"):
        for index in range(20):
            begin = start(index)
            begin["step"]["content"] = [{"type": "text", "text": text}]
            gate.admit(batch(2 * index + 1, begin, stop(index)))
