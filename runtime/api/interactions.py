"""Routes of interactions."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse

from runtime.api.bodies import read_json
from runtime.api.compat import legacy
from runtime.api.compat.answers import Call, read_call
from runtime.api.compat.guide import is_before
from runtime.api.compat.schemas import GuideAnswer, GuideInteraction
from runtime.api.creation import answered, begin, view_of, wait_for
from runtime.api.faults import documented
from runtime.api.look import LOOK_PARAMETERS, Look, read_look
from runtime.api.schemas import EVENTS, json_body
from runtime.api.services import Services, ServicesDep, services_of
from runtime.api.stream import NATIVE, EventStream, stored_blocks
from runtime.controller.interactions import MAX_KEY_CHARACTERS, Accepted
from runtime.errors import InvalidRequest
from runtime.schema import resources
from runtime.schema.interactions import CreateInteraction

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
    responses={200: _CREATED, **documented(400, 404, 413, 415, 507)},
    openapi_extra=json_body(CreateInteraction, GuideInteraction),
)
async def create_interaction(
    request: Request,
    services: ServicesDep,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=MAX_KEY_CHARACTERS)
    ] = None,
    api_revision: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Run an agent or a model: wait for the end, stream, or run in the background."""
    body = await read_json(request)
    call = read_call(body, api_revision)
    begun = await begin(
        request, services, body, call.body, key=idempotency_key, session=call.session
    )
    if isinstance(body, dict) and body.get("stream") is True:
        return _stream(services, begun.accepted, call)
    unheard = await wait_for(request, services, begun)
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
    services = services_of(request)
    look = read_look(request)
    if is_before(request.headers.get("api-revision")):
        return await _get_old(services, interaction_id, look)
    if not look.stream:
        body = await services.interactions.rendered(
            interaction_id, include_input=look.include_input
        )
        return Response(body, media_type="application/json")
    after = await _resume_point(services, interaction_id, look.last_event_id)
    blocks = stored_blocks(services.interactions.log.follow_stored(interaction_id, after))
    return EventStream(blocks, services.draining)


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
async def cancel_interaction(interaction_id: str, services: ServicesDep) -> Response:
    """Stop a running interaction; one that has ended stays as it is."""
    await services.interactions.cancel(interaction_id)
    return JSONResponse(await services.interactions.view(interaction_id))


@router.delete(
    "/interactions/{interaction_id}",
    response_class=JSONResponse,
    responses={200: {"model": resources.Empty}, **documented(404)},
)
async def delete_interaction(interaction_id: str, services: ServicesDep) -> Response:
    """Delete an interaction and its events; a running one is cancelled first."""
    await services.interactions.delete(interaction_id)
    return JSONResponse({})


async def _get_old(services: Services, interaction_id: str, look: Look) -> Response:
    """The interaction for who reads `outputs`."""
    if not look.stream:
        view = await services.interactions.view(interaction_id, include_input=look.include_input)
        return JSONResponse(legacy.old_view(view), headers=legacy.HEADERS)
    after = await _resume_point(services, interaction_id, look.last_event_id)
    events = legacy.old_events(services.interactions.log.follow(interaction_id, after))
    stream = EventStream(NATIVE.blocks(events), services.draining)
    stream.headers.update(legacy.HEADERS)
    return stream


async def _answer(services: Services, accepted: Accepted, call: Call) -> Response:
    view = await view_of(services, accepted)
    await answered(services, accepted, view["status"])
    return JSONResponse(call.view(view), headers=call.headers)


def _stream(services: Services, accepted: Accepted, call: Call) -> EventStream:
    log = services.interactions.log
    if call.is_old:
        blocks = NATIVE.blocks(call.events(log.follow(accepted.id)))
    else:
        blocks = stored_blocks(log.follow_stored(accepted.id))
    at_end = None if accepted.store else partial(services.interactions.release, accepted)
    stream = EventStream(blocks, services.draining, at_end)
    stream.headers.update(call.headers)
    return stream


async def _resume_point(services: Services, interaction_id: str, last: str | None) -> int:
    """The number after which to go on; the last event is sent again to who has it already."""
    summary = await services.interactions.summary(interaction_id)
    if not last:
        return 0
    if not _SEQ.fullmatch(last) or int(last) > summary.last_seq:
        raise InvalidRequest(f"last_event_id: '{last[:80]}' is not an event of this interaction.")
    after = int(last)
    is_whole = summary.settled_at is not None and after == summary.last_seq
    return after - 1 if is_whole else after
