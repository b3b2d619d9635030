"""Routes of the OpenAI-style API."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from runtime.api.auth import CallerDep
from runtime.api.bodies import read_json
from runtime.api.compat.openai import chat, schemas, streams
from runtime.api.compat.openai.calls import Previous, Target, chat_body, responses_body
from runtime.api.compat.openai.events import ResponseEvents
from runtime.api.compat.openai.items import Naming
from runtime.api.compat.openai.requests import ChatRequest, ResponsesRequest, read
from runtime.api.compat.openai.response import (
    interaction_id,
    naming_of,
    response_head,
    response_of,
)
from runtime.api.creation import Begun, answered, begin, staying, wait_for
from runtime.api.faults import documented
from runtime.api.schemas import EVENTS, json_body
from runtime.api.services import Services, ServicesDep
from runtime.api.stream import EventStream, Framing
from runtime.controller.interactions import Accepted, Known
from runtime.controller.presence import Stay
from runtime.errors import NotFound
from runtime.schema.callers import Caller
from runtime.store import InteractionSummary

router = APIRouter(tags=["openai"])

Json = dict[str, Any]
_documented = partial(documented, body=schemas.OpenAIErrorBody)
_ONE: Json = {"model": schemas.OpenAIResponse}
_STREAM: Json = {**_ONE, "content": EVENTS}
_ALL = 1_000_000
_UNDATED = 0


@router.post(
    "/responses",
    response_class=JSONResponse,
    responses={200: _STREAM, **_documented(400, 404, 413, 415, 429, 507)},
    openapi_extra=json_body(ResponsesRequest),
)
async def create_response(request: Request, caller: CallerDep, services: ServicesDep) -> Response:
    """Run an agent or a model: wait for the end, stream, or run in the background."""
    sent = await read_json(request)
    asked = read(ResponsesRequest, sent)
    target = _target(services, asked.model)
    previous = await _previous(services, caller, asked.previous_response_id)
    body = responses_body(asked, target, previous)
    with staying(services, caller) as stay:
        begun = await begin(request, services, sent, body)
        if asked.stream:
            return await _response_stream(services, begun.accepted, stay)
        unheard = await wait_for(request, services, begun, stay)
        return unheard or await _response(services, begun)


@router.get(
    "/responses/{response_id}",
    response_class=JSONResponse,
    responses={200: _STREAM, **_documented(400, 404)},
)
async def retrieve_response(
    response_id: str,
    caller: CallerDep,
    services: ServicesDep,
    stream: bool = False,
    starting_after: Annotated[int, Query(ge=-1)] = -1,
) -> Response:
    """A response as it is now; with `stream` its events, those after a number only."""
    found = await _known(services, caller, response_id)
    if not stream:
        return JSONResponse(await _shown(services, found))
    with staying(services, caller) as stay:
        return await _response_stream(services, found, stay, after=starting_after)


@router.post(
    "/responses/{response_id}/cancel",
    response_class=JSONResponse,
    responses={200: _ONE, **_documented(404)},
)
async def cancel_response(response_id: str, caller: CallerDep, services: ServicesDep) -> Response:
    """Stop it; one that has ended stays as it is."""
    found = await _known(services, caller, response_id)
    await services.interactions.cancel(caller.project_id, found.id)
    return JSONResponse(await _shown(services, found))


@router.delete(
    "/responses/{response_id}",
    response_class=JSONResponse,
    responses={200: {"model": schemas.OpenAIDeleted}, **_documented(404)},
)
async def delete_response(response_id: str, caller: CallerDep, services: ServicesDep) -> Response:
    """Forget it; a running one is cancelled first."""
    found = await _known(services, caller, response_id)
    await services.interactions.delete(caller.project_id, found.id)
    return JSONResponse({"id": response_id, "object": "response", "deleted": True})


@router.post(
    "/chat/completions",
    response_class=JSONResponse,
    responses={
        200: {"model": schemas.ChatCompletion, "content": EVENTS},
        **_documented(400, 404, 413, 415, 429, 499, 502, 507),
    },
    openapi_extra=json_body(ChatRequest),
)
async def create_chat_completion(
    request: Request, caller: CallerDep, services: ServicesDep
) -> Response:
    """Answer a conversation, at once or in chunks."""
    sent = await read_json(request)
    asked = read(ChatRequest, sent)
    body = chat_body(asked, _target(services, asked.model))
    with staying(services, caller) as stay:
        begun = await begin(request, services, sent, body)
        if asked.stream:
            options = asked.stream_options
            with_usage = bool(options and options.include_usage)
            return await _chat_stream(services, begun.accepted, stay, with_usage)
        unheard = await wait_for(request, services, begun, stay)
        return unheard or await _completion(services, begun)


@router.get(
    "/models",
    name="list_openai_models",
    response_class=JSONResponse,
    responses={200: {"model": schemas.OpenAIModelList}, **_documented()},
)
async def list_models(services: ServicesDep) -> Response:
    """Agents and models, both to be called by their id."""
    agents = services.catalogs.agents(_ALL, None)["agents"]
    models = services.catalogs.models(_ALL, None)["models"]
    names = {agent["id"] for agent in agents}
    data = [_model(agent["id"], "sandlot") for agent in agents]
    data += [_model(one["id"], one["provider"]) for one in models if one["id"] not in names]
    return JSONResponse({"object": "list", "data": data})


@router.get(
    "/models/{model:path}",
    response_class=JSONResponse,
    responses={200: {"model": schemas.OpenAIModel}, **_documented(404)},
)
async def retrieve_model(model: str, services: ServicesDep) -> Response:
    """An agent or a model."""
    agent = _target(services, model).agent
    if agent is not None:
        return JSONResponse(_model(agent["id"], "sandlot"))
    found = services.catalogs.model(model)
    return JSONResponse(_model(found["id"], found["provider"]))


def _model(identifier: str, owner: str) -> Json:
    return {"id": identifier, "object": "model", "created": _UNDATED, "owned_by": owner}


def _target(services: Services, name: str) -> Target:
    try:
        return Target(name, services.catalogs.agent(name))
    except NotFound:
        return Target(name)


async def _previous(services: Services, caller: Caller, response_id: str | None) -> Previous | None:
    if response_id is None:
        return None
    try:
        found = await _known(services, caller, response_id)
    except NotFound as error:
        raise NotFound(f"previous_response_id: {error.message}") from error
    return Previous(found.id, found.environment_id)


async def _known(services: Services, caller: Caller, response_id: str) -> InteractionSummary:
    """The interaction that a response is. Raises `NotFound`."""
    found = interaction_id(response_id)
    try:
        if found is not None:
            return await services.interactions.summary(caller.project_id, found)
    except NotFound:
        found = None
    raise NotFound(f"There is no response '{response_id[:80]}'.")


async def _parts(services: Services, known: Known) -> tuple[Json, InteractionSummary, Naming]:
    project_id = known.project_id
    view = await services.interactions.view(project_id, known.id, with_input_steps=False)
    summary = await services.interactions.summary(project_id, known.id)
    agent = _target(services, summary.agent).agent if summary.agent else None
    return view, summary, naming_of(view, agent)


async def _shown(services: Services, known: Known) -> Json:
    return response_of(*await _parts(services, known))


async def _response(services: Services, begun: Begun) -> Response:
    shown = await _parts(services, begun.accepted)
    await answered(services, begun.accepted, shown[1].status)
    return JSONResponse(response_of(*shown))


async def _response_stream(
    services: Services, known: Known, stay: Stay, after: int = -1
) -> Response:
    view, summary, naming = await _parts(services, known)
    translation = ResponseEvents(response_head(view, summary), naming)
    return _stream(services, known, stay, translation, streams.RESPONSES, after)


async def _completion(services: Services, begun: Begun) -> Response:
    shown = await _parts(services, begun.accepted)
    await answered(services, begun.accepted, shown[1].status)
    return JSONResponse(chat.completion_of(*shown))


async def _chat_stream(
    services: Services, accepted: Accepted, stay: Stay, with_usage: bool
) -> Response:
    _, summary, naming = await _parts(services, accepted)
    head = chat.completion_head(summary, "chat.completion.chunk")
    translation = chat.ChatChunks(head, naming, with_usage)
    return _stream(services, accepted, stay, translation, streams.CHAT)


def _stream(
    services: Services,
    known: Known,
    stay: Stay,
    translation: streams.Translation,
    framing: Framing,
    after: int = -1,
) -> EventStream:
    events = streams.translated(services.interactions.events(known), translation, after)
    at_end = None
    if isinstance(known, Accepted) and not known.store:
        at_end = partial(services.interactions.release, known)
    return EventStream(
        framing.blocks(events),
        services.draining,
        at_end,
        stay=stay,
        fault=framing.fault,
        done=framing.done,
    )
