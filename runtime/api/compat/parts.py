"""`contents` and `parts`, as `generateContent` has them, in the wire's steps and content. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runtime.api.compat.spelling import reading
from runtime.errors import InvalidRequest

Json = dict[str, Any]
_ROLES = {"user": "user_input", "function": "user_input", "model": "model_output"}
_KNOWN = (
    "text, inlineData, fileData, functionCall, functionResponse, executableCode, "
    "codeExecutionResult"
)


def input_of_contents(contents: Any, path: str = "contents") -> Any:
    """The `input` that `contents` means: content where nobody is quoted, else steps.

    Raises `InvalidRequest`, naming the part that cannot be read.
    """
    if isinstance(contents, str):
        return contents
    items = contents if isinstance(contents, list) else [contents]
    if not items:
        raise InvalidRequest(f"{path}: must not be empty.")
    builder = StepBuilder()
    for index, item in enumerate(items):
        place = f"{path}[{index}]" if isinstance(contents, list) else path
        with reading(place):
            _add(builder, item, place)
    return builder.steps


def _add(builder: StepBuilder, item: Any, path: str) -> None:
    match item:
        case str():
            builder.say("user_input", {"type": "text", "text": item}, joined=True)
        case {"type": str()}:
            builder.raw(item)
        case {"role": _} | {"parts": _}:
            _add_content(builder, item, path)
        case dict():
            builder.joined = True
            _add_part(builder, "user_input", item, path)
        case _:
            raise InvalidRequest(f"{path}: must be a text, or an object with 'role' and 'parts'.")


def _add_content(builder: StepBuilder, item: Json, path: str) -> None:
    for name in item.keys() - {"role", "parts"}:
        raise InvalidRequest(f"Unknown parameter '{path}.{name}'.")
    role, parts = item.get("role", "user"), item.get("parts")
    if role not in _ROLES:
        raise InvalidRequest(f"{path}.role: use 'user' or 'model'.")
    if isinstance(parts, str | dict):
        parts = [parts]
    if not isinstance(parts, list) or not parts:
        raise InvalidRequest(f"{path}.parts: must be a list with at least one part.")
    builder.joined = False
    for index, part in enumerate(parts):
        _add_part(builder, _ROLES[role], part, f"{path}.parts[{index}]")
        builder.joined = True


def _add_part(builder: StepBuilder, kind: str, part: Any, path: str) -> None:
    match _snake(part):
        case str(text):
            builder.say(kind, {"type": "text", "text": text})
        case {"text": str(text), "thought": True}:
            builder.raw({"type": "thought", "summary": [{"type": "text", "text": text}]})
        case {"text": str(text)}:
            builder.say(kind, {"type": "text", "text": text})
        case {"inline_data": dict(blob)} | {"file_data": dict(blob)}:
            builder.say(kind, _media(_snake(blob), path))
        case {"function_call": dict(call)}:
            builder.call(call, path)
        case {"function_response": dict(answer)}:
            builder.answer(_snake(answer), path)
        case {"executable_code": dict(code)}:
            builder.code(code, path)
        case {"code_execution_result": dict(result)}:
            builder.code_result(result)
        case {"type": str()}:
            builder.say(kind, part)
        case _:
            raise InvalidRequest(f"{path}: cannot be read; a part is a text or one of {_KNOWN}.")


def media_type(mime_type: str) -> str:
    """The kind of content that a MIME type is."""
    kind = mime_type.partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "document"


def _media(blob: Json, path: str) -> Json:
    mime = blob.get("mime_type")
    if not isinstance(mime, str):
        raise InvalidRequest(f"{path}: 'mimeType' is missing.")
    source = {"uri": blob["file_uri"]} if "file_uri" in blob else {"data": blob.get("data")}
    return {"type": media_type(mime), "mime_type": mime, **source}


_CAMEL = {
    "inlineData": "inline_data",
    "fileData": "file_data",
    "fileUri": "file_uri",
    "mimeType": "mime_type",
    "functionCall": "function_call",
    "functionResponse": "function_response",
    "executableCode": "executable_code",
    "codeExecutionResult": "code_execution_result",
    "displayName": "display_name",
}


def _snake(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {_CAMEL.get(name, name): item for name, item in value.items()}


@dataclass(slots=True)
class StepBuilder:
    """Puts steps together; content of the same speaker that belongs together becomes one step."""

    steps: list[Json] = field(default_factory=list[Json])
    joined: bool = False
    """Whether the next content belongs to the step before it."""
    _waiting: list[Json] = field(default_factory=list[Json])

    def say(self, kind: str, content: Json, *, joined: bool | None = None) -> None:
        """Content of one speaker."""
        together = self.joined if joined is None else joined
        if together and self.steps and self.steps[-1].get("type") == kind:
            self.steps[-1]["content"].append(content)
            return
        self.steps.append({"type": kind, "content": [content]})

    def raw(self, item: Json) -> None:
        """A step, or content of the caller, that is in the wire's form already."""
        if item["type"] in {"text", "image", "audio", "video", "document"}:
            self.say("user_input", item, joined=True)
        else:
            self.steps.append(item)

    def call(self, call: Json, path: str) -> None:
        """A function call; without an id it gets one."""
        name = call.get("name")
        if not isinstance(name, str):
            raise InvalidRequest(f"{path}.functionCall.name: is missing.")
        identifier = call.get("id") or f"call_{len(self.steps)}"
        step: Json = {
            "type": "function_call",
            "id": identifier,
            "name": name,
            "arguments": call.get("args") or {},
        }
        self.steps.append(step)
        self._waiting.append(step)

    def answer(self, answer: Json, path: str) -> None:
        """The result of a function; without an id, of the first call of that name above."""
        name, identifier = answer.get("name"), answer.get("id")
        if identifier is None:
            identifier = next((c["id"] for c in self._waiting if c["name"] == name), None)
        if identifier is None:
            raise InvalidRequest(
                f"{path}.functionResponse.id: is missing; it is the id of the function call that "
                "this answers."
            )
        self._waiting = [call for call in self._waiting if call["id"] != identifier]
        result = {"type": "function_result", "call_id": identifier, "name": name}
        result["result"] = answer.get("response")
        self.steps.append({key: value for key, value in result.items() if value is not None})

    def code(self, code: Json, path: str) -> None:
        """Code that was run."""
        if not isinstance(code.get("code"), str):
            raise InvalidRequest(f"{path}.executableCode.code: is missing.")
        language = str(code.get("language") or "python").lower()
        identifier = code.get("id") or f"code_{len(self.steps)}"
        arguments = {"code": code["code"], "language": language}
        self.steps.append({"type": "code_execution_call", "id": identifier, "arguments": arguments})

    def code_result(self, result: Json) -> None:
        """What the code run last gave."""
        calls = [step["id"] for step in self.steps if step["type"] == "code_execution_call"]
        failed = result.get("outcome") not in {None, "OUTCOME_OK"}
        self.steps.append(
            {
                "type": "code_execution_result",
                "call_id": result.get("id") or (calls[-1] if calls else "code_0"),
                "result": str(result.get("output") or ""),
                "is_error": failed,
            }
        )
