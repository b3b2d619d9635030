"""Which addresses may be connected to for a caller or a model. Pure: nothing is looked up here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.errors import AddressRefused, InvalidRequest

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = frozenset({80, 443, 3000, 8000, 8080, 8443, 8888})
"""The ports of public hosts that are connected to."""

_V4_REFUSED = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host, a public address on paper
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_V6_GLOBAL = ipaddress.IPv6Network("2000::/3")
_V6_REFUSED = [
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SPECIAL = ("localhost", "local", "internal", "home.arpa", "onion")


def is_public(address: IpAddress) -> bool:
    """Whether `address` belongs to the public Internet, whatever form it is dressed in."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _V4_REFUSED)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    refused = any(address in network for network in _V6_REFUSED)
    return address in _V6_GLOBAL and address.is_global and not refused


def plain(address: IpAddress) -> IpAddress:
    """The IPv4 address inside an IPv6 one that only wraps it, else `address` itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def literal(host: str) -> IpAddress | None:
    """The address that `host` spells out, in brackets or not; None when it is a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def checked_host(host: str) -> str:
    """`host` in lower case without its last dot. Raises `AddressRefused` for no proper host name.

    Numbers that some resolvers take for addresses, such as `0x7f.1` or `2130706433`, are refused.
    """
    if literal(host) is not None:
        return host.strip("[]").lower()
    name = host.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefused(f"'{host[:80]}' is not a host name.")
    if _NUMBER.fullmatch(labels[-1]):
        raise AddressRefused(f"'{host[:80]}' is neither a host name nor a plain IP address.")
    return name


@dataclass(frozen=True, slots=True)
class _Rule:
    port: int | None
    name: str | None = None
    network: IpNetwork | None = None


class Allowance:
    """What the operator allows beyond the public Internet."""

    def __init__(
        self,
        entries: Iterable[str] = (),
        *,
        setting: str = "outbound.allow",
        ports: frozenset[int] | None = PORTS,
    ) -> None:
        """`entries` are host names, IP addresses or CIDR networks, each also with `:port`.

        `setting` is where the operator writes them; `ports` are those of public hosts, None for
        all. Raises `InvalidRequest` for an entry that is none of these.
        """
        self._rules = [_rule(entry) for entry in entries]
        self._setting = setting
        self._ports = ports

    def allows_host(self, host: str, port: int) -> bool:
        """Whether the operator named this host, so that its addresses do not matter."""
        return any(rule.name == host and rule.port in (None, port) for rule in self._rules)

    def allows_address(self, address: IpAddress, port: int) -> bool:
        """Whether the operator named this address or a network around it."""
        inner = plain(address)
        return any(
            rule.network is not None and inner in rule.network and rule.port in (None, port)
            for rule in self._rules
        )

    def check_name(self, host: str, port: int) -> None:
        """Refuse what need not be looked up to be refused. Raises `AddressRefused`."""
        if self.allows_host(host, port):
            return
        address = literal(host)
        if address is not None:
            self.check_address(host, address, port)
        elif host in _SPECIAL or host.endswith(tuple(f".{suffix}" for suffix in _SPECIAL)):
            raise self._refused(host, port, "is a name of a private network")
        elif all(rule.network is None for rule in self._rules):
            self._check_port(host, port)

    def check_address(self, host: str, address: IpAddress, port: int) -> None:
        """Whether `address`, to which `host` leads, may be dialled. Raises `AddressRefused`."""
        if self.allows_host(host, port) or self.allows_address(address, port):
            return
        if not is_public(address):
            raise self._refused(host, port, "leads to an address that is not public")
        self._check_port(host, port)

    def _check_port(self, host: str, port: int) -> None:
        if self._ports is not None and port not in self._ports:
            ports = ", ".join(str(port) for port in sorted(self._ports))
            raise self._refused(host, port, f"is not on one of the ports {ports}")

    def _refused(self, host: str, port: int, why: str) -> AddressRefused:
        return AddressRefused(
            f"{host}:{port} {why}. The operator can allow it as `{self._setting}` in sandlot.yaml."
        )


def _rule(entry: str) -> _Rule:
    text, port = _split_port(entry.strip().lower())
    try:
        return _Rule(port, network=ipaddress.ip_network(text.strip("[]"), strict=False))
    except ValueError:
        pass
    try:
        return _Rule(port, name=checked_host(text))
    except AddressRefused as error:
        raise InvalidRequest(
            f"'{entry[:80]}' is neither a host, an IP address nor a network such as 10.1.0.0/16, "
            "each also with a port: host:8080."
        ) from error


def _split_port(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[^\]]+\]|[^:]+):([0-9]{1,5})", text)
    return (found[1], int(found[2])) if found else (text, None)
