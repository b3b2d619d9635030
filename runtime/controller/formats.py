"""What form of answer a request asks for. Pure, but for the check of a schema, which takes time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from runtime.controller.json_schemas import schema_problem
from runtime.errors import InvalidRequest
from runtime.schema.interactions import CreateInteraction

Json = dict[str, Any]
ANY_JSON: Json = {}
"""The schema that every JSON value is valid by."""
_KINDS = ("text", "image", "audio", "video")
_JSON, _PLAIN = "application/json", "text/plain"


@dataclass(frozen=True, slots=True)
class _Asked:
    schema: Json
    path: str


async def response_schema(request: CreateInteraction) -> Json | None:
    """The JSON Schema that the answer must satisfy, or None for free text.

    Raises `InvalidRequest`, naming the place.
    """
    asked = _asked(request)
    if asked is None:
        return None
    schema = {name: rule for name, rule in asked.schema.items() if name != "$schema"}
    problem = await anyio.to_thread.run_sync(schema_problem, schema, asked.path)
    if problem is not None:
        raise InvalidRequest(problem)
    return schema


def _asked(request: CreateInteraction) -> _Asked | None:
    mime = request.response_mime_type
    if mime not in {None, _PLAIN, _JSON}:
        raise InvalidRequest(f"response_mime_type: use '{_JSON}' or '{_PLAIN}'.")
    form, path = _only_format(request.response_format)
    if form is None:
        return _Asked(ANY_JSON, "response_mime_type") if mime == _JSON else None
    kind = form.get("type")
    if isinstance(kind, str) and kind in _KINDS:
        return _text_format(form, path, mime)
    if mime != _JSON:
        raise InvalidRequest(
            f"{path}: is no format of type {', '.join(_KINDS)}; a plain JSON Schema needs "
            f"'response_mime_type': '{_JSON}'."
        )
    return _Asked(form, path)


def _only_format(asked: Json | list[Json] | None) -> tuple[Json | None, str]:
    if not isinstance(asked, list):
        return asked, "response_format"
    for index, form in enumerate(asked):
        _refuse_media(form, f"response_format[{index}]")
    if len(asked) != 1:
        raise InvalidRequest("response_format: exactly one format is supported.")
    return asked[0], "response_format[0]"


def _refuse_media(form: Json, path: str) -> None:
    kind = form.get("type")
    if isinstance(kind, str) and kind in _KINDS and kind != "text":
        raise InvalidRequest(
            f"{path}.type: '{kind}' is not supported; answers are text. An agent can make such "
            "files with its tools."
        )


def _text_format(form: Json, path: str, mime: str | None) -> _Asked | None:
    _refuse_media(form, path)
    for name in form.keys() - {"type", "mime_type", "schema"}:
        raise InvalidRequest(f"Unknown parameter '{path}.{name}'.")
    schema = form.get("schema")
    if schema is not None and not isinstance(schema, dict):
        raise InvalidRequest(f"{path}.schema: must be a JSON Schema, an object.")
    own = form.get("mime_type")
    if own not in {None, _PLAIN, _JSON} or (own == _PLAIN and schema is not None):
        raise InvalidRequest(f"{path}.mime_type: use '{_JSON}', or '{_PLAIN}' without schema.")
    wanted = own or mime
    if own and mime and own != mime:
        raise InvalidRequest(f"response_mime_type: is '{mime}', but {path}.mime_type '{own}'.")
    if schema is not None and wanted == _PLAIN:
        raise InvalidRequest(f"response_mime_type: is '{_PLAIN}', but {path}.schema wants JSON.")
    if schema is None:
        return _Asked(ANY_JSON, path) if wanted == _JSON else None
    return _Asked(schema, f"{path}.schema")
