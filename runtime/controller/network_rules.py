"""From what an environment was asked to reach to the rules that the egress proxy obeys. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr, TypeAdapter

from runtime.egress.rules import HeaderInjection, HostRule, Limits, Placeholder, Rules
from runtime.errors import InvalidRequest
from runtime.outbound.headers import checked_name, checked_value
from runtime.outbound.hosts import read_pattern
from runtime.schema.network import AllowedHost, Network, allowed_hosts
from runtime.schema.settings import EgressSettings

NETWORK: TypeAdapter[Network] = TypeAdapter(Network)
Transforms = list[list[dict[str, str]] | None]
"""The headers of each entry of an allowlist."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a stored credential lets requests carry; or why it does not for now."""

    header: tuple[str, SecretStr] | None = None
    """Of a credential that signs requests."""
    value: SecretStr | None = None
    """Of a credential that stands behind a variable."""
    locations: frozenset[str] = frozenset()
    domains: tuple[str, ...] = ()
    unavailable: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The network of one environment: what was stored of it, put together again."""

    network: Network
    transforms: Transforms = field(default_factory=Transforms)
    variables: Mapping[str, CredentialVariable] = field(
        default_factory=dict[str, "CredentialVariable"]
    )

    @property
    def credentials(self) -> list[str]:
        """The ids of all credentials that it names."""
        named = [host.credential for host in allowed_hosts(self.network)]
        behind = [variable.credential for variable in self.variables.values()]
        return list(dict.fromkeys(one for one in [*named, *behind] if one is not None))


@dataclass(frozen=True, slots=True)
class CredentialVariable:
    """A variable of the sandbox whose value is known to the egress proxy alone."""

    credential: str
    placeholder: str
    """What the variable holds in the sandbox."""


def check_network(network: Network, where: str) -> None:
    """Whether every entry of `network`, found at `where`, can be obeyed. Raises `InvalidRequest`.

    No value of a header is repeated in the error: it may be a secret.
    """
    for index, host in enumerate(allowed_hosts(network)):
        path = f"{where}.allowlist[{index}]"
        try:
            pattern = read_pattern(host.domain)
        except InvalidRequest as error:
            raise InvalidRequest(f"{path}.domain: {error.message}") from None
        if pattern.kind == "any" and host.credential is not None:
            raise InvalidRequest(
                f"{path}.credential: needs a host or '*.suffix' as domain; with '*' the agent "
                "could send it anywhere."
            )
        for header in host.transform or []:
            for name, value in header.items():
                _check_header(f"{path}.transform.{name[:80]}", name, value)


def _check_header(path: str, name: str, value: str) -> None:
    try:
        checked_name(name)
        checked_value(value)
    except ValueError as error:
        raise InvalidRequest(f"{path}: {error}.") from None


def is_disabled(network: Network) -> bool:
    """Whether there is no network at all; an empty list is one that reaches nothing."""
    return isinstance(network, str) or isinstance(network.allowlist, str)


def without_secrets(network: Network) -> Any:
    """`network` in its wire form, without the headers, which may hold secrets."""
    if isinstance(network, str) or isinstance(network.allowlist, str):
        return "disabled"
    return network.model_dump(
        mode="json", exclude_none=True, exclude={"allowlist": {"__all__": {"transform"}}}
    )


def transforms_of(network: Network) -> Transforms | None:
    """The headers of each entry; None when there are none."""
    found: Transforms = [host.transform for host in allowed_hosts(network)]
    return found if any(found) else None


def rules_of(
    wanted: Wanted, grants: Mapping[str, Grant], settings: EgressSettings, limits: Limits
) -> Rules:
    """What the proxy is told; a credential that `grants` lacks closes the hosts that need it."""
    hosts = allowed_hosts(wanted.network)
    headers = [*wanted.transforms, *[None] * len(hosts)]
    return Rules(
        hosts=tuple(_rule(host, headers[index], grants) for index, host in enumerate(hosts)),
        placeholders=tuple(_placeholders(wanted, grants)),
        allow_internal=tuple(settings.allow_internal),
        limits=limits,
    )


def _rule(
    host: AllowedHost, transform: list[dict[str, str]] | None, grants: Mapping[str, Grant]
) -> HostRule:
    injected: list[HeaderInjection] = []
    if host.credential is not None:
        grant = grants.get(host.credential) or _missing(host.credential)
        if grant.header is None:
            reason = grant.unavailable or _no_header(host.credential)
            return HostRule(domain=host.domain, unavailable=reason)
        injected.append(HeaderInjection(name=grant.header[0], value=grant.header[1]))
    injected += _headers(transform or host.transform or [])
    return HostRule(domain=host.domain, headers=tuple(injected), credential=host.credential)


def _headers(transform: Sequence[dict[str, str]]) -> list[HeaderInjection]:
    return [
        HeaderInjection(name=name, value=SecretStr(value))
        for header in transform
        for name, value in header.items()
    ]


def _placeholders(wanted: Wanted, grants: Mapping[str, Grant]) -> list[Placeholder]:
    found: list[Placeholder] = []
    for variable in wanted.variables.values():
        grant = grants.get(variable.credential)
        if grant is None or grant.value is None:
            continue
        found.append(
            Placeholder.model_validate(
                {
                    "text": variable.placeholder,
                    "value": grant.value,
                    "domains": grant.domains,
                    "locations": grant.locations,
                    "credential": variable.credential,
                }
            )
        )
    return found


def _missing(credential: str) -> Grant:
    return Grant(unavailable=f"the credential '{credential}' of this host does not exist any more")


def _no_header(credential: str) -> str:
    return f"the credential '{credential}' is for variables and cannot sign requests to a host"
