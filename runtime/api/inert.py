"""What agents and callers made, served so that it cannot act as a page of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNKNOWN = "application/octet-stream"
INERT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_FAMILIES = re.compile(r"(image|audio|video|font)/[a-z0-9][a-z0-9.+-]{0,99}")
_OFFICE = "application/vnd.openxmlformats-officedocument."
_PASSIVE = {
    "application/gzip",
    "application/json",
    "application/jsonl",
    "application/pdf",
    "application/x-ipynb+json",
    "application/x-ndjson",
    "application/x-tar",
    "application/yaml",
    "application/zip",
    f"{_OFFICE}presentationml.presentation",
    f"{_OFFICE}spreadsheetml.sheet",
    f"{_OFFICE}wordprocessingml.document",
    "text/csv",
    "text/markdown",
    "text/plain",
    "text/tab-separated-values",
    "text/x-python",
}


def inert_type(claimed: Any) -> str:
    """The MIME type to serve for what is said to be `claimed`: one that no browser runs.

    Everything that is not known to be passive is bytes: HTML, SVG, other XML, scripts, styles,
    and whatever is no MIME type at all.
    """
    bare = claimed.partition(";")[0].strip().lower() if isinstance(claimed, str) else ""
    is_picture = _FAMILIES.fullmatch(bare) is not None and "xml" not in bare and "svg" not in bare
    return bare if bare in _PASSIVE or is_picture else UNKNOWN


def disposition(name: str) -> str:
    """A `Content-Disposition` that no name can break out of (RFC 6266, RFC 5987)."""
    name = re.split(r"[/\\]", name)[-1] or "file"
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"%;' else "_" for c in name)
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def served(name: str) -> Mapping[str, str]:
    """The headers of a file that is served under `name`."""
    return {**INERT_HEADERS, "Content-Disposition": disposition(name)}


class NoSniffing:
    """Says in every answer that its type is to be believed: errors and lists hold foreign text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add to the head of its answer."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("X-Frame-Options", "DENY")
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)
