from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from runtime.egress.policy import Policy, Verdict
from runtime.egress.rules import (
    CLOSED,
    OPEN,
    REVEAL,
    HeaderInjection,
    HostRule,
    Placeholder,
    Rules,
)
from runtime.outbound.hosts import read_authority
from tests.unit.outbound.test_hosts import HOSTS


def policy(*hosts: str | HostRule, internal: tuple[str, ...] = ()) -> Policy:
    rules = tuple(HostRule(domain=one) if isinstance(one, str) else one for one in hosts)
    return Policy(Rules(hosts=rules, allow_internal=internal))


def decide(subject: Policy, text: str) -> Verdict:
    return subject.decide(read_authority(text))


def test_without_entries_nothing_is_allowed() -> None:
    verdict = decide(Policy(CLOSED), "example.com:443")
    assert not verdict.allowed and verdict.rule is None
    assert Policy(CLOSED).summary == "This environment has no network: nothing is allowed."


def test_a_refusal_is_a_sentence_that_names_the_host() -> None:
    subject = policy("api.example.com", "*.pypi.org")
    verdict = decide(subject, "evil.example.com:443")
    assert verdict.reason == "host evil.example.com is not in this environment's allowlist"
    assert subject.summary == "Allowed hosts: api.example.com, *.pypi.org."


def test_a_refused_port_of_a_listed_host_is_named() -> None:
    verdict = decide(policy("api.example.com:8443"), "api.example.com:443")
    assert verdict.reason == "host api.example.com:443 is not in this environment's allowlist"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("api.example.com:443", "api.example.com"),
        ("api.example.com:8443", "api.example.com:8443"),
        ("b.deep.example.com:443", "*.deep.example.com"),
        ("b.example.com:443", "*.example.com"),
        ("example.com:443", "*"),
        ("b.example.com:80", "*.example.com:80"),
        ("8.8.8.8:80", "*"),
    ],
)
def test_the_most_specific_entry_counts(text: str, rule: str, order: int) -> None:
    entries = ["*", "*.example.com", "*.example.com:80", "*.deep.example.com", "api.example.com"]
    entries.append("api.example.com:8443")
    assert decide(policy(*entries[::order]), text).rule == rule


def test_of_two_equal_entries_the_first_counts() -> None:
    first = HostRule(domain="a.com", credential="one")
    second = HostRule(domain="A.com.", credential="two")
    assert decide(policy(first, second), "a.com:443").treatment.credential == "one"


@pytest.mark.parametrize("port", [21, 22, 25, 53, 2375, 3306, 5432, 6379, 11211, 65535])
def test_open_means_the_usual_ports_of_the_web(port: int) -> None:
    verdict = decide(Policy(OPEN), f"example.com:{port}")
    assert not verdict.allowed and "is not on one of the ports 80, 443" in verdict.reason
    assert decide(policy(f"example.com:{port}"), f"example.com:{port}").allowed


@pytest.mark.parametrize(
    "text",
    [
        "localhost:80",
        "a.localhost:80",
        "metadata.google.internal:80",
        "printer.local:80",
        "router.home.arpa:80",
        "x.onion:80",
        "127.0.0.1:80",
        "169.254.169.254:80",
        "100.100.100.200:80",
        "[::1]:80",
        "[fd00:ec2::254]:80",
        "[::ffff:169.254.169.254]:80",
        "[64:ff9b::7f00:1]:80",
        "0.0.0.0:80",
    ],
)
def test_what_is_inside_is_refused_even_if_listed(text: str) -> None:
    host = text.rsplit(":", 1)[0]
    for subject in (Policy(OPEN), policy(host)):
        verdict = decide(subject, text)
        assert not verdict.allowed and "egress.allow_internal" in verdict.reason
    assert decide(policy(host, internal=(read_authority(text).host,)), text).allowed


def test_what_the_operator_allows_must_be_listed_all_the_same() -> None:
    subject = policy("api.example.com", internal=("10.0.0.0/8", "db.internal"))
    assert not decide(subject, "10.1.1.1:80").allowed
    assert not decide(subject, "db.internal:80").allowed


def test_a_standing_connection_is_judged_by_its_address() -> None:
    authority = read_authority("a.com:443")
    inside = ipaddress.ip_address("10.0.0.1")
    assert policy("a.com", internal=("10.0.0.0/8",)).allows_address(authority, inside)
    assert not policy("a.com").allows_address(authority, inside)
    assert not policy("b.com", internal=("10.0.0.0/8",)).allows_address(authority, inside)


def test_ten_thousand_entries_are_decided_by_lookup() -> None:
    subject = policy(*(f"h{number}.example.com" for number in range(10_000)), "*.tail.org")
    assert decide(subject, "h9999.example.com:443").allowed
    assert decide(subject, "a.tail.org:443").allowed
    assert not decide(subject, "h10000.example.com:443").allowed
    assert "and 9989 more" in subject.summary


@given(st.lists(HOSTS, max_size=5), st.lists(HOSTS, max_size=3), HOSTS)
def test_more_entries_never_allow_less(some: list[str], more: list[str], host: str) -> None:
    fewer, all_of_them = policy(*some), policy(*some, *more)
    text = f"{host}:443"
    assert not decide(policy(), text).allowed
    if decide(fewer, text).allowed:
        assert decide(all_of_them, text).allowed
    assert decide(fewer, text).allowed <= (host in some)


@pytest.mark.parametrize(
    "domain", ["*.", "", "https://a.com", "a.com/x", "a b", "*a.com", "10.0.0.0/8"]
)
def test_an_entry_that_cannot_be_read_is_an_error_that_shows_the_forms(domain: str) -> None:
    with pytest.raises(ValidationError, match=r"\*\.example\.com"):
        HostRule(domain=domain)


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "a b", "", "a:b"])
def test_headers_that_frame_a_message_cannot_be_set(name: str) -> None:
    with pytest.raises(ValidationError):
        HeaderInjection(name=name, value=SecretStr("x"))


@pytest.mark.parametrize("value", ["%\r\nb: c", "%\nb", "%\x00", " %", "%\x7f"])
def test_a_value_cannot_break_out_of_its_line_and_is_not_told(value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HeaderInjection(name="Authorization", value=SecretStr(value.replace("%", "canary")))
    assert "canary" not in str(caught.value)


def test_rules_travel_with_their_secrets_only_where_that_is_asked_for() -> None:
    rules = Rules(
        hosts=(
            HostRule(
                domain="a.com",
                headers=(HeaderInjection(name="X-Key", value=SecretStr("canary-1")),),
            ),
        ),
        placeholders=(
            Placeholder(
                text="placeholder_0123456",
                value=SecretStr("canary-2"),
                domains=("a.com",),
                locations=frozenset({"header"}),
            ),
        ),
    )
    for harmless in (repr(rules), str(rules), rules.model_dump_json(), str(rules.model_dump())):
        assert "canary" not in harmless
    assert Rules.model_validate(rules.model_dump(mode="json", context=REVEAL)) == rules
