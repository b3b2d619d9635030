"""What an environment may reach, as callers and agents write it.

The wire form is that of the Interactions API (`environment.network`): absent, `disabled`, or an
allowlist whose entries may bring credentials and headers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from runtime.schema.base import Request

MAX_ENTRIES = 1000
MAX_HEADERS = 20
MAX_HEADER_CHARACTERS = 16 * 1024


def _header_maps(value: Any) -> Any:
    """Headers come as one object, or as a list of them."""
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise ValueError("must be an object of headers, or a list of such objects")
    return value


HeaderValue = Annotated[str, Field(max_length=MAX_HEADER_CHARACTERS)]
Headers = Annotated[
    list[dict[str, HeaderValue]],
    BeforeValidator(_header_maps, json_schema_input_type=dict[str, str] | list[dict[str, str]]),
    Field(max_length=MAX_HEADERS),
]


class AllowedHost(Request):
    """One entry of an allowlist."""

    domain: str
    """A name, `*.suffix` or `*`, each also with `:port`."""
    credential: str | None = None
    """Id of a stored credential that signs every request to the host."""
    transform: Headers | None = None
    """Headers that every request to the host gets; they win over those of the credential."""


def _entry(value: Any) -> Any:
    return {"domain": value} if isinstance(value, str) else value


def _entries_or_word(value: Any) -> str:
    return "entries" if isinstance(value, list) else "word"


def _known_word(value: Any) -> Any:
    if value != "disabled":
        raise ValueError("must be a list of entries such as {'domain': 'example.com'}")
    return value


Entry = Annotated[AllowedHost, BeforeValidator(_entry, json_schema_input_type=str | AllowedHost)]
_Disabled = Annotated[
    Literal["disabled"],
    BeforeValidator(_known_word, json_schema_input_type=Literal["disabled"]),
    Tag("word"),
]


class Allowlist(Request):
    """Only these hosts; an empty list is none at all."""

    allowlist: Annotated[
        _Disabled | Annotated[list[Entry], Field(max_length=MAX_ENTRIES), Tag("entries")],
        Discriminator(_entries_or_word),
    ]


def _list_or_word(value: Any) -> str:
    return "list" if isinstance(value, dict | Allowlist) else "word"


def _known_network(value: Any) -> Any:
    if value != "disabled":
        raise ValueError("must be 'disabled' or an object such as {'allowlist': []}")
    return value


Network = Annotated[
    Annotated[
        Literal["disabled"],
        BeforeValidator(_known_network, json_schema_input_type=Literal["disabled"]),
        Tag("word"),
    ]
    | Annotated[Allowlist, Tag("list")],
    Discriminator(_list_or_word),
]
"""What an environment may reach."""

OPEN: dict[str, Any] = {"allowlist": [{"domain": "*"}]}
"""Every public host."""


def allowed_hosts(network: Network) -> list[AllowedHost]:
    """The entries of `network`; none where it is disabled."""
    if isinstance(network, str) or isinstance(network.allowlist, str):
        return []
    return network.allowlist
