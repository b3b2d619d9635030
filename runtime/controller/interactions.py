"""Interactions: accept, look at, wait for, cancel, delete.

Whoever names one says in which project; what has been found so is a `Known`, and may be followed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import anyio
import structlog

from runtime import clock
from runtime.controller.attachments import Attachments
from runtime.controller.history import wire_steps
from runtime.controller.log import EventLog
from runtime.controller.plan import RunPlan, Runs
from runtime.controller.quotas import Quotas
from runtime.controller.renderings import render
from runtime.controller.resolve import Resolved, Resolver
from runtime.controller.sessions import SessionCall, SessionService, begun, busy
from runtime.controller.stored_requests import stored_request
from runtime.controller.views import interaction_head, interaction_view
from runtime.errors import ControllerStopped, Internal, InvalidRequest, NotFound, SandlotError
from runtime.ids import new_id
from runtime.schema.inputs import input_steps
from runtime.schema.interactions import CreateInteraction
from runtime.schema.protocol import Fault
from runtime.schema.requests import read_request
from runtime.store import (
    AlreadyClaimed,
    Beginning,
    BoundReached,
    Claim,
    Claimed,
    InteractionRecord,
    InteractionSummary,
    Logged,
    SessionMoved,
    Store,
    Turn,
)

Json = dict[str, Any]
QUEUE_SECONDS = 600.0
"""How much longer than its time limit a run is waited for: it may have to wait for a sandbox."""
MAX_KEY_CHARACTERS = 255

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An interaction that a call made, or had made before."""

    id: str
    project_id: str
    store: bool
    background: bool
    deadline_seconds: float = 0.0
    """When a waiting caller is answered although the run goes on."""


Known = Accepted | InteractionSummary
"""An interaction that was found in its caller's project."""


