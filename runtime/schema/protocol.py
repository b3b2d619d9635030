"""The guest protocol: every message between a controller and the guest in a sandbox.

The guest dials the gateway's unix socket and sends `hello`; from then on both sides send frames
(`runtime.schema.framing`). Bulk bytes travel on connections of their own: the controller sends
`open_stream`, the guest dials again, sends `stream_hello` and then raw bytes flow.
Nothing here is trusted by the controller: identity comes from the socket, never from a message.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from runtime.schema.base import Strict
from runtime.schema.events import StepEvent
from runtime.schema.model import (
    FunctionDeclaration,
    Generation,
    ModelPart,
    ModelRequest,
    ToolChoice,
)
from runtime.schema.steps import Step
from runtime.schema.usage import Usage

PROTOCOL_VERSION = 3

GUEST_FRAME_BYTES = 32 * 1024 * 1024
"""The largest frame that a controller takes."""

SOCKET_DIRECTORY = "/run/sandlot"
"""Where the directory with this sandbox's sockets is mounted."""
GATEWAY_SOCKET = "gateway.sock"
EGRESS_SOCKET = "egress.sock"
"""Leads to the egress proxy; there only where the environment has a network."""


class Fault(Strict):
    """An error that crosses the wire."""

    code: str
    message: str


class RunLimits(Strict):
    """What one run may use; a missing figure in an agent means these defaults, not infinity."""

    max_steps: int = 200
    """Model turns."""
    timeout_seconds: float = 3600.0
    max_total_tokens: int | None = None
    """Input, output and thinking, without cached input."""
    tool_timeout_seconds: float = 300.0
    output_chars: int = 20_000
    """Of one result of code execution."""
    log_bytes: int = 64 * 1024**2
    """Of all steps, as they are stored; the controller sees to it."""


class ContextSpec(Strict):
    """How much of a conversation a model can be given."""

    window_tokens: int = 32_768
    compact_at: float = 0.8
    """From this share of the window on, older steps are compacted."""
    used_tokens: int | None = None
    """What the history takes, by the provider's last report and an estimate of what came since;
    None: nobody has counted yet."""


class RunSpec(Strict):
    """All that a loop needs to know of one run."""

    run_id: str
    model: str
    system_instruction: str | None = None
    history: list[Step]
    """Earlier steps and the new input, oldest first."""
    sandbox_tools: list[str] = Field(default_factory=list[str])
    """Names of `runtime.schema.sandbox_tools` that this run may use."""
    relayed_tools: list[FunctionDeclaration] = Field(default_factory=list[FunctionDeclaration])
    """Tools that the controller runs for the guest: MCP servers, search, URL context."""
    client_functions: list[FunctionDeclaration] = Field(default_factory=list[FunctionDeclaration])
    """Functions of the caller: a call of one ends the run with `requires_action`."""
    tool_choice: ToolChoice = ToolChoice()
    generation: Generation = Generation()
    response_schema: dict[str, Any] | None = None
    limits: RunLimits = RunLimits()
    context: ContextSpec = ContextSpec()


class RunOutcome(Strict):
    """How a run ended."""

    status: Literal["completed", "requires_action", "incomplete", "failed", "cancelled"]
    usage: Usage = Usage()
    error: Fault | None = None


# Guest to controller


class Hello(Strict):
    """The first frame of a control connection."""

    type: Literal["hello"] = "hello"
    protocol: int
    guest_version: str
    boot_id: str
    """New at every start of the guest; a reconnecting guest keeps it."""


class Bound(Strict):
    """The answer to `bind`."""

    type: Literal["bound"] = "bound"


class RunEvents(Strict):
    """Events of a run, numbered by the guest from 1 without gaps: `first` is the first one's."""

    type: Literal["run_events"] = "run_events"
    run_id: str
    first: int
    events: list[StepEvent]


class RunEnded(Strict):
    """The run is over; it comes after the run's last event."""

    type: Literal["run_ended"] = "run_ended"
    run_id: str
    outcome: RunOutcome


class ModelCall(Strict):
    """Asks the controller to call a model."""

    type: Literal["model_call"] = "model_call"
    run_id: str
    call_id: str
    request: ModelRequest


class ModelCallCancel(Strict):
    """The answer to a model call is not needed any more."""

    type: Literal["model_call_cancel"] = "model_call_cancel"
    call_id: str


