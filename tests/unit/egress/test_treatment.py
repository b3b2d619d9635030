from __future__ import annotations

import base64
from collections.abc import Iterable

import pytest
from pydantic import SecretStr

from runtime.egress.redaction import Replacer
from runtime.egress.rules import HeaderInjection, Placeholder
from runtime.egress.treatment import Headers, Treatment

TOKEN = "canary-token-0123456789"
HOLDER = "sandlot_placeholder_0001"


def injecting(**headers: str) -> Treatment:
    return Treatment(
        tuple(
            HeaderInjection(name=name.replace("_", "-"), value=SecretStr(value))
            for name, value in headers.items()
        )
    )


def holding(*locations: str, value: str = TOKEN) -> Treatment:
    holder = Placeholder.model_validate(
        {"text": HOLDER, "value": value, "domains": ["a.com"], "locations": list(locations)}
    )
    return Treatment((), (holder,), None)


def sent(treatment: Treatment, *headers: tuple[str, str]) -> Headers:
    return treatment.headers([(name.encode(), value.encode()) for name, value in headers])


def names(headers: Iterable[tuple[bytes, bytes]]) -> set[str]:
    return {name.decode() for name, _ in headers}


def test_without_rules_headers_pass_unchanged() -> None:
    headers = [(b"authorization", b"Bearer own"), (b"cookie", b"a=b"), (b"accept", b"*/*")]
    assert Treatment().headers(headers) == headers
    assert not Treatment().needs_interception and not Treatment().masks


def test_the_callers_own_credentials_are_replaced() -> None:
    own = ["authorization", "x-api-key", "cookie", "x-goog-api-key", "api-key", "x-auth-token"]
    own += ["private-token", "proxy-authorization", "x-access-token", "x-amz-security-token"]
    found = sent(
        injecting(Authorization=f"Bearer {TOKEN}"),
        *((name, "the callers own") for name in own),
        ("accept", "text/html"),
        ("mcp-session-id", "kept"),
    )
    assert (b"authorization", f"Bearer {TOKEN}".encode()) in found
    assert names(found) == {"authorization", "accept", "mcp-session-id"}


def test_a_header_that_is_no_credential_leaves_those_of_the_caller() -> None:
    found = sent(injecting(User_Agent="corp/1"), ("cookie", "a=b"), ("user-agent", "curl"))
    assert found == [(b"cookie", b"a=b"), (b"user-agent", b"corp/1")]


@pytest.mark.parametrize("name", [b"x_api_key", b"x-api_key", b"x_session_token", b"auth_token"])
def test_underscores_do_not_hide_the_callers_own_credentials(name: bytes) -> None:
    rule = HeaderInjection(name="X-Api-Key", value=SecretStr("ours-0123"))
    treatment = Treatment(injections=(rule,), credential="cred_1")
    found = treatment.headers([(name, b"mine"), (b"x_team", b"blue")])
    assert found == [(b"x_team", b"blue"), (b"x-api-key", b"ours-0123")]


def test_underscores_do_not_double_a_header_that_is_set() -> None:
    treatment = Treatment(injections=(HeaderInjection(name="X-Team", value=SecretStr("blue")),))
    assert treatment.headers([(b"x_team", b"red")]) == [(b"x-team", b"blue")]


def test_a_secret_in_the_name_of_a_header_is_masked() -> None:
    rule = HeaderInjection(name="X-Key", value=SecretStr("Canary-0123"))
    found = Treatment(injections=(rule,)).redacted([(b"x-canary-0123", b"Canary-0123")])
    assert found == [(b"x-***********", b"***********")]


def test_of_two_injections_with_one_name_the_later_counts() -> None:
    both = Treatment((*injecting(X_Key="first").injections, *injecting(x_key="second").injections))
    assert sent(both) == [(b"x-key", b"second")]


def test_credentials_in_the_query_are_dropped_for_a_pinned_host() -> None:
    google = "AIza" + "b" * 35
    target = f"/v1?a=1&api_key=own&access%5Ftoken=own&key={google}&key=name&token=next".encode()
    assert injecting(Authorization="x").target(target) == b"/v1?a=1&key=name&token=next"
    assert injecting(User_Agent="x").target(target) == target
    assert injecting(Authorization="x").target(b"/v1?api_key=own") == b"/v1"


def test_placeholders_are_filled_in_where_that_is_allowed() -> None:
    value = f"Bearer {HOLDER}"
    assert sent(holding("header"), ("authorization", value)) == [
        (b"authorization", f"Bearer {TOKEN}".encode())
    ]
    assert sent(holding("query"), ("x-any", value)) == [(b"x-any", value.encode())]
    target = f"/{HOLDER}?a={HOLDER}&b=1".encode()
    assert holding("header").target(target) == target
    assert holding("query").target(target) == f"/{HOLDER}?a={TOKEN}&b=1".encode()


def test_a_secret_in_a_query_is_escaped() -> None:
    treatment = holding("query", value="a&b=c d/e")
    assert treatment.target(f"/?k={HOLDER}".encode()) == b"/?k=a%26b%3Dc%20d%2Fe"


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", b'"a\\"b&c"'),
        ("application/x-www-form-urlencoded", b'"a%22b%26c"'),
        ("text/plain", b'"a"b&c"'),
    ],
)
def test_a_secret_in_a_body_is_escaped_for_its_kind(content_type: str, expected: bytes) -> None:
    replacer = Replacer(holding("body", value='a"b&c').fillings(content_type))
    assert replacer.whole(f'"{HOLDER}"'.encode()) == expected
    assert not holding("header").fillings(content_type)


def test_a_placeholder_inside_basic_authorization_is_filled_in() -> None:
    basic = base64.b64encode(f"x-access-token:{HOLDER}".encode()).decode()
    (found,) = sent(holding("header"), ("authorization", f"Basic {basic}"))
    assert base64.b64decode(found[1].removeprefix(b"Basic ")) == f"x-access-token:{TOKEN}".encode()


def test_beside_placeholders_only_filled_credentials_pass() -> None:
    found = sent(
        holding("header"), ("authorization", f"token {HOLDER}"), ("x-api-key", "own"), ("x", "y")
    )
    assert names(found) == {"authorization", "x"}


@pytest.mark.parametrize(
    "treatment",
    [
        injecting(Authorization=f"Bearer {TOKEN}"),
        injecting(X_Any=TOKEN),
        injecting(Authorization="Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()),
        holding("header"),
    ],
)
def test_whatever_is_given_is_taken_out_of_answers(treatment: Treatment) -> None:
    assert TOKEN.encode() not in Replacer(treatment.masks).whole(f'{{"token": "{TOKEN}"}}'.encode())
    assert treatment.redacted([(b"x-echo", TOKEN.encode())]) == [(b"x-echo", b"*" * len(TOKEN))]
