"""Checks the events that a guest sends: numbers, order, kinds, amounts. Pure."""

from __future__ import annotations

from typing import Any

from runtime.controller.budgets import LogBudget
from runtime.errors import SandboxFault
from runtime.schema.events import StepDelta, StepEvent, StepStart
from runtime.schema.protocol import RunEvents

_STEPS = (
    "model_output",
    "thought",
    "function_call",
    "function_result",
    "code_execution_call",
    "code_execution_result",
    "google_search_call",
    "google_search_result",
    "url_context_call",
    "url_context_result",
    "mcp_server_tool_call",
    "mcp_server_tool_result",
)

_KEPT = ("event_type", "index", "step", "delta", "usage", "step_usage")
"""The fields of events that are stored."""
_BARE: dict[str, type] = {"content": list, "summary": list, "arguments": dict, "signature": str}
"""What the fields of a step must be that deltas are added to."""
_WITH_FIELDS = frozenset(
    {"text", "thought_signature", "arguments_delta", "thought_summary", "text_annotation_delta"}
)


class GapError(Exception):
    """Events are missing: the guest has to send again from what is stored."""


class EventGate:
    """One per run; remembers what has come."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes` is what all events of the run may come to."""
        self.accepted = 0
        self._open: int | None = None
        self._next_index = 0
        self._budget = LogBudget(limit_bytes)

    def admit(self, message: RunEvents) -> list[dict[str, Any]]:
        """The events that are new, in wire form.

        Raises `GapError` when some are missing, `SandboxFault` when the guest breaks the rules,
        `LimitExceeded` when there is no room for them.
        """
        if message.first > self.accepted + 1:
            raise GapError
        fresh = message.events[self.accepted + 1 - message.first :]
        admitted = [self._admit(event) for event in fresh]
        self.accepted += len(fresh)
        return admitted

    def _admit(self, event: StepEvent) -> dict[str, Any]:
        if isinstance(event, StepStart):
            self._start(event)
        elif event.index != self._open:
            raise SandboxFault("The guest sent an event of a step that is not open.")
        elif isinstance(event, StepDelta):
            if not _is_sound(event.delta):
                raise SandboxFault("The guest sent a delta that makes no sense.")
        else:
            self._open = None
        try:
            whole = event.model_dump(mode="json", exclude_none=True)
        except ValueError as error:
            raise SandboxFault("The guest sent an event that is nested too deeply.") from error
        wire = {name: whole[name] for name in _KEPT if name in whole}
        self._budget.spend(len(str(wire)))
        return wire

    def _start(self, event: StepStart) -> None:
        if self._open is not None or event.index != self._next_index:
            raise SandboxFault("The guest sent steps out of order.")
        if event.step.get("type") not in _STEPS:
            raise SandboxFault("The guest sent a step of a kind that it may not make.")
        if not all(isinstance(event.step.get(name, kind()), kind) for name, kind in _BARE.items()):
            raise SandboxFault("The guest sent a step whose fields make no sense.")
        self._open = event.index
        self._next_index += 1


def _is_sound(delta: dict[str, Any]) -> bool:
    """Whether readers can add the delta up without looking at it twice."""
    match delta:
        case {"type": "text", "text": str()}:
            return True
        case {"type": "thought_signature", "signature": str()}:
            return True
        case {"type": "arguments_delta", "arguments": str()}:
            return True
        case {"type": "thought_summary", "content": {"type": "text", "text": str()}}:
            return True
        case {"type": "thought_summary", "content": {"type": str(kind)}}:
            return kind != "text"
        case {"type": "text_annotation_delta", "annotations": list(annotations)}:
            return all(isinstance(one, dict) for one in annotations)
        case {"type": str(kind)} if kind not in _WITH_FIELDS:
            return not kind.endswith("_call") or isinstance(delta.get("arguments", {}), dict)
        case _:
            return False
