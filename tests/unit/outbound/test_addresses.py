from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import AddressRefused, InvalidRequest
from runtime.outbound.addresses import Allowance, checked_host, is_public
from runtime.tools.dial import Dialer

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_that_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


NETWORKS = [
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]


@given(st.sampled_from(NETWORKS).flatmap(lambda one: st.ip_addresses(v=4, network=str(one))))
def test_no_dress_makes_a_private_address_public(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    dressed = [
        address,
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address(number),
        ipaddress.IPv6Address((0xFFFF << 48) | number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x64FF9B0001 << 80) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1),
        ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)),
    ]
    assert [one for one in dressed if is_public(one)] == []
    allowance = Allowance()
    for one in dressed:
        with pytest.raises(AddressRefused):
            allowance.check_address("h.example.com", one, 443)


@given(st.ip_addresses(v=6))
def test_public_means_global_unicast(address: ipaddress.IPv6Address) -> None:
    inside = address.ipv4_mapped is None and int(address) >> 96 != 0x64FF9B
    if inside and int(address) >> 125 != 0b001:
        assert not is_public(address)


def test_an_ipv4_address_is_judged_the_same_in_every_dress() -> None:
    numbers = random.Random(7)
    judged = set[bool]()
    for _ in range(5000):
        address = ipaddress.IPv4Address(numbers.getrandbits(32))
        expected = is_public(address)
        judged.add(expected)
        for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
            assert is_public(ipaddress.ip_address(wrapped)) == expected, wrapped
        bare = ipaddress.IPv6Address(int(address))
        assert not is_public(bare)
        assert not is_public(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80)))
        if not address.is_global:
            assert not expected
    assert judged == {True, False}


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "017700000001",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "1.2.3.0x4",
        "example.com:80",
        "a@b",
        "a b",
        "a%00b",
        "a\r\nb",
        "",
        ".",
        "..",
        "-a.com",
        "a" * 64,
        "a." * 130,
        "①②⑦.⓪.⓪.①",
    ],
)
def test_what_is_no_plain_host_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        checked_host(host)


def test_a_host_is_lower_case_and_has_no_last_dot() -> None:
    assert checked_host("Example.COM.") == "example.com"
    assert checked_host("[::1]") == "::1"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/latest/meta-data",
        "http://[fe80::1%25eth0]/",
        "http://localhost/",
        "http://localhost./",
        "http://a.localhost/",
        "http://metadata.google.internal/",
        "http://①②⑦.⓪.⓪.①/",
        "http://user:word@example.com/",
        "http://example.com:22/",
        "http://example.com:6379/",
        "https://8.8.8.8:25/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "http:///path",
        "example.com",
        "http://exa mple.com/",
        "http://example.com:99999/",
        "",
    ],
)
def test_urls_that_are_refused_before_anything_is_looked_up(url: str) -> None:
    with pytest.raises(AddressRefused):
        Dialer().check(url)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://8.8.8.8:8443/x", "http://example.com:3000"]
)
def test_urls_that_pass(url: str) -> None:
    assert str(Dialer().check(url)).startswith(url)


@pytest.mark.parametrize(
    ("entry", "passes", "refused"),
    [
        ("127.0.0.1", "http://127.0.0.1:9/", "http://127.0.0.2/"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/", "http://127.0.0.1/"),
        ("10.1.0.0/16", "http://10.1.2.3:22/", "http://10.2.0.1/"),
        ("10.1.0.0/16", "http://[::ffff:10.1.2.3]/", "http://[::ffff:10.2.0.1]/"),
        ("::1", "http://[::1]/", "http://[::2]/"),
        ("[::1]:8080", "http://[::1]:8080/", "http://[::1]/"),
        ("searx.internal", "http://searx.internal:8888/", "http://a.searx.internal/"),
        ("LOCALHOST:81", "http://localhost:81/", "http://localhost:82/"),
    ],
)
def test_what_the_operator_allows(entry: str, passes: str, refused: str) -> None:
    dialer = Dialer([entry])
    dialer.check(passes)
    with pytest.raises(AddressRefused, match=r"outbound\.allow"):
        dialer.check(refused)


@pytest.mark.parametrize(
    "entry", ["", "10.0.0.0/33", "http://a/", "a b", "*.example.com", "0x7f.1"]
)
def test_an_entry_that_cannot_be_read_is_an_error(entry: str) -> None:
    with pytest.raises(InvalidRequest, match="neither a host"):
        Allowance([entry])
