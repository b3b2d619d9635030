"""Routes of API keys and projects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.requests import HTTPConnection

from runtime.api.auth import CallerDep
from runtime.api.bodies import read_json
from runtime.api.faults import documented
from runtime.api.schemas import json_body
from runtime.api.services import services_of
from runtime.controller.keys import KeyService, NewKey
from runtime.errors import InvalidRequest, NotFound
from runtime.schema import keys as resources
from runtime.schema.faults import explain
from runtime.schema.resources import Empty

router = APIRouter(tags=["keys"])
_KNOWN = set(resources.CreateKey.model_fields)


async def _keys(connection: HTTPConnection) -> KeyService:
    found = services_of(connection).administration
    if found is None:
        raise NotFound("This controller has no keys but its own.")
    return found


KeysDep = Annotated[KeyService, Depends(_keys)]
"""The keys of the app that serves a request."""


@router.post(
    "/keys",
    response_class=JSONResponse,
    responses={200: {"model": resources.NewKey}, **documented(400, 404, 413, 415)},
    openapi_extra=json_body(resources.CreateKey),
)
async def create_key(request: Request, caller: CallerDep, keys: KeysDep) -> Response:
    """Make a key: of the caller's project, or, with the operator's key, of any."""
    asked = _read(await read_json(request))
    order = NewKey(asked.project, asked.name, asked.scopes)
    return JSONResponse(await keys.create(caller, order), headers={"Cache-Control": "no-store"})


@router.get(
    "/keys",
    response_class=JSONResponse,
    responses={200: {"model": resources.KeyPage}, **documented(400, 404)},
)
async def list_keys(caller: CallerDep, keys: KeysDep, project: str | None = None) -> Response:
    """Keys, revoked ones too: of the caller's project, or, with the operator's key, of all."""
    return JSONResponse(await keys.page(caller, project or None))


@router.delete(
    "/keys/{key_id}",
    response_class=JSONResponse,
    responses={200: {"model": Empty}, **documented(400, 404)},
)
async def revoke_key(key_id: str, caller: CallerDep, keys: KeysDep) -> Response:
    """End a key at once, with the streams, terminals and waiting calls that it has open."""
    await keys.revoke(caller, key_id)
    return JSONResponse({})


@router.get(
    "/projects",
    response_class=JSONResponse,
    responses={200: {"model": resources.ProjectPage}, **documented(404)},
)
async def list_projects(caller: CallerDep, keys: KeysDep) -> Response:
    """All projects; for the operator's key alone."""
    return JSONResponse(await keys.projects(caller))


@router.delete(
    "/projects/{project_id}",
    response_class=JSONResponse,
    responses={200: {"model": Empty}, **documented(400, 404)},
)
async def delete_project(project_id: str, caller: CallerDep, keys: KeysDep) -> Response:
    """Delete a project that has nothing, with its keys; for the operator's key alone."""
    await keys.delete_project(caller, project_id)
    return JSONResponse({})


def _read(body: object) -> resources.CreateKey:
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    try:
        return resources.CreateKey.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(explain(error, body, known=_KNOWN)) from error
