"""How many tokens the providers' models read, as far as that is known. Pure."""

from __future__ import annotations

import re

_WINDOWS = {
    "google": (
        (r"gemma", 131_072),
        (r"gemini-1\.5-pro", 2_097_152),
        (r"", 1_048_576),
    ),
    "openai": (
        (r"gpt-3\.5", 16_385),
        (r"gpt-4(-\d{4}|$)", 8_192),
        (r"gpt-4\.1", 1_047_576),
        (r"gpt-5", 272_000),
        (r"o\d", 200_000),
        (r"", 128_000),
    ),
    "anthropic": ((r"", 200_000),),
    "script": ((r"", 1_000_000),),
}
"""By kind of provider: how a model's name begins, and what it reads; the first that fits counts."""


def window_of(kind: str, model: str) -> int | None:
    """The tokens of input that a model reads; None where nobody knows."""
    found = (size for start, size in _WINDOWS.get(kind, ()) if re.match(start, model))
    return next(found, None)
