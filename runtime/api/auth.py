"""Who calls: an API key, in either of the two headers that SDKs use, becomes a `Caller`."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from runtime.api.scopes import WEBSOCKET, needed_scope
from runtime.api.services import services_of
from runtime.errors import PermissionDenied, Unauthenticated
from runtime.schema.callers import OPERATOR, Caller

_CALLER = "sandlot.caller"
REFUSAL = (
    "The API key is missing or not valid. Send it as 'x-goog-api-key: KEY' or "
    "'Authorization: Bearer KEY'."
)


class FixedKeys:
    """Keys known at the start, all of them the operator's."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys if key]

    def caller(self, key: str) -> Caller | None:
        """Who calls with `key`; None where it is not valid."""
        digest = _digest(key)
        # Every key is compared, so that the time says nothing about which one was close.
        known = sum(hmac.compare_digest(digest, one) for one in self._digests)
        return OPERATOR if known else None


async def authenticate(connection: HTTPConnection) -> Caller:
    """A dependency of every route but the open ones, WebSockets too.

    Raises `Unauthenticated`, `PermissionDenied` where the key lacks the route's scope, and
    `QuotaExceeded` when the project's calls come too fast.
    """
    services = services_of(connection)
    for key in presented_keys(connection):
        found = services.keys.caller(key)
        if found is not None:
            services.quotas.admit(found.project_id)
            _check_scope(connection, found)
            connection.scope[_CALLER] = found
            return found
    raise Unauthenticated(REFUSAL)


def _check_scope(connection: HTTPConnection, caller: Caller) -> None:
    scope = connection.scope
    needed = needed_scope(scope.get("method", WEBSOCKET), scope["path"])
    if needed is None:
        raise PermissionDenied("No key is allowed to call this route.")
    if needed not in caller.scopes:
        raise PermissionDenied(
            f"This key is allowed to {' and '.join(sorted(caller.scopes))}; this call needs the "
            f"scope '{needed}'. Use another key."
        )


def caller_of(connection: HTTPConnection) -> Caller:
    """Who calls a route that `authenticate` guards; for routes that use no `CallerDep`."""
    caller: Caller = connection.scope[_CALLER]
    return caller


def check_still_valid(connection: HTTPConnection) -> None:
    """Raise `Unauthenticated` when the key that `authenticate` let in was revoked since."""
    keys = services_of(connection).keys
    if caller_of(connection) not in [keys.caller(key) for key in presented_keys(connection)]:
        raise Unauthenticated(REFUSAL)


CallerDep = Annotated[Caller, Depends(authenticate)]
"""Who calls; the guard of the route has looked already."""


def presented_keys(connection: HTTPConnection) -> list[str]:
    """The keys that a call carries, at most one per header; of doubled headers none counts."""
    plain = connection.headers.getlist("x-goog-api-key")
    bearer = [_bearer(value) for value in connection.headers.getlist("authorization")]
    found = [values[0] for values in (plain, bearer) if len(values) == 1]
    return [key for key in found if key]


def _bearer(header: str) -> str:
    scheme, _, key = header.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
