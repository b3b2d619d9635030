"""Validation errors as one sentence for a caller: which field, what is wrong, what was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MAX_SHOWN = 3
MAX_READ = 100
"""So many mistakes are put into words at most; a body can have millions."""
_OBJECTS = {"dict_type", "model_type", "model_attributes_type", "dataclass_type"}


def explain(
    error: ValidationError,
    value: Any,
    *,
    known: Iterable[str] = (),
    nested: Iterable[str] = (),
    prefix: str = "",
    skip: int = 0,
) -> str:
    """What is wrong with `value`, at most `MAX_SHOWN` mistakes.

    `known` are the field names that an unknown one may have been meant for, `nested` those below
    the top; `prefix` is the path of `value` itself, and the first `skip` elements of each place
    are left out.
    """
    top, below = list(known), list(nested)
    seen: dict[str, str] = {}
    details = error.errors(include_url=False, include_context=True, include_input=False)
    for detail in details[:MAX_READ]:
        path = _path(detail["loc"], value, prefix, skip)
        names = top if len(detail["loc"]) == 1 else below
        if path not in seen:
            seen[path] = _sentence(detail, path, names)
    shown = list(seen.values())[:MAX_SHOWN]
    rest = len(seen) - len(shown) + len(details[MAX_READ:])
    return " ".join(shown) + (f" (and {rest} more)" if rest > 0 else "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing when no name is close."""
    names = list(known)
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
    with_unit = [one for one in names if one.startswith(f"{snake}_")]
    known_ones = [snake] if snake in names else with_unit
    close = known_ones or difflib.get_close_matches(snake, names, 1, 0.7)
    return f" Did you mean '{close[0]}'?" if close else ""


def _sentence(detail: ErrorDetails, path: str, known: list[str]) -> str:
    if detail["type"] == "extra_forbidden":
        name = str(detail["loc"][-1])
        return f"Unknown parameter '{path}'.{did_you_mean(name, known)}"
    message = detail["msg"]
    message = message[:1].lower() + message[1:]
    if detail["type"] == "missing":
        message = "this field is required"
    if detail["type"] in _OBJECTS:
        message = "must be an object"
    return f"{path}: {message.removeprefix('value error, ')}." if path else f"{message}."


def _path(loc: tuple[int | str, ...], value: Any, prefix: str, skip: int) -> str:
    path = prefix
    here = value
    for position, element in enumerate(loc):
        last = position == len(loc) - 1
        step, here = _descend(here, element, last=last)
        if step and position >= skip:
            path += f"[{element}]" if isinstance(element, int) else f".{element}"
    return path.removeprefix(".")


def _descend(here: Any, element: int | str, *, last: bool) -> tuple[bool, Any]:
    """Whether `element` names a place in the value, as the names of union members do not."""
    if isinstance(here, list) and isinstance(element, int) and element < len(here):
        return True, here[element]
    if isinstance(here, dict) and element in here:
        return True, here[element]
    return last and isinstance(here, dict) and element != here.get("type"), here
