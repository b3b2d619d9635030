"""Checks the events that a guest sends: numbers, order, kinds, amounts. Pure."""

from __future__ import annotations

from typing import Any

from runtime.controller.budgets import LogBudget
from runtime.errors import SandboxFault
from runtime.schema.events import StepDelta, StepEvent, StepStart
from runtime.schema.protocol import RunEvents

_STEPS = frozenset(
    {
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
    }
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
            self._measure(event)
        else:
            self._budget.spend(0)
            self._open = None
        return event.model_dump(mode="json", exclude_none=True)

    def _start(self, event: StepStart) -> None:
        if self._open is not None or event.index != self._next_index:
            raise SandboxFault("The guest sent steps out of order.")
        if event.step.get("type") not in _STEPS:
            raise SandboxFault("The guest sent a step of a kind that it may not make.")
        self._budget.spend(len(str(event.step)))
        self._open = event.index
        self._next_index += 1

    def _measure(self, event: StepDelta) -> None:
        if not isinstance(event.delta.get("type"), str):
            raise SandboxFault("The guest sent a delta without a type.")
        self._budget.spend(len(str(event.delta)))
