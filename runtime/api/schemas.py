"""What routes say to the OpenAPI document about bodies and streams that FastAPI cannot see."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Extra = dict[str, Any]
_TEXT: Extra = {"type": "string"}
_EVENT: Extra = {
    "type": "object",
    "description": "One server-sent event; its `data` is JSON, or `[DONE]` at the end.",
    "properties": {"id": _TEXT, "event": _TEXT, "data": _TEXT},
    "required": ["data"],
}
EVENTS: Extra = {"text/event-stream": {"schema": _EVENT}}
"""The content of an answer that may be a stream of events."""
BYTES: Extra = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
"""The content of an answer, or a body, that is a file."""
UPLOAD_HEADERS: Extra = {
    "X-Goog-Upload-URL": {"description": "Where a resumable upload goes on.", "schema": _TEXT},
    "X-Goog-Upload-Status": {"schema": {"enum": ["active", "final"]}},
    "X-Goog-Upload-Size-Received": {"schema": {"type": "integer"}},
}
"""Headers of the answers to uploads."""


def json_body(*models: type[BaseModel], required: bool = True) -> Extra:
    """`openapi_extra` of a route that takes JSON of one of these types."""
    schemas = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": required, "content": content}}


def bytes_body() -> Extra:
    """`openapi_extra` of a route that takes the bytes of a file."""
    return {"requestBody": {"required": False, "content": BYTES}}
