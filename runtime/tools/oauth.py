"""Fetches access tokens with refresh tokens (RFC 6749, section 6), through the one door out."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import anyio
import httpx2
from pydantic import SecretStr

from runtime.errors import AddressRefused, CredentialFault, InvalidRequest
from runtime.tools.dial import Dialer

FETCH_SECONDS = 20.0
"""For one token, whatever the server does."""
MAX_BYTES = 256 * 1024
DEFAULT_LIFETIME = 600.0
"""Of a token whose server does not say how long it holds."""
MAX_LIFETIME = 7 * 86_400.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_CLIENT_REFUSED = "invalid_client"
_GRANT_REFUSED = {"invalid_grant", "bad_refresh_token", "invalid_refresh_token"}
"""The standard's, GitHub's and Slack's word for it."""


@dataclass(frozen=True, slots=True)
class RefreshGrant:
    """What an access token is asked for with."""

    token_url: str
    client_id: SecretStr
    client_secret: SecretStr
    refresh_token: SecretStr
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What came of it."""

    value: SecretStr
    lifetime_seconds: float
    refresh_token: SecretStr | None
    """The next one, where the server replaced it."""


class RefreshRefused(Exception):
    """The server does not take the refresh token any more."""


class TokenEndpoints:
    """Asks token endpoints."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    def check(self, url: str) -> None:
        """Whether tokens may be asked for at `url`. Raises `InvalidRequest`."""
        try:
            parsed = self._dialer.check(url)
        except AddressRefused as error:
            raise InvalidRequest(f"token_url: {error.message}") from None
        if parsed.fragment:
            raise InvalidRequest("token_url: must not have a fragment ('#').")
        if parsed.scheme != "https" and not self._dialer.is_named(parsed):
            raise InvalidRequest(
                "token_url: must be an https:// URL; the operator can allow a host of their own as "
                "`outbound.allow` in sandlot.yaml."
            )

    async def refresh(self, grant: RefreshGrant) -> AccessToken:
        """A new access token.

        Raises `RefreshRefused`, and `CredentialFault` without any secret, whatever else is wrong.
        """
        url = httpx2.URL(grant.token_url)
        try:
            with anyio.fail_after(FETCH_SECONDS):
                return await self._ask(url, grant)
        except TimeoutError:
            raise CredentialFault(f"{_where(url)} did not answer in {FETCH_SECONDS:g} s") from None
        except AddressRefused as error:
            raise CredentialFault(error.message) from None
        except (httpx2.HTTPError, httpx2.StreamError):
            # Their texts are not passed on: they may hold what was sent.
            raise CredentialFault(f"{_where(url)} cannot be reached or breaks off") from None

    async def _ask(self, url: httpx2.URL, grant: RefreshGrant) -> AccessToken:
        async with self._dialer.client(max_bytes=MAX_BYTES) as client:
            answer = await client.send(_request(client, url, grant, in_body=True))
            if _error_of(answer) == _CLIENT_REFUSED or answer.status_code == 401:
                # Some servers want the client's secret in a header, and only there.
                answer = await client.send(_request(client, url, grant, in_body=False))
        return _read(url, answer, grant)


def _request(
    client: httpx2.AsyncClient, url: httpx2.URL, grant: RefreshGrant, *, in_body: bool
) -> httpx2.Request:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": grant.refresh_token.get_secret_value(),
    }
    if grant.scopes:
        form["scope"] = " ".join(grant.scopes)
    own = grant.client_id.get_secret_value(), grant.client_secret.get_secret_value()
    headers = {"accept": "application/json"}
    if in_body:
        form |= {"client_id": own[0], "client_secret": own[1]}
    else:
        pair = ":".join(quote_plus(part) for part in own)
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
    return client.build_request("POST", url, data=form, headers=headers)


def _read(url: httpx2.URL, answer: httpx2.Response, grant: RefreshGrant) -> AccessToken:
    code = _error_of(answer)
    if code in _GRANT_REFUSED:
        raise RefreshRefused
    if code is not None and not _is_secret(code, grant):
        raise CredentialFault(f"{_where(url)} refused: {code}")
    if answer.status_code != 200:
        raise CredentialFault(f"{_where(url)} answered {answer.status_code}")
    return _token(url, _object(answer))


def _token(url: httpx2.URL, found: dict[str, Any]) -> AccessToken:
    value = found.get("access_token")
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise CredentialFault(f"{_where(url)} answered without a usable 'access_token'")
    kind = found.get("token_type", "bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise CredentialFault(f"{_where(url)} gave a token that is no bearer token")
    lifetime = _lifetime(found.get("expires_in"))
    return AccessToken(SecretStr(value), lifetime, _replaced(found.get("refresh_token")))


def _replaced(token: Any) -> SecretStr | None:
    return SecretStr(token) if isinstance(token, str) and _TOKEN.fullmatch(token) else None


def _lifetime(said: Any) -> float:
    try:
        seconds = float(said)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_LIFETIME
    if not math.isfinite(seconds) or seconds <= 0:
        return DEFAULT_LIFETIME
    return min(seconds, MAX_LIFETIME)


def _error_of(answer: httpx2.Response) -> str | None:
    """The error code of an answer, also where one comes with 200, as some servers do it."""
    code = _object(answer).get("error")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _is_secret(text: str, grant: RefreshGrant) -> bool:
    secrets = (grant.refresh_token, grant.client_secret, grant.client_id)
    return any(one.get_secret_value() in text or text in one.get_secret_value() for one in secrets)


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _where(url: httpx2.URL) -> str:
    return f"the token endpoint {url.host}"
