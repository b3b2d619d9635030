"""Routes of environments and their files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection, Request
from starlette.types import Receive, Scope, Send

from runtime import clock
from runtime.api.auth import CallerDep, caller_of, check_still_valid
from runtime.api.creation import staying
from runtime.api.faults import documented
from runtime.api.file_paths import FILES
from runtime.api.inert import INERT_HEADERS, inert_type, served
from runtime.api.schemas import BYTES
from runtime.api.services import services_of
from runtime.controller.environments import EnvironmentService
from runtime.controller.uploads import Uploads
from runtime.schema import resources
from runtime.store.environments import EnvironmentRecord

MAX_PAGE = 1000
DEFAULT_PAGE = 100
TAR = "application/x-tar"


class FileQuery(BaseModel):
    """How files are asked for."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    alt: str | None = None
    """`media` for the bytes."""
    recursive: bool = False
    """Everything below a folder, not only its entries."""
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 200
    page_token: str | None = None


def environment_view(record: EnvironmentRecord, network: Any) -> dict[str, Any]:
    """The environment as the wire shows it; `network` is what it may reach."""
    shown: dict[str, Any] = {
        "id": record.id,
        "object": "environment",
        "status": record.status,
        "created": clock.rfc3339(record.created),
        "updated": clock.rfc3339(record.updated),
        "last_accessed": clock.rfc3339(record.last_used),
        "network": network,
    }
    if record.sources:
        shown["sources"] = record.sources
    if record.limits:
        shown["limits"] = record.limits
    return shown


@dataclass(frozen=True, slots=True)
class EnvironmentServices:
    """What the routes of environments are built on."""

    environments: EnvironmentService
    uploads: Uploads


async def _services(connection: HTTPConnection) -> EnvironmentServices:
    services: EnvironmentServices = connection.app.state.environments
    return services


EnvironmentsDep = Annotated[EnvironmentServices, Depends(_services)]
"""The services of the app that serves a request or a WebSocket."""

router = APIRouter(tags=["environments"])

_FILES: dict[str, Any] = {
    "description": "What is there; with `alt=media` its bytes, a folder as a tar.",
    "model": resources.EnvironmentFiles,
    "content": BYTES,
    "headers": {
        name: {"description": "With `alt=media`.", "schema": {"type": "string"}}
        for name in (*INERT_HEADERS, "Content-Disposition")
    },
}


@router.get(
    "/environments",
    response_class=JSONResponse,
    responses={200: {"model": resources.EnvironmentPage}, **documented(400)},
)
async def list_environments(
    caller: CallerDep,
    services: EnvironmentsDep,
    page_size: Annotated[int, Query(ge=0, le=MAX_PAGE)] = DEFAULT_PAGE,
    page_token: str | None = None,
) -> Response:
    """Environments, newest first."""
    size = page_size or DEFAULT_PAGE
    rows = await services.environments.page(caller.project_id, size + 1, page_token)
    shown = [environment_view(row, services.environments.network(row)) for row in rows[:size]]
    listed: dict[str, Any] = {"environments": shown}
    if len(rows) > size:
        listed["next_page_token"] = rows[size - 1].id
    return JSONResponse(listed)


@router.get(
    "/environments/{environment_id}",
    response_class=JSONResponse,
    responses={200: {"model": resources.Environment}, **documented(404)},
)
async def get_environment(
    environment_id: str, caller: CallerDep, services: EnvironmentsDep
) -> Response:
    """One environment."""
    record = await services.environments.get(caller.project_id, environment_id)
    return JSONResponse(environment_view(record, services.environments.network(record)))


@router.get(
    "/environments/{environment_id}/network_events",
    response_class=JSONResponse,
    responses={200: {"model": resources.NetworkEventPage}, **documented(400, 404)},
)
async def list_network_events(
    environment_id: str,
    caller: CallerDep,
    services: EnvironmentsDep,
    page_size: Annotated[int, Query(ge=0, le=MAX_PAGE)] = DEFAULT_PAGE,
    page_token: Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$")] = None,
) -> Response:
    """What became of what the environment asked the network for, newest first."""
    size = page_size or DEFAULT_PAGE
    before = int(page_token) if page_token is not None else None
    rows = await services.environments.network_events(
        caller.project_id, environment_id, size + 1, before
    )
    listed: dict[str, Any] = {"network_events": [row.body for row in rows[:size]]}
    if len(rows) > size:
        listed["next_page_token"] = str(rows[size - 1].id)
    return JSONResponse(listed)