class RelayCall(Strict):
    """Asks the controller to run one of its tools."""

    type: Literal["relay_call"] = "relay_call"
    run_id: str
    call_id: str
    name: str
    arguments: dict[str, Any]


class Reply(Strict):
    """The answer to a `request`."""

    type: Literal["reply"] = "reply"
    request_id: str
    value: Any = None
    error: Fault | None = None


class GuestReport(Strict):
    """Sent every few seconds: that the guest lives, and what it uses."""

    type: Literal["report"] = "report"
    kernel_alive: bool = False
    browser_alive: bool = False


GuestMessage = Annotated[
    Hello
    | Bound
    | RunEvents
    | RunEnded
    | ModelCall
    | ModelCallCancel
    | RelayCall
    | Reply
    | GuestReport,
    Field(discriminator="type"),
]
GUEST_MESSAGE: TypeAdapter[GuestMessage] = TypeAdapter(GuestMessage)


# Controller to guest


class GuestNetwork(Strict):
    """What programs in a sandbox need to use the egress proxy."""

    certificates: str
    """In PEM: the environment's own authority and those that the operator added."""


class Bind(Strict):
    """Gives an anonymous sandbox its identity; sent once, before anything else."""

    type: Literal["bind"] = "bind"
    environment_id: str
    variables: dict[str, str] = Field(default_factory=dict[str, str])
    network: GuestNetwork | None = None
    """None: nothing outside the sandbox can be reached."""


class StartRun(Strict):
    """Starts a run; one at a time."""

    type: Literal["start_run"] = "start_run"
    spec: RunSpec


class CancelRun(Strict):
    """Stops a run at once; `run_ended` with status `cancelled` follows."""

    type: Literal["cancel_run"] = "cancel_run"
    run_id: str


class EventsStored(Strict):
    """All events of the run up to number `upto` are stored; the guest may forget them."""

    type: Literal["events_stored"] = "events_stored"
    run_id: str
    upto: int


class ModelParts(Strict):
    """Pieces of the answer to a model call; the last piece is a `done`."""

    type: Literal["model_parts"] = "model_parts"
    call_id: str
    parts: list[ModelPart]


class ModelCallFailed(Strict):
    """The model call failed for good."""

    type: Literal["model_call_failed"] = "model_call_failed"
    call_id: str
    error: Fault


class RelayResult(Strict):
    """The answer to a relayed tool call."""

    type: Literal["relay_result"] = "relay_result"
    call_id: str
    content: list[dict[str, Any]]
    is_error: bool = False
    value: Any = None


class Request(Strict):
    """Asks the guest for a small thing, such as a folder listing; a `reply` answers it."""

    type: Literal["request"] = "request"
    request_id: str
    operation: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])


class OpenStream(Strict):
    """Asks the guest to dial a byte-stream connection for `operation`."""

    type: Literal["open_stream"] = "open_stream"
    stream_id: str
    direction: Literal["from_guest", "to_guest", "both"]
    operation: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])


class Shutdown(Strict):
    """Asks the guest to end cleanly."""

    type: Literal["shutdown"] = "shutdown"


ControllerMessage = Annotated[
    Bind
    | StartRun
    | CancelRun
    | EventsStored
    | ModelParts
    | ModelCallFailed
    | RelayResult
    | Request
    | OpenStream
    | Shutdown,
    Field(discriminator="type"),
]
CONTROLLER_MESSAGE: TypeAdapter[ControllerMessage] = TypeAdapter(ControllerMessage)


class StreamHello(Strict):
    """The first frame of a byte-stream connection; raw bytes follow, in either direction."""

    type: Literal["stream_hello"] = "stream_hello"
    stream_id: str
    error: Fault | None = None
    """Set when the guest cannot do it; the connection then ends."""
    info: dict[str, Any] = Field(default_factory=dict[str, Any])
    """What is known before the first byte, such as `size_bytes`."""


class StreamWhole(Strict):
    """Sent on a `to_guest` connection when its bytes have ended, before they are put in place.

    A sender who broke off cannot be sent it, and nothing is put in place then.
    """

    type: Literal["stream_whole"] = "stream_whole"


class StreamEnd(Strict):
    """The guest's last frame on a `to_guest` connection: what came of the bytes it was sent."""

    type: Literal["stream_end"] = "stream_end"
    value: Any = None
    error: Fault | None = None
