from __future__ import annotations

import base64

import pytest

from runtime.errors import InvalidRequest
from runtime.outbound.upstream import read_upstream


@pytest.mark.parametrize(
    ("url", "authority", "tls"),
    [
        ("http://proxy", "proxy:3128", False),
        ("https://proxy", "proxy:443", True),
        ("http://PROXY.internal:8080/", "proxy.internal:8080", False),
        ("http://[::1]:3128", "[::1]:3128", False),
    ],
)
def test_how_an_upstream_proxy_may_be_written(url: str, authority: str, tls: bool) -> None:
    upstream = read_upstream(url)
    assert (str(upstream.authority), upstream.tls, upstream.authorization) == (authority, tls, None)


def test_its_user_and_password() -> None:
    words = (read_upstream("http://me:p%40ss@proxy").authorization or "").removeprefix("Basic ")
    assert base64.b64decode(words) == b"me:p@ss"


@pytest.mark.parametrize(
    "url", ["", "proxy:3128", "socks5://proxy:1080", "http://", "http://p/path", "http://a b:1"]
)
def test_one_that_cannot_be_read_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_upstream(url.replace("//", "//me:secret-word@"))
    assert "secret-word" not in caught.value.message
