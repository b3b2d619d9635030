"""The networks of live sandboxes: opened at the egress proxy, kept by the rules, closed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import anyio
from anyio.abc import TaskGroup

from runtime import clock
from runtime.boundaries import contained
from runtime.controller.network_rules import (
    NETWORK,
    CredentialVariable,
    Grant,
    Wanted,
    is_disabled,
    rules_of,
)
from runtime.egress.proxy import EgressProxy
from runtime.egress.rules import CLOSED, Limits, Rules
from runtime.schema.limits import SandboxLimits, lowered
from runtime.schema.network import OPEN
from runtime.schema.protocol import GuestNetwork
from runtime.schema.settings import EgressSettings
from runtime.store import EnvironmentRecord, Store
from runtime.store.resealing import about_network

RENEW_BEFORE = timedelta(seconds=90)
"""How long before a token expires the rules that carry it are renewed."""
LOOK_SECONDS = 15.0
"""How often it is looked for tokens that expire."""
_PATIENCE_SECONDS = 2.0
"""How long new rules wait for a token endpoint; then they are put in force without its answer."""
_ATTEMPTS = 3


class Grants(Protocol):
    """Where credentials are looked up."""

    async def grants(self, project_id: str, ids: Iterable[str]) -> Mapping[str, TimedGrant]:
        """What each of these lets requests carry; one that is not there is left out."""
        ...


@dataclass(frozen=True, slots=True)
class TimedGrant:
    """A grant, and until when it holds."""

    grant: Grant
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Attached:
    """The network of one live sandbox."""

    key: str
    """What the proxy knows it by."""
    project_id: str
    granted: Mapping[str, TimedGrant] = field(default_factory=dict[str, "TimedGrant"], repr=False)
    """What is in force, by the ids of the credentials that the rules name."""
    credentials: frozenset[str] = frozenset()
    """The ids, also of those that are not there."""

    @property
    def renew_at(self) -> datetime | None:
        """When the first of its tokens is to be replaced."""
        ends = [one.expires for one in self.granted.values() if one.expires is not None]
        return min(ends) - RENEW_BEFORE if ends else None


class Networks:
    """What live sandboxes may reach. The proxy must be running."""

    def __init__(
        self,
        store: Store,
        proxy: EgressProxy,
        grants: Grants,
        settings: EgressSettings,
        certificates: str = "",
    ) -> None:
        """`certificates` are those, in PEM, that programs in sandboxes trust beside the usual."""
        self._store = store
        self._proxy = proxy
        self._grants = grants
        self._settings = settings
        self._certificates = certificates
        self._attached: dict[str, _Attached] = {}
        self._wanting: dict[str, tuple[str, frozenset[str]]] = {}
        """Environments whose credentials are being looked up: the project, and which."""
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def open(self, look_seconds: float = LOOK_SECONDS) -> AsyncGenerator[None]:
        """Rules are kept fresh inside: tokens that expire are replaced in time."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_fresh, tasks, look_seconds)
            yield
            tasks.cancel_scope.cancel()

    async def attach(
        self, environment_id: str, sandbox_id: str, path: Path, uid: int
    ) -> GuestNetwork | None:
        """Open the network of a new sandbox on the socket `path`, which `uid` alone may use.

        None where its environment has no network. Raises `SandboxUnavailable`, `StorageFull`.
        """
        async with self._lock(environment_id):
            record = await self._record(environment_id)
            wanted = self._wanted(record)
            if is_disabled(wanted.network) or record is None:
                return None
            key = _key(environment_id, sandbox_id)
            with self._looking(record, wanted):
                granted = await self._grants.grants(record.project_id, wanted.credentials)
                opened = await self._proxy.open(
                    key, path, self._rules(record, wanted, granted), uid
                )
                self._note(environment_id, _Attached(key, record.project_id, granted), wanted)
            return GuestNetwork(certificates=opened.certificate + self._certificates)

    async def detach(self, environment_id: str, sandbox_id: str) -> None:
        """End all connections of a sandbox; fine when it has no network."""
        key = _key(environment_id, sandbox_id)
        async with self._lock(environment_id):
            attached = self._attached.get(environment_id)
            if attached is not None and attached.key == key:
                del self._attached[environment_id]
            await self._proxy.close(key)

    async def renew(self, environment_id: str, changed: str | None = None) -> bool:
        """Put in force what the environment may reach now; connections that it forbids end.

        Nothing waits for the token of another credential: until that is there, what it had before
        goes on, or its hosts are closed. `changed` is a credential whose old secrets are not used.
        False where a new sandbox is needed: the one that lives was begun without a network.
        """
        for _ in range(_ATTEMPTS):
            async with self._lock(environment_id):
                record = await self._record(environment_id)
                wanted = self._wanted(record)
                attached = self._attached.get(environment_id)
                if attached is None:
                    return is_disabled(wanted.network)
                with self._looking(record, wanted):
                    missing = await self._put_in_force(attached, record, wanted, changed)
            if not missing:
                break
            await self._grants.grants(attached.project_id, missing)
        return True

    async def _put_in_force(
        self,
        attached: _Attached,
        record: EnvironmentRecord | None,
        wanted: Wanted,
        changed: str | None,
    ) -> list[str]:
        """New rules for an open network; the credentials whose tokens are still being fetched."""
        environment_id = environment_of(attached.key)
        if record is None or is_disabled(wanted.network):
            await self._proxy.replace(attached.key, CLOSED)
            self._note(environment_id, replace(attached, granted={}), wanted)
            return []
        granted, missing = await self._granted(attached.project_id, wanted)
        for one in missing:
            former = attached.granted.get(one)
            granted[one] = _being_fetched(one) if former is None or one == changed else former
        await self._proxy.replace(attached.key, self._rules(record, wanted, granted))
        self._note(environment_id, replace(attached, granted=granted), wanted)
        return missing

    async def _granted(
        self, project_id: str, wanted: Wanted
    ) -> tuple[dict[str, TimedGrant], list[str]]:
        """What can be had soon, and what cannot."""
        found: dict[str, TimedGrant] = {}
        missing = list(wanted.credentials)

        async def look_up(credential_id: str) -> None:
            found.update(await self._grants.grants(project_id, [credential_id]))
            missing.remove(credential_id)

        with anyio.move_on_after(_PATIENCE_SECONDS):
            async with anyio.create_task_group() as tasks:
                for one in wanted.credentials:
                    tasks.start_soon(look_up, one)
        return found, missing

    async def credential_changed(self, project_id: str, credential_id: str) -> None:
        """A credential has a new secret, was revoked or is gone: renew all that use it."""
        users = [
            environment_id
            for environment_id, attached in self._attached.items()
            if attached.project_id == project_id and credential_id in attached.credentials
        ]
        looking = [
            environment_id
            for environment_id, (project, wanted) in self._wanting.items()
            if project == project_id and credential_id in wanted
        ]
        await self._renew_all(dict.fromkeys([*users, *looking]), credential_id)

    @contextmanager
    def _looking(self, record: EnvironmentRecord | None, wanted: Wanted) -> Generator[None]:
        """Around the time from looking credentials up until they are used.

        What changes meanwhile is looked up again afterwards: what was found is old then.
        """
        if record is None:
            yield
            return
        self._wanting[record.id] = record.project_id, frozenset(wanted.credentials)
        try:
            yield
        finally:
            del self._wanting[record.id]

    async def _keep_fresh(self, tasks: TaskGroup, look_seconds: float) -> None:
        while True:
            await anyio.sleep(look_seconds)
            moment = clock.now()
            for environment_id, attached in self._attached.items():
                is_due = attached.renew_at is not None and attached.renew_at <= moment
                # One whose token endpoint takes long is under way still; the others go on.
                if is_due and not self._lock(environment_id).locked():
                    tasks.start_soon(self._renew_quietly, environment_id)

    async def _renew_all(self, environment_ids: Iterable[str], changed: str) -> None:
        # At once: one project's token endpoint that never answers holds up nobody else's rules.
        async with anyio.create_task_group() as tasks:
            for environment_id in list(environment_ids):
                tasks.start_soon(self._renew_quietly, environment_id, changed)

    async def _renew_quietly(self, environment_id: str, changed: str | None = None) -> None:
        with contained("rules not renewed", environment=environment_id):
            await self.renew(environment_id, changed)

    def _lock(self, environment_id: str) -> anyio.Lock:
        return self._locks.setdefault(environment_id, anyio.Lock())

    def _note(self, environment_id: str, attached: _Attached, wanted: Wanted) -> None:
        named = frozenset(wanted.credentials)
        self._attached[environment_id] = replace(attached, credentials=named)

    async def _record(self, environment_id: str) -> EnvironmentRecord | None:
        return await self._store.environments.get_in_any_project(environment_id)

    def _wanted(self, record: EnvironmentRecord | None) -> Wanted:
        if record is None:
            return Wanted("disabled")
        network = record.network
        if network is None:
            network = self.default
        variables = {
            name: CredentialVariable(**value)
            for name, value in (record.credential_variables or {}).items()
        }
        return Wanted(NETWORK.validate_python(network), self._transforms(record), variables)

    @property
    def default(self) -> object:
        """What environments may reach for which nobody said anything, in its wire form."""
        default = self._settings.default
        if default == "open":
            return OPEN
        return default if isinstance(default, str) else default.model_dump(mode="json")

    def _transforms(self, record: EnvironmentRecord) -> list[list[dict[str, str]] | None]:
        if record.network_secrets is None:
            return []
        about = about_network(record.id)
        found: list[list[dict[str, str]] | None] = json.loads(
            self._store.vault.unseal(record.network_secrets, about)
        )
        return found

    def _rules(
        self, record: EnvironmentRecord, wanted: Wanted, granted: Mapping[str, TimedGrant]
    ) -> Rules:
        grants = {name: one.grant for name, one in granted.items()}
        return rules_of(wanted, grants, self._settings, _limits_of(record, self._settings))


def _being_fetched(credential: str) -> TimedGrant:
    reason = f"the token of the credential '{credential}' is being fetched; try again in a moment"
    return TimedGrant(Grant(unavailable=reason), clock.now())


def _limits_of(record: EnvironmentRecord, settings: EgressSettings) -> Limits:
    """The environment's own figures, which are never above the operator's."""
    own = SandboxLimits.model_validate(record.limits or {})
    allowed = SandboxLimits(
        connections=settings.connections,
        sent_bytes=settings.sent_bytes,
        received_bytes=settings.received_bytes,
    )
    least = lowered(own, allowed)
    assert least.connections is not None
    assert least.sent_bytes is not None and least.received_bytes is not None
    return Limits(
        connections=least.connections, bytes_out=least.sent_bytes, bytes_in=least.received_bytes
    )


def _key(environment_id: str, sandbox_id: str) -> str:
    return f"{environment_id}.{sandbox_id[-8:]}"


def environment_of(key: str) -> str:
    """The environment whose network the proxy calls `key`."""
    return key.rpartition(".")[0]
