"""Executes plans: each in a task of its own, each to exactly one settled status."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import anyio
import structlog
from anyio.abc import TaskGroup

from runtime.boundaries import contained
from runtime.controller.live_sandbox import LiveSandbox
from runtime.controller.local_run import LocalRun
from runtime.controller.plan import EnvironmentPlan, RunPlan
from runtime.controller.ports import Delivery, Journal, ModelDirectory, RelayedTools
from runtime.controller.quotas import Quotas
from runtime.controller.sandbox_run import SandboxRun
from runtime.controller.sandboxes import Sandboxes
from runtime.controller.tool_choice import with_listed
from runtime.errors import (
    Internal,
    LimitExceeded,
    NotFound,
    SandboxFault,
    SandboxLost,
    SandlotError,
)
from runtime.schema.protocol import Fault, RunOutcome
from runtime.schema.usage import Usage

CANCEL_SECONDS = 1.0
"""A cancelled interaction settles within this time, whatever its sandbox does."""
OVERTIME_SECONDS = 30.0
"""How much longer than its time limit a run is waited for before its sandbox is given up."""
SETTLE_TRIES = 10
SETTLE_PAUSE_SECONDS = 1.0
"""Storing the end of a run is tried again while the disk is full."""

log = structlog.get_logger(__name__)
Retire = Callable[[str, str], Awaitable[None]]
"""Ends an environment of a project in the record: from then on there is none of that id."""


async def _retire_nothing(_project_id: str, _environment_id: str) -> None:
    return


@dataclass(slots=True)
class Active:
    """A run under way."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    settled: anyio.Event = field(default_factory=anyio.Event)
    cancelled: bool = False
    usage: Usage = field(default_factory=Usage)
    """What its model calls used, once it has ended."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class _Turns:
    """The runs of one environment, one after the other."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    is_gone: bool = False
    """Whether the environment could not be set up, so that there is none."""


class _NotBegunError(Exception):
    """A sandbox went away before it said a word of the run: nothing of that has happened."""

    def __init__(self, reason: SandboxFault) -> None:
        super().__init__(reason)
        self.reason = reason


