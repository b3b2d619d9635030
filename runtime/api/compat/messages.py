"""`messages`, as chat APIs have them, in the wire's steps. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from runtime.api.compat.spelling import reading
from runtime.errors import InvalidRequest

Json = dict[str, Any]
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*;base64,(.*)", re.DOTALL)
_ROLES = "'system', 'developer', 'user', 'assistant' and 'tool'"
_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "refusal", "audio", "annotations"},
    "tool": {"role", "content", "tool_call_id", "name"},
}


@dataclass(slots=True)
class Conversation:
    """What messages mean: what was said so far, and the instructions for the whole."""

    steps: list[Json] = field(default_factory=list[Json])
    instructions: list[str] = field(default_factory=list[str])

    @property
    def instruction(self) -> str | None:
        """The instructions as one text."""
        return "\n\n".join(self.instructions) or None


def read_messages(messages: Any, path: str = "messages") -> Conversation:
    """The conversation in a list of messages. Raises `InvalidRequest`, naming the part."""
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest(f"{path}: must be a list with at least one message.")
    found = Conversation()
    for index, message in enumerate(messages):
        with reading(f"{path}[{index}]"):
            _add(found, message, f"{path}[{index}]")
    if not found.steps:
        raise InvalidRequest(f"{path}: must have at least one message that is not an instruction.")
    return found


def _add(found: Conversation, message: Any, path: str) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest(f"{path}: must be an object with 'role' and 'content'.")
    role = message.get("role")
    if role not in _FIELDS:
        raise InvalidRequest(f"{path}.role: use one of {_ROLES}.")
    for name in message.keys() - _FIELDS[role]:
        if message[name] is not None:
            raise InvalidRequest(f"Unknown parameter '{path}.{name}'.")
    match role:
        case "system" | "developer":
            found.instructions.append(text_of(message.get("content"), f"{path}.content"))
        case "user":
            content = content_of(message.get("content"), f"{path}.content")
            found.steps.append({"type": "user_input", "content": content})
        case "tool":
            found.steps.append(_tool_result(message, path))
        case _:
            found.steps += _assistant(message, path)


def _assistant(message: Json, path: str) -> list[Json]:
    steps: list[Json] = []
    if message.get("audio"):
        raise InvalidRequest(f"{path}.audio: is not supported.")
    said = message.get("content") or message.get("refusal")
    if said:
        content = content_of(said, f"{path}.content")
        steps.append({"type": "model_output", "content": content})
    for index, call in enumerate(message.get("tool_calls") or []):
        steps.append(_tool_call(call, f"{path}.tool_calls[{index}]"))
    if not steps and said is None:
        raise InvalidRequest(f"{path}.content: is missing.")
    return steps


def _tool_call(call: Any, path: str) -> Json:
    match call:
        case {"id": str(identifier), "function": {"name": str(name), "arguments": arguments}}:
            return function_call(identifier, name, arguments, f"{path}.function.arguments")
        case _:
            raise InvalidRequest(
                f"{path}: must have 'id' and 'function' with 'name' and 'arguments'."
            )


def function_call(identifier: str, name: str, arguments: Any, path: str) -> Json:
    """The step of a function call whose arguments are JSON text. Raises `InvalidRequest`."""
    value: Any = arguments
    if isinstance(arguments, str):
        try:
            value = json.loads(arguments or "{}")
        except ValueError as error:
            raise InvalidRequest(f"{path}: is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path}: must be a JSON object.")
    return {"type": "function_call", "id": identifier, "name": name, "arguments": value}


def _tool_result(message: Json, path: str) -> Json:
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str):
        raise InvalidRequest(f"{path}.tool_call_id: is missing.")
    result = text_of(message.get("content"), f"{path}.content")
    return {"type": "function_result", "call_id": call_id, "result": result}


def text_of(content: Any, path: str) -> str:
    """The text of content that can only be text. Raises `InvalidRequest`."""
    parts = content_of(content, path)
    if any(part["type"] != "text" for part in parts):
        raise InvalidRequest(f"{path}: only text is supported here.")
    return "\n".join(part["text"] for part in parts)


def content_of(content: Any, path: str) -> list[Json]:
    """A text, or parts as chat APIs spell them, in the wire's content. Raises `InvalidRequest`."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise InvalidRequest(f"{path}: must be a text, or a list with at least one part.")
    return [_part(part, f"{path}[{index}]") for index, part in enumerate(content)]


def _part(part: Any, path: str) -> Json:
    match part:
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return from_url(url, f"{path}.image_url.url")
        case {"type": "input_image" | "image_url", "image_url": str(url)}:
            return from_url(url, f"{path}.image_url")
        case {"type": "input_file"}:
            return _file(part, path)
        case {"type": "file", "file": dict(file)}:
            return _file(file, f"{path}.file")
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": str(kind)}}:
            return {"type": "audio", "data": data, "mime_type": f"audio/{kind}"}
        case {"type": "image" | "audio" | "video" | "document"}:
            return part
        case {"type": kind}:
            raise InvalidRequest(f"{path}.type: a part of type '{kind!s:.80}' cannot be read.")
        case _:
            raise InvalidRequest(f"{path}: must be an object with a 'type'.")


def _file(file: Json, path: str) -> Json:
    match file:
        case {"file_data": str(data)}:
            return from_url(data, f"{path}.file_data")
        case {"file_url": str(url)}:
            return from_url(url, f"{path}.file_url", kind="document")
        case {"file_id": str(name)}:
            return {"type": "document", "uri": f"files/{name.removeprefix('files/')}"}
        case _:
            raise InvalidRequest(f"{path}: needs 'file_data', 'file_url' or 'file_id'.")


def from_url(url: str, path: str, kind: str = "image") -> Json:
    """Content that is carried in a `data:` URL, or content of `kind` that a URI names."""
    found = _DATA_URL.fullmatch(url)
    if found is None and url.startswith(("http://", "https://")):
        return {"type": kind, "uri": url}
    if found is None:
        raise InvalidRequest(
            f"{path}: must be a URL that begins with http:// or https://, or one that holds the "
            "content: 'data:image/png;base64,…'."
        )
    kind = found[1].partition("/")[0]
    kind = kind if kind in {"image", "audio", "video"} else "document"
    return {"type": kind, "data": found[2], "mime_type": found[1]}
