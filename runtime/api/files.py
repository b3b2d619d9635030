"""Routes of uploaded files: the Files API as the SDKs call it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.requests import HTTPConnection

from runtime.api.auth import CallerDep
from runtime.api.bodies import read_chunks, read_optional_json
from runtime.api.faults import documented, fault_response
from runtime.api.inert import inert_type, served
from runtime.api.schemas import BYTES, UPLOAD_HEADERS, bytes_body
from runtime.controller.file_uploads import Announced, FileUploads
from runtime.controller.files import FileService, file_view
from runtime.errors import InvalidRequest, NotFound, SandlotError
from runtime.schema import file_resources as resources
from runtime.schema.callers import Caller
from runtime.schema.resources import Empty

MAX_PAGE = 1000
DEFAULT_PAGE = 100
_COMMANDS = re.compile(r"\s*,\s*")
_STATUS = "X-Goog-Upload-Status"
_PROTOCOLS: dict[str, Any] = {"enum": ["raw", "resumable"]}
_BYTES: dict[str, Any] = {"description": "The bytes of the file.", "content": BYTES}
_FIELDS = {
    "name": "name",
    "displayName": "display_name",
    "display_name": "display_name",
    "mimeType": "mime_type",
    "mime_type": "mime_type",
    "sizeBytes": "size_bytes",
    "size_bytes": "size_bytes",
}


@dataclass(frozen=True, slots=True)
class FileServices:
    """What the routes of files are built on."""

    files: FileService
    uploads: FileUploads


async def _services(connection: HTTPConnection) -> FileServices:
    services: FileServices = connection.app.state.files
    return services


FilesDep = Annotated[FileServices, Depends(_services)]
"""The services of the app that serves a request."""

router = APIRouter(tags=["files"])
starts = APIRouter(tags=["files"])
"""Where uploads begin; needs a key like every other route."""
continuations = APIRouter(tags=["files"])
"""Where uploads go on: the SDKs send no key there, the secret in the address stands for it."""


@router.get(
    "/files",
    response_class=JSONResponse,
    responses={200: {"model": resources.FilePage}, **documented(400)},
)
async def list_files(
    caller: CallerDep,
    services: FilesDep,
    page_size: Annotated[int, Query(ge=0, le=MAX_PAGE)] = DEFAULT_PAGE,
    page_token: str | None = None,
) -> Response:
    """Uploaded files, newest first."""
    size, token = page_size or DEFAULT_PAGE, page_token or None
    return JSONResponse(await services.files.page(caller.project_id, size, token))


@router.get(
    "/files/{file_id}:download",
    response_class=JSONResponse,
    responses={200: _BYTES, 206: _BYTES, **documented(400, 404, 416)},
)
async def download_file(file_id: str, caller: CallerDep, services: FilesDep) -> Response:
    """The bytes of a file."""
    record = await services.files.get(caller.project_id, file_id)
    path = anyio.Path(services.files.path(record))
    try:
        stat = await path.stat()
    except FileNotFoundError as error:
        raise NotFound(f"The file 'files/{record.id}' has just been deleted.") from error
    return FileResponse(
        path,
        headers=served(record.display_name or record.id),
        media_type=inert_type(record.mime_type),
        stat_result=stat,
    )


@router.get("/files/{_address:path}/files/{file_id}:download", include_in_schema=False)
async def download_named_by_uri(
    _address: str, file_id: str, caller: CallerDep, services: FilesDep
) -> Response:
    """The bytes of a file whose whole URI stands for its name, as SDKs have it without TLS."""
    return await download_file(file_id, caller, services)


@router.get(
    "/files/{file_id}",
    response_class=JSONResponse,
    responses={
        200: {"model": resources.File, "content": BYTES},
        206: _BYTES,
        **documented(400, 404, 416),
    },
)
async def get_file(
    file_id: str, caller: CallerDep, services: FilesDep, alt: str | None = None
) -> Response:
    """One file; with `alt=media` its bytes."""
    if alt == "media":
        return await download_file(file_id, caller, services)
    return JSONResponse(file_view(await services.files.get(caller.project_id, file_id)))


@router.delete(
    "/files/{file_id}",
    response_class=JSONResponse,
    responses={200: {"model": Empty}, **documented(404)},
)
async def delete_file(file_id: str, caller: CallerDep, services: FilesDep) -> Response:
    """Delete a file; interactions that used it stay, and later turns do without it."""
    await services.files.delete(caller.project_id, file_id)
    return JSONResponse({})


@starts.post(
    "/files",
    response_class=JSONResponse,
    responses={
        200: {"model": resources.UploadedFile, "headers": UPLOAD_HEADERS},
        **documented(400, 409, 413, 415, 429, 507),
    },
    openapi_extra=bytes_body(),
)
async def start_upload(
    request: Request,
    caller: CallerDep,
    services: FilesDep,
    x_goog_upload_protocol: Annotated[str, Header(json_schema_extra=_PROTOCOLS)] = "raw",
    x_goog_upload_header_content_length: Annotated[int | None, Header(ge=0)] = None,
    x_goog_upload_header_content_type: Annotated[str | None, Header()] = None,
    x_goog_upload_file_name: Annotated[str | None, Header()] = None,
) -> Response:
    """Begin an upload (`resumable`), or take a whole file as the body (`raw`)."""
    known: dict[str, Any] = {
        "size_bytes": x_goog_upload_header_content_length,
        "mime_type": x_goog_upload_header_content_type,
        "display_name": x_goog_upload_file_name,
    }
    match x_goog_upload_protocol.lower():
        case "resumable":
            known |= _announced(await read_optional_json(request))
            return await _start(request, caller, services, Announced(**known))
        case "raw":
            known["mime_type"] = known["mime_type"] or request.headers.get("content-type")
            return await _take_whole(request, caller, services, Announced(**known))
        case _:
            raise InvalidRequest("X-Goog-Upload-Protocol: use 'resumable' or 'raw'.")


async def _start(
    request: Request, caller: Caller, services: FileServices, announced: Announced
) -> Response:
    secret = await services.uploads.start(caller, announced, _origin(request))
    url = f"{_origin(request)}/upload/v1beta/file-uploads/{secret}"
    headers = {
        "X-Goog-Upload-URL": url,
        "X-Goog-Upload-Control-URL": url,
        "X-Goog-Upload-Chunk-Granularity": "262144",
        _STATUS: "active",
    }
    return JSONResponse({}, headers=headers)


async def _take_whole(
    request: Request, caller: Caller, services: FileServices, announced: Announced
) -> Response:
    secret = await services.uploads.start(caller, announced, _origin(request))
    try:
        record = await services.uploads.feed(secret, 0, read_chunks(request), last=True)
    except BaseException:
        # What was larger than there is room for has been given up already.
        with anyio.CancelScope(shield=True), suppress(NotFound):
            await services.uploads.cancel(secret)
        raise
    return JSONResponse({"file": file_view(record)}, headers={_STATUS: "final"})


@continuations.api_route(
    "/file-uploads/{upload_id}",
    methods=["POST", "PUT"],
    response_class=JSONResponse,
    responses={200: {"model": resources.UploadedFile}, **documented(400, 404, 409, 413, 507)},
    include_in_schema=False,
)
async def continue_upload(
    upload_id: str,
    request: Request,
    services: FilesDep,
    x_goog_upload_command: Annotated[str, Header()],
    x_goog_upload_offset: Annotated[int, Header(ge=0)] = 0,
) -> Response:
    """Take bytes (`upload`), end (`finalize`), tell what has arrived (`query`), or `cancel`."""
    commands = set(_COMMANDS.split(x_goog_upload_command.strip().lower()))
    try:
        return await _obey(commands, upload_id, x_goog_upload_offset, request, services)
    except SandlotError as error:
        answer = fault_response(error)
        # Without this header the SDKs send the same bytes again, several times.
        answer.headers[_STATUS] = "cancelled"
        return answer


async def _obey(
    commands: set[str], upload_id: str, offset: int, request: Request, services: FileServices
) -> Response:
    uploads = services.uploads
    if commands == {"cancel"}:
        await uploads.cancel(upload_id)
        return JSONResponse({}, headers={_STATUS: "cancelled"})
    if not commands or commands - {"upload", "finalize", "query"}:
        raise InvalidRequest(
            "X-Goog-Upload-Command: use 'upload', 'finalize', 'upload, finalize', 'query' or "
            "'cancel'."
        )
    if "query" not in commands:
        if "upload" not in commands:
            offset = (await uploads.received(upload_id))[1]
        await uploads.feed(upload_id, offset, read_chunks(request), last="finalize" in commands)
    record, received = await uploads.received(upload_id)
    headers = {"X-Goog-Upload-Size-Received": str(received)}
    if record.state == "active":
        return JSONResponse({"file": file_view(record)}, headers={**headers, _STATUS: "final"})
    return JSONResponse({}, headers={**headers, _STATUS: "active"})


def _announced(body: Any) -> dict[str, Any]:
    """The fields of `{"file": {…}}`."""
    if body is None:
        return {}
    file = body.get("file", {}) if isinstance(body, dict) else None
    if not isinstance(file, dict) or set(body) - {"file"}:
        raise InvalidRequest("The body must be an object with nothing but 'file', an object.")
    found: dict[str, Any] = {}
    for name, value in file.items():
        if name not in _FIELDS:
            raise InvalidRequest(f"Unknown parameter 'file.{name[:80]}'.")
        if value is not None:
            found[_FIELDS[name]] = _value(name, value)
    return found


def _value(name: str, value: Any) -> str | int:
    if _FIELDS[name] == "size_bytes":
        # SDKs write 64-bit integers as texts.
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise InvalidRequest(f"file.{name}: must be a whole number.")
    if not isinstance(value, str):
        raise InvalidRequest(f"file.{name}: must be a text.")
    return value


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")
