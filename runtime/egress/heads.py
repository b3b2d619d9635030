"""What the head of a request may look like, and which headers pass. Pure.

Two readers of one message must not differ about where it ends; so whatever some reader could take
in another way is refused, also where standards would forgive it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from runtime.egress.refusals import Refusal
from runtime.egress.treatment import Headers
from runtime.errors import AddressRefused, InvalidRequest
from runtime.outbound.hosts import Authority, bracketed, read_authority

_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40} [\x21-\x7e]+ HTTP/1\.[01]")
_HEADER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([/?][^#]*)?")

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"trailer"}
    | {b"proxy-authenticate", b"proxy-authentication-info", b"transfer-encoding", b"upgrade"}
)
_SAYS_WHO_ASKS = frozenset(
    {b"forwarded", b"via", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-host"}
    | {b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-server", b"x-client-ip"}
    | {b"true-client-ip", b"x-original-url", b"x-rewrite-url"}
)
"""Servers behind a proxy of their own believe these; an internal one could be deceived."""
_KEPT_FROM_NOMINATION = frozenset({b"host", b"content-length", b"authorization", b"cookie"})
DEFAULT_PORTS = {"http": 80, "https": 443}

Scheme = Literal["http", "https"]


def check_head(head: bytes) -> None:
    """Refuse a head, with its blank line, that can be read in two ways. Raises `Refusal`."""
    first, *lines = head[:-4].split(b"\r\n")
    if not first.isascii():
        raise Refusal(403, "a URL is written in ASCII: its host as xn--…, its path with %")
    if not _REQUEST_LINE.fullmatch(first):
        raise Refusal(400, "the request line is malformed")
    values: dict[bytes, list[bytes]] = {}
    for line in lines:
        if not _HEADER_LINE.fullmatch(line):
            raise Refusal(400, "a header line is malformed")
        name, _, value = line.partition(b":")
        values.setdefault(name.lower(), []).append(value.strip(b" \t"))
    _check_framing(values, first.endswith(b"1.1"))


def _check_framing(values: dict[bytes, list[bytes]], is_1_1: bool) -> None:
    lengths, codings = values.get(b"content-length", []), values.get(b"transfer-encoding", [])
    if len(values.get(b"host", [])) > 1:
        raise Refusal(400, "the request names more than one Host")
    if len(lengths) > 1 or any(not _LENGTH.fullmatch(length) for length in lengths):
        raise Refusal(400, "Content-Length is not one number")
    if codings and (lengths or not is_1_1):
        raise Refusal(400, "Transfer-Encoding cannot stand beside Content-Length or in HTTP/1.0")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        raise Refusal(400, "Transfer-Encoding may only be chunked")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the server, and what it is asked for."""

    scheme: Scheme
    authority: Authority
    path: bytes

    @property
    def host_header(self) -> bytes:
        """The value of `Host`."""
        host = bracketed(self.authority.host)
        if self.authority.port == DEFAULT_PORTS[self.scheme]:
            return host.encode("ascii")
        return f"{host}:{self.authority.port}".encode("ascii")

    @property
    def absolute(self) -> bytes:
        """The whole URL."""
        return self.scheme.encode("ascii") + b"://" + self.host_header + self.path


def forward_target(target: bytes) -> Target:
    """The target of a request to a proxy. Raises `Refusal`."""
    found = _ABSOLUTE.fullmatch(target.decode("ascii", "replace"))
    if found is None:
        raise Refusal(400, "this is a proxy: a request must name a whole http:// URL")
    scheme, authority, path = found.groups()
    if scheme.lower() == "https":
        raise Refusal(400, "https:// goes through this proxy by CONNECT")
    if scheme.lower() != "http":
        raise Refusal(400, "only http:// and https:// pass this proxy")
    return Target("http", _authority(authority, 80), _path(path))


def tunnel_target(target: bytes) -> Authority:
    """The host and port of a CONNECT. Raises `Refusal`."""
    return _authority(target.decode("ascii", "replace"), None)


def inner_target(target: bytes, headers: Headers, scheme: Scheme, authority: Authority) -> Target:
    """The target of a request inside a tunnel to `authority`. Raises `Refusal`."""
    if not target.startswith(b"/"):
        found = _ABSOLUTE.fullmatch(target.decode("ascii", "replace"))
        if found is None or found[1].lower() != scheme:
            raise Refusal(400, "the target of the request is malformed")
        _check_same(_authority(found[2], DEFAULT_PORTS[scheme]), authority)
        target = _path(found[3])
    for name, value in headers:
        if name == b"host":
            named = _authority(value.decode("ascii", "replace"), DEFAULT_PORTS[scheme])
            _check_same(named, authority)
    if b"#" in target:
        raise Refusal(400, "the target of the request is malformed")
    return Target(scheme, authority, target)


def _check_same(named: Authority, authority: Authority) -> None:
    if named != authority:
        raise Refusal(421, f"the request is for {named}, but its tunnel leads to {authority}")


def _authority(text: str, default_port: int | None) -> Authority:
    try:
        return read_authority(text, default_port)
    except AddressRefused as error:
        raise Refusal(403, error.message) from error
    except InvalidRequest as error:
        raise Refusal(400, error.message) from error


def _path(path: str | None) -> bytes:
    path = path or "/"
    return (path if path.startswith("/") else f"/{path}").encode("ascii")


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers without those that only concern two neighbours, and without lies about neighbours."""
    headers = list(headers)
    nominated = {
        option.strip(b" \t").lower()
        for name, value in headers
        if name == b"connection"
        for option in value.split(b",")
    }
    dropped = _HOP_BY_HOP | _SAYS_WHO_ASKS | (nominated - _KEPT_FROM_NOMINATION)
    if any(name == b"transfer-encoding" for name, _ in headers):
        # Some servers send both; the coding says where the body ends.
        dropped |= {b"content-length"}
    return [(name, value) for name, value in headers if name not in dropped]


def announces_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body follows a head."""
    announcing = {b"content-length", b"transfer-encoding"}
    return any(name in announcing and value.strip(b"0") for name, value in headers)


def wants_websocket(method: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request asks to go on as a WebSocket: the only upgrade that passes."""
    values = {name: value.strip().lower() for name, value in headers}
    options = [option.strip() for option in values.get(b"connection", b"").split(b",")]
    return method == b"GET" and values.get(b"upgrade") == b"websocket" and b"upgrade" in options
