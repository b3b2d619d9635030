"""A run: model turn, tool calls, results, again, until the model answers or a limit holds."""

from __future__ import annotations

from typing import Literal

import anyio

from runtime.errors import ContextExceeded, LimitExceeded, ModelFault, SandlotError, ToolFault
from runtime.loop.choice import allows_nothing, judged
from runtime.loop.compactor import Compactor
from runtime.loop.context import ContextMeter, overhead_tokens
from runtime.loop.history import repair
from runtime.loop.ports import EventSink, ModelPort, Toolbox
from runtime.loop.turn import AskedCall, Turn, TurnReader
from runtime.loop.writer import ResultWriter, StepWriter
from runtime.schema.compaction import compacted
from runtime.schema.model import FunctionDeclaration, ModelRequest, ToolChoice
from runtime.schema.protocol import Fault, RunOutcome, RunSpec
from runtime.schema.steps import Step, ToolResult, text_result
from runtime.schema.usage import Usage

MAX_REFUSALS = 3
"""So many times a model may find the conversation too long for one turn."""


class Run:
    """One run of the loop. `execute` is called once."""

    def __init__(self, spec: RunSpec, model: ModelPort, toolbox: Toolbox, sink: EventSink) -> None:
        self._spec = spec
        self._model = model
        self._toolbox = toolbox
        self._sink = sink
        self._writer = StepWriter(sink)
        self._history: list[Step] = compacted(spec.history)
        self._functions = {function.name for function in spec.client_functions}
        self._usage = Usage()
        self._choice = spec.tool_choice
        overhead = overhead_tokens(spec.system_instruction, self._declarations())
        self._meter = ContextMeter(spec.context, self._history, overhead)
        self._compactor = Compactor(model, self._writer, self._meter)

    async def execute(self) -> RunOutcome:
        """Run to the end. Every failure becomes an outcome; cancellation passes through."""
        try:
            with anyio.fail_after(self._spec.limits.timeout_seconds):
                status = await self._turns()
            return RunOutcome(status=status, usage=self._usage)
        except TimeoutError:
            seconds = self._spec.limits.timeout_seconds
            fault = Fault(
                code="time_limit", message=f"The time limit of {seconds:g} s was reached."
            )
            return await self._broken("incomplete", fault)
        except LimitExceeded as limit:
            return await self._broken("incomplete", Fault(code=limit.code, message=limit.message))
        except SandlotError as error:
            return await self._broken("failed", Fault(code=error.code, message=error.message))

    async def _broken(self, status: Literal["incomplete", "failed"], fault: Fault) -> RunOutcome:
        if self._writer.is_open:
            await self._writer.stop(self._usage)
        return RunOutcome(status=status, usage=self._usage, error=fault)

    async def _turns(self) -> Literal["completed", "requires_action"]:
        for _ in range(self._spec.limits.max_steps):
            turn = await self._turn()
            self._history += turn.steps
            if turn.done.reason == "refused":
                raise _refusal()
            if not turn.calls:
                if turn.done.reason == "length":
                    raise _limit("output_limit", "The model's output limit was reached.")
                return "completed"
            if await self._run_calls(turn.calls):
                return "requires_action"
            self._check_tokens()
            if self._choice.mode == "any":
                self._choice = ToolChoice(names=self._choice.names)
        steps = self._spec.limits.max_steps
        raise _limit("step_limit", f"The limit of {steps} model turns was reached.")

    async def _turn(self) -> Turn:
        if self._compactor.is_due:
            await self._compact(refused=False)
        for _ in range(MAX_REFUSALS):
            begun = self._writer.begun
            try:
                return await self._call()
            except ModelFault as fault:
                is_too_long = fault.code == ContextExceeded.code and self._writer.begun == begun
                if not is_too_long or not await self._compact(refused=True):
                    raise
        return await self._call()

    async def _call(self) -> Turn:
        reader = TurnReader(self._writer, self._toolbox, self._usage)
        turn = await reader.read(self._model, self._request())
        self._usage = self._usage + turn.done.usage
        self._meter.reported(turn.done.usage, turn.steps)
        await self._sink.flush()
        return turn

    async def _compact(self, *, refused: bool) -> bool:
        """Whether the history is shorter now."""
        made = await self._compactor.compact(
            self._request(), self._history, self._usage, refused=refused
        )
        if made is None:
            return False
        self._history, self._usage = made.history, self._usage + made.usage
        await self._sink.flush()
        return True

    def _request(self) -> ModelRequest:
        return ModelRequest(
            model=self._spec.model,
            system_instruction=self._spec.system_instruction,
            history=repair(self._history),
            tools=self._declarations(),
            tool_choice=self._choice,
            generation=self._spec.generation,
            response_schema=self._spec.response_schema,
        )

    def _declarations(self) -> list[FunctionDeclaration]:
        if allows_nothing(self._choice):
            return []
        return [*self._toolbox.declarations, *self._spec.client_functions]

    async def _run_calls(self, calls: list[AskedCall]) -> bool:
        """Run the calls in order; returns whether some are the caller's to answer."""
        waiting = False
        offered = [tool.name for tool in self._declarations()]
        for asked in [judged(asked, self._choice, offered) for asked in calls]:
            if asked.call.name in self._functions and asked.problem is None:
                waiting = True
            else:
                await self._run_call(asked)
        await self._sink.flush()
        return waiting

    async def _run_call(self, asked: AskedCall) -> None:
        results = ResultWriter(self._writer, asked.call)
        if asked.problem is not None:
            result = text_result(asked.problem, is_error=True)
        else:
            result = await self._result_of(asked, results)
        step = await results.finish(result)
        self._history.append(step)
        self._meter.added([step])

    async def _result_of(self, asked: AskedCall, results: ResultWriter) -> ToolResult:
        try:
            return await self._toolbox.run(asked.call, results.emit)
        except ToolFault as fault:
            return text_result(fault.message, is_error=True)

    def _check_tokens(self) -> None:
        budget = self._spec.limits.max_total_tokens
        used = self._usage.total_tokens - self._usage.total_cached_tokens
        if budget is not None and used >= budget:
            raise _limit("token_limit", f"The budget of {budget} tokens is used up ({used} used).")


def _limit(code: str, message: str) -> LimitExceeded:
    error = LimitExceeded(message)
    error.code = code
    return error


def _refusal() -> SandlotError:
    error = SandlotError("The model refused to answer.")
    error.code = "model_refused_to_answer"
    return error
