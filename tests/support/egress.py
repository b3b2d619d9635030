"""An egress proxy for tests, with the name service in the test's hands, and its callers."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSStream

from runtime.egress.certificates import Issuer, new_authority
from runtime.egress.environment import Environment
from runtime.egress.ledger import Ledger
from runtime.egress.listener import EnvironmentListener, Room
from runtime.egress.lookups import Lookups, Places
from runtime.egress.protocol import Authority, EgressEvent, ProxySettings
from runtime.egress.rules import HostRule, Limits, Rules
from runtime.egress.sockets import listening_socket
from runtime.egress.uplink import Uplink
from runtime.outbound.door import Resolve

PATIENCE_SECONDS = 30.0
LOOPBACK = ("127.0.0.1",)


def allowing(
    *hosts: str | HostRule, internal: Sequence[str] = LOOPBACK, limits: Limits | None = None
) -> Rules:
    """Rules that allow `hosts`, also on loopback."""
    return Rules(
        hosts=tuple(HostRule(domain=one) if isinstance(one, str) else one for one in hosts),
        allow_internal=tuple(internal),
        limits=limits or Limits(),
    )


class Names:
    """A name service: each name has its answers, one after another; the last one stays."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name: [list(one) for one in every] for name, every in answers.items()}
        self.asked: list[str] = []

    def set(self, name: str, *answers: Sequence[str]) -> None:
        self._answers[name] = [list(one) for one in answers]

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self._answers.get(host, [["127.0.0.1"]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass(slots=True)
class Answer:
    """What came back for one request."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Connection:
    """A connection to the proxy, or through it."""

    def __init__(self, stream: ByteStream, host: str = "host.example") -> None:
        """`host` is what requests without a whole URL are for."""
        self.stream = stream
        self.host = host
        self._buffer = BufferedByteReceiveStream(stream)

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def read_until(self, mark: bytes) -> bytes:
        with anyio.fail_after(PATIENCE_SECONDS):
            return await self._buffer.receive_until(mark, 256 * 1024)

    async def exactly(self, count: int) -> bytes:
        with anyio.fail_after(PATIENCE_SECONDS):
            return await self._buffer.receive_exactly(count)

    async def receive(self) -> bytes:
        return await self._buffer.receive()

    async def rest(self) -> bytes:
        """All that comes until the other side ends or breaks the connection."""
        data = bytearray()
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                try:
                    data += await self._buffer.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return bytes(data)

    async def answer(self, method: str = "GET") -> Answer:
        """Read one answer."""
        head = (await self.read_until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        _, status, reason = head[0].split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:])
        }
        answer = Answer(int(status), reason, headers, b"")
        is_tunnel = method == "CONNECT" and answer.status == 200
        if is_tunnel or method == "HEAD" or answer.status in {204, 304} or answer.status < 200:
            return answer
        if "content-length" in headers:
            answer.body = await self.exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            answer.body = await self._chunked()
        else:
            answer.body = await self.rest()
        return answer

    async def ask(
        self, method: str, target: str, headers: Sequence[str] = (), body: bytes = b""
    ) -> Answer:
        """Send a request, `Host` by its URL unless given, and read the answer."""
        lines = [f"{method} {target} HTTP/1.1", *headers]
        if not any(line.lower().startswith("host:") for line in headers):
            found = re.match(r"https?://([^/?]*)", target)
            lines.append(f"Host: {found[1] if found else self.host}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        # A proxy may answer and close before it was asked.
        with contextlib.suppress(anyio.BrokenResourceError):
            await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return await self.answer(method)

    async def tls(
        self, host: str | None, trust: ssl.SSLContext, *, alpn: Sequence[str] = ("http/1.1",)
    ) -> Connection:
        """TLS on this connection, naming `host`."""
        trust.set_alpn_protocols(list(alpn))
        return Connection(
            await TLSStream.wrap(
                self.stream,
                hostname=host,
                server_side=False,
                ssl_context=trust,
                standard_compatible=False,
            ),
            self.host,
        )

    async def _chunked(self) -> bytes:
        body = bytearray()
        while size := int(await self.read_until(b"\r\n"), 16):
            body += await self.exactly(size)
            await self.exactly(2)
        await self.exactly(2)
        return bytes(body)

    async def aclose(self) -> None:
        await self.stream.aclose()


@dataclass(slots=True)
class Gate:
    """One environment that is served."""

    environment: Environment
    listener: EnvironmentListener
    authority: Authority
    path: Path
    ledger: Ledger
    room: Room
    _events: list[EgressEvent] = field(default_factory=list[EgressEvent])

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        async with await anyio.connect_unix(self.path) as stream:
            yield Connection(stream)

    @asynccontextmanager
    async def tunnel(self, target: str) -> AsyncIterator[Connection]:
        """A tunnel that was established."""
        async with self.connect() as connection:
            answer = await connection.ask("CONNECT", target, [f"Host: {target}"])
            assert answer.status == 200, answer
            connection.host = target
            yield connection

    @property
    def trust(self) -> ssl.SSLContext:
        """What a sandbox trusts: the environment's certificate and nothing else."""
        return ssl.create_default_context(cadata=self.authority.certificate)

    async def event(self, **wanted: object) -> EgressEvent:
        """The next event with these values; waits for it."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                for event in self._events:
                    if all(getattr(event, name) == value for name, value in wanted.items()):
                        self._events.remove(event)
                        return event
                self._events += await self.ledger.take()
                await self.ledger.told()


@asynccontextmanager
async def gate(
    folder: Path,
    rules: Rules,
    resolve: Resolve | None = None,
    settings: ProxySettings | None = None,
) -> AsyncIterator[Gate]:
    """A served environment."""
    ledger, room, authority = Ledger(), Room(), new_authority("env_test")
    path = folder / "egress.sock"
    async with anyio.create_task_group() as tasks:
        lookups = Lookups(resolve or Names(), tasks, Places())
        environment = Environment("env_test", rules, Issuer(authority), lookups, ledger)
        uplink = Uplink(settings or ProxySettings())
        listener = EnvironmentListener(environment, listening_socket(path, None), uplink, room)
        tasks.start_soon(listener.serve)
        tasks.start_soon(_sweep, environment)
        yield Gate(environment, listener, authority, path, ledger, room)
        await listener.close()
        tasks.cancel_scope.cancel()


async def _sweep(environment: Environment) -> None:
    while True:
        await anyio.sleep(0.05)
        environment.sweep()


Handler = Callable[[Connection], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A TCP server on loopback that leaves each connection to `handler`; yields its port."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            # Clients and proxies may go at any time.
            with contextlib.suppress(
                anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead, ssl.SSLError
            ):
                inner: ByteStream = stream
                if tls is not None:
                    inner = await TLSStream.wrap(
                        stream, server_side=True, ssl_context=tls, standard_compatible=False
                    )
                await handler(Connection(inner))

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@dataclass(slots=True)
class Echo:
    """A server that answers with the request as it came; keeps what it got."""

    requests: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0
    answer: Callable[[bytes], bytes] = lambda head: head

    async def __call__(self, connection: Connection) -> None:
        self.connections += 1
        while True:
            head = await connection.read_until(b"\r\n\r\n")
            body = b""
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            if length:
                body = await connection.exactly(int(length[1]))
            elif b"chunked" in head.lower():
                body = await connection._chunked()
            request = head + b"\r\n\r\n" + body
            self.requests.append(request)
            content = self.answer(request)
            await connection.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content
            )
