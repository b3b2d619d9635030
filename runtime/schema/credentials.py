"""Credentials on the wire: what callers give, and what they are shown, which holds no secret."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from runtime.schema.base import Open, Request

CredentialType = Literal["bearer_token", "oauth2", "environment_variable"]
Location = Literal["header", "query", "body"]
MAX_SECRET = 16 * 1024
MAX_HOSTS = 100
MAX_SCOPES = 100
ID_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"


def wrong_id(text: str) -> str | None:
    """What is wrong with the id of a credential; None when nothing is."""
    if re.fullmatch(ID_PATTERN, text):
        return None
    return "must be the id of a credential: at most 63 letters, digits, and . _ - between them"


def _bounded(secret: SecretStr) -> SecretStr:
    length = len(secret.get_secret_value())
    if length == 0:
        raise ValueError("must not be empty")
    if length > MAX_SECRET:
        raise ValueError(f"must have at most {MAX_SECRET} characters")
    return secret


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Secret = Annotated[SecretStr, AfterValidator(_bounded)]
"""Never shown: in an error, a log or a `repr` it is masked."""
Id = Annotated[str, Field(pattern=ID_PATTERN)]
HeaderName = Annotated[str, Field(min_length=1, max_length=100)]
Prefix = Annotated[str, Field(max_length=100)]
Url = Annotated[str, Field(min_length=1, max_length=2000)]
Scopes = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=MAX_SCOPES)
]
Hosts = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=300)]], Field(max_length=MAX_HOSTS)
]
Locations = Annotated[
    list[Location],
    Field(min_length=1, max_length=10),
    BeforeValidator(_several, json_schema_input_type=Location | list[Location]),
]


class BearerToken(Request):
    """A token that is sent in a header of every request."""

    type: Literal["bearer_token"]
    id: Id | None = None
    """Made by the server when left out."""
    token: Secret
    header_name: HeaderName | None = None
    """`Authorization` when left out."""
    prefix: Prefix | None = None
    """Stands before the token, with a blank between; `Bearer` when left out, empty for none."""


class OAuth2(Request):
    """Access tokens by a refresh token; they are sent as bearer tokens."""

    type: Literal["oauth2"]
    id: Id | None = None
    """Made by the server when left out."""
    client_id: Secret
    client_secret: Secret
    refresh_token: Secret
    token_url: Url
    """Where access tokens are fetched; a URL with TLS."""
    scopes: Scopes | None = None


class EnvironmentVariable(Request):
    """A secret behind a variable of the sandbox, which holds a placeholder of it."""

    type: Literal["environment_variable"]
    id: Id | None = None
    """Made by the server when left out."""
    value: Secret
    injection_location: Locations
    """Where in requests the placeholder is replaced: `header`, `query`, `body`, or a list."""
    trusted_domains: Hosts | None = None
    """Hosts, or `*.suffix`, whose requests get the value; without any none does."""


class BearerTokenUpdate(Request):
    """New values of a bearer token; what is left out stays."""

    type: Literal["bearer_token"]
    token: Secret | None = None
    header_name: HeaderName | None = None
    prefix: Prefix | None = None


class OAuth2Update(Request):
    """New values of an OAuth credential; what is left out stays."""

    type: Literal["oauth2"]
    client_id: Secret | None = None
    client_secret: Secret | None = None
    refresh_token: Secret | None = None
    token_url: Url | None = None
    scopes: Scopes | None = None


class EnvironmentVariableUpdate(Request):
    """New values of a variable's credential; what is left out stays."""

    type: Literal["environment_variable"]
    value: Secret | None = None
    injection_location: Locations | None = None
    trusted_domains: Hosts | None = None


CredentialBody = BearerToken | OAuth2 | EnvironmentVariable
CredentialUpdate = BearerTokenUpdate | OAuth2Update | EnvironmentVariableUpdate


class Credential(Open):
    """A stored credential; its secrets are never shown."""

    id: str
    type: CredentialType
    status: Literal["active", "revoked"]
    """`revoked`: its refresh token was refused; a new one makes it active again."""
    create_time: str
    update_time: str


class CredentialPage(Open):
    """Credentials by id."""

    credentials: list[Credential]
    next_page_token: str | None = None
