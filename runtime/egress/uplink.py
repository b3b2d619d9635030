"""The way from the proxy to servers: directly to checked addresses, or through an upstream proxy.

An upstream proxy looks names up itself. Where this machine can look a name up as well, its
addresses are checked all the same; where it cannot, the upstream proxy is relied on.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import anyio
from anyio.abc import ByteStream

from runtime.egress.lookups import Lookups
from runtime.egress.policy import Policy
from runtime.egress.protocol import ProxySettings
from runtime.egress.refusals import Refusal
from runtime.egress.wire import Secured, Wire
from runtime.errors import AddressRefused, InvalidRequest
from runtime.outbound.addresses import Allowance, IpAddress
from runtime.outbound.door import Door, Reached, system_addresses
from runtime.outbound.hosts import Authority
from runtime.outbound.upstream import Upstream, read_upstream

KNOWN_SECONDS = 3.0
"""How long a lookup may take whose answer an upstream proxy makes dispensable."""
_MAX_ANSWER_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A connection towards a server."""

    stream: ByteStream
    address: IpAddress | None
    """What was dialled; None behind an upstream proxy."""
    is_quiet: Callable[[], bool]
    """Whether it is open and nothing unexpected has come in."""
    proxied: Upstream | None = None
    """The proxy that plain requests on it are for."""


class Uplink:
    """Connects to servers."""

    def __init__(self, settings: ProxySettings) -> None:
        """Raises `InvalidRequest` for an upstream proxy or certificates that cannot be read."""
        proxy = settings.upstream_proxy
        self._upstream = None if proxy is None else read_upstream(proxy.get_secret_value())
        self._tls = _client_tls(settings.certificates)

    async def reach(
        self, authority: Authority, policy: Policy, resolve: Lookups, *, plain_http: bool
    ) -> Line:
        """A connection to a host that the policy allows, within its time. Raises `Refusal`."""
        seconds = policy.rules.limits.connect_seconds
        try:
            with anyio.fail_after(seconds):
                return await self._reach(authority, policy, resolve, plain_http)
        except AddressRefused as error:
            raise Refusal(403, error.message) from error
        except TimeoutError as error:
            reason = f"{authority} did not answer within {seconds:g} seconds"
            raise Refusal(504, reason, "failed") from error
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise Refusal(502, _unreachable(authority, error), "failed") from error

    async def secured(self, line: Line, authority: Authority, seconds: float) -> Line:
        """`line` with TLS, the server's certificate verified. Raises `Refusal`."""
        try:
            with anyio.fail_after(seconds):
                stream = await self._wrapped(line.stream, authority.host)
        except TimeoutError as error:
            reason = f"TLS with {authority} was not ready within {seconds:g} seconds"
            raise Refusal(504, reason, "failed") from error
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            reason = f"TLS with {authority} failed: {_tls_problem(error)}"
            raise Refusal(502, reason, "failed") from error
        return Line(stream, line.address, line.is_quiet)

    async def _reach(
        self, authority: Authority, policy: Policy, resolve: Lookups, plain_http: bool
    ) -> Line:
        allowance = policy.allowance(authority)
        if self._upstream is None or policy.is_internal(authority):
            door = Door(allowance, resolve)
            return _line(await door.connect(authority.host, authority.port))
        await _check_if_known(Door(allowance, partial(resolve, seconds=KNOWN_SECONDS)), authority)
        return await self._through(self._upstream, authority, plain_http)

    async def _through(self, upstream: Upstream, authority: Authority, plain_http: bool) -> Line:
        # The operator named this proxy, so its own address needs no check.
        door = Door(Allowance([str(upstream.authority)]), system_addresses)
        reached = await door.connect(upstream.authority.host, upstream.authority.port)
        wire = Wire(reached.socket)
        try:
            stream: ByteStream = wire
            if upstream.tls:
                stream = await self._wrapped(wire, upstream.authority.host)
            if not plain_http:
                await ask_for_tunnel(stream, authority, upstream.authorization)
        except BaseException:
            await wire.aclose()
            raise
        line = Line(stream, None, lambda: wire.is_quiet)
        return replace(line, proxied=upstream) if plain_http else line

    async def _wrapped(self, stream: ByteStream, host: str) -> ByteStream:
        try:
            return await Secured.connect(stream, host, self._tls)
        except BaseException:
            await stream.aclose()
            raise


def _line(reached: Reached) -> Line:
    wire = Wire(reached.socket)
    return Line(wire, reached.address, lambda: wire.is_quiet)


async def _check_if_known(door: Door, authority: Authority) -> None:
    """Refuse what this machine knows to lead inside. Raises `AddressRefused`."""
    # Who has no place for a lookup waits: a caller could take all, and have nothing checked.
    with suppress(OSError):
        await door.addresses(authority.host, authority.port)


async def ask_for_tunnel(
    stream: ByteStream, authority: Authority, authorization: str | None
) -> None:
    """Ask an upstream proxy for a tunnel. Raises `Refusal` when it does not give one."""
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if authorization is not None:
        lines.append(f"Proxy-Authorization: {authorization}")
    await stream.send("\r\n".join([*lines, "", ""]).encode("ascii"))
    answer = bytearray()
    while b"\r\n\r\n" not in answer:
        # Byte by byte at its end: what follows belongs to the tunnel.
        answer += await stream.receive(1)
        if len(answer) > _MAX_ANSWER_BYTES:
            raise Refusal(502, "the upstream proxy gave no proper answer", "failed")
    status = answer.split(b"\r\n", 1)[0].split(b" ", 2)[1:2]
    if not status or not status[0].startswith(b"2"):
        shown = ascii(bytes(answer[:60]).split(b"\r\n")[0].decode("latin-1"))
        raise Refusal(502, f"the upstream proxy refused {authority}: {shown}", "failed")


def _client_tls(certificates: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if certificates:
        try:
            context.load_verify_locations(cadata=certificates)
        except (ssl.SSLError, ValueError) as error:
            raise InvalidRequest(
                "The extra CA certificates cannot be read; they are PEM blocks."
            ) from error
    return context


def _unreachable(authority: Authority, error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"host {authority.host} cannot be found"
    detail = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "closed"
    return f"{authority} cannot be reached: {detail}"


def _tls_problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason
    return "the connection was closed"
