"""`input` of the Responses API in the wire's steps. Pure."""

from __future__ import annotations

from typing import Any

from runtime.api.compat.messages import Conversation, content_of, function_call, text_of
from runtime.api.compat.spelling import reading
from runtime.errors import InvalidRequest

Json = dict[str, Any]
_MESSAGE_FIELDS = {"type", "role", "content", "id", "status", "phase"}


def read_input(value: str | list[Any]) -> Conversation:
    """The steps and instructions in an input. Raises `InvalidRequest`, naming the item."""
    found = Conversation()
    if isinstance(value, str):
        found.steps.append({"type": "user_input", "content": [{"type": "text", "text": value}]})
        return found
    for index, item in enumerate(value):
        with reading(f"input[{index}]"):
            _add(found, item, f"input[{index}]")
    if not found.steps:
        raise InvalidRequest("input: must have at least one item that is not an instruction.")
    return found


def _add(found: Conversation, item: Any, path: str) -> None:
    match item:
        case {"type": "message"} | {"role": _}:
            _add_message(found, item, path)
        case {"type": "function_call", "call_id": str(call_id), "name": str(name)}:
            arguments = item.get("arguments", "{}")
            found.steps.append(function_call(call_id, name, arguments, f"{path}.arguments"))
        case {"type": "function_call_output", "call_id": str(call_id), "output": output}:
            result = output if isinstance(output, str) else content_of(output, f"{path}.output")
            found.steps.append({"type": "function_result", "call_id": call_id, "result": result})
        case {"type": "reasoning"}:
            summary = [
                {"type": "text", "text": part.get("text", "")} for part in item.get("summary") or []
            ]
            found.steps.append({"type": "thought", "summary": summary})
        case {"type": "code_interpreter_call", "id": str(identifier)}:
            found.steps += _code(item, identifier)
        case {"type": "mcp_call", "id": str(identifier), "name": str(name)}:
            found.steps += _mcp(item, identifier, name, path)
        case {"type": "web_search_call", "id": str(identifier)}:
            found.steps += _search(item, identifier)
        case {"type": str(kind)}:
            raise InvalidRequest(
                f"{path}: an item of type '{kind[:80]}' cannot be read; it is not supported, or a "
                "field of it is missing."
            )
        case _:
            raise InvalidRequest(f"{path}: must be an object with a 'type' or a 'role'.")


def _add_message(found: Conversation, item: Json, path: str) -> None:
    for name in item.keys() - _MESSAGE_FIELDS:
        raise InvalidRequest(f"Unknown parameter '{path}.{name}'.")
    content = item.get("content")
    match item.get("role"):
        case "system" | "developer":
            found.instructions.append(text_of(content, f"{path}.content"))
        case "user":
            said = content_of(content, f"{path}.content")
            found.steps.append({"type": "user_input", "content": said})
        case "assistant":
            if content:
                said = content_of(content, f"{path}.content")
                found.steps.append({"type": "model_output", "content": said})
        case _:
            raise InvalidRequest(
                f"{path}.role: use one of 'system', 'developer', 'user' and 'assistant'."
            )


def _code(item: Json, identifier: str) -> list[Json]:
    logs = "".join(str(part.get("logs", "")) for part in item.get("outputs") or [])
    arguments = {"code": item.get("code") or "", "language": "python"}
    return [
        {"type": "code_execution_call", "id": identifier, "arguments": arguments},
        {"type": "code_execution_result", "call_id": identifier, "result": logs},
    ]


def _mcp(item: Json, identifier: str, name: str, path: str) -> list[Json]:
    call = function_call(identifier, name, item.get("arguments", "{}"), f"{path}.arguments")
    server = {"server_name": str(item.get("server_label") or "server")}
    error = item.get("error")
    result = {
        "type": "mcp_server_tool_result",
        "call_id": identifier,
        "name": name,
        "result": str(error if error is not None else item.get("output") or ""),
        "is_error": error is not None,
    }
    return [{**call, "type": "mcp_server_tool_call", **server}, {**result, **server}]


def _search(item: Json, identifier: str) -> list[Json]:
    action = item.get("action") or {}
    queries = action.get("queries") or [action.get("query") or ""]
    return [
        {"type": "google_search_call", "id": identifier, "arguments": {"queries": queries}},
        {"type": "google_search_result", "call_id": identifier, "result": ""},
    ]
