"""What callers do with environments: look, move files, open terminals, delete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import structlog
from anyio.abc import SocketStream

from runtime import clock
from runtime.boundaries import contained
from runtime.controller.guest_answers import Beginning, beginning, entry_or_listing
from runtime.controller.placement import no_environment, plan_of
from runtime.controller.quotas import Quotas
from runtime.controller.sandboxes import Sandboxes
from runtime.controller.set_ups import SetUps
from runtime.errors import SandboxLost, SandlotError
from runtime.gateway.session import STALL_SECONDS, GuestSession
from runtime.store.egress_events import EgressEvents, EgressRecord
from runtime.store.environments import EnvironmentRecord, Environments

CHUNK_BYTES = 1024 * 1024
RETENTION_CHECK_SECONDS = 60.0

log = structlog.get_logger(__name__)


class EnvironmentService:
    """Environments of a controller. Files and terminals wake a stopped environment."""

    def __init__(
        self,
        records: Environments,
        decisions: EgressEvents,
        sandboxes: Sandboxes,
        retention_seconds: float,
        default_network: Any = "disabled",
        quotas: Quotas | None = None,
        set_ups: SetUps | None = None,
    ) -> None:
        """`default_network` is what environments may reach for which nobody said anything."""
        self._quotas = quotas or Quotas()
        self._set_ups = set_ups or SetUps(records)
        self._records = records
        self._decisions = decisions
        self._sandboxes = sandboxes
        self._retention = timedelta(seconds=retention_seconds)
        self._default_network = default_network

    async def page(
        self, project_id: str, limit: int, before: str | None
    ) -> list[EnvironmentRecord]:
        """Active environments, newest first, below the id `before`."""
        return await self._records.page(project_id, limit=limit, before=before)

    async def get(self, project_id: str, environment_id: str) -> EnvironmentRecord:
        """An active environment. Raises `NotFound`."""
        record = await self._records.get(project_id, environment_id)
        if record is None or record.status != "active":
            raise no_environment(environment_id, record)
        return record

    def network(self, record: EnvironmentRecord) -> Any:
        """What an environment may reach, in its wire form."""
        return self._default_network if record.network is None else record.network

    async def network_events(
        self, project_id: str, environment_id: str, limit: int, before: int | None = None
    ) -> list[EgressRecord]:
        """What became of what an environment asked for, newest first, below the number `before`.

        Raises `NotFound`.
        """
        await self.get(project_id, environment_id)
        return await self._decisions.page(environment_id, limit=limit, before=before)

    def is_live(self, environment_id: str) -> bool:
        """Whether a sandbox of the environment is running."""
        return environment_id in self._sandboxes.live()

    async def delete(self, project_id: str, environment_id: str) -> None:
        """Delete an environment with all its files. Raises `NotFound`."""
        await self.get(project_id, environment_id)
        await self._records.retire(project_id, environment_id, "deleted", clock.now())
        self._set_ups.give_up(environment_id)
        await self._sandboxes.delete(environment_id)
        await self._decisions.forget(environment_id)

    async def retire(self, project_id: str, environment_id: str) -> None:
        """An environment could not be set up: there is none. Its workspace is not touched."""
        await self._records.retire(project_id, environment_id, "deleted", clock.now())
        self._set_ups.give_up(environment_id)
        await self._decisions.forget(environment_id)

    async def recover(self) -> None:
        """After a start: end what a controller that died was setting up, and delete what is left.

        A workspace without a row stays: the database may be an older one than the workspaces.
        """
        for record in await self._records.pending_in_any_project():
            with contained("environment not retired", environment=record.id):
                log.warning("an environment was never set up", environment=record.id)
                await self.retire(record.project_id, record.id)
        with contained("workspaces not looked through"):
            for environment_id in await self._sandboxes.workspaces():
                await self._delete_ended(environment_id)

    async def _delete_ended(self, environment_id: str) -> None:
        record = await self._records.get_in_any_project(environment_id)
        if record is not None and record.status != "active":
            with contained("workspace not deleted", environment=environment_id):
                await self._sandboxes.delete(environment_id)

    async def list_files(
        self, project_id: str, environment_id: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """What the guest lists. Raises `NotFound` for a missing path."""
        async with self._session(project_id, environment_id) as session:
            return entry_or_listing(await session.request("list_files", arguments))

    @asynccontextmanager
    async def download(
        self, project_id: str, environment_id: str, operation: str, arguments: dict[str, Any]
    ) -> AsyncGenerator[tuple[Beginning, AsyncIterator[bytes]]]:
        """The bytes of a file (`read_file`) or a tar of a folder (`read_tar`), streamed."""
        async with (
            self._session(project_id, environment_id) as session,
            session.open_stream(operation, arguments, "from_guest") as (info, stream),
        ):
            yield beginning(info), _chunks(stream)

    async def upload(
        self,
        project_id: str,
        environment_id: str,
        operation: str,
        arguments: dict[str, Any],
        chunks: AsyncIterable[bytes],
    ) -> Any:
        """Write a file (`write_file`) or unpack an archive (`extract_tar`); what was written.

        Raises `QuotaExceeded` where the project has no room left.
        """
        await self._quotas.check_stored(project_id, 0)
        async with self._session(project_id, environment_id) as session:
            return await session.write(operation, arguments, chunks)

    @asynccontextmanager
    async def converse(
        self, project_id: str, environment_id: str, operation: str, arguments: dict[str, Any]
    ) -> AsyncGenerator[tuple[GuestSession, SocketStream]]:
        """A two-way byte stream, for a terminal (`terminal`) or a command (`exec`)."""
        async with (
            self._session(project_id, environment_id) as session,
            session.open_stream(operation, arguments, "both") as (_, stream),
        ):
            yield session, stream

    async def expire(self) -> None:
        """Delete what nobody used for the retention time, for ever."""
        while True:
            with contained("unused environments not looked for"):
                for record in await self._unused():
                    await self._expire_one(record)
            await anyio.sleep(RETENTION_CHECK_SECONDS)

    async def _unused(self) -> list[EnvironmentRecord]:
        return await self._records.unused_in_any_project(clock.now() - self._retention)

    async def _expire_one(self, record: EnvironmentRecord) -> None:
        moment = clock.now()
        unused_since = moment - self._retention
        if await self._records.retire(
            record.project_id, record.id, "expired", moment, unused_since=unused_since
        ):
            try:
                await self._sandboxes.delete(record.id)
                await self._decisions.forget(record.id)
            except SandlotError as error:
                log.warning("workspace not deleted", environment=record.id, error=error.message)

    @asynccontextmanager
    async def _session(self, project_id: str, environment_id: str) -> AsyncGenerator[GuestSession]:
        record = await self._set_ups.ready(project_id, environment_id)
        async with self._sandboxes.use(plan_of(record)) as sandbox:
            await self._records.touch(record.id, clock.now())
            yield await sandbox.session()


async def _chunks(stream: SocketStream) -> AsyncIterator[bytes]:
    while True:
        try:
            with anyio.fail_after(STALL_SECONDS):
                chunk = await stream.receive(CHUNK_BYTES)
        except anyio.EndOfStream:
            return
        except TimeoutError as error:
            raise SandboxLost(f"The sandbox sent nothing for {STALL_SECONDS:g} s.") from error
        yield chunk
