"""API keys and projects: made, listed, revoked; and, for every call, who it is from.

All valid keys are kept in memory by their hash, since one controller owns the state: no call waits
for the database to learn who makes it, and a revoked key is gone at once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import structlog

from runtime import clock
from runtime.boundaries import contained
from runtime.errors import InvalidRequest, NotFound, PermissionDenied
from runtime.ids import is_id, new_id, new_secret
from runtime.schema.callers import DEFAULT_PROJECT, OPERATOR, SCOPES, Caller, Scope
from runtime.specs.project_names import NAME_RULE, is_project_name
from runtime.store import KeyRecord, NotEmpty, ProjectRecord, Store

NOTED_SECONDS = 60.0
"""How often it is stored which keys were used."""
MAX_NAME_CHARACTERS = 200
PREFIX_CHARACTERS = 12
DEFAULT_SCOPES: tuple[Scope, ...] = ("run", "read")

Json = dict[str, Any]
Revoked = Callable[[str], Awaitable[None]]
"""Ends what a key has open."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a new key is to be."""

    project_id: str | None = None
    """None: the project of whoever makes it."""
    name: str | None = None
    scopes: Sequence[Scope] = DEFAULT_SCOPES


class KeyService:
    """All keys of a controller. `load` must have been called."""

    def __init__(self, store: Store, operator_key: str, on_revoked: Sequence[Revoked] = ()) -> None:
        self._store = store
        self._on_revoked = on_revoked
        self._callers: dict[bytes, tuple[bytes, Caller]] = {}
        self._used: set[str] = set()
        self._projects = anyio.Lock()
        """A key that is made while its project goes is gone with it, or makes it anew."""
        self._add(_digest(operator_key), OPERATOR)

    async def load(self) -> None:
        """Read the keys that are valid."""
        for record in await self._store.keys.of_all_projects():
            if record.revoked is None:
                self._add(bytes.fromhex(record.digest), _caller(record))

    def _add(self, digest: bytes, caller: Caller) -> None:
        self._callers[digest] = digest, caller

    def caller(self, key: str) -> Caller | None:
        """Who calls with `key`; None where it is not valid."""
        digest = _digest(key)
        # What is looked up is a hash that nobody can choose, so that the time says nothing.
        known, caller = self._callers.get(digest, (b"", OPERATOR))
        if not hmac.compare_digest(digest, known):
            return None
        self._used.add(caller.key_id)
        return caller

    async def create(self, actor: Caller, order: NewKey) -> Json:
        """Make a key; its view, with the key itself, which nobody is ever told again.

        Raises `InvalidRequest`, and `PermissionDenied` for another project than the actor's, or
        for more than the actor may do.
        """
        project_id = order.project_id or actor.project_id
        _check_reach(actor, project_id)
        _check(order, project_id)
        missing = [scope for scope in order.scopes if scope not in actor.scopes]
        if missing:
            raise PermissionDenied(f"A key without the scope '{missing[0]}' cannot give it away.")
        key = new_secret("sandlot")
        digest = _digest(key)
        record = KeyRecord(
            id=new_id("key"),
            project_id=project_id,
            digest=digest.hex(),
            prefix=key[:PREFIX_CHARACTERS],
            name=order.name,
            scopes=[scope for scope in SCOPES if scope in order.scopes],
            created=clock.now(),
        )
        with anyio.CancelScope(shield=True):
            async with self._projects:
                await self._store.keys.add(record)
                self._add(digest, _caller(record))
        log.info("key made", key_id=record.id, project=project_id, scopes=record.scopes)
        return {**key_view(record), "key": key}

    async def page(self, actor: Caller, project_id: str | None) -> Json:
        """Keys, oldest first: of one project, or, for the operator, of all."""
        if project_id is None and actor.is_operator:
            records = await self._store.keys.of_all_projects()
        else:
            _check_reach(actor, project_id or actor.project_id)
            records = await self._store.keys.of(project_id or actor.project_id)
        return {"keys": [key_view(record) for record in records]}

    async def revoke(self, actor: Caller, key_id: str) -> None:
        """End a key, at once, with all that it has open. Raises `NotFound`, `InvalidRequest`."""
        if key_id == OPERATOR.key_id:
            raise InvalidRequest(
                "The operator's key is not kept here: change it in the configuration, or delete "
                "the file 'api_key' in the state folder, and start the controller again."
            )
        record = await self._find(actor, key_id)
        with anyio.CancelScope(shield=True):
            if await self._store.keys.revoke(record.project_id, record.id, clock.now()):
                await self._forget([record])

    async def _find(self, actor: Caller, key_id: str) -> KeyRecord:
        for record in await self._reachable(actor) if is_id(key_id) else []:
            if record.id == key_id:
                return record
        raise NotFound(f"There is no key '{key_id[:80]}'.")

    async def _reachable(self, actor: Caller) -> list[KeyRecord]:
        if actor.is_operator:
            return await self._store.keys.of_all_projects()
        return await self._store.keys.of(actor.project_id)

    async def _forget(self, records: Sequence[KeyRecord]) -> None:
        for record in records:
            self._callers.pop(bytes.fromhex(record.digest), None)
            self._used.discard(record.id)
        for record in records:
            for end in self._on_revoked:
                await end(record.id)
            log.info("key revoked", key_id=record.id, project=record.project_id)

    async def projects(self, actor: Caller) -> Json:
        """All projects, with how much each has. Raises `PermissionDenied`."""
        _check_operator(actor)
        return {"projects": [_project_view(one) for one in await self._store.projects.all()]}

    async def delete_project(self, actor: Caller, project_id: str) -> None:
        """Delete a project that has nothing, with its keys.

        Raises `PermissionDenied`, `NotFound`, and `InvalidRequest` while it has something.
        """
        _check_operator(actor)
        if project_id == DEFAULT_PROJECT:
            raise InvalidRequest("The default project cannot be deleted.")
        with anyio.CancelScope(shield=True):
            async with self._projects:
                await self._forget(await self._deleted(project_id))

    async def _deleted(self, project_id: str) -> list[KeyRecord]:
        """Delete a project; the keys that it had."""
        records = await self._store.keys.of(project_id)
        try:
            found = await self._store.projects.delete(project_id)
        except NotEmpty as error:
            raise InvalidRequest(_full(error.found)) from error
        if not found:
            raise NotFound(f"There is no project '{project_id[:80]}'.")
        return records

    async def note_uses(self) -> None:
        """Store, now and then, which keys were used lately; for ever."""
        while True:
            await anyio.sleep(NOTED_SECONDS)
            with contained("the use of keys was not stored"):
                await self._note_uses()

    async def _note_uses(self) -> None:
        used, self._used = self._used - {OPERATOR.key_id}, set[str]()
        if not used:
            return
        await self._store.keys.note_use(used, clock.now())


