from __future__ import annotations

import pytest

from runtime.api.addresses import canonical_path, canonical_query, host_name, is_loopback


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("", "/"),
        ("/livez", "/livez"),
        ("/v1", "/v1"),
        ("/v1/interactions", "/v1/interactions"),
        ("/v1beta/interactions/", "/v1/interactions"),
        ("//v1alpha//interactions//x", "/v1/interactions/x"),
        ("/v1beta/v1/interactions", "/v1/interactions"),
        ("/v1beta1/projects/p/locations/l/interactions/x:cancel", "/v1/interactions/x:cancel"),
        ("/v1/projects/p/locations/l", "/v1/projects/p/locations/l"),
        ("/upload/v1beta/environments/e/files/a", "/upload/v1/environments/e/files/a"),
        ("/v1/upload/v1/environments/e/files/a", "/upload/v1/environments/e/files/a"),
        ("/v1/interactions/v1", "/v1/interactions/v1"),
        ("/v2/interactions", "/v2/interactions"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert canonical_path(path) == expected


def test_queries() -> None:
    assert canonical_query(b"") == b""
    assert canonical_query(b"pageSize=5&pageToken=a%20b&x") == b"page_size=5&page_token=a%20b&x"
    assert canonical_query(b"q=pageSize") == b"q=pageSize"


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_names(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name", ["", "localhost.evil.example", "0.0.0.0", "192.168.0.1", "127.0.0.1.nip.io", "::", "x"]
)
def test_foreign_names(name: str) -> None:
    assert not is_loopback(name)


def test_hosts_of_urls() -> None:
    assert host_name("//LocalHost:80") == "localhost"
    assert host_name("http://[::1]:8080/x") == "::1"
    assert host_name("null") == "null"
    assert host_name("//[bad") == "//[bad"
