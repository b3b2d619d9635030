"""Why the proxy refuses a tunnel: Chromium keeps the reason to itself, so it is asked for again."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

_SECONDS = 25.0
"""A little more than the proxy takes to find out that a server does not answer."""
_HEAD_BYTES = 16 * 1024
_STATUS = re.compile(r"HTTP/1\.[01] (\d{3}) ?([^\r\n]*)")


async def refusal(proxy: str, url: str) -> str | None:
    """The proxy's words about a tunnel to the server of `url`; None when it does not refuse it."""
    parts = urlsplit(proxy)
    target = _authority(url)
    if target is None:
        return None
    head = b""
    try:
        with anyio.move_on_after(_SECONDS):
            async with await anyio.connect_tcp(parts.hostname or "", parts.port or 0) as stream:
                await stream.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
                head = await BufferedByteReceiveStream(stream).receive_until(b"\r\n", _HEAD_BYTES)
    except (OSError, anyio.BrokenResourceError, anyio.IncompleteRead, anyio.DelimiterNotFound):
        return None
    status = _STATUS.match(head.decode("ascii", "replace"))
    return None if status is None or status[1] == "200" else status[2].strip() or None


def _authority(url: str) -> str | None:
    """`host:port` of an https URL, in ASCII; None when it has none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        name = host.encode("ascii" if ":" in host else "idna").decode("ascii")
    except ValueError:
        return None
    if not name:
        return None
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
