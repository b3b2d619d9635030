"""How a call that creates an interaction begins, and how its answer is waited for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import Request, Response

from runtime.api.auth import presented_keys
from runtime.api.services import Services
from runtime.api.waiting import while_connected
from runtime.controller.interactions import Accepted, request_hash
from runtime.controller.sessions import SessionCall
from runtime.errors import NotFound
from runtime.schema.events import SETTLED

CLIENT_CLOSED_REQUEST = 499
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Begun:
    """An interaction that a call began, and by what the call's repetition is known."""

    accepted: Accepted
    fingerprint: str | None


async def begin(
    request: Request,
    services: Services,
    sent: Any,
    body: Any,
    *,
    key: str | None = None,
    session: SessionCall | None = None,
) -> Begun:
    """Start what `body` asks for, or find what the same call started before.

    `sent` is the body as it arrived. Raises as `InteractionService.create`.
    """
    is_keyless_wait = _waits(sent) and key is None
    fingerprint = _fingerprint(request, sent) if is_keyless_wait else None
    accepted = await _owed(services, fingerprint) if fingerprint else None
    if accepted is None:
        accepted = await services.interactions.create(body, key=key, session=session)
    return Begun(accepted, fingerprint)


async def wait_for(request: Request, services: Services, begun: Begun) -> Response | None:
    """Wait as long as somebody listens; an answer only when nobody does any more."""
    accepted = begun.accepted
    if accepted.background:
        return None
    wait = partial(services.interactions.wait, accepted.id, accepted.deadline_seconds)
    ending = await while_connected(request, wait)
    if ending != "gone":
        return None
    # A stored interaction goes on, another one has no purpose any more.
    if accepted.store and begun.fingerprint is not None:
        services.abandoned.leave(begun.fingerprint, accepted.id)
    await services.interactions.release(accepted)
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def view_of(services: Services, accepted: Accepted) -> Json:
    """The interaction with the model's own steps."""
    return await services.interactions.view(accepted.id, with_input_steps=False)


async def answered(services: Services, accepted: Accepted, status: str) -> None:
    """The caller has its answer: what was not to be stored is forgotten once it has settled."""
    if status in SETTLED:
        await services.interactions.release(accepted)


async def _owed(services: Services, fingerprint: str) -> Accepted | None:
    interaction_id = services.abandoned.take(fingerprint)
    if interaction_id is None:
        return None
    try:
        return await services.interactions.known(interaction_id)
    except NotFound:
        return None


def _waits(body: Any) -> bool:
    return isinstance(body, dict) and not body.get("stream") and not body.get("background")


def _fingerprint(request: Request, body: Any) -> str:
    """The same for a call and for its repetition by the same SDK with the same key."""
    parts = [*presented_keys(request), request.headers.get("user-agent", ""), request_hash(body)]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
