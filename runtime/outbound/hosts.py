"""The grammar of hosts: what a request may name, what an allowlist may hold, what matches. Pure.

The text that is matched is the text that is looked up; nothing is normalised in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import idna

from runtime.errors import AddressRefused, InvalidRequest
from runtime.outbound.addresses import PORTS, checked_host, literal, plain

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,254}))(?::([0-9]{1,5}))?")
_PATTERN = re.compile(r"(\*\.)?([^*:\[\]\s]+|\[[0-9A-Fa-f:.]+\]|\*)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and a port, in the one form that is matched and looked up."""

    host: str
    """A name in lower case without its last dot, or an IP address without brackets."""
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """`host` as a URL writes it."""
    return f"[{host}]" if ":" in host else host


def read_authority(text: str, default_port: int | None = None) -> Authority:
    """The host and port that a request names. Raises `InvalidRequest` for any other form.

    Users, percent signs, numbers that some resolvers take for addresses, zones, blanks and anything
    beyond ASCII are refused; without a `default_port` the port must be there.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"'{_shown(text)}' is not a host and port.")
    address, name, digits = found.groups()
    port = _port(digits, text) if digits else default_port
    if port is None:
        raise InvalidRequest(f"'{_shown(text)}' names no port.")
    if address is not None and literal(address) is None:
        raise InvalidRequest(f"'{_shown(text)}' is not an IP address.")
    return Authority(_canonical(address or name), port)


def _canonical(host: str) -> str:
    address = literal(host)
    return checked_host(host) if address is None else str(plain(address))


def _port(digits: str, text: str) -> int:
    port = int(digits)
    if not 1 <= port <= 65535:
        raise InvalidRequest(f"'{_shown(text)}' has no valid port.")
    return port


def _shown(text: str) -> str:
    return ascii(text[:80])[1:-1]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of an allowlist, read."""

    kind: Literal["exact", "suffix", "any"]
    name: str
    """The name or address of an exact entry, what follows `*.` of a suffix, else empty."""
    port: int | None
    """The only port; None for the usual ones."""

    def matches(self, authority: Authority) -> bool:
        """Whether this entry speaks of that host and port."""
        if self.port not in (None, authority.port):
            return False
        match self.kind:
            case "any":
                return True
            case "exact":
                return authority.host == self.name
            case "suffix":
                return authority.host.endswith(f".{self.name}")

    def covers(self, other: Pattern) -> bool:
        """Whether this entry speaks of every host and port that `other` speaks of."""
        usual = other.port is None or other.port in PORTS
        if self.port != other.port and (self.port is not None or not usual):
            return False
        match self.kind:
            case "any":
                return True
            case "exact":
                return (other.kind, other.name) == ("exact", self.name)
            case "suffix":
                below = other.kind != "any" and other.name.endswith(f".{self.name}")
                return below or (other.kind, other.name) == ("suffix", self.name)

    def __str__(self) -> str:
        host = {"any": "*", "suffix": f"*.{self.name}", "exact": bracketed(self.name)}[self.kind]
        return host if self.port is None else f"{host}:{self.port}"


def read_pattern(text: str) -> Pattern:
    """An entry: a name, an IP address, `*.suffix` or `*`, each also with `:port`.

    Raises `InvalidRequest` for anything else, such as a URL. International names are accepted.
    """
    entry = text.strip()
    if literal(entry) is not None and ":" in entry:
        return Pattern("exact", _canonical(entry), None)
    found = _PATTERN.fullmatch(entry)
    if found is None:
        raise _no_pattern(text)
    starred, host, digits = found.groups()
    port = _port(digits, entry) if digits else None
    if host == "*":
        if starred:
            raise _no_pattern(text)
        return Pattern("any", "", port)
    name = _entry_name(host, text)
    if starred and literal(name) is not None:
        raise InvalidRequest(f"'{_shown(text)}': an IP address has no names below it.")
    return Pattern("suffix" if starred else "exact", name, port)


def _entry_name(host: str, text: str) -> str:
    try:
        if host.isascii():
            return _canonical(host)
        name = checked_host(idna.encode(host, uts46=True, std3_rules=True).decode("ascii"))
    except (AddressRefused, idna.IDNAError) as error:
        raise _no_pattern(text) from error
    if literal(name) is not None:
        raise _no_pattern(text)
    return name


def _no_pattern(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{_shown(text)}' is not a host of an allowlist. Write a name (api.example.com), "
        "all names below one (*.example.com), an IP address, or * for every host; "
        "each also with a port (api.example.com:8443), without scheme and path."
    )