def key_view(record: KeyRecord) -> Json:
    """A key as the wire shows it."""
    view: Json = {
        "id": record.id,
        "object": "key",
        "project": record.project_id,
        "name": record.name,
        "prefix": record.prefix,
        "scopes": record.scopes,
        "created": clock.rfc3339(record.created),
        "last_used": clock.rfc3339(record.last_used) if record.last_used else None,
        "revoked": clock.rfc3339(record.revoked) if record.revoked else None,
    }
    return {name: value for name, value in view.items() if value is not None}


def _project_view(record: ProjectRecord) -> Json:
    return {
        "id": record.id,
        "object": "project",
        "created": clock.rfc3339(record.created),
        "keys": record.keys,
        "interactions": record.interactions,
        "environments": record.environments,
        "files": record.files,
    }


def _caller(record: KeyRecord) -> Caller:
    return Caller(record.project_id, frozenset(record.scopes), record.id)


def _check_reach(actor: Caller, project_id: str) -> None:
    if not actor.is_operator and project_id != actor.project_id:
        raise PermissionDenied(
            f"This key is for the project '{actor.project_id}'; only the operator's key has to do "
            "with the keys of others."
        )


def _check_operator(actor: Caller) -> None:
    if not actor.is_operator:
        raise PermissionDenied("Projects are the operator's: use the operator's key.")


def _check(order: NewKey, project_id: str) -> None:
    if not is_project_name(project_id):
        raise InvalidRequest(f"project: {NAME_RULE}.")
    if order.name is not None and not 0 < len(order.name) <= MAX_NAME_CHARACTERS:
        raise InvalidRequest(f"name: has 1 to {MAX_NAME_CHARACTERS} characters.")
    if order.name is not None and not order.name.isprintable():
        raise InvalidRequest("name: must be printable.")
    if not order.scopes:
        raise InvalidRequest(f"scopes: name at least one of {', '.join(SCOPES)}.")


def _full(found: ProjectRecord) -> str:
    return (
        f"The project '{found.id}' has {found.interactions} interactions, {found.environments} "
        f"environments and {found.files} files: delete them first, with one of its keys."
    )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
