"""What a new environment gets, of its agent and of the call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from runtime.clock import now
from runtime.controller.placement import Placement, fresh
from runtime.schema.agents import AgentSpec
from runtime.schema.interactions import EnvironmentRequest
from runtime.schema.limits import SandboxLimits
from runtime.schema.settings import EgressSettings
from runtime.store import Store

pytestmark = pytest.mark.anyio
AGENT = AgentSpec(id="clerk", credential_variables={"TOKEN": "of-the-agent"})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    async with Store.open(tmp_path) as found:
        yield found


def placed(store: Store, env: dict[str, object]) -> Placement:
    request = EnvironmentRequest.model_validate({"type": "remote", "env": env})
    return fresh("default", request, AGENT, now(), store, SandboxLimits(), EgressSettings())


async def test_a_variable_of_the_call_needs_no_credential_of_the_agents(store: Store) -> None:
    assert placed(store, {}).credentials == {"environment.env.TOKEN.credential": "of-the-agent"}
    plain = placed(store, {"TOKEN": "mine"})
    assert plain.credentials == {} and plain.plan.variables == {"TOKEN": "mine"}
    other = placed(store, {"TOKEN": {"credential": "mine"}})
    assert other.credentials == {"environment.env.TOKEN.credential": "mine"}