class InteractionService:
    """Everything that callers do with interactions."""

    def __init__(
        self,
        store: Store,
        log: EventLog,
        runs: Runs,
        resolver: Resolver,
        attachments: Attachments,
        quotas: Quotas | None = None,
    ) -> None:
        self._quotas = quotas or Quotas()
        self._store = store
        self._attachments = attachments
        self._runs = runs
        self._resolver = resolver
        self._sessions = SessionService(store)
        self._log = log

    async def create(
        self,
        project_id: str,
        body: Json,
        *,
        key: str | None = None,
        session: SessionCall | None = None,
    ) -> Accepted:
        """Accept an interaction and start it; the same `key` never starts two.

        With `session` it is a turn of one, or opens it. Raises `InvalidRequest`, `NotFound`,
        `ModelNotConfigured`, `QuotaExceeded`, `StorageFull`, `StorageUnavailable`; nothing was
        started then. What fails after is a failed interaction.
        """
        request = read_request(body) if session is None else None
        claim = _claim(project_id, key, body if session is None else [body, session.id])
        if claim is not None:
            claimed = await self._store.idempotency.find(claim, clock.now())
            if claimed is not None:
                return await self._again(claim, claimed)
        moment = clock.now()
        turn = None
        if session is not None:
            body, turn = await self._sessions.complete(project_id, session, body, moment)
        request = request or read_request(body)
        resolved = await self._resolver.resolve(project_id, request, new_id("int"), moment)
        beginning = _beginning(request, body, resolved, moment, claim, turn)
        try:
            await self._begin(beginning)
        except BaseException as error:
            await self._resolver.abandon(resolved.plan.interaction_id)
            await self._attachments.discard(resolved.plan.interaction_id)
            if not isinstance(error, AlreadyClaimed | SessionMoved):
                raise
            return await self._lost(error, claim)
        await self._submit(resolved.plan)
        seconds = resolved.plan.spec.limits.timeout_seconds + QUEUE_SECONDS
        return _accepted(beginning.record.summary, seconds)

    async def _begin(self, beginning: Beginning) -> None:
        project_id = beginning.record.summary.project_id
        if beginning.new_environment is not None:
            await self._quotas.check_stored(project_id, 0)
        bounds = self._quotas.bounds(project_id)
        try:
            await self._store.journal.begin(replace(beginning, bounds=bounds))
        except BoundReached as error:
            raise self._quotas.reached(project_id, error) from error

    async def _lost(self, error: AlreadyClaimed | SessionMoved, claim: Claim | None) -> Accepted:
        """Another call was first: its interaction, or its turn of the session."""
        if isinstance(error, SessionMoved):
            raise busy(str(error)) from error
        assert claim is not None
        return await self._again(claim, error.found)

    async def _again(self, claim: Claim, claimed: Claimed) -> Accepted:
        if claimed.request_hash != claim.request_hash:
            raise InvalidRequest(
                f"The Idempotency-Key '{claim.key}' was used for a different request before."
            )
        return await self.known(claim.project_id, claimed.interaction_id)

    async def known(self, project_id: str, interaction_id: str) -> Accepted:
        """An interaction that is there already, for a caller who asks again. Raises `NotFound`."""
        record = await self._record(project_id, interaction_id)
        seconds = record.plan["spec"]["limits"]["timeout_seconds"] + QUEUE_SECONDS
        return _accepted(record.summary, seconds)

    async def _record(self, project_id: str, interaction_id: str) -> InteractionRecord:
        record = await self._store.interactions.get(project_id, interaction_id)
        if record is None:
            raise _unknown(interaction_id)
        return record

    async def _submit(self, plan: RunPlan) -> None:
        # The interaction exists: whatever happens now is its failure, not the call's.
        try:
            with anyio.CancelScope(shield=True):
                await self._runs.submit(plan)
        except SandlotError as error:
            await self._fail(plan.interaction_id, error)
        except Exception:
            log.exception("a run could not be started", interaction=plan.interaction_id)
            await self._fail(plan.interaction_id, Internal())

    async def _fail(self, interaction_id: str, reason: SandlotError) -> None:
        await self._resolver.abandon(interaction_id)
        fault = Fault(code=reason.code, message=reason.message)
        try:
            with anyio.CancelScope(shield=True):
                await self._log.settle(interaction_id, "failed", error=fault)
        except SandlotError as error:
            log.error("an end could not be stored", interaction=interaction_id, error=error.message)

    async def summary(self, project_id: str, interaction_id: str) -> InteractionSummary:
        """One interaction without its bulk. Raises `NotFound`."""
        found = await self._store.interactions.summary(project_id, interaction_id)
        if found is None:
            raise _unknown(interaction_id)
        return found

    def events(self, known: Known, after: int = 0) -> AsyncGenerator[tuple[int, Json]]:
        """Its events with numbers above `after`, live, until it has settled or is gone."""
        return self._log.follow(known.id, after)

    def stored_events(self, known: Known, after: int = 0) -> AsyncGenerator[list[Logged]]:
        """The same in stretches, as they come, and as they are stored."""
        return self._log.follow_stored(known.id, after)

    async def view(
        self,
        project_id: str,
        interaction_id: str,
        *,
        with_input_steps: bool = True,
        include_input: bool = False,
    ) -> Json:
        """The Interaction resource as it is now. Raises `NotFound`."""
        record = await self._record(project_id, interaction_id)
        said = record.request["input"]
        before: list[Json] = []
        if with_input_steps:
            dumped = [step.model_dump(mode="json", exclude_none=True) for step in input_steps(said)]
            before = await self._attachments.shown(dumped, whole=include_input)
        made = await wire_steps(self._store, record)
        shown = await self._attachments.shown(said, whole=True) if include_input else None
        return interaction_view(record, made, input_steps=before, shown_input=shown)

    async def rendered(
        self, project_id: str, interaction_id: str, *, include_input: bool = False
    ) -> bytes:
        """The JSON of `view`. Raises `NotFound`."""
        kept = self._log.renderings
        rendering, form = kept.of(interaction_id), (project_id, include_input)
        body = rendering.bodies.get(form)
        if body is None:
            try:
                view = await self.view(project_id, interaction_id, include_input=include_input)
            except NotFound:
                kept.drop_empty(interaction_id)
                raise
            body = render(view)
            kept.keep(interaction_id, rendering, form, body)
        return body

    async def cancel(self, project_id: str, interaction_id: str) -> None:
        """Stop a run; nothing for a settled one. Returns once it has settled. Raises `NotFound`."""
        summary = await self.summary(project_id, interaction_id)
        if summary.settled_at is None:
            await self._runs.cancel(interaction_id)
            # A run that nobody executes any more has nobody to settle it either.
            await self._log.settle(interaction_id, "cancelled")

    async def delete(self, project_id: str, interaction_id: str) -> None:
        """Forget an interaction and its log, cancelled first where it runs. Raises `NotFound`."""
        await self.cancel(project_id, interaction_id)
        await self._forget(interaction_id)

    async def _forget(self, interaction_id: str) -> None:
        if not await self._log.forget(interaction_id):
            raise _unknown(interaction_id)
        await self._attachments.discard(interaction_id)

    async def wait(self, known: Known, seconds: float) -> bool:
        """Whether it has settled (or is gone) within `seconds`."""
        with anyio.move_on_after(seconds) as scope:
            await self._log.wait_settled(known.id)
        return not scope.cancelled_caught

    async def release(self, accepted: Accepted) -> None:
        """The caller has its answer or went away: what was not to be stored is forgotten."""
        if accepted.store:
            return
        with anyio.CancelScope(shield=True):
            try:
                await self.delete(accepted.project_id, accepted.id)
            except NotFound:
                log.debug("released already", interaction=accepted.id)

    async def recover(self) -> int:
        """After a start: settle what a controller that died left running; how many there were."""
        interrupted = await self._store.interactions.unsettled_in_any_project()
        for summary in interrupted:
            await self._fail(summary.id, ControllerStopped())
        for interaction_id in await self._store.interactions.forgettable_in_any_project():
            await self._forget(interaction_id)
        return len(interrupted)


