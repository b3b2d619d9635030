"""What the requests to one host are given, and what is taken out of its answers. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, quote_plus, unquote_plus

from pydantic import SecretStr

from runtime.egress.redaction import Replacer, masks
from runtime.egress.rules import HeaderInjection, Placeholder

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, and values."""

_OWN_CREDENTIAL = re.compile(
    r"(^|-)(api-?key|auth|authorization|cookie2?|(access|auth|private|job|security|personal|"
    r"subscription|session)-token|(subscription|functions)-key)(-|$)|^(x-)?token$"
)
_CREDENTIAL_LIKE = re.compile(r"auth|token|key|secret|cookie|credential|password|signature")
_CREDENTIAL_PARAMETERS = frozenset(
    {"access_token", "api_key", "apikey", "api-key", "auth_token", "private_token", "x-api-key"}
)
_GOOGLE_KEY = re.compile(r"AIza[0-9A-Za-z_-]{20,}")
_BETWEEN = b"\xff\n\xff"
"""No header holds a line end, and no text that is looked for, being UTF-8, the bytes around it."""
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade"})


@dataclass(frozen=True)
class Treatment:
    """Headers that are set and placeholders that are filled in; empty for most hosts."""

    injections: tuple[HeaderInjection, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()
    credential: str | None = None
    former: tuple[SecretStr, ...] = ()
    """Secrets of earlier rules, which a server may still answer with."""

    @cached_property
    def gives(self) -> frozenset[str]:
        """What requests are given, by name: it stays the same when only a secret changes."""
        names = {one.name.lower() for one in self.injections}
        names |= {one.text for one in self.placeholders}
        return frozenset(names if self.credential is None else {*names, self.credential})

    @property
    def needs_interception(self) -> bool:
        """Whether requests over TLS have to be read."""
        return bool(self.injections or self.placeholders)

    @cached_property
    def pins_credential(self) -> bool:
        """Whether the caller's own credentials must not pass: ours take their place."""
        return self.credential is not None or any(
            _CREDENTIAL_LIKE.search(one.name.lower()) for one in self.injections
        )

    def headers(self, headers: Headers) -> Headers:
        """The headers that go out for `headers`."""
        placeholders = self._replacer("header")
        kept: Headers = []
        for name, value in headers:
            filled = value if name in _FRAMING else _filled(value, placeholders)
            if filled != value or not self._is_foreign_credential(name):
                kept.append((name, filled))
        injected = {
            one.name.lower().encode(): one.value.get_secret_value().encode()
            for one in self.injections
        }
        taken = {_as_dashes(name) for name in injected}
        return [one for one in kept if _as_dashes(one[0]) not in taken] + list(injected.items())

    def target(self, target: bytes) -> bytes:
        """The path and query that go out for `target`."""
        path, mark, query = target.partition(b"?")
        if not mark:
            return target
        parameters = query.split(b"&")
        if self.pins_credential:
            parameters = [one for one in parameters if not _is_foreign_parameter(one)]
        query = self._replacer("query").whole(b"&".join(parameters))
        return path + mark + query if query else path

    def fillings(self, content_type: str) -> dict[bytes, bytes]:
        """What is replaced in the body of a request; empty when it goes out as it is."""
        return self._pairs("body", content_type)

    def redacted(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Headers of an answer without secrets."""
        headers = list(headers)
        mask = Replacer(self.masks)
        names = Replacer({form.lower(): stars for form, stars in self.masks.items()})
        return list(
            zip(
                _lines_through(names, [name for name, _ in headers]),
                _lines_through(mask, [value for _, value in headers]),
                strict=True,
            )
        )

    @cached_property
    def masks(self) -> dict[bytes, bytes]:
        """What is replaced in an answer; empty when it comes in as it is."""
        if not self.needs_interception:
            return {}
        secrets = [*(one.value for one in self.injections), *self.former]
        values = [one.get_secret_value() for one in secrets]
        values += [part for value in values for part in _parts(value)]
        return masks([*values, *(one.value.get_secret_value() for one in self.placeholders)])

    def _is_foreign_credential(self, name: bytes) -> bool:
        pinned = self.pins_credential or any("header" in p.locations for p in self.placeholders)
        return pinned and (_OWN_CREDENTIAL.search(_as_dashes(name).decode("latin-1")) is not None)

    def _replacer(self, location: str) -> Replacer:
        return Replacer(self._pairs(location))

    def _pairs(self, location: str, content_type: str = "") -> dict[bytes, bytes]:
        return {
            one.text.encode(): _escaped(one.value.get_secret_value(), location, content_type)
            for one in self.placeholders
            if location in one.locations
        }


def _lines_through(replacer: Replacer, lines: Sequence[bytes]) -> list[bytes]:
    """`lines` with their needles replaced, in one go: a server may send tens of thousands."""
    return replacer.whole(_BETWEEN.join(lines)).split(_BETWEEN) if lines else []


def _escaped(secret: str, location: str, content_type: str) -> bytes:
    if location == "query":
        return quote(secret, safe="").encode()
    if "x-www-form-urlencoded" in content_type:
        return quote_plus(secret).encode()
    if "json" in content_type:
        return json.dumps(secret)[1:-1].encode()
    return secret.encode()


def _as_dashes(name: bytes) -> bytes:
    """Servers that hand headers on as variables do not tell `_` from `-` in their names."""
    return name.replace(b"_", b"-")


def _filled(value: bytes, placeholders: Replacer) -> bytes:
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() != b"basic":
        return placeholders.whole(value)
    try:
        plain = base64.b64decode(rest.strip(), validate=True)
    except binascii.Error:
        return value
    filled = placeholders.whole(plain)
    return value if filled == plain else scheme + b" " + base64.b64encode(filled)


def _is_foreign_parameter(parameter: bytes) -> bool:
    name, _, value = parameter.partition(b"=")
    decoded = unquote_plus(name.decode("latin-1")).lower()
    if decoded in _CREDENTIAL_PARAMETERS:
        return True
    return decoded == "key" and bool(_GOOGLE_KEY.fullmatch(unquote_plus(value.decode("latin-1"))))


def _parts(value: str) -> Sequence[str]:
    """The secrets inside the value of a header: `Bearer <this>`, `Basic <this>`, user and word."""
    scheme, _, rest = value.partition(" ")
    if not rest:
        return ()
    if scheme.lower() != "basic":
        return (rest,)
    try:
        plain = base64.b64decode(rest, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return (rest,)
    return (rest, plain, plain.partition(":")[2])
