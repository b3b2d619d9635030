"""Turns a request into a plan: agent, model, tools, conversation, environment, limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import anyio

from runtime.controller.allowances import Allowances
from runtime.controller.attachments import Attachments
from runtime.controller.context import context_of
from runtime.controller.directories import (
    AgentDirectory,
    CredentialDirectory,
    ModelCatalog,
    ToolOffers,
)
from runtime.controller.formats import response_schema
from runtime.controller.history import Histories, History, check_results
from runtime.controller.placement import Placement, existing, fresh, named_environment
from runtime.controller.plan import AwaitedServers, RunPlan
from runtime.controller.refusals import check_request
from runtime.controller.tool_choice import choice_of
from runtime.controller.toolset import Offer, Toolset, agent_tools, model_tools
from runtime.errors import InvalidRequest, ModelNotConfigured
from runtime.schema.agents import AgentSpec
from runtime.schema.compaction import compacted
from runtime.schema.inputs import input_steps
from runtime.schema.interactions import (
    CreateInteraction,
    EnvironmentRequest,
    GenerationConfig,
    ToolChoiceConfig,
)
from runtime.schema.model import Generation
from runtime.schema.protocol import RunSpec
from runtime.schema.steps import FunctionResultStep, Step
from runtime.store import Store

_GENERATION_REFUSED = ("image_config", "speech_config", "transcription_config", "video_config")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request with nothing left to look up."""

    plan: RunPlan
    input: Any
    """The request's, as it is stored."""
    agent: str | None
    placement: Placement | None


class Resolver:
    """Looks up all that a request names."""

    def __init__(
        self,
        store: Store,
        agents: AgentDirectory,
        models: ModelCatalog,
        offers: ToolOffers,
        attachments: Attachments,
        allowances: Allowances,
        credentials: CredentialDirectory,
    ) -> None:
        self._store = store
        self._histories = Histories(store)
        self._agents = agents
        self._models = models
        self._offers = offers
        self._attachments = attachments
        self._allowances = allowances
        self._credentials = credentials

    async def resolve(
        self, project_id: str, request: CreateInteraction, interaction_id: str, moment: datetime
    ) -> Resolved:
        """The plan of `request`; what becomes nothing after all is given to `abandon`.

        Raises `InvalidRequest`, `NotFound` and `ModelNotConfigured`; nothing was changed then.
        """
        try:
            return await self._resolve(project_id, request, interaction_id, moment)
        except BaseException:
            await self.abandon(interaction_id)
            await self._attachments.discard(interaction_id)
            raise

    async def abandon(self, interaction_id: str) -> None:
        """Let go of what was opened for an interaction that will not run."""
        with anyio.CancelScope(shield=True):
            await self._offers.release(interaction_id)

    async def _resolve(
        self, project_id: str, request: CreateInteraction, interaction_id: str, moment: datetime
    ) -> Resolved:
        check_request(request)
        agent = None if request.agent is None else self._agents.get(agent_name(request.agent))
        model = self._model(request, agent)
        generation = self._generation(request.generation_config, agent, model)
        schema = await response_schema(request)
        history = await self._histories.load(project_id, request.previous_interaction_id)
        new = check_results(history.steps, input_steps(request.input))
        info = self._models.info(model)
        said = await self._attachments.take(project_id, interaction_id, request.input, info)
        if said is not request.input:
            new = check_results(history.steps, input_steps(said))
        offer = partial(self._offers.offer, interaction_id, project_id=project_id)
        tools = await _tools(request, agent, offer)
        placement = await self._place(project_id, request, agent, tools, history, new, moment)
        if placement is not None:
            await self._credentials.check(project_id, placement.credentials)
        asked = request.generation_config.tool_choice if request.generation_config else None
        spec = RunSpec(
            run_id=interaction_id,
            model=model,
            system_instruction=_instruction(request, agent),
            history=compacted([*history.steps, *new]),
            sandbox_tools=tools.sandbox,
            relayed_tools=tools.relayed,
            client_functions=tools.functions,
            tool_choice=choice_of(asked, tools),
            generation=generation,
            response_schema=schema,
            limits=self._allowances.of_run(request, agent),
            context=context_of(info, agent, history, new),
        )
        plan = RunPlan(
            project_id=project_id,
            interaction_id=interaction_id,
            spec=spec,
            environment=placement.plan if placement else None,
            awaited=_awaited(tools, asked),
        )
        named = agent_name(request.agent) if request.agent else None
        return Resolved(plan, said, named, placement)

    def _model(self, request: CreateInteraction, agent: AgentSpec | None) -> str:
        chosen = request.agent_config.model if request.agent_config else None
        name = request.model or chosen or (agent.model if agent else None) or self._models.default
        if name is None:
            raise ModelNotConfigured(
                "No model is configured. Name one as `models.default` in sandlot.yaml, or in the "
                "call, such as 'agent_config': {'type': 'antigravity', 'model': 'script/inline'}."
            )
        name = name.removeprefix("models/")
        self._models.check(name)
        return name

    def _generation(
        self, config: GenerationConfig | None, agent: AgentSpec | None, model: str
    ) -> Generation:
        found = agent.generation if agent else _generation(config)
        unsupported = self._models.unsupported(model, found)
        if unsupported is not None:
            where = f"agent '{agent.id}': generation" if agent else "generation_config"
            raise InvalidRequest(f"{where}.{unsupported[0]}: {unsupported[1]}")
        return found

    async def _place(
        self,
        project_id: str,
        request: CreateInteraction,
        agent: AgentSpec | None,
        tools: Toolset,
        history: History,
        new: list[Step],
        moment: datetime,
    ) -> Placement | None:
        asked = request.environment
        if asked is None and not tools.sandbox:
            return None
        egress = self._allowances.egress
        named = named_environment(asked)
        if asked is None:
            named = await self._continued(history, new)
        if named is not None:
            going_on = asked or EnvironmentRequest()
            return await existing(project_id, named, going_on, agent, self._store, egress)
        limits = self._allowances.of_environment(asked.limits if asked else None, agent)
        return fresh(project_id, asked, agent, moment, self._store, limits, egress)

    async def _continued(self, history: History, new: list[Step]) -> str | None:
        """The environment of a run that goes on with the results of the caller's functions.

        It is the same turn, so what the model did in its environment is still there.
        """
        previous = history.previous
        if previous is None or previous.status != "requires_action":
            return None
        if not any(isinstance(step, FunctionResultStep) for step in new):
            return None
        if previous.environment_id is None:
            return None
        record = await self._store.environments.get(previous.project_id, previous.environment_id)
        return record.id if record and record.status == "active" else None


