"""A CONNECT: checks how it begins, then passes its bytes on, or reads the requests inside it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream

from runtime.egress.caller import Caller
from runtime.egress.client_hello import (
    ACCESS_DENIED,
    ClientHello,
    NoClientHello,
    read_client_hello,
)
from runtime.egress.environment import Environment
from runtime.egress.flow import Flow
from runtime.egress.heads import Target
from runtime.egress.policy import Verdict
from runtime.egress.pump import Count, pump, pump_stream
from runtime.egress.refusals import Refusal
from runtime.egress.session import Inside, Session
from runtime.egress.uplink import Line, Uplink
from runtime.egress.wire import Rewound, Secured, Wire
from runtime.groups import collapsed
from runtime.outbound.addresses import literal
from runtime.outbound.hosts import Authority

TLS_PORTS = frozenset({443, 8443})
"""Where nothing but TLS is spoken."""

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_HANDSHAKE = b"\x16"


def tls_refusal(hello: ClientHello, authority: Authority, verdict: Verdict) -> str | None:
    """Why TLS that begins with `hello` must not go through the tunnel; None when it may."""
    named, host = hello.server_name, authority.host
    if named is None:
        if literal(host) is not None:
            return None
        return f"TLS to {host} must name the server (SNI)"
    if named != host:
        return f"TLS names the server {named[:80]!a}, but the tunnel leads to {host}"
    any_host = verdict.rule is not None and verdict.rule.split(":")[0] == "*"
    if hello.has_ech and not any_host and not verdict.treatment.needs_interception:
        return (
            f"TLS to {host} uses Encrypted Client Hello, which can hide another server; "
            "switch it off in this program"
        )
    return None


def is_plain_http(data: bytes, port: int) -> bool:
    """Whether a tunnel that begins with `data` carries HTTP to be read like any other."""
    return port not in TLS_PORTS and data[:1].isalpha() and data[:1].isupper()


@dataclass(frozen=True, slots=True)
class _Opening:
    """How a tunnel begins."""

    data: bytes
    hello: ClientHello | None
    """None for plain HTTP."""


class Tunnel:
    """One tunnel, from the request for it to its end."""

    def __init__(
        self,
        caller: Caller,
        wire: Wire,
        authority: Authority,
        environment: Environment,
        uplink: Uplink,
    ) -> None:
        self._caller = caller
        self._wire = wire
        self._authority = authority
        self._environment = environment
        self._uplink = uplink
        self._is_established = False
        self._is_tls = False

    async def run(self) -> None:
        """Until it is closed. Answers refusals itself."""
        environment = self._environment
        session: Session | None = None
        try:
            async with environment.flow("tunnel", self._authority, "CONNECT") as found:
                session = await self._begin(*found)
        except Refusal as refusal:
            await self._answer(refusal)
        if session is not None:
            await session.serve()

    async def _begin(self, flow: Flow, verdict: Verdict) -> Session | None:
        """Carry the tunnel; the requests inside it are left to the session that is returned."""
        line = None if verdict.treatment.needs_interception else await self._reach(flow)
        handed_over = False
        try:
            opening = await self._opening()
            if opening is None:
                return None
            if opening.hello is None:
                session = await self._plain(opening, line, flow)
                handed_over = True
                return session
            refusal = tls_refusal(opening.hello, self._authority, verdict)
            if refusal is not None:
                raise Refusal(403, refusal)
            if line is None:
                return await self._intercepted(opening, flow)
            await self._carry(line, opening, flow)
            return None
        finally:
            if line is not None and not handed_over:
                with anyio.CancelScope(shield=True):
                    await line.stream.aclose()

    async def _reach(self, flow: Flow) -> Line:
        environment = self._environment
        line = await self._uplink.reach(
            self._authority, environment.policy, environment.resolve, plain_http=False
        )
        flow.address = line.address
        return line

    async def _opening(self) -> _Opening | None:
        """What comes first through the tunnel; None when nothing does."""
        await self._wire.send(_ESTABLISHED)
        self._is_established = True
        seconds = self._environment.policy.rules.limits.header_seconds
        try:
            with anyio.fail_after(seconds):
                return await self._read_opening(self._caller.left_over())
        except TimeoutError as error:
            reason = f"nothing came through the tunnel for {seconds:g} seconds"
            raise Refusal(408, reason, "failed") from error
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return None

    async def _read_opening(self, data: bytes) -> _Opening:
        while True:
            if is_plain_http(data, self._authority.port):
                return _Opening(data, None)
            self._is_tls = data.startswith(_HANDSHAKE)
            try:
                hello = read_client_hello(data)
            except NoClientHello as error:
                raise Refusal(403, f"only TLS goes to {self._authority}: {error}") from error
            if hello is not None:
                return _Opening(data, hello)
            data += await self._wire.receive()

    async def _plain(self, opening: _Opening, line: Line | None, flow: Flow) -> Session:
        flow.is_silent = True
        caller = Caller(self._wire, self._environment.policy.rules.limits, opening.data)
        inside = Inside("http", self._authority)
        session = Session(caller, self._environment, self._uplink, inside)
        if line is not None:
            await session.adopt(line, Target("http", self._authority, b"/"), flow)
        return session

    async def _intercepted(self, opening: _Opening, flow: Flow) -> Session | None:
        environment = self._environment
        limits = environment.policy.rules.limits
        try:
            with anyio.fail_after(limits.header_seconds):
                stream = await Secured.serve(
                    Rewound(opening.data, self._wire),
                    environment.issuer.context(self._authority.host),
                )
        except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream, TimeoutError):
            # After a failed handshake there is nobody to explain it to.
            flow.end("failed", "the program does not trust the certificates of this sandbox")
            return None
        flow.is_silent = True
        inside = Inside("https", self._authority)
        return _TlsSession(stream, Caller(stream, limits), environment, self._uplink, inside)

    async def _carry(self, line: Line, opening: _Opening, flow: Flow) -> None:
        flow.sent(len(opening.data))
        await line.stream.send(opening.data)
        with collapsed():
            async with anyio.create_task_group() as tasks:
                both = tasks.cancel_scope
                tasks.start_soon(_one_way, self._wire, line.stream, flow.sent, flow, both)
                await _one_way(line.stream, self._wire, flow.received, flow, both)

    async def _answer(self, refusal: Refusal) -> None:
        if not self._is_established:
            await self._caller.refuse(refusal, self._environment.policy.summary)
        elif self._is_tls:
            await self._wire.send(ACCESS_DENIED)


async def _one_way(
    source: ByteStream, sink: ByteStream, count: Count, flow: Flow, both: anyio.CancelScope
) -> None:
    if isinstance(source, Wire) and isinstance(sink, Wire):
        await pump(source, sink, count)
    else:
        await pump_stream(source, sink, count)
        try:
            await sink.send_eof()
        except NotImplementedError:
            # TLS to an upstream proxy cannot be half closed.
            both.cancel()
    flow.is_half_closed = True


class _TlsSession(Session):
    """A session that says goodbye as TLS wants it."""

    def __init__(
        self,
        stream: Secured,
        caller: Caller,
        environment: Environment,
        uplink: Uplink,
        inside: Inside,
    ) -> None:
        super().__init__(caller, environment, uplink, inside)
        self._stream = stream

    async def serve(self) -> None:
        """Carry requests until the connection ends."""
        await super().serve()
        await self._stream.say_goodbye()
