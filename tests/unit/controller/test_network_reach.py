"""No call takes an agent further than its own rules."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.controller.network_reach import check_asked, check_environment
from runtime.controller.network_rules import NETWORK
from runtime.errors import InvalidRequest
from runtime.schema.agents import AgentSpec


def agent(*domains: str) -> AgentSpec:
    return AgentSpec(id="clerk", network=rules(*domains))


def rules(*domains: str) -> Any:
    return NETWORK.validate_python({"allowlist": [*domains]})


def test_a_call_may_ask_for_less() -> None:
    check_asked(rules("b.a.com"), agent("*.a.com", "b.com"))
    check_asked(rules(), agent("*.a.com"))
    check_asked("disabled", agent("*.a.com"))
    check_asked(None, agent("*.a.com"))


def test_an_agent_without_rules_of_its_own_goes_where_calls_say() -> None:
    check_asked(rules("*"), AgentSpec(id="clerk"))
    check_environment(rules("*"), "env_1", AgentSpec(id="clerk"))
    check_environment(rules("*"), "env_1", None)


def test_a_call_may_not_ask_for_more() -> None:
    with pytest.raises(
        InvalidRequest, match=r"allowlist\[1\].domain: 'c.com' goes beyond .* a.com"
    ):
        check_asked(rules("a.com", "c.com"), agent("a.com"))
    with pytest.raises(InvalidRequest, match="may reach: nothing"):
        check_asked(rules("a.com"), AgentSpec(id="clerk", network="disabled"))


def test_an_environment_that_reaches_more_is_not_for_the_agent() -> None:
    check_environment(rules("a.com"), "env_1", agent("a.com"))
    with pytest.raises(InvalidRequest, match=r"env_1 reaches '\*'.* may reach only this: a.com"):
        check_environment(rules("*"), "env_1", agent("a.com"))
