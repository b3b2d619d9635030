from __future__ import annotations

import pytest

from runtime.egress.heads import (
    check_head,
    end_to_end,
    forward_target,
    inner_target,
    tunnel_target,
    wants_websocket,
)
from runtime.egress.refusals import Refusal
from runtime.outbound.hosts import Authority

A = b"GET http://a.com/ HTTP/1.1\r\n"

SMUGGLING = {
    "both framings": A + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "both framings, other order": A + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "two lengths": A + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "the same length twice": A + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "a list of lengths": A + b"Content-Length: 5, 5\r\n\r\n",
    "a signed length": A + b"Content-Length: +5\r\n\r\n",
    "a negative length": A + b"Content-Length: -1\r\n\r\n",
    "a hexadecimal length": A + b"Content-Length: 0x5\r\n\r\n",
    "a length with blanks": A + b"Content-Length: 5 5\r\n\r\n",
    "an empty length": A + b"Content-Length:\r\n\r\n",
    "a length beyond all numbers": A + b"Content-Length: 99999999999999999999\r\n\r\n",
    "a length in other digits": A + "Content-Length: ٥\r\n\r\n".encode(),
    "two codings": A + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked twice": A + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
    "two coding headers": A + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    "another coding": A + b"Transfer-Encoding: xchunked\r\n\r\n",
    "identity": A + b"Transfer-Encoding: identity\r\n\r\n",
    "a coding behind a vertical tab": A + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "a quoted coding": A + b'Transfer-Encoding: "chunked"\r\n\r\n',
    "an empty coding": A + b"Transfer-Encoding:\r\n\r\n",
    "a blank before the colon": A + b"Transfer-Encoding : chunked\r\n\r\n",
    "a tab before the colon": A + b"Content-Length\t: 5\r\n\r\n",
    "a blank before the name": A + b" Content-Length: 5\r\n\r\n",
    "a folded line": A + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a folded line by a tab": A + b"X: a\r\n\tb\r\n\r\n",
    "a folded first line": A + b"\tX: a\r\n\r\n",
    "a bare line feed": A + b"X: a\nTransfer-Encoding: chunked\r\n\r\n",
    "a bare carriage return": A + b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
    "a NUL in a value": A + b"X: a\x00b\r\n\r\n",
    "a NUL in a name": A + b"X\x00: a\r\n\r\n",
    "no colon": A + b"Content-Length 5\r\n\r\n",
    "no name": A + b": 5\r\n\r\n",
    "a name beyond ASCII": A + "Content-Lengthé: 5\r\n\r\n".encode(),
    "two hosts": A + b"Host: a.com\r\nHost: b.com\r\n\r\n",
    "a coding in HTTP/1.0": b"GET http://a.com/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "a version behind a tab": b"GET http://a.com/\tHTTP/1.1\r\n\r\n",
    "two blanks": b"GET  http://a.com/ HTTP/1.1\r\n\r\n",
    "blanks in the target": b"GET http://a.com/ HTTP/1.1 HTTP/1.1\r\n\r\n",
    "a blank before the method": b" GET http://a.com/ HTTP/1.1\r\n\r\n",
    "a bracketed method": b"G[T http://a.com/ HTTP/1.1\r\n\r\n",
    "an empty head": b"\r\n\r\n",
}


@pytest.mark.parametrize("head", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_what_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        check_head(head)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "head",
    [
        A + b"Host: a.com\r\n\r\n",
        A + b"Content-Length: 0\r\n\r\n",
        A + b"content-length:5\r\n\r\n",
        A + b"Transfer-Encoding: Chunked\r\n\r\n",
        A + b"X:\r\nY: \xe9\t \r\n\r\n",
        b"CONNECT a.com:443 HTTP/1.0\r\n\r\n",
    ],
)
def test_what_is_clear_passes(head: bytes) -> None:
    check_head(head)


