"""What a client is given: the API's resources as values that keep fields they do not know."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from runtime.schema.base import Open
from runtime.schema.content import TextContent
from runtime.schema.events import SETTLED
from runtime.schema.steps import ModelOutputStep, Step, ThoughtStep, UserInputStep
from runtime.schema.usage import Usage


class OtherStep(Open):
    """A step of a kind that this client does not know; its fields are attributes all the same."""

    type: str


AnyStep = Annotated[Step | OtherStep, Field(union_mode="left_to_right")]


class ApiFault(Open):
    """An error inside a resource."""

    code: str | int | None = None
    message: str = ""


class NetworkEvent(Open):
    """What became of something that an environment asked the network for."""

    time: str
    host: str
    port: int
    verdict: str
    """`allowed`, `refused`, `failed` or `closed`."""
    kind: str = ""
    method: str | None = None
    rule: str | None = None
    reason: str | None = None
    credential: str | None = None
    bytes_out: int = 0
    bytes_in: int = 0
    duration_seconds: float = 0.0
    count: int = 1


class Interaction(Open):
    """One call and everything that came of it."""

    id: str
    status: str
    agent: str | None = None
    model: str | None = None
    created: str | None = None
    updated: str | None = None
    steps: list[AnyStep] = Field(default_factory=list[AnyStep])
    usage: Usage | None = None
    errors: list[ApiFault] = Field(default_factory=list[ApiFault])
    environment_id: str | None = None
    session_id: str | None = None
    previous_interaction_id: str | None = None

    @property
    def operation_id(self) -> str:
        """What `interactions.operations` knows it by: its id."""
        return self.id

    @property
    def output_text(self) -> str:
        """The final answer: the text at the end of the steps; empty when there is none."""
        return output_text(self.steps)

    @property
    def done(self) -> bool:
        """Whether nothing runs any more; `requires_action` counts as done."""
        return self.status in SETTLED


class Operation(Open):
    """The state of an interaction as an operation."""

    name: str
    done: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    response: dict[str, Any] | None = None
    error: ApiFault | None = None

    @property
    def id(self) -> str:
        """The interaction's id."""
        return self.name.removeprefix("operations/")

    @property
    def status(self) -> str:
        """The interaction's status."""
        known = (self.response or {}).get("status") or self.metadata.get("status")
        return known or (("failed" if self.error else "completed") if self.done else "in_progress")

    @property
    def interaction(self) -> Interaction | None:
        """The interaction, once it is done and did not fail."""
        if not self.response or "id" not in self.response:
            return None
        return Interaction.model_validate(self.response)

    @property
    def output_text(self) -> str:
        """The final answer; empty as long as there is none."""
        interaction = self.interaction
        return interaction.output_text if interaction else ""


class Agent(Open):
    """An agent that can be run."""

    id: str
    description: str | None = None


class Model(Open):
    """A model that can be asked for."""

    id: str | None = None
    name: str | None = None


class Environment(Open):
    """A workspace that outlives interactions."""

    id: str
    status: str | None = None
    created: str | None = None
    updated: str | None = None
    size_bytes: int | None = None


class UploadedFile(Open):
    """An uploaded file; its `uri` stands for it in content."""

    name: str
    uri: str
    mime_type: str = Field(alias="mimeType")
    size_bytes: int = Field(alias="sizeBytes")
    display_name: str | None = Field(default=None, alias="displayName")
    expiration_time: str = Field(alias="expirationTime")


class EnvironmentFile(Open):
    """A file or folder of an environment; `path` starts at its root, without a slash."""

    name: str = ""
    path: str
    type: str = "file"
    size_bytes: int = 0
    mime_type: str | None = None
    modified: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.type.lower() == "directory"


class StreamEvent(Open):
    """One entry of an interaction's log; which fields are set depends on `event_type`."""

    event_type: str
    event_id: str | None = None
    index: int | None = None
    step: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: Usage | None = None
    interaction: dict[str, Any] | None = None
    interaction_id: str | None = None
    status: str | None = None
    error: ApiFault | None = None

    @property
    def wire(self) -> dict[str, Any]:
        """The event as it came."""
        return self.model_dump(mode="json", exclude_unset=True)


def output_text(steps: list[Any]) -> str:
    """The text that official SDKs call the output, from the steps of one interaction.

    It is the text at the end, after the last input: trailing tool calls are passed over, a tool
    call before it, or a picture, ends it.
    """
    pieces: list[str] = []
    for step in reversed(steps):
        if isinstance(step, UserInputStep):
            break
        if isinstance(step, ThoughtStep):
            continue
        if isinstance(step, ModelOutputStep):
            if _collect(step, pieces):
                break
        elif pieces:
            break
    return "".join(reversed(pieces))


def _collect(step: ModelOutputStep, pieces: list[str]) -> bool:
    """Add the texts of a step, last first; whether something else than text ends the search."""
    for part in reversed(step.content):
        if isinstance(part, TextContent):
            pieces.append(part.text)
        elif pieces:
            return True
    return False
