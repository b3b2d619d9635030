"""Routes of credentials. No answer holds a secret."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import HTTPConnection

from runtime.api.auth import CallerDep
from runtime.api.bodies import read_json
from runtime.api.faults import documented
from runtime.api.schemas import json_body
from runtime.controller.credentials import CredentialService
from runtime.schema import credentials as resources
from runtime.schema.resources import Empty

MAX_PAGE = 1000
DEFAULT_PAGE = 100
BODIES = (resources.BearerToken, resources.OAuth2, resources.EnvironmentVariable)
UPDATES = (
    resources.BearerTokenUpdate,
    resources.OAuth2Update,
    resources.EnvironmentVariableUpdate,
)

router = APIRouter(tags=["credentials"])


async def _service(connection: HTTPConnection) -> CredentialService:
    service: CredentialService = connection.app.state.credentials
    return service


CredentialsDep = Annotated[CredentialService, Depends(_service)]
"""The credentials of the app that serves a request."""


@router.post(
    "/credentials",
    response_class=JSONResponse,
    responses={200: {"model": resources.Credential}, **documented(400, 409, 413, 415, 507)},
    openapi_extra=json_body(*BODIES),
)
async def create_credential(
    request: Request, caller: CallerDep, credentials: CredentialsDep
) -> Response:
    """Store a credential. Its secrets cannot be read again, by nobody."""
    body = await read_json(request)
    return JSONResponse(await credentials.create(caller.project_id, body))


@router.get(
    "/credentials",
    response_class=JSONResponse,
    responses={200: {"model": resources.CredentialPage}, **documented(400)},
)
async def list_credentials(
    caller: CallerDep,
    credentials: CredentialsDep,
    page_size: Annotated[int, Query(ge=0, le=MAX_PAGE)] = DEFAULT_PAGE,
    page_token: str | None = None,
) -> Response:
    """The credentials of the project, by id."""
    size = page_size or DEFAULT_PAGE
    return JSONResponse(await credentials.page(caller.project_id, size, page_token))


@router.get(
    "/credentials/{credential_id}",
    response_class=JSONResponse,
    responses={200: {"model": resources.Credential}, **documented(404)},
)
async def get_credential(
    credential_id: str, caller: CallerDep, credentials: CredentialsDep
) -> Response:
    """One credential, without its secrets."""
    return JSONResponse(await credentials.get(caller.project_id, credential_id))


@router.patch(
    "/credentials/{credential_id}",
    response_class=JSONResponse,
    responses={200: {"model": resources.Credential}, **documented(400, 404, 413, 415, 507)},
    openapi_extra=json_body(*UPDATES),
)
async def update_credential(
    credential_id: str,
    request: Request,
    caller: CallerDep,
    credentials: CredentialsDep,
    update_mask: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """Give a credential new values; what is left out stays. They hold at once, everywhere."""
    body = await read_json(request)
    return JSONResponse(
        await credentials.update(caller.project_id, credential_id, body, update_mask)
    )


@router.delete(
    "/credentials/{credential_id}",
    response_class=JSONResponse,
    responses={200: {"model": Empty}, **documented(404)},
)
async def delete_credential(
    credential_id: str, caller: CallerDep, credentials: CredentialsDep
) -> Response:
    """Forget a credential; nothing is signed with it from then on."""
    await credentials.delete(caller.project_id, credential_id)
    return JSONResponse({})
