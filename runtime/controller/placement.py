"""Which environment a run works in: a new one, one to go on in, or none."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from runtime.controller.network_reach import check_asked, check_environment
from runtime.controller.network_rules import (
    NETWORK,
    check_network,
    transforms_of,
    without_secrets,
)
from runtime.controller.plan import EnvironmentPlan
from runtime.controller.sources import Reach, check_reach, read_sources
from runtime.errors import InvalidRequest, NotFound
from runtime.ids import is_id, new_environment_id
from runtime.schema.agents import AgentSpec
from runtime.schema.interactions import EnvironmentRequest, VariableValue
from runtime.schema.limits import SandboxLimits, given
from runtime.schema.network import OPEN, Network, allowed_hosts
from runtime.schema.settings import EgressSettings
from runtime.store import EnvironmentRecord, NetworkChange, Store
from runtime.store.resealing import about_network

MAX_VARIABLE_BYTES = 32 * 1024
MAX_VARIABLES_BYTES = 128 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")


@dataclass(frozen=True, slots=True)
class Placement:
    """The environment of a run, and its row where it is new."""

    plan: EnvironmentPlan
    new: EnvironmentRecord | None = None
    network: NetworkChange | None = None
    """New rules for an environment that is there already."""
    credentials: dict[str, str] = field(default_factory=dict[str, str])
    """The credentials that must be there, by where they are named."""


def named_environment(request: EnvironmentRequest | None) -> str | None:
    """The id of the environment to go on in; None for a new one. Raises `InvalidRequest`."""
    if request is None:
        return None
    first, second = request.environment_id, request.env_id
    if first is not None and second is not None and first != second:
        raise InvalidRequest("environment: 'environment_id' and 'env_id' name different ones.")
    found = first if first is not None else second
    return None if found is None else found.removeprefix("environments/")


async def existing(
    project_id: str,
    environment_id: str,
    request: EnvironmentRequest,
    agent: AgentSpec | None,
    store: Store,
    egress: EgressSettings,
) -> Placement:
    """An environment to go on in.

    Raises `NotFound` when it is unknown, expired or deleted, and `InvalidRequest` where it reaches
    more than `agent` may.
    """
    for name in ("sources", "env", "limits"):
        if getattr(request, name):
            raise InvalidRequest(
                f"environment.{name}: can be given only for a new environment; leave it out, or "
                "leave out the id."
            )
    record = None
    if is_id(environment_id):
        record = await store.environments.get(project_id, environment_id)
    if record is None or record.status != "active":
        raise no_environment(environment_id, record)
    plan = plan_of(record)
    if request.network is None:
        network = record.network if record.network is not None else _default(egress)
        check_environment(NETWORK.validate_python(network), record.id, agent)
        return Placement(plan)
    network = _stored(request.network, record.id, store)
    check_asked(request.network, agent)
    changed = plan.model_copy(update={"network_changed": True})
    return Placement(changed, network=network, credentials=_signing(request.network))


def no_environment(environment_id: str, record: EnvironmentRecord | None) -> NotFound:
    """The error for one that is not there, with what to do."""
    if record is not None and record.pending:
        return NotFound(
            f"The environment '{environment_id}' could not be set up, so there is none; the "
            "interaction that it was made for says why. Give 'environment' anew for another one: "
            "'remote', or an object with the same sources."
        )
    return NotFound(
        f"There is no environment '{environment_id[:80]}', or it has expired. "
        "Use 'remote' for a new one."
    )


def plan_of(record: EnvironmentRecord) -> EnvironmentPlan:
    """What an environment that is there already needs to live."""
    return EnvironmentPlan(
        project_id=record.project_id,
        environment_id=record.id,
        is_new=False,
        variables=record.variables or {},
        limits=SandboxLimits.model_validate(record.limits or {}),
    )


def fresh(
    project_id: str,
    request: EnvironmentRequest | None,
    agent: AgentSpec | None,
    moment: datetime,
    store: Store,
    limits: SandboxLimits,
    egress: EgressSettings,
) -> Placement:
    """A new environment: the agent's own, with what the caller adds. Raises `InvalidRequest`."""
    asked = request or EnvironmentRequest()
    sources = read_sources(asked.sources or [])
    variables = _variables(asked.env or {}, agent)
    environment_id = new_environment_id()
    network = asked.network if asked.network is not None else agent.network if agent else None
    stored = _stored(network, environment_id, store)
    check_asked(asked.network, agent)
    check_reach(sources.repositories, _reach(asked.network, agent, egress))
    plan = EnvironmentPlan(
        project_id=project_id,
        environment_id=environment_id,
        is_new=True,
        variables=variables.held,
        data_sources=agent.data_sources if agent else [],
        skills=agent.skills if agent else [],
        files=sources.files,
        repositories=list(sources.repositories.values()),
        limits=limits,
    )
    record = EnvironmentRecord(
        id=environment_id,
        project_id=project_id,
        status="active",
        created=moment,
        updated=moment,
        last_used=moment,
        network=stored.network,
        network_secrets=stored.secrets,
        sources=sources.shown or None,
        variables=variables.held or None,
        credential_variables=variables.behind or None,
        limits=given(limits),
        pending=plan.has_contents,
    )
    where = "environment.network" if asked.network is not None else "the agent's network"
    needed = {**_signing(network, where), **variables.credentials}
    return Placement(plan, record, credentials=needed)


