"""An interaction as a Response. Pure."""

from __future__ import annotations

from typing import Any

from runtime.api.compat.openai.items import Naming, output_items
from runtime.api.compat.openai.tools import openai_choice, openai_tools
from runtime.store import InteractionSummary

Json = dict[str, Any]
_STATUSES = {
    "in_progress": "in_progress",
    "requires_action": "completed",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "incomplete": "incomplete",
    "budget_exceeded": "incomplete",
}
_REASONS = {"output_limit": "max_output_tokens", "token_limit": "max_output_tokens"}  # nosec B105
_FAULTS = {
    "model_rate_limited": "rate_limit_exceeded",
    "model_rejected_request": "invalid_prompt",
    "script_mismatch": "invalid_prompt",
    "context_length_exceeded": "invalid_prompt",
}


def response_id(interaction_id: str) -> str:
    """The id of the Response that an interaction is."""
    return "resp_" + interaction_id.removeprefix("int_")


def interaction_id(identifier: str) -> str | None:
    """The id of the interaction that a Response is; None for what is no id of a Response."""
    suffix = identifier.removeprefix("resp_")
    return None if suffix == identifier else f"int_{suffix}"


def naming_of(view: Json, agent: Json | None) -> Naming:
    """How the items of an interaction are called."""
    tools = [*(view.get("tools") or []), *((agent or {}).get("tools") or [])]
    functions = frozenset(tool["name"] for tool in tools if tool["type"] == "function")
    return Naming(view["id"].removeprefix("int_"), functions, view.get("environment_id"))


def response_head(view: Json, summary: InteractionSummary) -> Json:
    """A Response without its output: what was asked for, and by whom it is answered."""
    config = view.get("generation_config") or {}
    previous = summary.previous_interaction_id
    level, shown = config.get("thinking_level"), config.get("thinking_summaries")
    return {
        "id": response_id(summary.id),
        "object": "response",
        "created_at": int(summary.created.timestamp()),
        "status": "in_progress",
        "background": summary.background,
        "error": None,
        "incomplete_details": None,
        "instructions": view.get("system_instruction"),
        "max_output_tokens": config.get("max_output_tokens"),
        "model": summary.agent or summary.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": response_id(previous) if previous else None,
        "reasoning": {"effort": level, "summary": shown},
        "store": summary.store,
        "temperature": config.get("temperature"),
        "text": {"format": _format(view.get("response_format"))},
        "tool_choice": openai_choice(config.get("tool_choice")),
        "tools": openai_tools(view.get("tools") or []),
        "top_p": config.get("top_p"),
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": summary.labels or {},
        "environment_id": summary.environment_id,
    }


def response_of(view: Json, summary: InteractionSummary, naming: Naming) -> Json:
    """The Response that an interaction is now; `view` has the model's own steps."""
    head = response_head(view, summary)
    end = int(summary.settled_at.timestamp()) if summary.settled_at else None
    output = output_items(view["steps"], naming)
    return concluded(head, summary.status, summary.usage, summary.error, output, end)


def concluded(
    head: Json,
    status: str,
    usage: Json | None,
    error: Json | None,
    output: list[Json],
    end: int | None,
) -> Json:
    """`head` with how far the run is; `end` is in seconds since 1970."""
    shown = _STATUSES[status]
    response = {**head, "status": shown, "output": output}
    if shown == "in_progress":
        return response
    response["usage"] = response_usage(usage or {})
    if shown == "completed":
        response["completed_at"] = end
    if shown == "incomplete":
        code = str((error or {}).get("code"))
        response["incomplete_details"] = {"reason": _REASONS.get(code, code)}
    if shown == "failed":
        response["error"] = response_error(error)
    return response


def response_error(error: Json | None) -> Json:
    """Why a run failed."""
    code = str((error or {}).get("code"))
    message = str((error or {}).get("message") or "The run failed.")
    return {"code": _FAULTS.get(code, "server_error"), "message": message}


def response_usage(usage: Json) -> Json:
    """Token counts, as the Responses API names them."""
    thought = usage.get("total_thought_tokens", 0)
    return {
        "input_tokens": usage.get("total_input_tokens", 0) + usage.get("total_tool_use_tokens", 0),
        "input_tokens_details": {
            "cached_tokens": usage.get("total_cached_tokens", 0),
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.get("total_output_tokens", 0) + thought,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": usage.get("total_tokens", 0),
    }


def _format(asked: Any) -> Json:
    match asked:
        case {"schema": dict(schema)}:
            name = str(schema.get("title") or "answer")
            return {"type": "json_schema", "name": name, "schema": schema, "strict": True}
        case {"mime_type": "application/json"}:
            return {"type": "json_object"}
        case _:
            return {"type": "text"}
