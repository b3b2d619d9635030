"""The one door to the network for addresses that callers and models choose.

A host is looked up once, every address it leads to is checked, and the connection goes to the
checked address; TLS is verified against the host's name all the same. Redirects are new requests
and pass the same door. Proxies of the environment are not used: they would look up anew.
"""

from __future__ import annotations

import codecs
import functools
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any

import anyio
import httpcore2
import httpx2

from runtime.errors import AddressRefused
from runtime.outbound.addresses import Allowance, IpAddress, checked_host, literal
from runtime.outbound.door import Door, Resolve, system_addresses

CONNECT_SECONDS = 10.0
MAX_REDIRECTS = 5
MAX_BYTES = 16 * 1024 * 1024
"""The largest body of a response that is read, unless a caller says otherwise."""
_ODD_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "utf-7"})
"""They take time that grows with the square of the text, or give half characters."""


class Dialer:
    """Connects to hosts on the public Internet and to what the operator allows beyond it."""

    def __init__(self, allow: Iterable[str] = (), resolve: Resolve = system_addresses) -> None:
        """Raises `InvalidRequest` for an entry of `allow` that is no host and no network."""
        self.door = Door(Allowance(allow), resolve)

    def check(self, url: str) -> httpx2.URL:
        """`url`, read. Raises `AddressRefused` where its form or its host can be told apart now."""
        try:
            parsed = httpx2.URL(url)
        except (httpx2.InvalidURL, ValueError, TypeError):
            raise AddressRefused(f"'{_shown(str(url))}' is not a URL.") from None
        self._check_url(parsed)
        return parsed

    def is_named(self, url: httpx2.URL) -> bool:
        """Whether the operator named the host of a URL, so that it is one of their own."""
        host = checked_host(url.raw_host.decode("ascii"))
        port, address = _port(url), literal(host)
        allowance = self.door.allowance
        if address is not None and allowance.allows_address(address, port):
            return True
        return allowance.allows_host(host, port)

    def client(self, *, max_bytes: int = MAX_BYTES, **options: Any) -> httpx2.AsyncClient:
        """An HTTP client that goes through this door; `options` are those of httpx2.

        Its requests raise `AddressRefused`; bodies above `max_bytes` raise `BodyTooLarge`.
        """
        options.setdefault("timeout", httpx2.Timeout(30.0, connect=CONNECT_SECONDS))
        return httpx2.AsyncClient(
            transport=self.transport(max_bytes),
            trust_env=False,
            max_redirects=MAX_REDIRECTS,
            **options,
        )

    def transport(self, max_bytes: int = MAX_BYTES) -> httpx2.AsyncBaseTransport:
        """What `client` sends its requests through."""
        return _Transport(_Backend(self.door), self._check_url, max_bytes)

    def _check_url(self, url: httpx2.URL) -> None:
        if url.scheme not in {"http", "https"}:
            raise AddressRefused(f"'{_shown(str(url))}' is not an http:// or https:// URL.")
        if url.userinfo:
            raise AddressRefused("A URL must not hold a user name or password.")
        if not url.host:
            raise AddressRefused(f"'{_shown(str(url))}' names no host.")
        host = checked_host(url.raw_host.decode("ascii"))
        self.door.allowance.check_name(host, _port(url))


def _shown(url: str) -> str:
    """A URL for a person, without the parts that may be secret."""
    start = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"//[^/]*@", "//", start)[:80]


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


class BodyTooLarge(httpx2.StreamError):
    """The body of a response is larger than what is read of one."""


class _Backend(httpcore2.AsyncNetworkBackend):
    """Dials checked addresses only."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._network: httpcore2.AsyncNetworkBackend = httpcore2.AnyIOBackend()  # pyright: ignore[reportAttributeAccessIssue]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        with anyio.move_on_after(timeout):
            try:
                return await self._door.first(host, port, partial(self._dial, host, port))
            except OSError as error:
                raise httpcore2.ConnectError(f"{host}:{port} cannot be reached: {error}") from error
        raise httpcore2.ConnectTimeout(f"{host}:{port} did not answer in time")

    async def _dial(self, host: str, port: int, address: IpAddress) -> httpcore2.AsyncNetworkStream:
        try:
            stream = await self._network.connect_tcp(str(address), port, CONNECT_SECONDS)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise OSError(str(error) or f"{address} did not answer") from error
        own, peer = stream.get_extra_info("client_addr"), stream.get_extra_info("server_addr")
        try:
            if own is None or peer is None:
                # A server that resets at once leaves a socket without an address at its end.
                raise OSError(f"{address} closed the connection")
            self._door.check_peer(host, port, peer[0], own[0])
        except (AddressRefused, OSError):
            await stream.aclose()
            raise
        return stream

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("unix sockets are not dialled")


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


class _Transport(httpx2.AsyncHTTPTransport):
    """HTTP/1.1 over checked connections, with bounded bodies."""

    def __init__(
        self, backend: _Backend, check: Callable[[httpx2.URL], None], max_bytes: int
    ) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_tls(), max_connections=20, keepalive_expiry=30, network_backend=backend
        )
        self._check = check
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._check(request.url)
        # Compressed bodies could unfold to any size; nothing is asked for but the plain one.
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            await response.aclose()
            raise httpx2.DecodingError("the server compressed what was to be sent plain")
        _drop_odd_charset(response)
        response.stream = _Bounded(response.stream, self._max_bytes)
        return response


def _drop_odd_charset(response: httpx2.Response) -> None:
    """Leave UTF-8, the default, where a server names a charset that is none of the usual kind."""
    charset = response.charset_encoding
    if charset is not None and not _is_plain(charset):
        kind = response.headers["content-type"].partition(";")[0]
        response.headers["content-type"] = kind.strip()


def _is_plain(charset: str) -> bool:
    try:
        b"x".decode(charset, "replace")
        return codecs.lookup(charset).name not in _ODD_CHARSETS
    except (LookupError, ValueError):
        # Python's `zlib`, `hex` and the like are no charsets, but are looked up like them.
        return False


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > self._max_bytes:
                raise BodyTooLarge(f"the answer is larger than {self._max_bytes} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