def _stored(network: Network | None, environment_id: str, store: Store) -> NetworkChange:
    if network is None:
        return NetworkChange(None)
    check_network(network, "environment.network")
    transforms = transforms_of(network)
    if transforms is None:
        return NetworkChange(without_secrets(network))
    sealed = store.vault.seal(json.dumps(transforms), about_network(environment_id))
    return NetworkChange(without_secrets(network), sealed)


def _reach(asked: Network | None, agent: AgentSpec | None, egress: EgressSettings) -> Reach:
    """What a new environment will reach, and who says so."""
    if asked is not None:
        return Reach(asked, "environment.network", egress)
    if agent is not None and agent.network is not None:
        return Reach(agent.network, f"the network of agent '{agent.id}'", egress)
    where = "the operator's network for environments (egress.default)"
    return Reach(_default(egress), where, egress)


def _default(egress: EgressSettings) -> Network:
    return NETWORK.validate_python(OPEN) if egress.default == "open" else egress.default


def _signing(network: Network | None, where: str = "environment.network") -> dict[str, str]:
    """The credentials of an allowlist that stands at `where`, by where they are named."""
    hosts = [] if network is None else allowed_hosts(network)
    return {
        f"{where}.allowlist[{index}].credential": host.credential
        for index, host in enumerate(hosts)
        if host.credential is not None
    }


@dataclass(frozen=True, slots=True)
class _Variables:
    held: dict[str, str]
    """What the sandbox gets."""
    behind: dict[str, dict[str, str]]
    """`{credential, placeholder}` of those that a credential stands behind."""
    credentials: dict[str, str]
    """The credentials, by where they are named."""


def _variables(asked: dict[str, str | VariableValue], agent: AgentSpec | None) -> _Variables:
    """The agent's variables with the caller's, which win."""
    found = _Variables(dict(agent.environment_variables) if agent else {}, {}, {})
    for name, credential in (agent.credential_variables if agent else {}).items():
        _stand_in(found, name, credential, f"environment.env.{name}.credential")
    for name, value in asked.items():
        found.behind.pop(name, None)
        path = f"environment.env.{name[:80]}"
        found.credentials.pop(f"{path}.credential", None)
        credential = value.credential if isinstance(value, VariableValue) else None
        if credential is None:
            found.held[name] = _value(name, value, path)
            continue
        if isinstance(value, VariableValue) and value.value is not None:
            raise InvalidRequest(f"{path}: has either a 'value' or a 'credential'.")
        _check_name(name, path)
        _stand_in(found, name, credential, f"{path}.credential")
    if sum(len(name) + len(value) for name, value in found.held.items()) > MAX_VARIABLES_BYTES:
        raise InvalidRequest(f"environment.env: is larger than {MAX_VARIABLES_BYTES} bytes.")
    return found


def _stand_in(found: _Variables, name: str, credential: str, path: str) -> None:
    placeholder = f"sandlot_credential_{secrets.token_hex(16)}"
    found.held[name] = placeholder
    found.behind[name] = {"credential": credential, "placeholder": placeholder}
    found.credentials[path] = credential


def _check_name(name: str, path: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise InvalidRequest(f"{path}: a name has letters, digits and '_', no digit first.")


def _value(name: str, value: str | VariableValue, path: str) -> str:
    _check_name(name, path)
    if isinstance(value, VariableValue):
        if value.value is None:
            raise InvalidRequest(f"{path}: has neither a 'value' nor a 'credential'.")
        value = value.value
    if "\0" in value or len(value.encode()) > MAX_VARIABLE_BYTES:
        raise InvalidRequest(
            f"{path}: a value has at most {MAX_VARIABLE_BYTES} bytes and no NUL character."
        )
    return value
