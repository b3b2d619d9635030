"""What a call of `GET /interactions/{id}` wants to see.

Read by hand: who polls does it often, and FastAPI takes longer for four parameters than for all the
rest of such a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from runtime.errors import InvalidRequest

_FLAG = TypeAdapter(bool)
_TEXT = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def _parameter(name: str, place: str, schema: dict[str, Any], title: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": {**schema, "title": title}}


_NO = {"type": "boolean", "default": False}
LOOK_PARAMETERS: dict[str, Any] = {
    "parameters": [
        _parameter("include_input", "query", _NO, "Include Input"),
        _parameter("stream", "query", _NO, "Stream"),
        _parameter("last_event_id", "query", _TEXT, "Last Event Id"),
        _parameter("Last-Event-ID", "header", _TEXT, "Last-Event-Id"),
    ]
}
"""`openapi_extra` of a route that is called with a `Look`."""


@dataclass(frozen=True, slots=True)
class Look:
    """The interaction, or its events."""

    include_input: bool = False
    stream: bool = False
    last_event_id: str | None = None
    """Events behind this one are wanted."""


def read_look(request: Request) -> Look:
    """What the query and the headers ask for. Raises `InvalidRequest`."""
    from_header = request.headers.get("last-event-id")
    if not request.scope["query_string"]:
        return Look(last_event_id=from_header)
    query = request.query_params
    return Look(
        _flag("include_input", query.get("include_input")),
        _flag("stream", query.get("stream")),
        query.get("last_event_id") or from_header,
    )


def _flag(name: str, value: str | None) -> bool:
    if value is None:
        return False
    try:
        return _FLAG.validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise InvalidRequest(f"{name}: {problem[:1].lower()}{problem[1:]}.") from error
