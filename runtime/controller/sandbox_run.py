"""Drives one run in a sandbox: hands it to the guest, stores its events, calls its models."""

from __future__ import annotations

from contextlib import aclosing

import anyio
from anyio.abc import TaskGroup

from runtime.controller.gate import EventGate, GapError
from runtime.controller.guest_answers import outcome_of
from runtime.controller.live_sandbox import LiveSandbox
from runtime.controller.model_calls import ModelCalls
from runtime.controller.plan import RunPlan
from runtime.controller.ports import Delivery, Journal, ModelDirectory, RelayedTools
from runtime.controller.relayed import in_time
from runtime.errors import SandboxFault, SandboxLost, SandlotError, ToolFault
from runtime.gateway.session import GuestSession
from runtime.groups import collapsed
from runtime.schema.protocol import (
    CancelRun,
    EventsStored,
    Fault,
    GuestMessage,
    ModelCall,
    ModelCallCancel,
    ModelCallFailed,
    ModelParts,
    RelayCall,
    RelayResult,
    RunEnded,
    RunEvents,
    RunOutcome,
    StartRun,
)
from runtime.schema.steps import text_result
from runtime.schema.usage import Usage

MAX_CALLS_AT_ONCE = 4
"""A loop makes one after the other; each that waits may hold as much as a frame does."""
CALLS_PER_STEP = 16
"""A step may be asked for again, and a conversation compacted; no more than so often."""
TOOLS_PER_STEP = 256
"""Tools that the controller runs; no model calls more of them in one turn."""
CANCEL_GRACE_SECONDS = 6.0
"""How long a guest may clean up after a cancelled run before its sandbox is killed."""