class Runner:
    """The real `Runs`. `open` must have been entered."""

    def __init__(
        self,
        journal: Journal,
        sandboxes: Sandboxes,
        models: ModelDirectory,
        relayed: RelayedTools,
        delivery: Delivery,
        quotas: Quotas | None = None,
        retire: Retire = _retire_nothing,
    ) -> None:
        """`retire` is told of new environments that could not be set up."""
        self._retire = retire
        self._quotas = quotas or Quotas()
        self._journal = journal
        self._sandboxes = sandboxes
        self._models = models
        self._relayed = relayed
        self._delivery = delivery
        self._active: dict[str, Active] = {}
        self._environments: WeakValueDictionary[str, _Turns] = WeakValueDictionary()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Serve; at the end every run that is still under way is settled as failed."""
        async with anyio.create_task_group() as tasks:
            self._tasks: TaskGroup = tasks
            try:
                yield
            finally:
                for active in self._active.values():
                    active.scope.cancel()

    async def submit(self, plan: RunPlan) -> None:
        """Start a run; it waits by itself for its environment and for a free sandbox."""
        if plan.environment is not None and plan.environment.network_changed:
            # At once, whatever still runs there.
            await self._sandboxes.renew_network(plan.environment.environment_id)
        active = Active()
        self._active[plan.interaction_id] = active
        self._tasks.start_soon(self._run, plan, active)

    async def cancel(self, interaction_id: str) -> None:
        """Stop a run; returns once its interaction has settled."""
        active = self._active.get(interaction_id)
        if active is None:
            return
        active.cancelled = True
        active.scope.cancel()
        await active.settled.wait()

    @property
    def is_idle(self) -> bool:
        """Whether no run is queued or under way."""
        return not self._active

    async def _run(self, plan: RunPlan, active: Active) -> None:
        name = plan.interaction_id
        try:
            with contained("a run broke off", interaction=name):
                await self._run_somewhere(plan, active)
            if not active.settled.is_set():
                with contained("a run that broke off is not settled", interaction=name):
                    await self._settle(plan, active, _ended(Internal()), Usage())
        finally:
            active.settled.set()
            del self._active[name]
            with anyio.CancelScope(shield=True), contained("tools not released", interaction=name):
                await self._relayed.release(name)

    async def _run_somewhere(self, plan: RunPlan, active: Active) -> None:
        if plan.environment is None:
            await self._run_here(plan, active)
            return
        turns = self._environments.setdefault(plan.environment.environment_id, _Turns())
        await self._run_in_sandbox(plan, active, turns)

    async def _run_here(self, plan: RunPlan, active: Active) -> None:
        run, outcome = None, None
        with active.scope:
            try:
                async with self._quotas.slot(plan.project_id):
                    ready = await self._ready(plan)
                    run = LocalRun(
                        ready, self._journal, self._models, self._relayed, self._delivery
                    )
                    outcome = await self._guarded(run)
            except SandlotError as error:
                outcome = _ended(error)
        await self._settle(plan, active, outcome, run.usage if run else Usage())

    async def _ready(self, plan: RunPlan) -> RunPlan:
        """The plan with the tools of its servers. Raises `ToolServerFault`, `InvalidRequest`."""
        if plan.awaited is None:
            return plan
        spec = plan.spec
        taken = {tool.name for tool in [*spec.client_functions, *spec.relayed_tools]}
        try:
            listed = await self._relayed.listed(plan.interaction_id, taken | {*spec.sandbox_tools})
            return with_listed(plan, listed)
        except SandlotError:
            raise
        except Exception as error:
            log.exception("what servers offer could not be read", interaction=plan.interaction_id)
            raise Internal() from error

    async def _run_in_sandbox(self, plan: RunPlan, active: Active, turns: _Turns) -> None:
        outcome = None
        with active.scope:
            try:
                async with self._place(plan, turns) as sandbox:
                    # Servers were asked when the interaction was created: in the meantime.
                    outcome = await self._execute(await self._ready(plan), active, sandbox)
            except SandlotError as error:
                outcome = _ended(error)
            except Exception:
                log.exception("a run got no sandbox", interaction=plan.interaction_id)
                outcome = _ended(Internal())
        await self._settle(plan, active, outcome, active.usage)
        if turns.is_gone and plan.environment is not None and plan.environment.is_new:
            await self._clear(plan.environment.environment_id)

    async def _execute(self, plan: RunPlan, active: Active, sandbox: LiveSandbox) -> RunOutcome:
        """Run in `sandbox`, or in another one where it went away before the run had begun."""
        try:
            return await self._execute_in(plan, active, sandbox)
        except _NotBegunError as gone:
            assert plan.environment is not None
            log.info("a run gets another sandbox", interaction=plan.interaction_id)
            ready = plan.environment.model_copy(update={"is_new": False})
            async with self._sandboxes.use(ready) as another:
                try:
                    return await self._execute_in(plan, active, another)
                except _NotBegunError as again:
                    raise again.reason from gone

    async def _execute_in(self, plan: RunPlan, active: Active, sandbox: LiveSandbox) -> RunOutcome:
        run = SandboxRun(plan, sandbox, self._journal, self._models, self._relayed, self._delivery)
        try:
            return await self._in_time(run, plan, sandbox)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._stop(plan, active, run, sandbox)
            raise
        finally:
            active.usage = run.usage

    @asynccontextmanager
    async def _place(self, plan: RunPlan, turns: _Turns) -> AsyncGenerator[LiveSandbox]:
        """The run's turn in its environment, set up, and the sandbox. Raises `NotFound`."""
        environment = plan.environment
        assert environment is not None
        is_empty = environment.is_new and environment.has_contents
        try:
            async with turns.lock:
                if turns.is_gone:
                    raise NotFound(
                        f"The environment '{environment.environment_id}' could not be set up, so "
                        "there is none. Give 'environment' anew for another one."
                    )
                slot = self._quotas.slot(plan.project_id)
                async with slot, self._sandboxes.use(environment) as sandbox:
                    is_empty = False
                    yield sandbox
        finally:
            if is_empty:
                # Before anything else happens: the next run may have the lock already.
                turns.is_gone = True
                await self._give_up(environment)

    async def _give_up(self, environment: EnvironmentPlan) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._retire(environment.project_id, environment.environment_id)
            except SandlotError as error:
                name = environment.environment_id
                log.error("environment not retired", environment=name, error=error.message)

    async def _clear(self, environment_id: str) -> None:
        """Delete what there is of an environment that could not be set up."""
        with anyio.CancelScope(shield=True):
            try:
                await self._sandboxes.delete(environment_id)
            except SandlotError as error:
                log.warning(
                    "workspace not deleted", environment=environment_id, error=error.message
                )

    async def _in_time(self, run: SandboxRun, plan: RunPlan, sandbox: LiveSandbox) -> RunOutcome:
        seconds = plan.spec.limits.timeout_seconds + OVERTIME_SECONDS
        try:
            with anyio.fail_after(seconds):
                return await self._guarded(run)
        except TimeoutError:
            await self._sandboxes.discard(sandbox.environment_id, sandbox)
            message = f"The run did not end within {seconds:g} s; its sandbox was stopped."
            return RunOutcome(status="incomplete", error=Fault(code="time_limit", message=message))
        except SandboxLost as error:
            reason = await sandbox.why_lost()
            await self._sandboxes.discard(sandbox.environment_id, sandbox)
            raise (reason if run.has_begun else _NotBegunError(reason)) from error
        except SandboxFault:
            # Its guest broke the rules, and would go on doing what it does.
            await self._sandboxes.discard(sandbox.environment_id, sandbox)
            raise
        except SandlotError as error:
            # The guest does not know yet that it is over.
            if not await run.stop():
                await self._sandboxes.discard(sandbox.environment_id, sandbox)
            return _ended(error)

    async def _guarded(self, run: SandboxRun | LocalRun) -> RunOutcome:
        try:
            return await run.execute()
        except SandlotError:
            raise
        except Exception as error:
            log.exception("run failed")
            raise Internal("Sandlot made a mistake; its log says more.") from error

    async def _stop(
        self, plan: RunPlan, active: Active, run: SandboxRun, sandbox: LiveSandbox
    ) -> None:
        """Stop the guest's run; the interaction settles in time even when the guest is slow."""
        async with anyio.create_task_group() as tasks:

            async def settle_in_time() -> None:
                await anyio.sleep(CANCEL_SECONDS)
                await self._settle(plan, active, None, run.usage)

            tasks.start_soon(settle_in_time)
            if not await run.stop():
                await self._sandboxes.discard(sandbox.environment_id, sandbox)
            tasks.cancel_scope.cancel()

    async def _settle(
        self, plan: RunPlan, active: Active, outcome: RunOutcome | None, usage: Usage
    ) -> None:
        if outcome is None and active.cancelled:
            outcome = RunOutcome(status="cancelled")
        elif outcome is None:
            message = "The controller was stopped in the middle of the run."
            outcome = RunOutcome(
                status="failed", error=Fault(code="controller_stopped", message=message)
            )
        with anyio.CancelScope(shield=True):
            await self._write_end(plan.interaction_id, outcome, usage)
            active.settled.set()

    async def _write_end(self, interaction_id: str, outcome: RunOutcome, usage: Usage) -> None:
        for _ in range(SETTLE_TRIES):
            try:
                await self._journal.settle(interaction_id, outcome.status, usage, outcome.error)
                return
            except SandlotError as error:
                log.error("end of a run not stored", interaction=interaction_id, error=str(error))
                await anyio.sleep(SETTLE_PAUSE_SECONDS)


def _ended(error: SandlotError) -> RunOutcome:
    status = "incomplete" if isinstance(error, LimitExceeded) else "failed"
    return RunOutcome(status=status, error=Fault(code=error.code, message=error.message))
