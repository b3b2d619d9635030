"""Interactions as callers see them: pure functions from stored rows to the wire's JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runtime.clock import rfc3339
from runtime.schema.events import SETTLED
from runtime.store import InteractionRecord, InteractionSummary

Json = dict[str, Any]

_ECHOED = (
    "agent_config",
    "generation_config",
    "system_instruction",
    "response_format",
    "response_mime_type",
    "response_modalities",
    "service_tier",
    "session_id",
)


def interaction_head(
    summary: InteractionSummary,
    *,
    status: str | None = None,
    updated: datetime | None = None,
    usage: Json | None = None,
    error: Json | None = None,
) -> Json:
    """What is said of an interaction in the first and the last event of its log."""
    fault = error or summary.error
    return _present(
        id=summary.id,
        object="interaction",
        status=status or summary.status,
        agent=summary.agent,
        model=summary.model,
        created=rfc3339(summary.created),
        updated=rfc3339(updated or summary.updated),
        environment_id=summary.environment_id,
        previous_interaction_id=summary.previous_interaction_id,
        usage=usage or summary.usage,
        errors=[fault] if fault else None,
        error=fault,
    )


def interaction_view(
    record: InteractionRecord,
    steps: list[Json],
    *,
    input_steps: list[Json] | None = None,
    shown_input: Any = None,
) -> Json:
    """The Interaction resource; `input_steps` stand before the model's own `steps`."""
    request = record.request
    view = interaction_head(record.summary)
    view["steps"] = [*(input_steps or []), *steps]
    view.update({name: request[name] for name in _ECHOED if request.get(name) is not None})
    if request.get("tools") is not None:
        view["tools"] = [_without(tool, "headers") for tool in request["tools"]]
    if record.summary.labels:
        view["labels"] = record.summary.labels
    if request.get("environment") is not None:
        view["environment"] = _environment(request["environment"])
    if shown_input is not None:
        view["input"] = shown_input
    return view


def operation_view(
    summary: InteractionSummary, now: datetime, *, response: Json | None = None
) -> Json:
    """The operation-status view: `name`, `done`, `metadata` and, once done, how it ended."""
    view: Json = {
        "name": f"operations/{summary.id}",
        "done": summary.status in SETTLED,
        "metadata": _metadata(summary, now),
    }
    if summary.status in {"failed", "cancelled"}:
        view["error"] = summary.error or _ended(summary.status)
    elif response is not None and view["done"]:
        view["response"] = response
    return view


def _ended(status: str) -> Json:
    return {"code": status, "message": f"The interaction was {status}."}


def _metadata(summary: InteractionSummary, now: datetime) -> Json:
    end = summary.settled_at or now
    return _present(
        interaction_id=summary.id,
        status=summary.status,
        agent=summary.agent,
        model=summary.model,
        environment_id=summary.environment_id,
        background=summary.background,
        labels=summary.labels,
        created=rfc3339(summary.created),
        updated=rfc3339(summary.updated),
        progress=_present(
            steps=summary.step_count,
            last_step=summary.last_step,
            elapsed_seconds=round(max(0.0, (end - summary.created).total_seconds()), 3),
            tokens=(summary.usage or {}).get("total_tokens", 0),
        ),
    )


def _environment(asked: Any) -> Any:
    """The caller's environment again, without values that may be secret and without files."""
    if not isinstance(asked, dict):
        return asked
    shown = _without(asked, "env")
    if shown.get("sources"):
        shown["sources"] = [_without(source, "content") for source in shown["sources"]]
    return shown


def _without(value: Json, name: str) -> Json:
    return {key: item for key, item in value.items() if key != name}


def _present(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
