"""Guide-style calls of `POST /interactions`, in the wire's shape. Pure.

A guide-style call has other names (`agent_id`, `contents`, `schemaVersion`, camelCase), and may
have a session. The wire's own names mean the same in it; one thing said in two ways is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from runtime.api.compat.legacy import is_old_input, read_turns
from runtime.api.compat.messages import read_messages
from runtime.api.compat.parts import input_of_contents
from runtime.api.compat.spelling import reading, respell, snake_keys
from runtime.api.compat.spelling import tools as spell_tools
from runtime.controller.sessions import MAX_TTL_SECONDS, SessionCall
from runtime.errors import InvalidRequest

Json = dict[str, Any]
REVISION = "2026-05-20"
"""The revision of the present shape: an answer has `steps`. Before it, it had `outputs`."""
VERSIONS = (REVISION, "v1", "v1beta", "v1alpha", "v1beta1")
"""Values of `schemaVersion`; all of them are the present shape."""

_RENAMED = {
    "agent_id": "agent",
    "agentId": "agent",
    "agentConfig": "agent_config",
    "sessionId": "session_id",
    "sessionConfig": "session_config",
    "schema_version": "schemaVersion",
    "generationConfig": "generation_config",
    "systemInstruction": "system_instruction",
    "previousInteractionId": "previous_interaction_id",
    "responseFormat": "response_format",
    "responseMimeType": "response_mime_type",
    "responseModalities": "response_modalities",
    "serviceTier": "service_tier",
    "environment_config": "environment",
    "environmentConfig": "environment",
    "env_id": "environment",
    "environment_id": "environment",
    "toolConfig": "tool_config",
}
_OWN = {"contents", "messages", "session_id", "session_config", "schemaVersion", "tool_config"}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TTL = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s?")


@dataclass(frozen=True, slots=True)
class GuideCall:
    """A guide-style call: the wire's body, its session, and the shape of the answer."""

    body: Json
    session: SessionCall | None
    is_old: bool


def read_guide(body: Any, revision: str | None = None) -> GuideCall | None:
    """The call in `body`; None for one in the wire's own shape.

    `revision` is the header `Api-Revision`. Raises `InvalidRequest`, naming the field.
    """
    reads_outputs = is_before(revision)
    if not isinstance(body, dict) or not (is_guide_style(body) or reads_outputs):
        return None
    asked = respell(body, _RENAMED)
    version = _version(asked.pop("schemaVersion", None))
    is_old = version is None and (reads_outputs or is_old_input(asked.get("input")))
    session = _session(asked.pop("session_id", None), asked.pop("session_config", None))
    _read_input(asked)
    _read_instruction(asked)
    _read_tools(asked)
    with reading("generation_config"):
        _read_generation(asked)
    if asked.get("agent") is not None and asked.get("model") is not None:
        config = asked.get("agent_config") or {"type": "antigravity"}
        with reading("agent_config"):
            asked["agent_config"] = {**config, "model": asked.pop("model")}
    return GuideCall(asked, session, is_old)


def is_before(revision: str | None) -> bool:
    """Whether the header `Api-Revision` names one from before the present shape."""
    return revision is not None and bool(_DATE.fullmatch(revision)) and revision < REVISION


def is_guide_style(body: Json) -> bool:
    """Whether something in `body` is not the wire's own way to say it."""
    if body.keys() & (_RENAMED.keys() | _OWN):
        return True
    tools = body.get("tools")
    untyped = isinstance(tools, list) and any(
        isinstance(tool, dict) and tool and "type" not in tool for tool in tools
    )
    is_parts = isinstance(body.get("system_instruction"), dict)
    return untyped or is_parts or is_old_input(body.get("input"))


def _version(asked: Any) -> str | None:
    if asked is None or (isinstance(asked, str) and asked in VERSIONS):
        return asked
    raise InvalidRequest(
        f"schemaVersion: '{str(asked)[:80]}' is not known; use one of {', '.join(VERSIONS)}, or "
        "leave it out: a call in an older shape is answered in that shape then."
    )


