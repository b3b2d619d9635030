"""An upstream proxy as an operator writes it. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from runtime.errors import InvalidRequest
from runtime.outbound.hosts import Authority, bracketed, read_authority


@dataclass(frozen=True, slots=True)
class Upstream:
    """A proxy that everything goes through."""

    authority: Authority
    tls: bool
    authorization: str | None
    """The value of `Proxy-Authorization`."""


def read_upstream(url: str) -> Upstream:
    """The upstream proxy of a URL. Raises `InvalidRequest`, which does not repeat the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 3128)
    except ValueError as error:
        raise InvalidRequest("The URL of the upstream proxy cannot be read.") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        raise InvalidRequest(
            "The upstream proxy is written as http://host:port or https://host:port, "
            "with user:password@ before the host where it asks for that."
        )
    authorization = None
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(words.encode()).decode("ascii")
    authority = read_authority(f"{bracketed(parts.hostname)}:{port}")
    return Upstream(authority, parts.scheme == "https", authorization)
