"""A run that needs no sandbox: the same loop, in the controller."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from runtime.controller.journal_sink import JournalSink
from runtime.controller.model_calls import ModelCalls
from runtime.controller.plan import RunPlan
from runtime.controller.ports import Delivery, Journal, ModelDirectory, RelayedTools
from runtime.controller.relayed import in_time
from runtime.errors import ToolFault
from runtime.groups import collapsed
from runtime.loop.ports import Emit
from runtime.loop.prompt import compose
from runtime.loop.run import Run
from runtime.schema.model import FunctionDeclaration
from runtime.schema.protocol import RunOutcome
from runtime.schema.steps import ToolCall, ToolResult
from runtime.schema.usage import Usage


class LocalRun:
    """One run in this process."""

    def __init__(
        self,
        plan: RunPlan,
        journal: Journal,
        models: ModelDirectory,
        relayed: RelayedTools,
        delivery: Delivery,
    ) -> None:
        self._plan = plan
        self._calls = ModelCalls(plan, models, delivery)
        self._sink = JournalSink(journal, plan.interaction_id, plan.spec.limits.log_bytes)
        self._toolbox = RelayToolbox(plan, relayed)

    async def execute(self) -> RunOutcome:
        """Run to the end."""
        instruction = compose(self._plan.spec.system_instruction, None)
        spec = self._plan.spec.model_copy(update={"system_instruction": instruction})
        outcome: RunOutcome | None = None
        with collapsed():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._sink.pump)
                outcome = await Run(spec, self._calls, self._toolbox, self._sink).execute()
                await self._sink.flush()
                tasks.cancel_scope.cancel()
        assert outcome is not None
        return outcome

    @property
    def usage(self) -> Usage:
        """What the model calls used so far."""
        return self._calls.usage


class RelayToolbox:
    """Only tools that the controller runs."""

    def __init__(self, plan: RunPlan, relayed: RelayedTools) -> None:
        self._plan = plan
        self._relayed = relayed

    @property
    def declarations(self) -> Sequence[FunctionDeclaration]:
        """The relayed tools."""
        return self._plan.spec.relayed_tools

    def locate(self, call: ToolCall) -> ToolCall:
        """Names of tools of an MCP server are `server__tool`."""
        server, separator, name = call.name.partition("__")
        if separator and any(tool.name == call.name for tool in self.declarations):
            return ToolCall(call.id, name, call.arguments, server)
        return call

    async def run(self, call: ToolCall, emit: Emit) -> ToolResult:
        """Run one tool. Raises `ToolFault`."""
        name = f"{call.server}__{call.name}" if call.server else call.name
        if all(tool.name != name for tool in self.declarations):
            known = ", ".join(tool.name for tool in self.declarations) or "none"
            raise ToolFault(f"There is no tool `{name}`. The tools are: {known}.")
        return await in_time(self._relayed, self._plan, name, call.arguments)
