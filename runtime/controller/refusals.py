"""Pure checks of what a request may combine; each refusal names the field. All `InvalidRequest`."""

from __future__ import annotations

from runtime.errors import InvalidRequest
from runtime.schema.interactions import CreateInteraction, FunctionTool

MAX_LABELS = 64
MAX_LABEL_CHARACTERS = 63

_NOT_SUPPORTED = (
    "cached_content",
    "safety_settings",
    "webhook_config",
    "continuation_token",
)
_MODEL_ONLY = ("generation_config", "response_format", "response_mime_type")


def check_request(request: CreateInteraction) -> None:
    """Whether the fields of `request` may stand together."""
    _check_shape(request)
    _check_storage(request)
    for name in _NOT_SUPPORTED:
        if getattr(request, name):
            raise InvalidRequest(f"{name}: is not supported yet.")
    if request.service_tier not in {None, "standard"}:
        raise InvalidRequest("service_tier: only 'standard' is supported.")
    if request.response_modalities is not None and request.response_modalities != ["text"]:
        raise InvalidRequest("response_modalities: only ['text'] is supported.")
    _check_labels(request.labels or {})


def _check_shape(request: CreateInteraction) -> None:
    if request.agent is not None and request.model is not None:
        raise InvalidRequest(
            "model: cannot be given together with 'agent'; an agent's model is chosen with "
            "'agent_config': {'type': 'antigravity', 'model': …}."
        )
    if request.agent is None and request.model is None:
        raise InvalidRequest("One of 'agent' and 'model' is required.")
    if request.agent is None:
        if request.agent_config is not None:
            raise InvalidRequest("agent_config: can only be given together with 'agent'.")
        return
    for name in _MODEL_ONLY:
        if getattr(request, name) is not None:
            raise InvalidRequest(f"{name}: cannot be given together with 'agent'.")


def _check_storage(request: CreateInteraction) -> None:
    if request.store:
        return
    if request.background:
        raise InvalidRequest("background: needs 'store' to be true.")
    if request.agent is not None and any(isinstance(t, FunctionTool) for t in request.tools or []):
        raise InvalidRequest("tools: functions of an agent need 'store' to be true.")


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        raise InvalidRequest(f"labels: at most {MAX_LABELS} are allowed.")
    for key, value in labels.items():
        if not 0 < len(key) <= MAX_LABEL_CHARACTERS or len(value) > MAX_LABEL_CHARACTERS:
            raise InvalidRequest(
                f"labels: keys and values have at most {MAX_LABEL_CHARACTERS} characters, and "
                "keys at least one."
            )
