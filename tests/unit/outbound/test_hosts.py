from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InvalidRequest
from runtime.outbound.addresses import PORTS
from runtime.outbound.hosts import Authority, read_authority, read_pattern

NO_AUTHORITY = [
    "",
    ":80",
    "a.com:",
    "a.com:0",
    "a.com:65536",
    "a.com:99999",
    "a.com:+80",
    "a.com: 80",
    "a.com:８０",
    "a.com:80:80",
    "user@a.com:80",
    "allowed.com@evil.com:80",
    "allowed.com:80@evil.com:80",
    "a.com%00.evil.com:80",
    "a.com\x00.evil.com:80",
    "a.com\r\nHost: b:80",
    "a.com\n:80",
    "a b.com:80",
    " a.com:80",
    "a.com\t:80",
    "a..com:80",
    ".a.com:80",
    "a.com..:80",
    "-a.com:80",
    "a-.com:80",
    "a" * 64 + ".com:80",
    "a." * 127 + "com:80",
    "*.a.com:80",
    "*:80",
    "a/b:80",
    "a\\b:80",
    "a.com#b:80",
    "a.com?b:80",
    "http://a.com:80",
    "bücher.de:80",
    "①②⑦.⓪.⓪.①:80",
    "127.0.0.１:80",
    "2130706433:80",
    "0x7f.1:80",
    "0x7f000001:80",
    "017700000001:80",
    "127.1:80",
    "127.0.1:80",
    "0177.0.0.1:80",
    "127.0.0.1.:80",
    "1.2.3.4.5:80",
    "256.1.1.1:80",
    "1.2.3.0x4:80",
    "[::1",
    "::1:80",
    "[127.0.0.1]x:80",
    "[fe80::1%eth0]:80",
    "[fe80::1%25eth0]:80",
    "[::ffff:999.0.0.1]:80",
    "[a.com]:80",
    "[]:80",
]


@pytest.mark.parametrize("text", NO_AUTHORITY)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_authority(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.com:443", "example.com", 443),
        ("EXAMPLE.com.:443", "example.com", 443),
        ("xn--bcher-kva.de:80", "xn--bcher-kva.de", 80),
        ("a_b.example.com:80", "a_b.example.com", 80),
        ("8.8.8.8:53", "8.8.8.8", 53),
        ("[2606:4700:0:0::1111]:443", "2606:4700::1111", 443),
        ("[::ffff:8.8.8.8]:443", "8.8.8.8", 443),
        ("[::FFFF:0808:0808]:443", "8.8.8.8", 443),
    ],
)
def test_a_host_has_one_form(text: str, host: str, port: int) -> None:
    assert read_authority(text) == Authority(host, port)


def test_the_port_may_be_left_out_where_there_is_a_usual_one() -> None:
    assert read_authority("example.com", 80) == Authority("example.com", 80)
    with pytest.raises(InvalidRequest, match="no port"):
        read_authority("example.com")


@given(st.text(max_size=60) | st.from_regex(r"[\[\]a-fA-F0-9x.:@%*_-]{1,40}", fullmatch=True))
def test_what_is_read_is_plain_and_reads_as_itself(text: str) -> None:
    try:
        read = read_authority(text, 80)
    except InvalidRequest:
        return
    assert re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", read.host)
    assert read_authority(str(read)) == read
    # What is matched is what was asked for: nothing is cut off or decoded.
    assert ":" in read.host or read.host in text.lower() or "[" in text


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        ".",
        "*.",
        "*.*",
        "**",
        "*a.com",
        "a.*.com",
        "a.com*",
        "*.*.com",
        "http://a.com",
        "https://a.com/",
        "a.com/path",
        "a.com:0",
        "a.com:99999",
        "a.com:",
        "user@a.com",
        "a b",
        "a,b",
        "0x7f.1",
        "127.1",
        "2130706433",
        "*.1.2.3.4",
        "*.[::1]",
        "①②⑦.⓪.⓪.①",
        "10.0.0.0/8",
        "a\x00.com",
        "a\n.com",
        "-a.com",
        "xn--" + "a" * 70 + ".com",
        "＊.com",
    ],
)
def test_what_is_no_entry_is_refused(entry: str) -> None:
    with pytest.raises(InvalidRequest):
        read_pattern(entry)


