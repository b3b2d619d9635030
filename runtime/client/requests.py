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
    messages: list[dict[str, Any]]
    """Chat-style for `input`: `{role, content}` objects."""
    environment: str | dict[str, Any]
    """`remote` for a new one, the id of one to go on in, or an object with sources."""
    previous_interaction_id: str
    session_id: str
    """The session to go on in; with it, `contents` is enough."""
    session_config: dict[str, Any]
    """Opens a session: `{"ttl": "3600s"}`."""
    schemaVersion: str
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
        body.update(_said(body.pop("input", None)))
    if "agent" in body and "model" in body:
        config = body.get("agent_config") or {"type": "antigravity"}
        body["agent_config"] = {**config, "model": body.pop("model")}
    if "agent" in body and not body.keys() & _CHOOSES_ENVIRONMENT:
        body["environment"] = "remote"
    if stream:
        body["stream"] = True
    return body


def _said(contents: Any) -> dict[str, Any]:
    """`contents` as input; what holds more than text is left to the controller to read."""
    if not isinstance(contents, list):
        return {"input" if isinstance(contents, str) else "contents": contents}
    try:
        return {"input": [_input_part(part) for part in contents]}
    except _NotPlain:
        return {"contents": contents}


class _NotPlain(Exception):
    """A part is not text and not in the wire's form."""


def _input_part(part: Any) -> Any:
    match part:
        case {"role": role, "parts": list(parts)}:
            kind = "model_output" if role == "model" else "user_input"
            return {"type": kind, "content": [_content(piece) for piece in parts]}
        case _:
            return _content(part)


def _content(piece: Any) -> Any:
    match piece:
        case str(text):
            return {"type": "text", "text": text}
        case {"type": str()}:
            return piece
        case {"text": str(text)} if len(piece) == 1:
            return {"type": "text", "text": text}
        case _:
            raise _NotPlain
