"""How a call of `interactions.create` is spelled on the wire, guide-style names included."""

from __future__ import annotations

from typing import Any, TypedDict


class CreateParams(TypedDict, total=False):
    """What `interactions.create` takes. Names that are not listed are sent as they are."""

    agent: str
    """The agent to run, `antigravity` for the default one."""
    agent_id: str
    """Guide-style for `agent`."""
    model: str
    """With an agent: the model that it shall use. Alone: a model to ask without an agent."""
    input: Any
    """The task: a text, a content part, or a list of content parts or steps."""
    contents: Any
    """Guide-style for `input`: texts, or `{role, parts}` objects."""
    environment: str | dict[str, Any]
    """`remote` for a new one, the id of one to go on in, or an object with sources."""
    previous_interaction_id: str
    session_id: str
    session_config: dict[str, Any]
    system_instruction: str
    tools: list[dict[str, Any]]
    generation_config: dict[str, Any]
    agent_config: dict[str, Any]
    background: bool
    store: bool
    labels: dict[str, str]


_RENAMED = {"agent_id": "agent", "contents": "input"}
_CHOOSES_ENVIRONMENT = {"environment", "session_id", "previous_interaction_id"}


def create_body(params: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """The JSON body of `POST /v1/interactions`."""
    body = {_RENAMED.get(name, name): value for name, value in params.items() if value is not None}
    if "contents" in params:
        body["input"] = _input(params["contents"])
    if "agent" in body and "model" in body:
        config = body.get("agent_config") or {"type": "antigravity"}
        body["agent_config"] = {**config, "model": body.pop("model")}
    if "agent" in body and not body.keys() & _CHOOSES_ENVIRONMENT:
        body["environment"] = "remote"
    if stream:
        body["stream"] = True
    return body


def _input(contents: Any) -> Any:
    if not isinstance(contents, list):
        return contents
    return [_input_part(part) for part in contents]


def _input_part(part: Any) -> Any:
    match part:
        case str(text):
            return {"type": "text", "text": text}
        case {"role": role, "parts": list(parts)}:
            kind = "model_output" if role == "model" else "user_input"
            return {"type": kind, "content": [_content(piece) for piece in parts]}
        case _:
            return part


def _content(piece: Any) -> Any:
    match piece:
        case str(text):
            return {"type": "text", "text": text}
        case {"text": str(text)} if "type" not in piece:
            return {"type": "text", "text": text}
        case {"inlineData": {"data": data, "mimeType": mime}}:
            return {"type": "image", "data": data, "mime_type": mime}
        case _:
            return piece
