"""Routes of the operation-status view."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from runtime.api.auth import REFUSAL, CallerDep
from runtime.api.bodies import read_optional_json
from runtime.api.creation import staying
from runtime.api.faults import documented
from runtime.api.schemas import json_body
from runtime.api.services import ServicesDep
from runtime.api.waiting import while_connected
from runtime.controller.operations import OperationQuery
from runtime.errors import InvalidRequest, Unauthenticated
from runtime.schema import resources

router = APIRouter(tags=["operations"])

MAX_PAGE = 1000
DEFAULT_PAGE = 50
DEFAULT_WAIT_SECONDS = 30.0
MAX_WAIT_SECONDS = 3600.0
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s?")
_ONE: dict[int | str, dict[str, Any]] = {200: {"model": resources.Operation}}


@router.get(
    "/operations",
    response_class=JSONResponse,
    responses={200: {"model": resources.OperationPage}, **documented(400)},
)
async def list_operations(
    caller: CallerDep,
    services: ServicesDep,
    page_size: Annotated[int, Query(ge=0, le=MAX_PAGE)] = DEFAULT_PAGE,
    page_token: str | None = None,
    done: bool | None = None,
    status: str | None = None,
) -> Response:
    """Operations, newest first, without their responses."""
    query = OperationQuery(page_size or DEFAULT_PAGE, page_token or None, done, status or None)
    return JSONResponse(await services.operations.page(caller.project_id, query))


@router.get(
    "/operations/{interaction_id}",
    response_class=JSONResponse,
    responses={**_ONE, **documented(404)},
)
async def get_operation(interaction_id: str, caller: CallerDep, services: ServicesDep) -> Response:
    """One operation: how far it is, and once it is done, how it ended."""
    return JSONResponse(await services.operations.get(caller.project_id, interaction_id))


@router.post(
    "/operations/{interaction_id}:wait",
    response_class=JSONResponse,
    responses={**_ONE, **documented(400, 404, 413, 415, 429)},
    openapi_extra=json_body(resources.WaitRequest, required=False),
)
async def wait_for_operation(
    interaction_id: str,
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    timeout: Annotated[str | None, Query()] = None,
) -> Response:
    """The operation once it is done, or as it is when the time is up."""
    seconds = _seconds(await read_optional_json(request), timeout)
    found = await services.interactions.summary(caller.project_id, interaction_id)
    wait = partial(services.interactions.wait, found, seconds)
    with staying(services, caller) as stay:
        if await while_connected(request, wait, stay) == "revoked":
            raise Unauthenticated(REFUSAL)
    return JSONResponse(await services.operations.get(caller.project_id, interaction_id))


@router.post(
    "/operations/{interaction_id}:cancel",
    response_class=JSONResponse,
    responses={**_ONE, **documented(404)},
)
async def cancel_operation(
    interaction_id: str, caller: CallerDep, services: ServicesDep
) -> Response:
    """Stop it; the operation afterwards. One that is done stays as it is."""
    return JSONResponse(await services.operations.cancel(caller.project_id, interaction_id))


def _seconds(body: Any, query: str | None) -> float:
    if body is not None and not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    for name in (body or {}).keys() - {"timeout"}:
        raise InvalidRequest(f"Unknown parameter '{name[:80]}'. Did you mean 'timeout'?")
    asked = (body or {}).get("timeout", query)
    if asked is None:
        return DEFAULT_WAIT_SECONDS
    match = None if isinstance(asked, bool) else _SECONDS.fullmatch(str(asked))
    if match is None:
        raise InvalidRequest("timeout: must be seconds, such as 2.5 or '30s'.")
    return min(float(match[1]), MAX_WAIT_SECONDS)
