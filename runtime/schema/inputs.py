"""The `input` of a request in its many forms, as steps."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pydantic import ValidationError

from runtime.errors import InvalidRequest
from runtime.schema.content import Content, TextContent
from runtime.schema.faults import explain
from runtime.schema.steps import CONTENTS, STEP, Step, UserInputStep

CONTENT_TYPES = frozenset({"text", "image", "audio", "video", "document"})
STEP_TYPES = frozenset(
    {
        "user_input",
        "model_output",
        "thought",
        "function_call",
        "function_result",
        "code_execution_call",
        "code_execution_result",
        "google_search_call",
        "google_search_result",
        "url_context_call",
        "url_context_result",
        "mcp_server_tool_call",
        "mcp_server_tool_result",
    }
)


def input_steps(value: Any) -> list[Step]:
    """The steps that `input` means: text and content become one `user_input` step.

    Raises `InvalidRequest`, naming the part that cannot be read.
    """
    match value:
        case str():
            return [UserInputStep(content=[TextContent(text=value)])]
        case dict():
            return _items([value], "input", single=True)
        case list() if value:
            return _items(value, "input", single=False)
        case list():
            raise InvalidRequest("input: must not be empty.")
        case _:
            raise InvalidRequest(
                "input: must be a text, a content part, or a list of content parts or steps."
            )


def _items(items: list[Any], where: str, *, single: bool) -> list[Step]:
    steps: list[Step] = []
    content: list[Content] = []
    for index, item in enumerate(items):
        path = where if single else f"{where}[{index}]"
        kind = _kind(item, path)
        if kind in CONTENT_TYPES:
            content.append(_content(item, path))
            continue
        if content:
            steps.append(UserInputStep(content=content))
            content = []
        steps.append(_step(item, path))
    if content:
        steps.append(UserInputStep(content=content))
    return steps


def _kind(item: Any, path: str) -> str:
    if not isinstance(item, dict):
        raise InvalidRequest(f"{path}: must be an object with a `type`.")
    kind = item.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(
            f"{path}.type: is missing; it says what kind of content or step it is."
        )
    if kind not in CONTENT_TYPES and kind not in STEP_TYPES:
        raise InvalidRequest(
            f"{path}.type: '{kind}' is not known; use one of "
            f"{', '.join(sorted(CONTENT_TYPES))}, {', '.join(sorted(STEP_TYPES))}."
        )
    return kind


def _content(item: Any, path: str) -> Content:
    try:
        (part,) = CONTENTS.validate_python([item], strict=True)
    except ValidationError as error:
        raise InvalidRequest(explain(error, [item], prefix=path, skip=1)) from error
    _check_media(part, path)
    return part


def _step(item: Any, path: str) -> Step:
    try:
        step = STEP.validate_python(item, strict=True)
    except ValidationError as error:
        raise InvalidRequest(explain(error, item, prefix=path)) from error
    for index, part in enumerate(getattr(step, "content", None) or []):
        _check_media(part, f"{path}.content[{index}]")
    return step


def _check_media(part: Content, path: str) -> None:
    if isinstance(part, TextContent):
        return
    if part.data is None:
        raise InvalidRequest(f"{path}.data: is missing; only content sent inline is supported.")
    if not part.mime_type:
        raise InvalidRequest(f"{path}.mime_type: is missing.")
    try:
        decoded = base64.b64decode(part.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{path}.data: is not valid base64.") from error
    if not decoded:
        raise InvalidRequest(f"{path}.data: is empty.")
