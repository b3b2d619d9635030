"""Who may call: an API key, in either of the two headers that SDKs use."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from starlette.requests import HTTPConnection

from runtime.api.services import services_of
from runtime.errors import Unauthenticated

_MESSAGE = (
    "The API key is missing or not valid. Send it as 'x-goog-api-key: KEY' or "
    "'Authorization: Bearer KEY'."
)


class FixedKeys:
    """Keys known at the start."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys if key]

    def accepts(self, key: str) -> bool:
        """Whether `key` is one of them."""
        digest = _digest(key)
        # Every key is compared, so that the time says nothing about which one was close.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


async def authenticate(connection: HTTPConnection) -> None:
    """A dependency of every route but the open ones, WebSockets too. Raises `Unauthenticated`."""
    keys = services_of(connection).keys
    presented = presented_keys(connection)
    if not any(keys.accepts(key) for key in presented):
        raise Unauthenticated(_MESSAGE)


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