@router.get(
    "/files/environment-{environment_id}:download",
    response_class=StreamingResponse,
    responses=documented(404, 409, 503),
)
async def download_environment(
    environment_id: str, request: Request, services: EnvironmentsDep
) -> Response:
    """All files of an environment as a tar; an older address than the files' own."""
    workspace = Workspace(services.environments, request, environment_id)
    return await _download(workspace, "", recursive=True)


@router.delete(
    "/environments/{environment_id}",
    response_class=JSONResponse,
    responses={200: {"model": resources.Empty}, **documented(404)},
)
async def delete_environment(
    environment_id: str, caller: CallerDep, services: EnvironmentsDep
) -> Response:
    """Delete an environment and its files; interactions that used it stay."""
    await services.environments.delete(caller.project_id, environment_id)
    return JSONResponse({})


@router.get(
    "/environments/{environment_id}/files",
    response_class=JSONResponse,
    responses={200: _FILES, **documented(400, 404, 409)},
)
async def list_root_files(
    environment_id: str,
    request: Request,
    services: EnvironmentsDep,
    query: Annotated[FileQuery, Query()],
) -> Response:
    """The entries of the root folder; with `alt=media` a tar of them."""
    workspace = Workspace(services.environments, request, environment_id)
    return await _files(workspace, "", query)


@router.get(
    FILES,
    response_class=JSONResponse,
    responses={200: _FILES, **documented(400, 404, 409)},
)
async def list_or_download_files(
    environment_id: str,
    path: str,
    request: Request,
    services: EnvironmentsDep,
    query: Annotated[FileQuery, Query()],
) -> Response:
    """A file's entry or a folder's entries; with `alt=media` the bytes, of a folder as tar."""
    workspace = Workspace(services.environments, request, environment_id)
    return await _files(workspace, path, query)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The files of one environment of the caller's project."""

    environments: EnvironmentService
    request: Request
    environment_id: str

    @property
    def project_id(self) -> str:
        """The caller's."""
        return caller_of(self.request).project_id

    async def listed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the guest lists. Raises `NotFound`, `Unauthenticated`."""
        found = await self.environments.list_files(self.project_id, self.environment_id, arguments)
        # It may have waited for a sandbox, and the key may have been revoked meanwhile.
        check_still_valid(self.request)
        return found


async def _files(workspace: Workspace, path: str, query: FileQuery) -> Response:
    path = path.strip("/") if path not in ("", ".", "/") else ""
    if query.alt != "media":
        arguments = query.model_dump(exclude={"alt"}, exclude_none=True)
        return JSONResponse(await workspace.listed({"path": path, **arguments}))
    return await _download(workspace, path, query.recursive)


async def _download(workspace: Workspace, path: str, recursive: bool) -> Response:
    found = await workspace.listed({"path": path, "stat": True})
    is_folder = found["type"] == "directory"
    operation = "read_tar" if is_folder else "read_file"
    arguments: dict[str, Any] = {"path": path}
    if is_folder:
        arguments["recursive"] = recursive
    stack = AsyncExitStack()
    environment_id = workspace.environment_id
    download = workspace.environments.download(
        workspace.project_id, environment_id, operation, arguments
    )
    info, chunks = await stack.enter_async_context(download)
    name = (path.rsplit("/", 1)[-1] or environment_id) + (".tar" if is_folder else "")
    headers = dict(served(name))
    if info.size_bytes is not None:
        headers["Content-Length"] = str(info.size_bytes)
    mime_type = TAR if is_folder else inert_type(info.mime_type)
    return OwnedStream(stack, chunks, headers=headers, media_type=mime_type)


class OwnedStream(StreamingResponse):
    """A streamed answer that closes what it reads from, also when the client never reads.

    It is cut where the key of the call is revoked meanwhile.
    """

    def __init__(self, stack: AsyncExitStack, chunks: AsyncIterator[bytes], **more: Any) -> None:
        super().__init__(chunks, **more)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer. Raises `QuotaExceeded` before its first byte."""
        connection = Request(scope)
        async with self._stack:
            with staying(services_of(connection), caller_of(connection)) as stay, stay.scope:
                await super().__call__(scope, receive, send)
