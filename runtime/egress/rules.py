"""The rules of one environment as the controller writes them and the proxy obeys them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, SecretStr, SerializationInfo

from runtime.errors import InvalidRequest
from runtime.outbound.addresses import Allowance
from runtime.outbound.headers import checked_name, checked_value
from runtime.outbound.hosts import read_pattern
from runtime.schema.base import Strict

INTERNAL_SETTING = "egress.allow_internal"
"""Where the operator allows addresses that are not public."""

REVEAL = "reveal"
"""The serialisation context with which secrets are written out: to the proxy and nowhere else."""


def _written(secret: SecretStr, info: SerializationInfo) -> str:
    return secret.get_secret_value() if info.context == REVEAL else str(secret)


Secret = Annotated[SecretStr, PlainSerializer(_written, when_used="json")]


def _header_value(value: SecretStr) -> SecretStr:
    checked_value(value.get_secret_value())
    return value


def _pattern(text: str) -> str:
    try:
        return str(read_pattern(text))
    except InvalidRequest as error:
        raise ValueError(error.message) from error


def _internal(entries: tuple[str, ...]) -> tuple[str, ...]:
    try:
        Allowance(entries)
    except InvalidRequest as error:
        raise ValueError(error.message) from error
    return entries


HostPattern = Annotated[str, AfterValidator(_pattern)]
InternalHosts = Annotated[tuple[str, ...], AfterValidator(_internal)]


class HeaderInjection(Strict):
    """A header that every request to a host gets, in place of the caller's own."""

    name: Annotated[str, AfterValidator(checked_name)]
    value: Annotated[Secret, AfterValidator(_header_value)]


class HostRule(Strict):
    """Hosts that may be reached, and what their requests get."""

    domain: HostPattern
    """A name, `*.suffix` or `*`, each also with `:port`; the most specific rule counts."""
    headers: tuple[HeaderInjection, ...] = ()
    """Of two with one name the later one counts."""
    credential: str | None = None
    """Whose secret the headers hold; for events."""
    unavailable: str = Field(default="", max_length=500)
    """Why the hosts cannot be reached for now, as a sentence; empty when they can."""


class Placeholder(Strict):
    """A text that stands for a secret in the sandbox; requests to its domains get the secret."""

    text: str = Field(pattern=r"^[A-Za-z0-9_-]{16,200}$")
    value: Annotated[Secret, AfterValidator(_header_value)]
    domains: tuple[HostPattern, ...]
    locations: frozenset[Literal["header", "query", "body"]]
    """Where it is replaced."""
    credential: str | None = None


class Limits(Strict):
    """What one environment may use of the proxy."""

    connections: int = Field(default=256, ge=1)
    """Open at once."""
    header_bytes: int = Field(default=16 * 1024, ge=1024, le=64 * 1024)
    """Of a request's line and headers."""
    header_seconds: float = Field(default=10.0, gt=0)
    """For the line and headers, from their first byte; and for the start of a tunnel."""
    connect_seconds: float = Field(default=20.0, gt=0)
    """For lookup, connection and TLS together."""
    idle_seconds: float = Field(default=300.0, gt=0)
    """Without a byte in either direction; also between the requests of a kept connection."""
    half_closed_seconds: float = Field(default=30.0, gt=0)
    """The same for a tunnel that one side has ended."""
    total_seconds: float = Field(default=6 * 3600.0, gt=0)
    """For one request or tunnel."""
    bytes_out: int = Field(default=5 * 1024**3, ge=0)
    """To the outside, in all, since the environment was opened."""
    bytes_in: int = Field(default=50 * 1024**3, ge=0)
    """From the outside, in all, since the environment was opened."""


class Rules(Strict):
    """All rules of one environment; without hosts nothing is allowed."""

    hosts: tuple[HostRule, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()
    allow_internal: InternalHosts = ()
    """What the operator allows beyond public addresses: hosts, addresses, networks, with `:port`.

    It lifts the check of addresses only; a host must be allowed by `hosts` all the same.
    """
    limits: Limits = Limits()


OPEN = Rules(hosts=(HostRule(domain="*"),))
"""Every public host."""
CLOSED = Rules()
"""Nothing."""
