"""Routes of interactions."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse

from runtime.api.auth import CallerDep, caller_of
from runtime.api.bodies import read_json
from runtime.api.compat import legacy
from runtime.api.compat.answers import Call, read_call
from runtime.api.compat.guide import is_before
from runtime.api.compat.schemas import GuideAnswer, GuideInteraction
from runtime.api.creation import answered, begin, staying, view_of, wait_for
from runtime.api.faults import documented
from runtime.api.look import LOOK_PARAMETERS, Look, read_look
from runtime.api.schemas import EVENTS, json_body
from runtime.api.services import Services, ServicesDep, services_of
from runtime.api.stream import NATIVE, EventStream, stored_blocks
from runtime.controller.interactions import MAX_KEY_CHARACTERS, Accepted
from runtime.controller.presence import Stay
from runtime.errors import InvalidRequest
from runtime.schema import resources
from runtime.schema.callers import Caller
from runtime.schema.interactions import CreateInteraction
from runtime.store import InteractionSummary

router = APIRouter(tags=["interactions"])

_SEQ = re.compile(r"[1-9][0-9]{0,17}")
_STREAM: dict[str, Any] = {
    "description": "The Interaction; with `stream` its events, as server-sent events.",
    "model": resources.Interaction,
    "content": EVENTS,
}
_NOTE: dict[str, Any] = {
    "description": "Only of answers in the old shape.",
    "schema": {"type": "string"},
}
_CREATED: dict[str, Any] = {
    **_STREAM,
    "model": resources.Interaction | GuideAnswer,
    "headers": {"Deprecation": _NOTE, "Warning": _NOTE},
}


@router.post(
    "/interactions",
    response_class=JSONResponse,
    responses={200: _CREATED, **documented(400, 404, 413, 415, 429, 507)},
    openapi_extra=json_body(CreateInteraction, GuideInteraction),
)
async def create_interaction(
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=MAX_KEY_CHARACTERS)
    ] = None,
    api_revision: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Run an agent or a model: wait for the end, stream, or run in the background."""
    body = await read_json(request)
    call = read_call(body, api_revision)
    with staying(services, caller) as stay:
        begun = await begin(
            request, services, body, call.body, key=idempotency_key, session=call.session
        )
        if isinstance(body, dict) and body.get("stream") is True:
            return _stream(services, begun.accepted, call, stay)
        unheard = await wait_for(request, services, begun, stay)
        return unheard or await _answer(services, begun.accepted, call)


@router.get(
    "/interactions/{interaction_id}",
    response_class=JSONResponse,
    responses={200: _STREAM, **documented(400, 404)},
    openapi_extra=LOOK_PARAMETERS,
)
async def get_interaction(request: Request, interaction_id: str) -> Response:
    """An interaction as it is now; with `stream` its events from the start, or after an id."""
    # Asked for directly: what FastAPI does for a dependency costs more than the answer.
    services, caller = services_of(request), caller_of(request)
    look = read_look(request)
    if is_before(request.headers.get("api-revision")):
        return await _get_old(services, caller, interaction_id, look)
    if not look.stream:
        body = await services.interactions.rendered(
            caller.project_id, interaction_id, include_input=look.include_input
        )
        return Response(body, media_type="application/json")
    with staying(services, caller) as stay:
        found, after = await _resume_point(services, caller, interaction_id, look.last_event_id)
        blocks = stored_blocks(services.interactions.stored_events(found, after))
        return EventStream(blocks, services.draining, stay=stay)


@router.post(
    "/interactions/{interaction_id}:cancel",
    name="cancel_interaction_by_verb",
    response_class=JSONResponse,
    responses={200: {"model": resources.Interaction}, **documented(404)},
)
@router.post(
    "/interactions/{interaction_id}/cancel",
    response_class=JSONResponse,
    responses={200: {"model": resources.Interaction}, **documented(404)},
)
async def cancel_interaction(
    interaction_id: str, caller: CallerDep, services: ServicesDep
) -> Response:
    """Stop a running interaction; one that has ended stays as it is."""
    await services.interactions.cancel(caller.project_id, interaction_id)
    return JSONResponse(await services.interactions.view(caller.project_id, interaction_id))


@router.delete(
    "/interactions/{interaction_id}",
    response_class=JSONResponse,
    responses={200: {"model": resources.Empty}, **documented(404)},
)
async def delete_interaction(
    interaction_id: str, caller: CallerDep, services: ServicesDep
) -> Response:
    """Delete an interaction and its events; a running one is cancelled first."""
    await services.interactions.delete(caller.project_id, interaction_id)
    return JSONResponse({})


async def _get_old(services: Services, caller: Caller, interaction_id: str, look: Look) -> Response:
    """The interaction for who reads `outputs`."""
    if not look.stream:
        view = await services.interactions.view(
            caller.project_id, interaction_id, include_input=look.include_input
        )
        return JSONResponse(legacy.old_view(view), headers=legacy.HEADERS)
    with staying(services, caller) as stay:
        found, after = await _resume_point(services, caller, interaction_id, look.last_event_id)
        events = legacy.old_events(services.interactions.events(found, after))
        stream = EventStream(NATIVE.blocks(events), services.draining, stay=stay)
        stream.headers.update(legacy.HEADERS)
        return stream


async def _answer(services: Services, accepted: Accepted, call: Call) -> Response:
    view = await view_of(services, accepted)
    await answered(services, accepted, view["status"])
    return JSONResponse(call.view(view), headers=call.headers)


def _stream(services: Services, accepted: Accepted, call: Call, stay: Stay) -> EventStream:
    interactions = services.interactions
    if call.is_old:
        blocks = NATIVE.blocks(call.events(interactions.events(accepted)))
    else:
        blocks = stored_blocks(interactions.stored_events(accepted))
    at_end = None if accepted.store else partial(services.interactions.release, accepted)
    stream = EventStream(blocks, services.draining, at_end, stay=stay)
    stream.headers.update(call.headers)
    return stream


async def _resume_point(
    services: Services, caller: Caller, interaction_id: str, last: str | None
) -> tuple[InteractionSummary, int]:
    """After which number to go on; the last event is sent again to who has it already."""
    summary = await services.interactions.summary(caller.project_id, interaction_id)
    if not last:
        return summary, 0
    if not _SEQ.fullmatch(last) or int(last) > summary.last_seq:
        raise InvalidRequest(f"last_event_id: '{last[:80]}' is not an event of this interaction.")
    after = int(last)
    is_whole = summary.settled_at is not None and after == summary.last_seq
    return summary, after - 1 if is_whole else after
