from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.egress.client_hello import (
    MAX_RECORDS,
    ClientHello,
    NoClientHello,
    read_client_hello,
)


def hello(name: str | None) -> bytes:
    """What this Python's TLS says first."""
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    outgoing = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size) + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2) + vector(2, data)


def server_name(*names: bytes) -> bytes:
    return extension(0, vector(2, b"".join(b"\0" + vector(2, name) for name in names)))


def message(*extensions: bytes) -> bytes:
    body = b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\0")
    body += vector(2, b"".join(extensions)) if extensions else b""
    return b"\x01" + vector(3, body)


def record(*fragments: bytes) -> bytes:
    return b"".join(b"\x16\x03\x01" + vector(2, fragment) for fragment in fragments)


def test_a_real_hello_names_its_server() -> None:
    data = hello("Shop.Example.com")
    assert read_client_hello(data) == ClientHello("shop.example.com", has_ech=False)
    assert read_client_hello(data + b"early data") is not None


def test_a_real_hello_without_a_name() -> None:
    assert read_client_hello(hello(None)) == ClientHello(None, has_ech=False)


def test_a_hello_is_awaited_byte_by_byte() -> None:
    data = hello("example.com")
    assert all(read_client_hello(data[:size]) is None for size in range(len(data)))
    assert read_client_hello(data) is not None


@given(st.lists(st.integers(1, 40), max_size=30))
def test_a_hello_in_many_records_is_put_together(cuts: list[int]) -> None:
    whole = message(server_name(b"example.com"))
    fragments: list[bytes] = []
    for cut in cuts:
        fragments, whole = [*fragments, whole[:cut]], whole[cut:]
    data = record(*(one for one in [*fragments, whole] if one))
    assert read_client_hello(data) == ClientHello("example.com", has_ech=False)


def test_a_hello_in_tiny_records_is_given_up_before_it_is_complete() -> None:
    fragments = [bytes((byte,)) for byte in message(server_name(b"example.com"))]
    fragments += [b"\0"] * MAX_RECORDS
    with pytest.raises(NoClientHello, match="too many records"):
        read_client_hello(record(*fragments[: MAX_RECORDS + 1]))


def test_encrypted_client_hello_is_seen() -> None:
    data = record(message(server_name(b"a.com"), extension(0xFE0D, b"\0" * 20)))
    assert read_client_hello(data) == ClientHello("a.com", has_ech=True)


def test_the_last_dot_of_a_name_does_not_count() -> None:
    found = read_client_hello(record(message(server_name(b"A.com."))))
    assert found is not None and found.server_name == "a.com"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x80\x2e\x01\x00\x02",
        b"\x16\x02\x01\x00\x05hello",
        b"\x17\x03\x03\x00\x05hello",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        record(b"\x02" + vector(3, b"x" * 40)),
        record(b"\x01\xff\xff\xff" + b"x" * 40),
        record(message(server_name(b"a.com"), server_name(b"b.com"))),
        record(message(server_name(b"a.com", b"b.com"))),
        record(message(extension(0, vector(2, b"\x01" + vector(2, b"a.com"))))),
        record(message(server_name("bücher".encode()))),
        record(b"\x01" + vector(3, b"\x03\x03" + bytes(10))),
        record(b"\x01" + vector(3, b"\x03\x03" + bytes(32) + b"\xff")),
    ],
)
def test_what_is_no_clean_hello_is_refused(data: bytes) -> None:
    with pytest.raises(NoClientHello):
        read_client_hello(data)


def test_an_endless_hello_is_given_up() -> None:
    with pytest.raises(NoClientHello, match="too long"):
        read_client_hello(record(b"\x01\x00\x7f\xff", *(b"x" * 16000 for _ in range(4))))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, in_record: bool) -> None:
    try:
        found = read_client_hello(record(b"\x01" + vector(3, data)) if in_record else data)
    except NoClientHello:
        return
    assert found is None or isinstance(found, ClientHello)