class SandboxRun:
    """One run in one live sandbox."""

    def __init__(
        self,
        plan: RunPlan,
        sandbox: LiveSandbox,
        journal: Journal,
        models: ModelDirectory,
        relayed: RelayedTools,
        delivery: Delivery,
    ) -> None:
        self._plan = plan
        self._sandbox = sandbox
        self._journal = journal
        self._model = ModelCalls(plan, models, delivery)
        self._relayed = relayed
        self._gate = EventGate(plan.spec.limits.log_bytes)
        self._calls: dict[str, anyio.CancelScope] = {}
        self._calls_made = 0
        self._relaying = 0
        self._relayed_calls = 0
        self._outcome: RunOutcome | None = None
        self.has_begun = False
        """Whether the guest said anything of the run; it says what it will do before it does it."""

    @property
    def usage(self) -> Usage:
        """What the model calls used so far."""
        return self._model.usage

    async def execute(self) -> RunOutcome:
        """Run to the end.

        Raises `SandboxLost` when the guest goes away for good, `SandboxFault` when it breaks the
        rules, `LimitExceeded` when its run used up what it may store: then it goes on until `stop`.
        """
        session = await self._sandbox.session()
        await session.send(StartRun(spec=self._plan.spec))
        while self._outcome is None:
            await self._follow(session)
            if self._outcome is None:
                session = await self._sandbox.session()
        return self._outcome

    async def stop(self) -> bool:
        """Cancel in the guest and wait until it is done; False when it does not obey in time."""
        if self._outcome is not None:
            return True
        try:
            # A guest that reads nothing any more keeps even the word that it is over waiting.
            with anyio.move_on_after(CANCEL_GRACE_SECONDS):
                return await self._cancelled(await self._sandbox.session())
        except SandboxLost:
            return False
        return False

    async def _cancelled(self, session: GuestSession) -> bool:
        """Cancel; whether the guest says that it is done, instead of hanging up."""
        run_id = self._plan.spec.run_id
        await session.send(CancelRun(run_id=run_id))
        # Events that were taken and not stored any more: the guest waits to hear of them.
        await session.send(EventsStored(run_id=run_id, upto=self._gate.accepted))
        async for message in session.messages():
            if isinstance(message, RunEnded) and self._is_ours(message.run_id):
                return True
            if isinstance(message, RunEvents) and self._is_ours(message.run_id):
                await self._acknowledge(session, message)
        return False

    async def _follow(self, session: GuestSession) -> None:
        with collapsed():
            async with anyio.create_task_group() as tasks:
                async for message in session.messages():
                    await self._take(message, session, tasks)
                    if self._outcome is not None:
                        break
                tasks.cancel_scope.cancel()
        self._calls.clear()  # of calls that were cancelled before they began
        self._relaying = 0

    async def _take(self, message: GuestMessage, session: GuestSession, tasks: TaskGroup) -> None:
        if self._is_ours(getattr(message, "run_id", None)):
            self.has_begun = True
        match message:
            case RunEvents() if self._is_ours(message.run_id):
                await self._store(message, session)
            case RunEnded() if self._is_ours(message.run_id):
                self._outcome = outcome_of(message)
            case ModelCall() if self._is_ours(message.run_id):
                self._count_call(message)
                tasks.start_soon(self._call_model, message, session)
            case ModelCallCancel():
                scope = self._calls.get(message.call_id)
                if scope is not None:
                    scope.cancel()
            case RelayCall() if self._is_ours(message.run_id):
                self._count_relay()
                tasks.start_soon(self._relay, message, session)
            case _:
                return

    def _count_call(self, call: ModelCall) -> None:
        """Raise `SandboxFault` for more calls of models than the run could need."""
        if call.call_id in self._calls or len(self._calls) >= MAX_CALLS_AT_ONCE:
            raise SandboxFault("The guest called too many models at once, or one twice.")
        self._calls_made += 1
        if self._calls_made > CALLS_PER_STEP * self._plan.spec.limits.max_steps:
            raise SandboxFault("The guest called models more often than its steps can need.")
        self._calls[call.call_id] = anyio.CancelScope()

    def _count_relay(self) -> None:
        """Raise `SandboxFault` for more calls of tools than the run could need."""
        if self._relaying >= MAX_CALLS_AT_ONCE:
            raise SandboxFault("The guest called too many tools at once.")
        self._relaying += 1
        self._relayed_calls += 1
        if self._relayed_calls > TOOLS_PER_STEP * self._plan.spec.limits.max_steps:
            raise SandboxFault("The guest called tools more often than its steps can need.")

    def _is_ours(self, run_id: str | None) -> bool:
        return run_id == self._plan.spec.run_id

    async def _store(self, message: RunEvents, session: GuestSession) -> None:
        try:
            events = self._gate.admit(message)
        except GapError:
            await session.aclose()
            return
        if events:
            await self._journal.append(self._plan.interaction_id, events)
        await self._acknowledge(session, message)

    async def _acknowledge(self, session: GuestSession, message: RunEvents) -> None:
        upto = max(self._gate.accepted, message.first + len(message.events) - 1)
        await session.send(EventsStored(run_id=message.run_id, upto=upto))

    async def _call_model(self, call: ModelCall, session: GuestSession) -> None:
        with self._calls[call.call_id]:
            try:
                await self._stream_model(call, session)
            except SandboxLost:
                return
            except SandlotError as error:
                await self._refuse(call, error, session)
            finally:
                del self._calls[call.call_id]

    async def _refuse(self, call: ModelCall, error: SandlotError, session: GuestSession) -> None:
        fault = Fault(code=error.code, message=error.message)
        try:
            await session.send(ModelCallFailed(call_id=call.call_id, error=fault))
        except SandboxLost:
            return

    async def _stream_model(self, call: ModelCall, session: GuestSession) -> None:
        async with aclosing(self._model.stream(call.request)) as parts:
            async for part in parts:
                await session.send(ModelParts(call_id=call.call_id, parts=[part]))

    async def _relay(self, call: RelayCall, session: GuestSession) -> None:
        try:
            await self._relay_one(call, session)
        finally:
            self._relaying -= 1

    async def _relay_one(self, call: RelayCall, session: GuestSession) -> None:
        try:
            result = await in_time(self._relayed, self._plan, call.name, call.arguments)
        except ToolFault as fault:
            result = text_result(fault.message, is_error=True)
        answer = RelayResult(
            call_id=call.call_id,
            content=[part.model_dump(exclude_none=True) for part in result.content],
            is_error=result.is_error,
            value=result.value,
        )
        try:
            await session.send(answer)
        except SandboxLost:
            return