def test_a_target_beyond_ascii_is_refused_with_a_hint() -> None:
    with pytest.raises(Refusal, match="xn--") as caught:
        check_head("GET http://①②⑦.⓪.⓪.①/ HTTP/1.1\r\n\r\n".encode())
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/path", 400),
        (b"*", 400),
        (b"a.com:80", 400),
        (b"https://a.com/", 400),
        (b"file:///etc/passwd", 400),
        (b"gopher://a.com/", 400),
        (b"ftp://a.com/", 400),
        (b"http:/a.com/", 400),
        (b"http://a.com/#fragment", 400),
        (b"http://", 400),
        (b"http:///x", 400),
        (b"http://user:word@a.com/", 400),
        (b"http://a.com@b.com/", 400),
        (b"http://a.com:80@b.com/", 400),
        (b"http://a.com\\@b.com/", 400),
        (b"http://a.com%2eb.com/", 400),
        (b"http://a.com:x/", 400),
        (b"http://2130706433/", 403),
        (b"http://0x7f.1/", 403),
        (b"http://017700000001/", 403),
        (b"http://127.1/", 403),
    ],
)
def test_targets_that_a_proxy_does_not_take(target: bytes, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        forward_target(target)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://a.com", b"a.com", b"/"),
        (b"HTTP://A.com:80/x?y#".rstrip(b"#"), b"a.com", b"/x?y"),
        (b"http://a.com:8080?q=1", b"a.com:8080", b"/?q=1"),
        (b"http://[::1]:81/", b"[::1]:81", b"/"),
        (b"http://a.com/http://b.com/@c", b"a.com", b"/http://b.com/@c"),
    ],
)
def test_a_target_becomes_host_and_path(target: bytes, host: bytes, path: bytes) -> None:
    read = forward_target(target)
    assert (read.host_header, read.path) == (host, path)


@pytest.mark.parametrize("target", [b"a.com", b"a.com:", b"/a", b"http://a.com:80", b"a@b:80"])
def test_a_tunnel_needs_a_host_and_a_port(target: bytes) -> None:
    with pytest.raises(Refusal):
        tunnel_target(target)


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"/", b"b.com", 421),
        (b"/", b"a.com:444", 421),
        (b"/", b"a.com@b.com", 400),
        (b"https://b.com/", b"a.com", 421),
        (b"http://a.com/", b"a.com", 400),
        (b"a.com", b"a.com", 400),
        (b"/a#b", b"a.com", 400),
    ],
)
def test_a_request_inside_a_tunnel_stays_inside(target: bytes, host: bytes, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        inner_target(target, [(b"host", host)], "https", Authority("a.com", 443))
    assert caught.value.status == status


@pytest.mark.parametrize("host", [b"a.com", b"A.com.", b"a.com:443"])
@pytest.mark.parametrize("target", [b"/x", b"https://a.com/x", b"https://A.com:443/x"])
def test_a_request_inside_a_tunnel_may_name_its_host(target: bytes, host: bytes) -> None:
    read = inner_target(target, [(b"host", host)], "https", Authority("a.com", 443))
    assert (read.path, read.host_header) == (b"/x", b"a.com")


def test_what_concerns_neighbours_and_what_they_are_told_does_not_pass() -> None:
    dropped = ["Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE"]
    dropped += ["Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "X-Nominated"]
    dropped += ["Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host"]
    headers = [(name.lower().encode(), b"close, X-Nominated, host") for name in dropped]
    headers += [(b"host", b"a.com"), (b"accept", b"*/*")]
    assert end_to_end(headers) == [(b"host", b"a.com"), (b"accept", b"*/*")]


def test_credentials_cannot_be_nominated_away() -> None:
    headers = [(b"connection", b"authorization, cookie"), (b"authorization", b"x")]
    assert end_to_end(headers) == [(b"authorization", b"x")]


def test_only_a_websocket_may_upgrade() -> None:
    upgrade = [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"WebSocket")]
    assert wants_websocket(b"GET", upgrade)
    assert not wants_websocket(b"POST", upgrade)
    assert not wants_websocket(b"GET", upgrade[:1])
    assert not wants_websocket(b"GET", upgrade[1:])
    assert not wants_websocket(b"GET", [(b"connection", b"Upgrade"), (b"upgrade", b"h2c")])
