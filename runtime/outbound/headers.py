"""The grammar of headers that are set on the way out. Pure."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_UNSAFE_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
    | {"keep-alive", "expect", "accept-encoding", "proxy-connection", "proxy-authorization"}
)


def checked_name(name: str) -> str:
    """`name`, if it is a header that may be set. Raises `ValueError`."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("is not the name of a header")
    if name.lower() in _FRAMING:
        raise ValueError(
            "is a header that cannot be set: it says how messages are framed or routed"
        )
    return name


def checked_value(value: str) -> str:
    """`value`, if a header may hold it. Raises `ValueError`, without the value."""
    if _UNSAFE_VALUE.search(value) or value != value.strip():
        raise ValueError("the value of a header holds control characters or outer blanks")
    return value
