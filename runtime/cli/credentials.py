"""`sandlot credentials`: made, listed, changed and deleted over the API."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from runtime.cli.connection import connected
from runtime.cli.exits import Misuse
from runtime.cli.listings import ago, announce, print_json, print_table
from runtime.errors import NotFound
from runtime.schema.faults import did_you_mean

SECRETS: Mapping[str, tuple[str, ...]] = {
    "bearer_token": ("token",),
    "oauth2": ("client_secret", "refresh_token"),
    "environment_variable": ("value",),
}
"""The fields of each type that are read from elsewhere than the command line."""
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "bearer_token": ("header_name", "prefix"),
    "oauth2": ("client_id", "token_url", "scopes"),
    "environment_variable": ("injection_location", "trusted_domains"),
}
_SPELLING = {"scopes": "scope", "injection_location": "in", "trusted_domains": "domain"}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """What was typed."""

    id: str
    header_name: str | None = None
    prefix: str | None = None
    client_id: str | None = None
    token_url: str | None = None
    scopes: list[str] | None = None
    injection_location: list[str] | None = None
    trusted_domains: list[str] | None = None
    from_env: Sequence[str] = ()

    def fields(self, kind: str) -> Json:
        """The fields that are no secrets. Raises `Misuse` for those of another type."""
        given = {
            name: value
            for names in _OPTIONS.values()
            for name in names
            if (value := getattr(self, name)) is not None
        }
        wrong = next((name for name in given if name not in _OPTIONS[kind]), None)
        if wrong is not None:
            raise Misuse(f"{_option(wrong)} is no option of a credential of type {kind}")
        return given


def create(state_dir: Path | None, kind: str, order: Order) -> None:
    """Store a credential and print its id."""
    if kind not in SECRETS:
        known = ", ".join(SECRETS)
        raise Misuse(f"--type: must be one of {known}.{did_you_mean(kind, SECRETS)}")
    fields = order.fields(kind)
    if kind == "environment_variable":
        fields.setdefault("injection_location", ["header"])
    needed = {"oauth2": ("client_id", "token_url"), "environment_variable": ("trusted_domains",)}
    for name in needed.get(kind, ()):
        if name not in fields:
            raise Misuse(f"{_option(name)} is needed for a credential of type {kind}")
    fields |= _secrets(kind, order.from_env, asks=True)
    with connected(state_dir, announce) as client:
        made = client.credentials.create(id=order.id, type=kind, **fields)
    typer.echo(made.id)


def show_all(state_dir: Path | None, *, as_json: bool) -> None:
    """Print the credentials, by id."""
    with connected(state_dir, announce) as client:
        found = client.credentials.list()
    if as_json:
        print_json(found)
        return
    rows = [
        (one.id, one.status, one.type, ago(one.create_time), ago(one.update_time)) for one in found
    ]
    print_table(("ID", "STATUS", "TYPE", "MADE", "CHANGED"), rows)


def show(state_dir: Path | None, credential_id: str) -> None:
    """Print one credential as JSON."""
    with connected(state_dir, announce) as client, _named(credential_id):
        print_json(client.credentials.get(credential_id))


def update(state_dir: Path | None, order: Order, *, asks: bool) -> None:
    """Give a credential new values; with `asks` its secrets are read where no variable has them."""
    with connected(state_dir, announce) as client, _named(order.id):
        kept = client.credentials.get(order.id)
        fields = order.fields(kept.type) | _secrets(kept.type, order.from_env, asks=asks)
        if not fields:
            raise Misuse("nothing to change: give an option, --from-env or --secret")
        changed = client.credentials.update(order.id, type=kept.type, **fields)
    announce(f"{changed.id}: {changed.status}")


def delete(state_dir: Path | None, credential_id: str) -> None:
    """Delete a credential."""
    with connected(state_dir, announce) as client, _named(credential_id):
        client.credentials.delete(credential_id)
    announce(f"{credential_id}: deleted")


@contextmanager
def _named(credential_id: str) -> Generator[None]:
    """Say which credential is not there: the API's own sentence does not."""
    try:
        yield
    except NotFound:
        raise NotFound(
            f"there is no credential {credential_id!r}; `sandlot credentials list` has all"
        ) from None


def _option(name: str) -> str:
    return f"--{_SPELLING.get(name, name).replace('_', '-')}"


def _secrets(kind: str, from_env: Sequence[str], *, asks: bool) -> dict[str, str]:
    """The secrets of a type: from variables, and with `asks` the others from elsewhere."""
    names = SECRETS[kind]
    found = dict(_from_variable(entry, names) for entry in from_env)
    missing = [name for name in names if name not in found]
    if asks and missing:
        found |= _asked(missing)
    return found


def _from_variable(entry: str, names: Sequence[str]) -> tuple[str, str]:
    field, mark, variable = entry.rpartition("=")
    if not mark and len(names) == 1:
        field = names[0]
    if field not in names:
        how = " or ".join(f"{name}={variable or 'NAME'}" for name in names)
        raise Misuse(f"--from-env: say which secret it is, as {how}")
    value = os.environ.get(variable)
    if not value:
        raise Misuse(f"--from-env: the environment variable {variable} is not set")
    return field, value


def _asked(names: Sequence[str]) -> dict[str, str]:
    if sys.stdin.isatty():
        return {name: getpass.getpass(f"{name}: ") for name in names}
    text = sys.stdin.read().rstrip("\r\n")
    if not text:
        raise Misuse(f"no {' and no '.join(names)}: nothing came on standard input")
    if len(names) == 1:
        return {names[0]: text}
    return _object(text, names)


def _object(text: str, names: Sequence[str]) -> dict[str, str]:
    """The secrets in a JSON object; the text is in no error, it is secret."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or {*found} != {*names}:
        raise Misuse(f"standard input must hold a JSON object with {' and '.join(names)}")
    return found
