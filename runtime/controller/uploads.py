"""Uploads in several requests: the bytes of each are passed on at once to one open stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from runtime.controller.environments import EnvironmentService
from runtime.errors import (
    Conflict,
    Internal,
    InvalidRequest,
    NotFound,
    ResourceExhausted,
    SandlotError,
)
from runtime.ids import new_secret
from runtime.schema.callers import Caller

IDLE_SECONDS = 300.0
MAX_OPEN = 64

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Upload:
    """One upload under way."""

    caller: Caller
    send: MemoryObjectSendStream[bytes]
    receive: MemoryObjectReceiveStream[bytes]
    received: int = 0
    value: Any = None
    error: SandlotError | None = None
    done: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Uploads:
    """Open uploads by their secret id. `open` must have been entered."""

    def __init__(self, environments: EnvironmentService) -> None:
        self._environments = environments
        self._uploads: dict[str, Upload] = {}

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Serve; at the end uploads under way are given up."""
        async with anyio.create_task_group() as tasks:
            self._tasks: TaskGroup = tasks
            yield
            tasks.cancel_scope.cancel()

    async def start(
        self, caller: Caller, environment_id: str, operation: str, arguments: dict[str, Any]
    ) -> str:
        """Begin an upload; its id.

        Raises `NotFound`, `ResourceExhausted`, and `Conflict` for a file that is not to be
        overwritten: whoever sends the bytes first hears of it after them.
        """
        project_id = caller.project_id
        await self._environments.get(project_id, environment_id)
        if operation == "write_file" and not arguments.get("overwrite"):
            await self._check_free(project_id, environment_id, arguments["path"])
        if sum(one.caller.project_id == project_id for one in self._uploads.values()) >= MAX_OPEN:
            raise ResourceExhausted(f"{MAX_OPEN} uploads are open already; try again later.")
        send, receive = anyio.create_memory_object_stream[bytes](2)
        upload_id = new_secret("upl")
        upload = self._uploads[upload_id] = Upload(caller, send, receive)
        self._tasks.start_soon(self._run, upload_id, upload, environment_id, operation, arguments)
        return upload_id

    async def _check_free(self, project_id: str, environment_id: str, path: str) -> None:
        try:
            await self._environments.list_files(
                project_id, environment_id, {"path": path, "stat": True}
            )
        except SandlotError as error:
            if error.code != NotFound.code:
                raise
        else:
            raise Conflict(f"'{path}' exists already.")

    async def feed(
        self,
        project_id: str,
        upload_id: str,
        offset: int,
        chunks: AsyncIterable[bytes],
        *,
        last: bool,
    ) -> Any:
        """Take the bytes of one request; what was written when it was the last one.

        Raises `NotFound`, `InvalidRequest` for a wrong offset, and what the writing raised.
        """
        upload = self._find(project_id, upload_id)
        if offset != upload.received:
            raise InvalidRequest(
                f"The upload stands at byte {upload.received}, the request says {offset}."
            )
        upload.scope.deadline = anyio.current_time() + IDLE_SECONDS
        await self._pass_on(upload, chunks)
        if not last and not upload.done.is_set():
            return None
        upload.send.close()
        await upload.done.wait()
        if upload.error is not None:
            raise upload.error
        return upload.value

    async def give_up(self, key_id: str) -> None:
        """Give all uploads up that a key began, which is no longer valid."""
        for upload in self._uploads.values():
            if upload.caller.key_id == key_id:
                upload.scope.cancel()

    def received(self, project_id: str, upload_id: str) -> int:
        """How many bytes an upload has got. Raises `NotFound`."""
        return self._find(project_id, upload_id).received

    def _find(self, project_id: str, upload_id: str) -> Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.caller.project_id != project_id:
            raise NotFound("There is no such upload, or it has timed out.")
        return upload

    async def _pass_on(self, upload: Upload, chunks: AsyncIterable[bytes]) -> None:
        async for chunk in chunks:
            if not chunk:
                continue
            try:
                await upload.send.send(chunk)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            upload.received += len(chunk)

    async def _run(
        self,
        upload_id: str,
        upload: Upload,
        environment_id: str,
        operation: str,
        arguments: dict[str, Any],
    ) -> None:
        upload.scope.deadline = anyio.current_time() + IDLE_SECONDS
        try:
            with upload.scope:
                chunks = _received(upload.receive)
                upload.value = await self._environments.upload(
                    upload.caller.project_id, environment_id, operation, arguments, chunks
                )
            if upload.scope.cancelled_caught:
                upload.error = NotFound("The upload has timed out, or its key was revoked.")
        except SandlotError as error:
            upload.error = error
        except Exception:
            log.exception("an upload failed", environment=environment_id)
            upload.error = Internal()
        finally:
            upload.receive.close()
            upload.done.set()
            del self._uploads[upload_id]


async def _received(stream: MemoryObjectReceiveStream[bytes]) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield chunk
