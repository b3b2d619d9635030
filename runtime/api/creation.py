"""How a call that creates an interaction begins, and how its answer is waited for."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import Request, Response

from runtime.api.auth import REFUSAL, caller_of
from runtime.api.services import Services
from runtime.api.waiting import while_connected
from runtime.controller.interactions import Accepted, request_hash
from runtime.controller.presence import Stay
from runtime.controller.sessions import SessionCall
from runtime.errors import Cancelled, NotFound, Unauthenticated
from runtime.schema.callers import Caller
from runtime.schema.events import SETTLED

CLIENT_CLOSED_REQUEST = 499
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Begun:
    """An interaction that a call began, and by what the call's repetition is known."""

    accepted: Accepted
    fingerprint: str | None


@contextmanager
def staying(services: Services, caller: Caller) -> Generator[Stay]:
    """Around a call that may last. A stream that it answers with leaves by itself, at its end.

    Raises `QuotaExceeded` before anything has begun.
    """
    stay = services.presence.enter(caller)
    try:
        yield stay
    finally:
        if not stay.is_handed_on:
            stay.leave()


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

    `sent` is the body as it arrived, and has been read. Raises as `InteractionService.create`, and
    `Cancelled` when the caller went away meanwhile.
    """
    project_id = caller_of(request).project_id
    create = partial(services.interactions.create, project_id, body, key=key, session=session)
    if key is not None:
        return Begun(await create(), None)
    fingerprint = _fingerprint(request, sent)
    owed = await _owed(services, project_id, fingerprint)
    if owed is not None:
        return Begun(owed, fingerprint)
    with services.abandoned.calling(fingerprint, request.is_disconnected) as call:
        accepted = await create()
        call.interaction_id = accepted.id
        is_gone = await request.is_disconnected()
    if is_gone and not call.is_taken:
        await _leave(services, fingerprint, accepted)
    if is_gone or call.is_taken:
        raise Cancelled("Nobody waits for the answer any more.")
    return Begun(accepted, fingerprint)


async def wait_for(
    request: Request, services: Services, begun: Begun, stay: Stay
) -> Response | None:
    """Wait as long as somebody listens; an answer only when nobody does any more.

    Raises `Unauthenticated` when the key of the call was revoked meanwhile.
    """
    accepted = begun.accepted
    if accepted.background:
        return None
    wait = partial(services.interactions.wait, accepted, accepted.deadline_seconds)
    with _waiting(services, begun.fingerprint):
        ending = await while_connected(request, wait, stay)
        if ending == "revoked":
            await services.interactions.release(accepted)
            raise Unauthenticated(REFUSAL)
        if ending != "gone":
            return None
        await _leave(services, begun.fingerprint, accepted)
    return Response(status_code=CLIENT_CLOSED_REQUEST)


def _waiting(services: Services, fingerprint: str | None) -> AbstractContextManager[object]:
    if fingerprint is None:
        return nullcontext()
    # Who waits notices the end, and leaves the interaction: nothing can be taken before that.
    return services.abandoned.calling(fingerprint, None)


async def _leave(services: Services, fingerprint: str | None, accepted: Accepted) -> None:
    # A stored interaction goes on, another one has no purpose any more.
    if accepted.store and fingerprint is not None:
        services.abandoned.leave(fingerprint, accepted.id)
    await services.interactions.release(accepted)


async def view_of(services: Services, accepted: Accepted) -> Json:
    """The interaction with the model's own steps."""
    return await services.interactions.view(
        accepted.project_id, accepted.id, with_input_steps=False
    )


async def answered(services: Services, accepted: Accepted, status: str) -> None:
    """The caller has its answer: what was not to be stored is forgotten once it has settled."""
    if status in SETTLED:
        await services.interactions.release(accepted)


async def _owed(services: Services, project_id: str, fingerprint: str) -> Accepted | None:
    interaction_id = await services.abandoned.take(fingerprint)
    if interaction_id is None:
        return None
    try:
        return await services.interactions.known(project_id, interaction_id)
    except NotFound:
        return None


def _fingerprint(request: Request, body: Any) -> str:
    """The same for a call and for its repetition by the same SDK with the same key."""
    caller, agent = caller_of(request), request.headers.get("user-agent", "")
    parts = [caller.project_id, caller.key_id, agent, request.url.path, request_hash(body)]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
