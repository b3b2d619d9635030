"""Agents and models as callers see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.controller.directories import AgentDirectory, ModelCatalog
from runtime.controller.resolve import agent_name
from runtime.controller.stored_requests import open_part
from runtime.errors import InvalidRequest, NotFound
from runtime.models.port import ModelInfo
from runtime.schema.agents import AgentSpec
from runtime.schema.sandbox_tools import TOOL_GROUPS

Json = dict[str, Any]


class CatalogService:
    """What there is to be asked for by name."""

    def __init__(self, agents: AgentDirectory, models: ModelCatalog) -> None:
        self._agents = agents
        self._models = models

    def agents(self, page_size: int, page_token: str | None) -> Json:
        """A page of agents, by id. Raises `InvalidRequest`."""
        return _page("agents", [agent_view(a) for a in self._agents.list()], page_size, page_token)

    def agent(self, name: str) -> Json:
        """One agent, by id or alias. Raises `NotFound`."""
        return agent_view(self._agents.get(agent_name(name)))

    def models(self, page_size: int, page_token: str | None) -> Json:
        """A page of models, by id. Raises `InvalidRequest`."""
        entries = sorted(self._models.known(), key=lambda entry: entry.id)
        rows = [self._model(entry) for entry in entries]
        return _page("models", rows, page_size, page_token)

    def model(self, name: str) -> Json:
        """One model. Raises `NotFound`."""
        wanted = name.removeprefix("models/")
        for entry in self._models.known():
            if entry.id == wanted:
                return self._model(entry)
        known = ", ".join(sorted(entry.id for entry in self._models.known())) or "none"
        raise NotFound(f"There is no model '{wanted[:80]}'. The models are {known}.")

    def _model(self, entry: ModelInfo) -> Json:
        view: Json = {
            "name": f"models/{entry.id}",
            "id": entry.id,
            # The models resource is older than snake_case: official SDKs read these spellings.
            "displayName": entry.id,
            "description": f"{entry.target} ({entry.provider})",
            "target": entry.target,
            "provider": entry.provider,
            "default": entry.id == self._models.default,
        }
        if entry.context_tokens is not None:
            view["inputTokenLimit"] = entry.context_tokens
        return view


def agent_view(spec: AgentSpec) -> Json:
    """The Agent resource."""
    config: Json = {"type": "antigravity"}
    if spec.model is not None:
        config["model"] = spec.model
    if spec.limits.max_total_tokens is not None:
        config["max_total_tokens"] = spec.limits.max_total_tokens
    return {
        "id": spec.id,
        "aliases": spec.aliases,
        "description": spec.description,
        "system_instruction": spec.instructions,
        "tools": _tools(spec),
        "skills": [{"name": s.name, "description": s.description} for s in spec.skills],
        "agent_config": config,
        "base_environment": "remote",
    }


def _tools(spec: AgentSpec) -> list[Json]:
    groups = [
        {"type": group}
        for group, names in TOOL_GROUPS.items()
        if any(name in spec.sandbox_tools for name in names)
    ]
    functions = [{"type": "function", **tool.model_dump()} for tool in spec.functions]
    return [*groups, *functions, *map(open_part, spec.other_tools)]


def _page(field: str, rows: Sequence[Json], page_size: int, page_token: str | None) -> Json:
    start = 0
    if page_token is not None:
        ids = [row["id"] for row in rows]
        if page_token not in ids:
            raise InvalidRequest("page_token: is not one that this API gave out.")
        start = ids.index(page_token) + 1
    shown = rows[start : start + page_size]
    page: Json = {field: shown}
    if start + page_size < len(rows):
        page["next_page_token"] = shown[-1]["id"]
    return page
