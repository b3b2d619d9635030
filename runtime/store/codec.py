"""JSON as the database keeps it: always valid Unicode, always finite numbers.

What a guest sends may hold lone surrogates, `NaN` and infinities; none of them has a place in the
JSON that callers read, so they are mended here, once, on the way in.
"""

from __future__ import annotations

import json
import math
from typing import Any


def dumps(value: Any) -> str:
    """Compact JSON text of `value`, with lone surrogates and numbers that are none replaced."""
    try:
        text = _encode(value)
    except ValueError:
        text = _encode(_finite(value))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Through UTF-16 a pair of surrogates becomes the character it means.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def loads(text: str | bytes) -> Any:
    """The value of JSON text from the database."""
    return json.loads(text)


def _encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
