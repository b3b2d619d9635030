"""Looks a host up once, checks every address it leads to, and dials what it checked.

Nothing else in the controller or the egress proxy opens connections to places that callers, models
or sandboxes choose.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from runtime.errors import AddressRefused
from runtime.outbound.addresses import Allowance, IpAddress, checked_host

ADDRESS_SECONDS = 10.0
"""How long one address of a host is tried before the next."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Looks up the addresses of a host; the port is only a hint. Raises `OSError`."""

T = TypeVar("T")


async def system_addresses(host: str, port: int) -> list[str]:
    """The addresses of `host` as the operating system knows them."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Reached:
    """A connection: a TCP socket that does not block, and the address at its other end."""

    socket: socket.socket
    address: IpAddress


class Door:
    """Leads to hosts on the public Internet and to what the operator allows beyond it."""

    def __init__(self, allowance: Allowance, resolve: Resolve = system_addresses) -> None:
        self.allowance = allowance
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> list[IpAddress]:
        """Where `host` leads, looked up once; each address may be dialled.

        Raises `AddressRefused` when one of them may not, and `OSError` when there is none.
        """
        host = checked_host(host)
        self.allowance.check_name(host, port)
        addresses = [ipaddress.ip_address(text) for text in await self._resolve(host, port)]
        for address in addresses:
            self.allowance.check_address(host, address, port)
        if not addresses:
            raise OSError(f"{host} has no address")
        return addresses

    async def first(self, host: str, port: int, dial: Callable[[IpAddress], Awaitable[T]]) -> T:
        """What `dial` makes of the first address of `host` that answers.

        `dial` raises `OSError` when it cannot; the last one is raised when no address answers.
        Raises `AddressRefused` like `addresses`.
        """
        problem = OSError(f"{host}:{port} did not answer")
        for address in await self.addresses(host, port):
            try:
                return await dial(address)
            except OSError as error:
                problem = error
        raise problem

    async def connect(self, host: str, port: int) -> Reached:
        """A connection to `host`. Raises `AddressRefused`, `OSError`."""

        async def dial(address: IpAddress) -> Reached:
            with anyio.fail_after(ADDRESS_SECONDS):
                connection = await _connected(address, port)
            try:
                own, peer = connection.getsockname()[0], connection.getpeername()[0]
                self.check_peer(host, port, peer, own)
            except BaseException:
                connection.close()
                raise
            return Reached(connection, address)

        return await self.first(host, port, dial)

    def check_peer(self, host: str, port: int, peer: str, own: str) -> None:
        """Refuse a connection that ends where it began. Raises `AddressRefused`.

        One from an address to itself reaches this very machine, however public the address is.
        """
        host, address = checked_host(host), ipaddress.ip_address(peer)
        named = self.allowance.allows_host(host, port)
        if peer == own and not named and not self.allowance.allows_address(address, port):
            raise AddressRefused(f"{host}:{port} is this machine.")


async def _connected(address: IpAddress, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connection.connect((str(address), port))
        except BlockingIOError:
            await anyio.wait_writable(connection)
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        connection.close()
        raise
    return connection