def _session(session_id: Any, config: Any) -> SessionCall | None:
    if session_id is None and config is None:
        return None
    if session_id is not None and not isinstance(session_id, str):
        raise InvalidRequest("session_id: must be the id of a session, a text.")
    if config is not None and not isinstance(config, dict):
        raise InvalidRequest("session_config: must be an object, such as {'ttl': '3600s'}.")
    for name in (config or {}).keys() - {"ttl"}:
        raise InvalidRequest(f"Unknown parameter 'session_config.{str(name)[:80]}'.")
    return SessionCall(session_id, _seconds((config or {}).get("ttl")))


def _seconds(ttl: Any) -> float | None:
    if ttl is None:
        return None
    found = None if isinstance(ttl, bool) else _TTL.fullmatch(str(ttl))
    if found is None or not 1 <= float(found[1]) <= MAX_TTL_SECONDS:
        raise InvalidRequest(
            "session_config.ttl: must be seconds, such as '3600s', from 1 to "
            f"{MAX_TTL_SECONDS:.0f}."
        )
    return float(found[1])


def _read_input(asked: Json) -> None:
    given = [name for name in ("input", "contents", "messages") if asked.get(name) is not None]
    if len(given) > 1:
        raise InvalidRequest(f"{given[1]}: cannot be given together with '{given[0]}'.")
    contents, messages = asked.pop("contents", None), asked.pop("messages", None)
    if contents is not None:
        asked["input"] = input_of_contents(contents)
    elif messages is not None:
        found = read_messages(messages)
        asked["input"] = found.steps
        if found.instruction and asked.get("system_instruction"):
            raise InvalidRequest("messages: has a system message beside 'system_instruction'.")
        if found.instruction:
            asked["system_instruction"] = found.instruction
    elif is_old_input(asked.get("input")):
        asked["input"] = read_turns(asked["input"])


def _read_instruction(asked: Json) -> None:
    value = asked.get("system_instruction")
    if not isinstance(value, dict):
        return
    parts = value.get("parts")
    texts = [
        part.get("text") if isinstance(part, dict) else part
        for part in (parts if isinstance(parts, list) else [parts])
    ]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("system_instruction.parts: must be texts.")
    asked["system_instruction"] = "\n\n".join(str(text) for text in texts)


def _read_tools(asked: Json) -> None:
    if isinstance(asked.get("tools"), list):
        asked["tools"] = spell_tools(asked["tools"])


def _read_generation(asked: Json) -> None:
    choice = asked.pop("tool_config", None)
    config = asked.get("generation_config")
    if config is None and choice is None:
        return
    if not isinstance(config, dict | None):
        raise InvalidRequest("generation_config: must be an object.")
    config = snake_keys(config or {})
    _read_thinking(config)
    if choice is not None:
        config["tool_choice"] = _tool_choice(choice)
    if config.get("candidate_count") == 1:
        del config["candidate_count"]
    for name in ("response_schema", "response_json_schema"):
        if name in config:
            asked["response_format"] = config.pop(name)
            asked.setdefault("response_mime_type", "application/json")
    if "response_mime_type" in config:
        asked["response_mime_type"] = config.pop("response_mime_type")
    if config:
        asked["generation_config"] = config
    else:
        asked.pop("generation_config", None)


def _read_thinking(config: Json) -> None:
    thinking = config.pop("thinking_config", None)
    if thinking is None:
        return
    path = "generation_config.thinking_config"
    if not isinstance(thinking, dict):
        raise InvalidRequest(f"{path}: must be an object.")
    thinking = snake_keys(thinking)
    level, shown = thinking.pop("thinking_level", None), thinking.pop("include_thoughts", None)
    for name in thinking:
        raise InvalidRequest(f"{path}.{name}: is not supported; use 'thinkingLevel'.")
    if level is not None:
        config["thinking_level"] = str(level).lower()
    if shown is not None:
        config["thinking_summaries"] = "auto" if shown else "none"


def _tool_choice(choice: Any) -> Any:
    calling = snake_keys(choice).get("function_calling_config") if isinstance(choice, dict) else {}
    calling = snake_keys(calling) if isinstance(calling, dict) else {}
    names, mode = calling.pop("allowed_function_names", None), calling.pop("mode", None)
    if calling or not isinstance(mode, str):
        raise InvalidRequest("toolConfig: must be {'functionCallingConfig': {'mode': …}}.")
    if names is None:
        return mode.lower()
    return {"allowed_tools": {"mode": mode.lower(), "tools": names}}
