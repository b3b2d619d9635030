"""Identifiers: unguessable, sortable by age where it helps, checked before any use as a name."""

from __future__ import annotations

import re
import secrets
import time

_ID = re.compile(r"[a-z]{1,12}_[0-9a-z]{1,64}")
_HEX_ID = re.compile(r"[0-9a-f]{32}")


def new_id(prefix: str) -> str:
    """A fresh id, `prefix_` + 11 hex digits of milliseconds + 20 random hex digits (80 bits)."""
    return f"{prefix}_{time.time_ns() // 1_000_000:011x}{secrets.token_hex(10)}"


def new_secret(prefix: str) -> str:
    """A fresh secret with 192 random bits, url-safe."""
    return f"{prefix}_{secrets.token_urlsafe(24)}"


def is_id(text: str) -> bool:
    """Whether `text` has the shape of one of our ids, so that it may be used in a name or path."""
    return bool(_ID.fullmatch(text) or _HEX_ID.fullmatch(text))


def new_environment_id() -> str:
    """A fresh environment id: 11 hex digits of milliseconds + 21 random ones (84 bits)."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(11)[:21]}"