def agent_name(asked: str) -> str:
    """The id in `asked`, which may be a resource name such as `projects/…/agents/ID`."""
    return asked.rpartition("agents/")[2] if "agents/" in asked else asked


async def _tools(request: CreateInteraction, agent: AgentSpec | None, offer: Offer) -> Toolset:
    if agent is not None:
        return await agent_tools(agent, request.tools, offer)
    has_environment = request.environment is not None
    return await model_tools(request.tools, offer, has_environment=has_environment)


def _instruction(request: CreateInteraction, agent: AgentSpec | None) -> str | None:
    """The agent's own words and its data, then the caller's words, which so have the last say."""
    own = [agent.instructions, _data(agent)] if agent else []
    parts = [*own, request.system_instruction or ""]
    return "\n\n".join(part.strip() for part in parts if part.strip()) or None


def _data(agent: AgentSpec) -> str:
    """Where the agent's data lies; all of it, also in an environment that began without it."""
    if not agent.data_sources:
        return ""
    rows = [f"- {source.target}" for source in agent.data_sources]
    return "\n".join(["# Your data\nA new workspace begins with these:", *rows])


def _awaited(tools: Toolset, asked: str | ToolChoiceConfig | None) -> AwaitedServers | None:
    return AwaitedServers(names=tools.servers, tool_choice=asked) if tools.servers else None


def _generation(config: GenerationConfig | None) -> Generation:
    if config is None:
        return Generation()
    for name in _GENERATION_REFUSED:
        if getattr(config, name) is not None:
            raise InvalidRequest(f"generation_config.{name}: is not supported yet.")
    return Generation(
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed,
        max_output_tokens=config.max_output_tokens,
        stop_sequences=config.stop_sequences,
        thinking_level=config.thinking_level,
        thinking_summaries=config.thinking_summaries,
    )
