"""The API's resources as the OpenAPI document shows them. Answers are made by the controller."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from runtime.schema.base import Open
from runtime.schema.steps import Step
from runtime.schema.usage import Usage

Status = Literal[
    "in_progress",
    "requires_action",
    "completed",
    "failed",
    "cancelled",
    "incomplete",
    "budget_exceeded",
]


class Fault(Open):
    """What went wrong: a code for programs, a sentence for people."""

    code: str
    message: str


class ErrorBody(Open):
    """The body of every answer that is not a success."""

    error: Fault


class Interaction(Open):
    """One call and everything that came of it."""

    id: str
    object: Literal["interaction"] = "interaction"
    status: Status
    agent: str | None = None
    model: str | None = None
    created: str
    updated: str
    environment_id: str | None = None
    previous_interaction_id: str | None = None
    steps: list[Step] = Field(default_factory=list[Step])
    usage: Usage | None = None
    errors: list[Fault] | None = None
    labels: dict[str, str] | None = None
    input: Any = None
    """Only with `include_input`."""


class Progress(Open):
    """How far a run is."""

    steps: int
    last_step: str | None = None
    """Type of the step that began last, with the tool's name where it has one."""
    elapsed_seconds: float
    tokens: int


class OperationMetadata(Open):
    """What is known of an operation at any time."""

    interaction_id: str
    status: Status
    agent: str | None = None
    model: str | None = None
    environment_id: str | None = None
    background: bool
    labels: dict[str, str] | None = None
    created: str
    updated: str
    progress: Progress


class Operation(Open):
    """An interaction seen as a long-running operation."""

    name: str
    """`operations/` and the id of the interaction."""
    done: bool
    metadata: OperationMetadata
    response: Interaction | None = None
    """Once it is done, unless it failed or was cancelled; not in lists."""
    error: Fault | None = None


class OperationPage(Open):
    """Operations, newest first."""

    operations: list[Operation]
    next_page_token: str | None = None


class Agent(Open):
    """An agent that can be run."""

    id: str
    aliases: list[str]
    description: str
    system_instruction: str
    tools: list[dict[str, Any]]
    skills: list[dict[str, str]]
    agent_config: dict[str, Any]
    base_environment: str


class AgentPage(Open):
    """Agents by id."""

    agents: list[Agent]
    next_page_token: str | None = None


class Model(Open):
    """A model that can be asked for by name."""

    name: str
    id: str
    target: str
    provider: str
    default: bool


class ModelPage(Open):
    """Models by id."""

    models: list[Model]
    next_page_token: str | None = None


class Health(Open):
    """Whether the controller can work, and what keeps it from it."""

    status: Literal["ok", "ready", "not_ready"]
    version: str | None = None
    checks: dict[str, str] | None = None


class Environment(Open):
    """A workspace with its network rules."""

    id: str
    object: Literal["environment"] = "environment"
    status: str
    created: str
    updated: str
    last_accessed: str
    network: Any = None
    sources: list[dict[str, Any]] | None = None
    limits: dict[str, float] | None = None
    """What it was given that is less than the operator allows."""


class EnvironmentPage(Open):
    """Environments, newest first."""

    environments: list[Environment]
    next_page_token: str | None = None


class NetworkEvent(Open):
    """One decision of the egress proxy, told when what came of it was over."""

    time: str
    kind: str
    """`tunnel`: bytes that nobody read; `http`; `https` that was read, to set headers."""
    host: str
    port: int
    method: str | None = None
    rule: str | None = None
    """The entry of the allowlist that decided."""
    verdict: str
    """`allowed`, `refused`, `failed` (allowed, but came to nothing), `closed` (ended early)."""
    reason: str | None = None
    address: str | None = None
    credential: str | None = None
    """The id of the credential that the request was given."""
    bytes_out: int
    bytes_in: int
    duration_seconds: float
    count: int
    """How many refusals of the same kind this stands for."""


class NetworkEventPage(Open):
    """Decisions, newest first."""

    network_events: list[NetworkEvent]
    next_page_token: str | None = None


class EnvironmentFile(Open):
    """A file or folder of an environment."""

    name: str
    path: str
    """From the root of the environment."""
    type: str
    """`file`, `directory`, or what else lies there."""
    size_bytes: str
    mime_type: str
    created: str | None = None
    modified: str | None = None


class EnvironmentFiles(Open):
    """The entries of a folder, or the one of a file."""

    files: list[EnvironmentFile]
    next_page_token: str | None = None


class Empty(Open):
    """Nothing more is said."""


class WaitRequest(Open):
    """How long to wait for an operation."""

    timeout: str | float | None = None
    """Seconds, such as `30s` or `2.5`."""
