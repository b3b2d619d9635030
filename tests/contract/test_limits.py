"""Limits of calls as the official SDK sends them: keys that it does not know pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.schema.agents import AgentLimits, AgentSpec
from runtime.schema.limits import SandboxLimits
from tests.contract.test_api_sdk import AGENT, call, client_of
from tests.support.local_controller import ANTIGRAVITY, local_controller
from tests.support.server import Running

pytestmark = pytest.mark.anyio


async def test_the_sdk_lets_limits_pass(api: Running) -> None:
    client = client_of(api)
    environment: Any = {"type": "remote", "limits": {"memory_bytes": 1024**3, "cpus": 0.5}}
    config: Any = {"type": "antigravity", "limits": {"max_steps": 3, "timeout_seconds": 20}}
    made = await call(
        lambda: client.interactions.create(
            agent=AGENT, input="hello", environment=environment, agent_config=config
        )
    )
    assert made.status == "completed"
    plan = api.parts.runs.plans[-1]
    assert plan.environment.limits == SandboxLimits(memory_bytes=1024**3, cpus=0.5)
    assert (plan.spec.limits.max_steps, plan.spec.limits.timeout_seconds) == (3, 20)
    record = await api.parts.store.environments.get("default", plan.environment.environment_id)
    assert record is not None and record.limits == {"memory_bytes": 1024**3, "cpus": 0.5}


async def test_an_existing_environment_keeps_what_it_was_given(tmp_path: Path) -> None:
    small = AgentSpec(id="small", sandbox=SandboxLimits(cpus=0.5), limits=AgentLimits(max_steps=4))
    async with local_controller(tmp_path, [ANTIGRAVITY, small]) as it, it.http() as http:

        async def create(**body: Any) -> Any:
            return (await http.post("/v1/interactions", json={"input": "hi", **body})).json()

        first = await create(agent="small", environment="remote")
        again = await create(agent="antigravity", environment=first["environment_id"])
        assert again["status"] == "completed"
        plans = [plan.environment for plan in it.runs.plans]
        assert [plan.limits.cpus for plan in plans if plan] == [0.5, 0.5]
        more = {"environment_id": first["environment_id"], "limits": {"cpus": 1}}
        refused = await create(agent="antigravity", environment=more)
        assert "environment.limits: can be given only for a new environment" in str(refused)
        wide = await create(agent="small", environment={"limits": {"cpus": 1}})
        assert "1 is more than is allowed here, 0.5 (sandbox.cpus of the agent)" in str(wide)
