"""What is left to a call of what its agent has, and to an agent of what the operator allows."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.controller.allowances import Allowances, within
from runtime.errors import InvalidRequest
from runtime.schema.agents import AgentLimits, AgentSpec
from runtime.schema.limits import SandboxLimits
from runtime.schema.requests import read_request
from runtime.schema.settings import EgressSettings, LimitsSettings, SandboxSettings, Settings

GIB = 1024**3
SETTINGS = Settings(
    sandbox=SandboxSettings(memory_bytes=4 * GIB, cpus=2.0),
    limits=LimitsSettings(timeout_seconds=1800.0, max_total_tokens=5000, log_bytes=32 * 1024**2),
    egress=EgressSettings(sent_bytes=1000),
)
ALLOWANCES = Allowances(SETTINGS)
AGENT = AgentSpec(
    id="a",
    limits=AgentLimits(max_steps=50, timeout_seconds=600),
    sandbox=SandboxLimits(memory_bytes=2 * GIB),
)


def call(**parts: Any):
    return read_request({"agent": "a", "input": "x", **parts})


def limited(**limits: Any):
    return call(agent_config={"type": "antigravity", "limits": limits})


def test_defaults_are_lowered_to_what_the_operator_allows() -> None:
    limits = ALLOWANCES.of_run(call(), None)
    assert (limits.timeout_seconds, limits.max_steps) == (1800, 200)
    assert (limits.log_bytes, limits.max_total_tokens) == (32 * 1024**2, 5000)
    assert limits.output_chars == AgentLimits().output_chars


def test_an_agent_has_its_own_and_a_call_may_have_less() -> None:
    assert ALLOWANCES.of_run(call(), AGENT).timeout_seconds == 600
    less = ALLOWANCES.of_run(limited(timeout_seconds=5, max_steps=1, output_chars=1000), AGENT)
    assert (less.timeout_seconds, less.max_steps, less.output_chars) == (5, 1, 1000)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_steps": 51}, "agent_config.limits.max_steps: 51 is more than is allowed here, 50"),
        ({"timeout_seconds": 1801}, "1801 s is more than is allowed here, 1800 s"),
        ({"log_bytes": 33 * 1024**2}, "33 MiB is more than is allowed here, 32 MiB"),
    ],
)
def test_a_call_that_asks_for_more_is_refused(limits: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ALLOWANCES.of_run(limited(**limits), AGENT)
    assert told in caught.value.message


def test_an_agents_default_is_no_bound_for_a_call() -> None:
    assert ALLOWANCES.of_run(limited(max_steps=5000), None).max_steps == 5000
    assert ALLOWANCES.of_run(limited(output_chars=50_000), AGENT).output_chars == 50_000


def test_the_lowest_budget_of_tokens_counts() -> None:
    asked = call(agent_config={"type": "antigravity", "max_total_tokens": 100})
    assert ALLOWANCES.of_run(asked, AGENT).max_total_tokens == 100
    asked = call(agent_config={"type": "antigravity", "max_total_tokens": 10**9})
    assert ALLOWANCES.of_run(asked, AGENT).max_total_tokens == 5000


def test_a_new_environment_gets_the_lower_figures() -> None:
    asked = SandboxLimits(cpus=0.5, sent_bytes=0)
    given = ALLOWANCES.of_environment(asked, AGENT)
    assert given == SandboxLimits(memory_bytes=2 * GIB, cpus=0.5, sent_bytes=0)
    assert ALLOWANCES.of_environment(None, None) == SandboxLimits()


@pytest.mark.parametrize(
    ("asked", "agent", "told"),
    [
        ({"memory_bytes": 3 * GIB}, AGENT, "3072 MiB is more than is allowed here, 2048 MiB"),
        ({"memory_bytes": 5 * GIB}, None, "4096 MiB (sandbox.memory of the operator)"),
        ({"cpus": 2.5}, None, "environment.limits.cpus: 2.5 is more"),
        ({"sent_bytes": 1001}, None, "1000 bytes (egress.sent of the operator)"),
    ],
)
def test_an_environment_that_asks_for_more_is_refused(
    asked: dict[str, Any], agent: AgentSpec | None, told: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ALLOWANCES.of_environment(SandboxLimits(**asked), agent)
    assert told in caught.value.message


def test_an_operator_who_lowers_a_figure_lowers_it_for_all() -> None:
    limits = SandboxLimits(memory_bytes=3 * GIB, cpus=0.5)
    found = within(SandboxSettings(memory_bytes=2 * GIB, cpus=2.0, idle_seconds=7.0), limits)
    assert (found.memory_bytes, found.cpus, found.idle_seconds) == (2 * GIB, 0.5, 7.0)
    assert within(SETTINGS.sandbox, SandboxLimits()) == SETTINGS.sandbox


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"environment": {"limits": {"memory": 1}}}, "'environment.limits.memory'. Did you mean"),
        ({"environment": {"limits": {"pids": 1}}}, "environment.limits.pids"),
        ({"environment": {"limits": {"cpus": "2"}}}, "environment.limits.cpus"),
        ({"environment": {"limits": {"cpus": -1}}}, "environment.limits.cpus"),
        ({"environment": {"limits": {"pids": 100.5}}}, "environment.limits.pids"),
        ({"environment": {"limits": {"pids": True}}}, "environment.limits.pids"),
        ({"environment": {"limits": []}}, "environment.limits: must be an object"),
        ({"agent_config": {"limits": {"max_step": 1}}}, "Did you mean 'max_steps'"),
        ({"agent_config": {"limits": {"timeout_seconds": 0}}}, "agent_config.limits.timeout"),
    ],
)
def test_limits_are_read_strictly(parts: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(**parts)
    assert told in caught.value.message
