"""What the controller and the proxy process say to each other.

Orders go over one socket, each answered by `done`; events come over another one, so that a
controller that is slow to read events delays the traffic and never its own orders. Frames are those
of `runtime/schema/framing.py`; an `open` carries the environment's listening socket.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from runtime.egress.rules import Rules, Secret
from runtime.schema.base import Strict

MAX_ORDER_BYTES = 16 * 1024 * 1024
EVENTS_PER_FRAME = 64


class Authority(Strict):
    """The certificate authority of one environment, in PEM."""

    certificate: str
    key: Secret


class ProxySettings(Strict):
    """What holds for all environments."""

    upstream_proxy: Secret | None = None
    """`http://[user:password@]host[:port]` or `https://…`: a proxy that everything goes through.

    Hosts that the operator allows internally are dialled directly.
    """
    certificates: str = ""
    """Certificates in PEM that servers may be signed by, beside the system's."""


class Configure(Strict):
    """The first order."""

    type: Literal["configure"] = "configure"
    id: int
    settings: ProxySettings


class Open(Strict):
    """Serve an environment on the socket that comes with this order."""

    type: Literal["open"] = "open"
    id: int
    environment: str
    rules: Rules
    authority: Authority


class Replace(Strict):
    """New rules for an environment; connections that they do not allow are closed."""

    type: Literal["replace"] = "replace"
    id: int
    environment: str
    rules: Rules


class Close(Strict):
    """Close an environment with all of its connections."""

    type: Literal["close"] = "close"
    id: int
    environment: str


class Ping(Strict):
    """Ask how the process does."""

    type: Literal["ping"] = "ping"
    id: int


class Health(Strict):
    """How the process does."""

    environments: int
    connections: int
    memory_bytes: int
    """Resident."""
    events_lost: int
    """Because nobody took them in time."""


class Done(Strict):
    """The order was obeyed, or why not."""

    id: int
    error: str | None = None
    health: Health | None = None


Verdict = Literal["allowed", "refused", "failed", "closed"]
"""`failed`: allowed, but did not come about; `closed`: ended early, by a limit or by new rules."""


class EgressEvent(Strict):
    """One decision, told when what came of it is over."""

    environment: str
    at: datetime
    """When it was decided."""
    kind: Literal["tunnel", "http", "https"]
    """`tunnel` carries bytes that nobody read; `https` was read: the host has a rule for it."""
    method: str | None
    host: str
    port: int
    rule: str | None
    """The entry that decided."""
    verdict: Verdict
    reason: str
    """A sentence; empty when all went well."""
    address: str | None
    """What was connected to."""
    credential: str | None
    """Whose secret the request was given."""
    bytes_out: int
    bytes_in: int
    duration_seconds: float
    count: int = 1
    """How many refusals of the same kind this stands for."""


class Events(Strict):
    """Some events, oldest first within an environment."""

    events: tuple[EgressEvent, ...]


Order = Annotated[Configure | Open | Replace | Close | Ping, Field(discriminator="type")]
ORDERS: TypeAdapter[Order] = TypeAdapter(Order)
