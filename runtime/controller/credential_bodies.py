"""Reads what callers say of a credential. Pure; no error repeats a value, which may be a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

from runtime.errors import InvalidRequest
from runtime.outbound.headers import checked_name, checked_value
from runtime.outbound.hosts import read_pattern
from runtime.schema.credentials import (
    BearerToken,
    BearerTokenUpdate,
    CredentialBody,
    CredentialUpdate,
    EnvironmentVariable,
    EnvironmentVariableUpdate,
    OAuth2,
    OAuth2Update,
)
from runtime.schema.faults import did_you_mean, explain

Json = dict[str, Any]
DEFAULT_HEADER = "Authorization"
DEFAULT_PREFIX = "Bearer"
BODIES: Mapping[str, type[CredentialBody]] = {
    "bearer_token": BearerToken,
    "oauth2": OAuth2,
    "environment_variable": EnvironmentVariable,
}
UPDATES: Mapping[str, type[CredentialUpdate]] = {
    "bearer_token": BearerTokenUpdate,
    "oauth2": OAuth2Update,
    "environment_variable": EnvironmentVariableUpdate,
}
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def read_body(body: Any) -> CredentialBody:
    """The credential in a body of `POST /credentials`. Raises `InvalidRequest`, naming fields."""
    kind = _kind(body)
    try:
        found = BODIES[kind].model_validate(body)
    except ValidationError as error:
        known = BODIES[kind].model_fields
        raise InvalidRequest(explain(error, body, known=known)) from None
    check_body(found)
    return found


def read_update(body: Any, mask: str | None = None) -> CredentialUpdate:
    """The new values in a body of `PATCH /credentials/{id}`; with `mask` only those it names.

    Raises `InvalidRequest`.
    """
    kind = _kind(body)
    try:
        found = UPDATES[kind].model_validate(body)
    except ValidationError as error:
        known = UPDATES[kind].model_fields
        raise InvalidRequest(explain(error, body, known=known)) from None
    return found if not mask else _masked(found, mask)


def merged(body: CredentialBody, update: CredentialUpdate) -> CredentialBody:
    """`body` with the new values. Raises `InvalidRequest` where they do not fit."""
    given = {name: getattr(update, name) for name in type(update).model_fields}
    changed = body.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    check_body(changed)
    return changed


def changes_anything(update: CredentialUpdate) -> bool:
    """Whether it brings a value."""
    names = [name for name in type(update).model_fields if name != "type"]
    return any(getattr(update, name) is not None for name in names)


def written(body: CredentialBody) -> str:
    """The credential with its secrets, to be sealed."""
    shown = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name in type(body).model_fields
        if (value := getattr(body, name)) is not None and name != "id"
    }
    return json.dumps(shown)


def reread(text: str) -> CredentialBody:
    """What `written` wrote."""
    found: Json = json.loads(text)
    return BODIES[found["type"]].model_validate(found)


def check_body(body: CredentialBody) -> None:
    """Whether its values can be used. Raises `InvalidRequest`."""
    match body:
        case BearerToken():
            _check("header_name", checked_name, body.header_name or DEFAULT_HEADER)
            _check_bearer(body)
        case OAuth2():
            for name in ("client_id", "client_secret", "refresh_token"):
                _check(name, _printable, getattr(body, name).get_secret_value())
            for index, scope in enumerate(body.scopes or []):
                _check(f"scopes[{index}]", _scope, scope)
        case EnvironmentVariable():
            _check("value", checked_value, body.value.get_secret_value())
            for index, domain in enumerate(body.trusted_domains or []):
                _check_domain(f"trusted_domains[{index}]", domain)


def bearer_value(prefix: str | None, token: SecretStr) -> SecretStr:
    """The value of the header that carries a token."""
    prefix = DEFAULT_PREFIX if prefix is None else prefix
    return SecretStr(f"{prefix} {token.get_secret_value()}" if prefix else token.get_secret_value())


def _kind(body: Any) -> str:
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in BODIES:
        hint = did_you_mean(kind, BODIES) if isinstance(kind, str) else ""
        raise InvalidRequest(f"type: must be one of {', '.join(map(repr, BODIES))}.{hint}")
    return kind


def _masked(update: CredentialUpdate, mask: str) -> CredentialUpdate:
    names = [name for name in type(update).model_fields if name != "type"]
    wanted = [one.strip() for one in mask.split(",") if one.strip() not in ("", "type")]
    for name in wanted:
        if name not in names:
            raise InvalidRequest(
                f"update_mask: there is no field '{name[:80]}'.{did_you_mean(name, names)}"
            )
        if getattr(update, name) is None:
            raise InvalidRequest(f"update_mask: names '{name}', which the body does not give.")
    return update.model_copy(update={name: None for name in names if name not in wanted})


def _check(path: str, check: Any, value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise InvalidRequest(f"{path}: {error}.") from None


def _printable(value: str) -> None:
    checked_value(value)
    if _PRINTABLE.fullmatch(value) is None:
        raise ValueError("holds characters beyond ASCII")


def _scope(value: str) -> None:
    if _SCOPE.fullmatch(value) is None:
        raise ValueError("is not a scope: blanks, quotes and backslashes are none of its signs")


def _check_bearer(body: BearerToken) -> None:
    token = body.token.get_secret_value()
    prefix = DEFAULT_PREFIX if body.prefix is None else body.prefix
    _check("prefix", _printable, prefix)
    _check("token", _printable, token)
    if prefix and token.lower().startswith(f"{prefix.lower()} "):
        raise InvalidRequest(
            "token: begins with the prefix, which is put before it anyway. Leave it out of the "
            "token, or give an empty 'prefix'."
        )


def _check_domain(path: str, domain: str) -> None:
    try:
        pattern = read_pattern(domain)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}") from None
    if pattern.kind == "any":
        raise InvalidRequest(
            f"{path}: '*' would hand the value to every host. Name hosts, or '*.suffix'."
        )