def _beginning(
    request: CreateInteraction,
    body: Json,
    resolved: Resolved,
    moment: datetime,
    claim: Claim | None,
    turn: Turn | None,
) -> Beginning:
    plan, placement = resolved.plan, resolved.placement
    summary = InteractionSummary(
        id=plan.interaction_id,
        project_id=plan.project_id,
        agent=resolved.agent,
        model=plan.spec.model,
        environment_id=placement.plan.environment_id if placement else None,
        previous_interaction_id=request.previous_interaction_id,
        status="in_progress",
        background=request.background,
        store=request.store,
        labels=request.labels,
        usage=None,
        error=None,
        step_count=0,
        last_step=None,
        last_seq=1,
        created=moment,
        updated=moment,
        settled_at=None,
    )
    # The history is in the earlier interactions, and inline files are in the request.
    bulk = {"spec": {"history"}, "environment": {"files"}}
    stored = plan.model_dump(mode="json", exclude=bulk)
    wanted = stored_request(body, resolved.input)
    head = interaction_head(summary)
    if turn is not None:
        turn = begun(turn, summary.id, summary.environment_id, moment)
        wanted["session_id"] = head["session_id"] = turn.record.id
    first = {"event_type": "interaction.created", "interaction": head}
    reused = placement is not None and placement.new is None
    return Beginning(
        InteractionRecord(summary, wanted, stored, None),
        first,
        new_environment=placement.new if placement else None,
        used_environment=placement.plan.environment_id if placement and reused else None,
        new_network=placement.network if placement else None,
        claim=claim,
        turn=turn,
    )


def _accepted(summary: InteractionSummary, seconds: float) -> Accepted:
    return Accepted(summary.id, summary.project_id, summary.store, summary.background, seconds)


def _claim(project_id: str, key: str | None, body: Any) -> Claim | None:
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or not key.isprintable():
        raise InvalidRequest(
            f"Idempotency-Key: must have 1 to {MAX_KEY_CHARACTERS} printable characters."
        )
    return Claim(key, request_hash(body), project_id)


def request_hash(body: Any) -> str:
    """The same for the same request, however its JSON was written."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _unknown(interaction_id: str) -> NotFound:
    return NotFound(f"There is no interaction '{interaction_id[:80]}'.")
