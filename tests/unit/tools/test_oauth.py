from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from runtime.errors import CredentialFault, InvalidRequest
from runtime.tools.dial import Dialer
from runtime.tools.oauth import DEFAULT_LIFETIME, RefreshGrant, RefreshRefused, TokenEndpoints
from tests.support.token_server import TokenServer, moved, plain, token_server

pytestmark = pytest.mark.anyio

INSIDE = TokenEndpoints(Dialer(["127.0.0.1"]))


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    async with token_server() as found:
        yield found


def grant(server: TokenServer, **changes: Any) -> RefreshGrant:
    values: dict[str, Any] = {
        "token_url": server.url,
        "client_id": SecretStr(server.client[0]),
        "client_secret": SecretStr(server.client[1]),
        "refresh_token": SecretStr("refresh-0"),
    }
    return RefreshGrant(**{**values, **changes})


async def test_a_token_is_fetched(server: TokenServer) -> None:
    token = await INSIDE.refresh(grant(server, scopes=("mail.read", "mail.send")))
    assert token.value.get_secret_value() == "access-token-0"
    assert (token.lifetime_seconds, token.refresh_token) == (3600, None)
    (form,) = server.forms
    assert form["grant_type"] == "refresh_token" and form["scope"] == "mail.read mail.send"
    assert "access-token-0" not in repr(token) and "refresh-0" not in repr(grant(server))


async def test_a_server_that_wants_the_clients_secret_in_a_header_gets_it_there(
    server: TokenServer,
) -> None:
    server.wants_header, server.client = True, ("me:too", "s ecret+/%")
    token = await INSIDE.refresh(grant(server))
    assert token.value.get_secret_value() == "access-token-0"
    assert "client_secret" not in server.forms[-1]


async def test_the_next_refresh_token_is_told(server: TokenServer) -> None:
    server.rotates = True
    token = await INSIDE.refresh(grant(server))
    assert token.refresh_token is not None
    assert token.refresh_token.get_secret_value() == "refresh-1"


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [("120", 120), (None, DEFAULT_LIFETIME), ("soon", DEFAULT_LIFETIME), (-1, DEFAULT_LIFETIME)],
)
async def test_lifetimes(server: TokenServer, said: Any, lifetime: float) -> None:
    server.lifetime = said
    assert (await INSIDE.refresh(grant(server))).lifetime_seconds == lifetime


@pytest.mark.parametrize("code", ["invalid_grant", "bad_refresh_token"])
@pytest.mark.parametrize("status", [200, 400])
async def test_a_refresh_token_that_is_refused(server: TokenServer, code: str, status: int) -> None:
    server.answer = plain(status, {"error": code})
    with pytest.raises(RefreshRefused):
        await INSIDE.refresh(grant(server))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (plain(503, "refresh-0"), "127.0.0.1 answered 503"),
        (plain(400, {"error": "invalid_scope"}), "refused: invalid_scope"),
        (plain(400, {"error": "client-secret", "error_description": "refresh-0"}), "answered 400"),
        (plain(400, {"error": "no refresh-0"}), "answered 400"),
        (plain(200, "<html>refresh-0"), "without a usable 'access_token'"),
        (plain(200, {"access_token": "a b"}), "without a usable 'access_token'"),
        (plain(200, {"access_token": 5}), "without a usable 'access_token'"),
        (plain(200, {"access_token": "a", "token_type": "mac"}), "no bearer token"),
        (plain(200, "[" * 100_000), "without a usable 'access_token'"),
        (plain(200, "x" * 300_000), "breaks off"),
        (moved("http://169.254.169.254/"), "answered 307"),
    ],
)
async def test_other_answers_are_told_without_secrets(
    server: TokenServer, answer: Any, words: str
) -> None:
    server.answer = answer
    with pytest.raises(CredentialFault) as raised:
        await INSIDE.refresh(grant(server))
    assert words in raised.value.message
    for secret in ("refresh-0", "client-secret"):
        assert secret not in raised.value.message
        assert secret not in repr(raised.value.__cause__)


async def test_a_server_that_is_not_there() -> None:
    closed = TokenServer("http://127.0.0.1:1/token")
    with pytest.raises(CredentialFault, match="cannot be reached"):
        await INSIDE.refresh(grant(closed))


async def test_a_server_inside_is_not_asked_unless_the_operator_allows_it(
    server: TokenServer,
) -> None:
    with pytest.raises(CredentialFault, match=r"outbound\.allow"):
        await TokenEndpoints(Dialer()).refresh(grant(server))
    assert server.forms == []


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example.com/token",
        "https://user:pw@auth.example.com/token",
        "https://auth.example.com/token#part",
        "https://10.0.0.1/token",
        "https://localhost/token",
        "https://2130706433/token",
        "ftp://auth.example.com/",
        "auth.example.com/token",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="token_url"):
        TokenEndpoints(Dialer()).check(url)


def test_addresses_that_are_taken() -> None:
    TokenEndpoints(Dialer()).check("https://auth.example.com/token?tenant=1")
    TokenEndpoints(Dialer(["sso.corp:8080", "10.0.0.0/8"])).check("http://sso.corp:8080/token")
    TokenEndpoints(Dialer(["sso.corp:8080", "10.0.0.0/8"])).check("http://10.1.2.3/token")
