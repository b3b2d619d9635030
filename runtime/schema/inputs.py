"""The `input` of a request in its many forms, as steps."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from runtime.errors import InvalidRequest
from runtime.schema.content import Content, TextContent
from runtime.schema.faults import explain
from runtime.schema.media import TYPES, canonical, kind_of
from runtime.schema.steps import CONTENTS, STEP, Step, UserInputStep, as_result

CONTENT_TYPES = frozenset({"text", "image", "audio", "video", "document"})
MEDIA_TYPES = CONTENT_TYPES - {"text"}
MAX_URI_CHARACTERS = 4000
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
    _check_result(step, path)
    return step


def _check_result(step: Step, path: str) -> None:
    value: Any = getattr(step, "result", None)
    if not isinstance(value, list):
        return
    try:
        found = as_result(step)
    except ValidationError as error:
        raise InvalidRequest(explain(error, value, prefix=f"{path}.result")) from error
    for index, part in enumerate(found[1].content if found else []):
        _check_media(part, f"{path}.result[{index}]")


def _check_media(part: Content, path: str) -> None:
    """The form of a picture, a sound, a film or a document; its bytes are looked at when taken."""
    if isinstance(part, TextContent):
        return
    if part.data is not None and part.uri is not None:
        raise InvalidRequest(f"{path}: give one of `data` and `uri`, not both.")
    if part.data is None and part.uri is None:
        raise InvalidRequest(f"{path}.data: is missing; give base64 as `data`, or a `uri`.")
    if not (part.data or part.uri):
        raise InvalidRequest(f"{path}.{'uri' if part.data is None else 'data'}: is empty.")
    if len(part.uri or "") > MAX_URI_CHARACTERS and not (part.uri or "").startswith("data:"):
        raise InvalidRequest(f"{path}.uri: has at most {MAX_URI_CHARACTERS} characters.")
    if part.mime_type is not None:
        check_type(part.type, part.mime_type, f"{path}.mime_type")


def check_type(kind: str, mime_type: str, path: str) -> str:
    """The canonical MIME type of content of a kind. Raises `InvalidRequest` for one of another."""
    found = canonical(mime_type)
    other = kind_of(found)
    if other == kind:
        return found
    if other is not None:
        article = "an" if other[0] in "aeiou" else "a"
        raise InvalidRequest(
            f"{path}: '{found}' is {article} {other}; give it with 'type': '{other}'."
        )
    known = ", ".join(sorted(TYPES[kind]))
    more = ", text/* and other types of text" if kind == "document" else ""
    raise InvalidRequest(f"{path}: '{found[:80]}' is not known; use one of {known}{more}.")


def media_parts(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Every picture, sound, film and document in an `input` that can be read, with its path."""
    if isinstance(value, dict):
        return _media_of(value, "input")
    if not isinstance(value, list):
        return []
    return [found for n, item in enumerate(value) for found in _media_of(item, f"input[{n}]")]


def _media_of(item: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(item, dict):
        return []
    if item.get("type") in MEDIA_TYPES:
        return [(path, item)]
    found: list[tuple[str, dict[str, Any]]] = []
    for name in ("content", "result", "summary"):
        parts = item.get(name)
        if isinstance(parts, list):
            for number, part in enumerate(parts):
                if isinstance(part, dict) and part.get("type") in MEDIA_TYPES:
                    found.append((f"{path}.{name}[{number}]", part))
    return found
