from __future__ import annotations

from runtime.controller.catalogs import agent_view
from runtime.schema.agents import AgentSpec

SECRET = "agent-canary-77c1d0"
SERVER = {
    "type": "mcp_server",
    "name": "tickets",
    "url": f"https://tickets.test/mcp?key={SECRET}#{SECRET}",
    "headers": {"X-Key": SECRET},
}


def test_an_agent_is_shown_without_the_secrets_of_its_servers() -> None:
    spec = AgentSpec(id="clerk", description="A clerk.", other_tools=[SERVER])
    (shown,) = agent_view(spec)["tools"]
    assert shown == {"type": "mcp_server", "name": "tickets", "url": "https://tickets.test/mcp"}
    assert SERVER["headers"] and SECRET in str(SERVER["url"]), "what is sent stays as it was"
