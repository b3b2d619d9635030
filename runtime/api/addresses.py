"""Addresses: which spellings of a path mean the same, and by which host names we may be called.

SDKs and gateways differ in API version, in project prefixes, in doubled slashes; the routes know
one spelling.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Set
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.api.faults import fault_response
from runtime.errors import PermissionDenied

_VERSIONS = frozenset({"v1", "v1beta", "v1alpha", "v1beta1"})
_QUERY = {
    b"pageSize": b"page_size",
    b"pageToken": b"page_token",
    b"includeInput": b"include_input",
    b"lastEventId": b"last_event_id",
}


def canonical_path(path: str) -> str:
    """The one spelling of a path: `/v1/…` or `/upload/v1/…`, no project, no doubled slash."""
    parts = [part for part in path.split("/") if part]
    while len(parts) > 1 and parts[0] in _VERSIONS and parts[1] in {*_VERSIONS, "upload"}:
        parts = parts[1:]
    upload = parts[:1] if parts[:1] == ["upload"] else []
    parts = parts[len(upload) :]
    if not parts or parts[0] not in _VERSIONS:
        return "/" + "/".join([*upload, *parts])
    rest = parts[1:]
    if len(rest) > 4 and rest[0] == "projects" and rest[2] == "locations":
        rest = rest[4:]
    return "/" + "/".join([*upload, "v1", *rest])


def canonical_query(query: bytes) -> bytes:
    """The query with the documented camelCase names in the SDKs' snake_case."""
    pairs = [pair.partition(b"=") for pair in query.split(b"&")] if query else []
    return b"&".join(_QUERY.get(name, name) + mark + value for name, mark, value in pairs)


class Addresses:
    """Brings every request to the one spelling that the routes know."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "lifespan":
            scope = {
                **scope,
                "path": canonical_path(scope["path"]),
                "query_string": canonical_query(scope["query_string"]),
            }
        await self._app(scope, receive, send)


class KnownHosts:
    """Refuses calls under a foreign name, which is how web pages reach a controller on loopback."""

    def __init__(self, app: ASGIApp, bound_to: str, more: Set[str] = frozenset()) -> None:
        self._app = app
        self._guarded = is_loopback(bound_to)
        self._more = {name.lower() for name in {*more, bound_to}}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "lifespan" and self._guarded:
            foreign = self._foreign(Headers(scope=scope))
            if foreign is not None:
                error = PermissionDenied(
                    f"This controller does not answer to '{foreign[:100]}'; call it by its "
                    "loopback address, or add the name to its allowed hosts."
                )
                await fault_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _foreign(self, headers: Headers) -> str | None:
        hosts = headers.getlist("host")
        names = [host_name(f"//{host}") for host in hosts]
        names += [host_name(origin) for origin in headers.getlist("origin")]
        for name in names:
            if not is_loopback(name) and name not in self._more:
                return name
        return None if len(hosts) < 2 else ", ".join(hosts)


@lru_cache(maxsize=128)
def host_name(url: str) -> str:
    """The host in a URL, lower-case, without port; the text itself where there is none."""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


@lru_cache(maxsize=128)
def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if re.fullmatch(r"(?i)localhost\.?", name):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
