"""`Runs` that play events from the words of the input, without model or sandbox.

The last text of the input says what happens, one word per step: `think`, `code`, `say:WORDS`,
`call:NAME`, `wait` (until `go` is called), `hang` (until cancelled), `fail`, `incomplete`. Other
text is answered with itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

from runtime.controller.log import EventLog
from runtime.controller.plan import RunPlan
from runtime.errors import SandboxUnavailable
from runtime.schema.content import text_of
from runtime.schema.protocol import Fault
from runtime.schema.steps import FunctionResultStep, UserInputStep
from runtime.schema.usage import Usage

WORDS = {"think", "code", "wait", "hang", "fail", "incomplete", "refuse"}


class PlayedRuns:
    """Plays plans; remembers them."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._cancelled: set[str] = set()
        self._go = anyio.Event()
        self.plans: list[RunPlan] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, log: EventLog) -> AsyncIterator[PlayedRuns]:
        async with anyio.create_task_group() as tasks:
            runs = cls(log)
            runs._tasks: TaskGroup = tasks
            yield runs
            tasks.cancel_scope.cancel()

    def go(self) -> None:
        """Let the runs that wait go on."""
        self._go.set()
        self._go = anyio.Event()

    async def submit(self, plan: RunPlan) -> None:
        self.plans.append(plan)
        if _words(plan) == ["refuse"]:
            raise SandboxUnavailable("There is no Docker here.")
        self._tasks.start_soon(self._play, plan)

    async def cancel(self, interaction_id: str) -> None:
        scope = self._scopes.get(interaction_id)
        if scope is not None:
            self._cancelled.add(interaction_id)
            scope.cancel()
            await self._log.wait_settled(interaction_id)

    async def _play(self, plan: RunPlan) -> None:
        player = _Player(self._log, plan.interaction_id)
        status, error = "completed", None
        with anyio.CancelScope() as scope:
            self._scopes[plan.interaction_id] = scope
            for word in _words(plan):
                if word == "wait":
                    await self._go.wait()
                elif word == "hang":
                    await anyio.sleep_forever()
                elif word == "fail":
                    status, error = "failed", Fault(code="out_of_memory", message="No memory left.")
                elif word == "incomplete":
                    status = "incomplete"
                elif word.startswith("call:"):
                    await player.call(word.removeprefix("call:"))
                    status = "requires_action"
                else:
                    await player.step(word)
        if plan.interaction_id in self._cancelled:
            status = "cancelled"
        elif scope.cancel_called:
            return
        with anyio.CancelScope(shield=True):
            await self._log.settle(plan.interaction_id, status, player.usage, error)


class _Player:
    def __init__(self, log: EventLog, interaction_id: str) -> None:
        self._log = log
        self._id = interaction_id
        self._index = 0
        self.usage = Usage()

    async def step(self, word: str) -> None:
        if word == "think":
            delta = {"type": "thought_summary", "content": {"type": "text", "text": "Hm."}}
            await self._emit({"type": "thought"}, [delta])
        elif word == "code":
            call = {"type": "code_execution_call", "id": f"c{self._index}", "arguments": {}}
            arguments = {"code": "print(1)", "language": "python"}
            await self._emit(call, [{"type": "code_execution_call", "arguments": arguments}])
            result = {"type": "code_execution_result", "call_id": call["id"], "result": ""}
            await self._emit(result, [{"type": "code_execution_result", "result": "1\n"}])
        else:
            text = word.removeprefix("say:")
            half = len(text) // 2
            deltas = [{"type": "text", "text": part} for part in (text[:half], text[half:])]
            await self._emit({"type": "model_output"}, deltas)

    async def call(self, name: str) -> None:
        step = {"type": "function_call", "id": f"c{self._index}", "name": name, "arguments": {}}
        await self._emit(step, [{"type": "arguments_delta", "arguments": '{"city":"Paris"}'}])

    async def _emit(self, step: dict[str, Any], deltas: list[dict[str, Any]]) -> None:
        index, self._index = self._index, self._index + 1
        self.usage += Usage(total_input_tokens=2, total_output_tokens=1, total_tokens=3)
        await self._log.append(
            self._id, [{"event_type": "step.start", "index": index, "step": step}]
        )
        for delta in deltas:
            await self._log.append(
                self._id, [{"event_type": "step.delta", "index": index, "delta": delta}]
            )
        usage = self.usage.model_dump(exclude_none=True)
        await self._log.append(
            self._id, [{"event_type": "step.stop", "index": index, "usage": usage}]
        )


def _words(plan: RunPlan) -> list[str]:
    last = plan.spec.history[-1]
    if isinstance(last, FunctionResultStep):
        return [f"say:The answer of {last.name} was {last.result}."]
    assert isinstance(last, UserInputStep)
    text = text_of(last.content)
    words = text.split()
    known = all(word in WORDS or word.startswith(("say:", "call:")) for word in words)
    return words if words and known else [f"say:{text}"]
