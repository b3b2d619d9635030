"""Reads the first message of TLS as far as the server's name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_HELLO_BYTES = 32 * 1024
MAX_RECORDS = 64
"""All of them are read again whenever more comes: many tiny ones would keep the process busy."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_ECH = 0xFE0D
_MAX_RECORD_BYTES = 16 * 1024 + 256

ACCESS_DENIED = bytes((21, 3, 3, 0, 2, 2, 49))
"""A fatal alert: what a client is told that may not go on."""


class NoClientHello(Exception):
    """These bytes do not begin a TLS connection."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says in the clear before anything is encrypted."""

    server_name: str | None
    """In lower case without its last dot; None when the client names no server."""
    has_ech: bool
    """Whether another server's name may be hidden in it (or only seems to be: GREASE)."""


def read_client_hello(data: bytes) -> ClientHello | None:
    """The hello at the start of `data`; None while it is not complete. Raises `NoClientHello`."""
    message = _handshake(data)
    if message is None:
        if len(data) > MAX_HELLO_BYTES:
            raise NoClientHello("the first TLS message is too long")
        return None
    try:
        return _hello(_Bytes(message))
    except IndexError as error:
        raise NoClientHello("the first TLS message is malformed") from error


def _handshake(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from its records."""
    joined = bytearray()
    position = records = 0
    while True:
        record = data[position : position + 5]
        if record[:1] not in (b"", bytes((_HANDSHAKE,))) or record[1:2] not in (b"", b"\x03"):
            raise NoClientHello("this is not TLS")
        if len(record) < 5:
            return None
        length = int.from_bytes(record[3:5])
        if not 0 < length <= _MAX_RECORD_BYTES:
            raise NoClientHello("a TLS record has no valid length")
        records += 1
        if records > MAX_RECORDS:
            raise NoClientHello("the first TLS message comes in too many records")
        joined += data[position + 5 : position + 5 + length]
        position += 5 + length
        if joined and joined[0] != _CLIENT_HELLO:
            raise NoClientHello("TLS does not begin with a ClientHello")
        wanted = 4 + int.from_bytes(joined[1:4])
        if len(joined) >= 4 and wanted > MAX_HELLO_BYTES:
            raise NoClientHello("the first TLS message is too long")
        if len(joined) >= 4 and len(joined) >= wanted:
            return bytes(joined[4:wanted])
        if position > len(data):
            return None


def _hello(message: _Bytes) -> ClientHello:
    message.take(2 + 32)
    message.vector(1)
    message.vector(2)
    message.vector(1)
    if message.is_empty:
        return ClientHello(None, has_ech=False)
    names: list[str] = []
    kinds: set[int] = set()
    for kind, body in _extensions(_Bytes(message.vector(2))):
        if kind in kinds:
            raise NoClientHello("a TLS extension comes twice")
        kinds.add(kind)
        if kind == _SERVER_NAME:
            names = _names(body)
    if len(names) > 1:
        raise NoClientHello("TLS names more than one server")
    return ClientHello(names[0] if names else None, _ECH in kinds)


def _extensions(block: _Bytes) -> Iterator[tuple[int, _Bytes]]:
    while not block.is_empty:
        yield block.number(2), _Bytes(block.vector(2))


def _names(body: _Bytes) -> list[str]:
    names: list[str] = []
    entries = _Bytes(body.vector(2))
    while not entries.is_empty:
        kind, name = entries.number(1), entries.vector(2)
        if kind != 0 or not name.isascii():
            raise NoClientHello("TLS names a server in an unknown way")
        names.append(name.decode("ascii").lower().removesuffix("."))
    return names


class _Bytes:
    """Bytes that are read from the front; raises `IndexError` when there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_empty(self) -> bool:
        return self._position == len(self._data)

    def take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise IndexError
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count))

    def vector(self, count: int) -> bytes:
        """Bytes behind their length, which has `count` bytes."""
        return self.take(self.number(count))
