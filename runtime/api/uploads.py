"""Routes that take the bytes of files: in one request, or by the SDKs' resumable protocol."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from runtime.api.auth import REFUSAL, CallerDep, caller_of
from runtime.api.bodies import read_chunks
from runtime.api.creation import staying
from runtime.api.environments import EnvironmentsDep
from runtime.api.faults import documented, fault_response
from runtime.api.file_paths import FILES
from runtime.api.schemas import UPLOAD_HEADERS, bytes_body
from runtime.api.services import services_of
from runtime.errors import InvalidRequest, SandlotError, Unauthenticated
from runtime.schema import resources

_COMMANDS = re.compile(r"\s*,\s*")


router = APIRouter(tags=["environments"])

_UPLOADED: dict[str, Any] = {
    "description": "What was written; before the end of a resumable upload nothing.",
    "model": resources.EnvironmentFiles | resources.Empty,
    "headers": UPLOAD_HEADERS,
}


@router.put(
    FILES,
    response_class=JSONResponse,
    responses={200: _UPLOADED, **documented(400, 404, 409, 413, 429, 507)},
    openapi_extra=bytes_body(),
)
async def upload_file(
    environment_id: str,
    path: str,
    request: Request,
    caller: CallerDep,
    services: EnvironmentsDep,
    overwrite: Annotated[bool, Query()] = False,
    extract: Annotated[bool, Query()] = False,
    x_goog_upload_protocol: Annotated[
        str | None, Header(json_schema_extra={"enum": ["resumable"]})
    ] = None,
) -> Response:
    """Write the body to a path; with `extract` unpack it there, a tar or tar.gz."""
    operation = "extract_tar" if extract else "write_file"
    arguments = {"path": path.lstrip("/"), "overwrite": overwrite}
    project_id = caller.project_id
    if x_goog_upload_protocol is None:
        written = await _while_valid(
            request,
            lambda: services.environments.upload(
                project_id, environment_id, operation, arguments, read_chunks(request)
            ),
        )
        return JSONResponse(written)
    if x_goog_upload_protocol.lower() != "resumable":
        raise InvalidRequest("X-Goog-Upload-Protocol: only 'resumable' is served.")
    upload_id = await services.uploads.start(caller, environment_id, operation, arguments)
    url = str(request.base_url).rstrip("/") + f"/upload/v1/uploads/{upload_id}"
    headers = {"X-Goog-Upload-URL": url, "X-Goog-Upload-Status": "active"}
    return JSONResponse({}, headers=headers)


@router.post(
    "/uploads/{upload_id}",
    response_class=JSONResponse,
    responses={200: _UPLOADED, **documented(400, 404, 409, 413, 507)},
    openapi_extra=bytes_body(),
)
async def continue_upload(
    upload_id: str,
    request: Request,
    caller: CallerDep,
    services: EnvironmentsDep,
    x_goog_upload_command: Annotated[str, Header()],
    x_goog_upload_offset: Annotated[int, Header(ge=0)] = 0,
) -> Response:
    """Take more bytes of an upload; the command `finalize` ends it."""
    commands = set(_COMMANDS.split(x_goog_upload_command.strip().lower()))
    if "query" in commands:
        return _progress(services.uploads.received(caller.project_id, upload_id))
    last = "finalize" in commands
    try:
        written = await _while_valid(
            request,
            lambda: services.uploads.feed(
                caller.project_id, upload_id, x_goog_upload_offset, read_chunks(request), last=last
            ),
        )
    except SandlotError as error:
        return _failed(error)
    if not last:
        return _progress(services.uploads.received(caller.project_id, upload_id))
    return JSONResponse(written, headers={"X-Goog-Upload-Status": "final"})


async def _while_valid(request: Request, work: Callable[[], Awaitable[Any]]) -> Any:
    """What `work` returns. Raises `Unauthenticated` when the key of the call is revoked first."""
    written: Any = None
    with staying(services_of(request), caller_of(request)) as stay:
        with stay.scope:
            written = await work()
        if stay.is_ended:
            raise Unauthenticated(REFUSAL)
    return written


def _failed(error: SandlotError) -> Response:
    """The SDKs send an upload's bytes again until they are told that it has ended."""
    answer = fault_response(error)
    answer.headers["X-Goog-Upload-Status"] = "final"
    return answer


def _progress(received: int) -> Response:
    headers = {
        "X-Goog-Upload-Status": "active",
        "X-Goog-Upload-Size-Received": str(received),
    }
    return JSONResponse({}, headers=headers)