@pytest.mark.parametrize(
    ("entry", "matching", "other"),
    [
        ("example.com", ["example.com:443", "EXAMPLE.COM.:80"], ["a.example.com:443"]),
        (
            "*.example.com",
            ["a.example.com:443", "a.b.example.com:80"],
            ["example.com:443", "evilexample.com:443", "example.com.evil.org:443"],
        ),
        ("*", ["a.com:443", "8.8.8.8:80", "[::1]:443"], []),
        ("*:443", ["a.com:443"], ["a.com:80"]),
        ("a.com:8443", ["a.com:8443"], ["a.com:443"]),
        ("Bücher.DE", ["xn--bcher-kva.de:80"], ["bucher.de:80"]),
        ("*.bücher.de", ["a.xn--bcher-kva.de:80"], ["xn--bcher-kva.de:80"]),
        ("1.2.3.4", ["1.2.3.4:80", "[::ffff:1.2.3.4]:80"], ["1.2.3.40:80"]),
        ("::1", ["[::1]:80", "[0:0::1]:80"], ["[::2]:80"]),
        ("[::1]:8080", ["[::1]:8080"], ["[::1]:80"]),
        ("*.com", ["a.com:443"], ["com:443", "a.org:443"]),
        ("example.com.", ["example.com:443"], []),
    ],
)
def test_what_an_entry_matches(entry: str, matching: list[str], other: list[str]) -> None:
    pattern = read_pattern(entry)
    assert [text for text in matching if not pattern.matches(read_authority(text))] == []
    assert [text for text in other if pattern.matches(read_authority(text))] == []


LABELS = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@given(HOSTS, HOSTS)
def test_a_suffix_matches_at_labels_only(suffix: str, host: str) -> None:
    pattern = read_pattern(f"*.{suffix}")
    assert pattern.matches(Authority(f"{host}.{suffix}", 443))
    assert not pattern.matches(Authority(suffix, 443))
    assert not pattern.matches(Authority(f"{host}{suffix}", 443)) or "." in host
    assert pattern.matches(Authority(host, 443)) == host.endswith(f".{suffix}")


@given(HOSTS)
def test_an_entry_reads_as_itself(host: str) -> None:
    for entry in (host, f"*.{host}", f"{host}:8443", f"*.{host}:80"):
        assert str(read_pattern(entry)) == entry


COVERED = [
    ("*", "*"),
    ("*", "a.com"),
    ("*", "*.a.com"),
    ("*", "a.com:443"),
    ("*:9000", "a.com:9000"),
    ("a.com", "a.com"),
    ("a.com", "a.com:8080"),
    ("a.com:9000", "a.com:9000"),
    ("*.a.com", "b.a.com"),
    ("*.a.com", "*.a.com"),
    ("*.a.com", "*.b.a.com"),
    ("203.0.113.7", "203.0.113.7"),
]
BEYOND = [
    ("a.com", "*"),
    ("a.com", "b.com"),
    ("a.com", "b.a.com"),
    ("a.com", "*.a.com"),
    ("a.com", "a.com:9000"),
    ("a.com:9000", "a.com"),
    ("a.com:443", "a.com"),
    ("*.a.com", "a.com"),
    ("*.a.com", "*"),
    ("*.a.com", "*.com"),
    ("*.a.com", "b.xa.com"),
    ("*.b.a.com", "*.a.com"),
    ("*", "a.com:9000"),
    ("*:443", "*"),
]


@pytest.mark.parametrize(("bound", "asked"), COVERED)
def test_what_an_entry_covers(bound: str, asked: str) -> None:
    assert read_pattern(bound).covers(read_pattern(asked))


@pytest.mark.parametrize(("bound", "asked"), BEYOND)
def test_what_goes_beyond_an_entry(bound: str, asked: str) -> None:
    assert not read_pattern(bound).covers(read_pattern(asked))


@given(st.sampled_from([*COVERED, *BEYOND]), HOSTS, st.sampled_from([80, 443, 9000]))
def test_what_is_covered_matches_nothing_more(pair: tuple[str, str], host: str, port: int) -> None:
    bound, asked = (read_pattern(text) for text in pair)
    authority = Authority(host, port)
    usual = port in PORTS
    if bound.covers(asked) and asked.matches(authority) and (asked.port or usual):
        assert bound.matches(authority)
