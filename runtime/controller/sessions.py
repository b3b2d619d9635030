"""Sessions: a conversation and its environment under one id, for as long as somebody comes back.

A session is opened by a call that has a time to live, and moved on by each turn. A turn takes over
the agent or model, its settings and the environment from the call that opened the session, and
follows the last turn. One that begins while the last one runs is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from runtime.errors import InvalidRequest, NotFound
from runtime.ids import is_id, new_id
from runtime.schema.events import SETTLED
from runtime.store import SessionRecord, Store, Turn
from runtime.store.resealing import about_session

Json = dict[str, Any]
DEFAULT_TTL_SECONDS = 3600.0
MAX_TTL_SECONDS = 7 * 24 * 3600.0
"""As long as environments are kept by default."""
_TAKEN_OVER = (
    "agent",
    "model",
    "agent_config",
    "system_instruction",
    "generation_config",
)
"""And the tools, which are kept apart."""


@dataclass(frozen=True, slots=True)
class SessionCall:
    """What a call says of its session: to go on with `id`, or to open one without it."""

    id: str | None = None
    ttl_seconds: float | None = None
    """How long the session lives after its last turn began; None keeps what was said before."""


class SessionService:
    """Completes the calls of sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def complete(
        self, project_id: str, call: SessionCall, body: Json, moment: datetime
    ) -> tuple[Json, Turn]:
        """The body with what the session knows, and the turn that it is.

        The turn's record lacks its interaction: see `begun`. Raises `NotFound` for a session that
        is unknown or has expired, `InvalidRequest` while its last turn runs.
        """
        if body.get("store") is False:
            raise InvalidRequest("store: a session needs it to be true.")
        ttl = call.ttl_seconds
        if call.id is None:
            return body, self._opening(project_id, body, ttl or DEFAULT_TTL_SECONDS, moment)
        if "previous_interaction_id" in body:
            raise InvalidRequest(
                "previous_interaction_id: cannot be given together with 'session_id', which "
                "follows its own last interaction."
            )
        record = await self._record(project_id, call.id, moment)
        await self._check_idle(record)
        changed = replace(record, ttl_seconds=ttl or record.ttl_seconds)
        settings = self._settings(record)
        return _completed(body, record, settings), Turn(changed, record.last_interaction_id)

    async def _record(self, project_id: str, session_id: str, moment: datetime) -> SessionRecord:
        found = None
        if is_id(session_id):
            found = await self._store.sessions.get(project_id, session_id, moment)
        if found is None:
            raise NotFound(
                f"session_id: there is no session '{session_id[:80]}', or it has expired. "
                "Open one with 'session_config': {'ttl': '3600s'}."
            )
        return found

    def _opening(self, project_id: str, body: Json, ttl_seconds: float, moment: datetime) -> Turn:
        session_id = new_id("session")
        tools = body.get("tools")
        sealed = None
        if tools is not None:
            sealed = self._store.vault.seal(json.dumps(tools), about_session(session_id))
        record = SessionRecord(
            id=session_id,
            project_id=project_id,
            last_interaction_id="",
            environment_id=None,
            settings={name: body[name] for name in _TAKEN_OVER if body.get(name) is not None},
            ttl_seconds=ttl_seconds,
            created=moment,
            expires=moment,
            sealed_tools=sealed,
        )
        return Turn(record, None)

    def _settings(self, record: SessionRecord) -> Json:
        """What a turn takes over where it does not say it itself."""
        if record.sealed_tools is None:
            return dict(record.settings)
        tools = self._store.vault.unseal(record.sealed_tools, about_session(record.id))
        return {**record.settings, "tools": json.loads(tools)}

    async def _check_idle(self, record: SessionRecord) -> None:
        last = await self._store.interactions.summary(record.project_id, record.last_interaction_id)
        if last is None:
            raise NotFound(
                f"session_id: the session {record.id} cannot be continued, because its last "
                f"interaction {record.last_interaction_id} was deleted."
            )
        if last.status not in SETTLED:
            raise busy(record.id)


def begun(turn: Turn, interaction_id: str, environment_id: str | None, moment: datetime) -> Turn:
    """`turn` with the interaction that it became, alive for its time from `moment` on."""
    record = replace(
        turn.record,
        last_interaction_id=interaction_id,
        environment_id=environment_id or turn.record.environment_id,
        expires=moment + timedelta(seconds=turn.record.ttl_seconds),
    )
    return replace(turn, record=record)


def busy(session_id: str) -> InvalidRequest:
    """The error for a second turn at once."""
    return InvalidRequest(
        f"session_id: a turn of the session {session_id} is in progress; wait until it has "
        "ended, or cancel it."
    )


def _completed(body: Json, record: SessionRecord, settings: Json) -> Json:
    if body.get("model") is not None:
        # A turn may ask somebody else; what belongs to the one asked before does not hold then.
        settings.pop("agent", None)
        settings.pop("agent_config", None)
    if body.get("agent") is not None:
        for name in ("model", "agent_config", "generation_config"):
            settings.pop(name, None)
    said = {name: value for name, value in body.items() if value is not None}
    if record.environment_id is not None:
        settings["environment"] = record.environment_id
    return {**settings, **said, "previous_interaction_id": record.last_interaction_id}
