"""Whether what an environment reaches lies within what an agent may reach. Pure."""

from __future__ import annotations

from runtime.errors import InvalidRequest
from runtime.outbound.hosts import read_pattern
from runtime.schema.agents import AgentSpec
from runtime.schema.network import Network, allowed_hosts

_SHOWN = 12


def check_asked(network: Network | None, agent: AgentSpec | None) -> None:
    """Whether a call may give its environment these rules, with this agent in it.

    Raises `InvalidRequest` for the first entry that goes beyond the agent's own rules.
    """
    if network is None or agent is None or agent.network is None:
        return
    index = _first_beyond(network, agent.network)
    if index is not None:
        domain = allowed_hosts(network)[index].domain
        raise InvalidRequest(
            f"environment.network.allowlist[{index}].domain: '{domain}' goes beyond what the "
            f"agent '{agent.id}' may reach: {_hosts(agent.network)}."
        )


def check_environment(network: Network, environment_id: str, agent: AgentSpec | None) -> None:
    """Whether an agent may work in an environment that reaches `network`.

    Raises `InvalidRequest` where the agent's own rules are narrower.
    """
    if agent is None or agent.network is None:
        return
    index = _first_beyond(network, agent.network)
    if index is not None:
        domain = allowed_hosts(network)[index].domain
        raise InvalidRequest(
            f"environment: {environment_id} reaches '{domain}', and the agent '{agent.id}' may "
            f"reach only this: {_hosts(agent.network)}. Give it narrower rules with "
            "'environment': {'environment_id': …, 'network': …}, or use a new environment."
        )


def _first_beyond(network: Network, bound: Network) -> int | None:
    """The first entry of `network` that no entry of `bound` covers."""
    allowed = [read_pattern(host.domain) for host in allowed_hosts(bound)]
    for index, host in enumerate(allowed_hosts(network)):
        asked = read_pattern(host.domain)
        if not any(pattern.covers(asked) for pattern in allowed):
            return index
    return None


def _hosts(network: Network) -> str:
    names = [host.domain for host in allowed_hosts(network)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}" if names else "nothing"
