"""A client that knows as much of HTTP as it needs: directly to a server, or through the proxy."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Route:
    """A way to the server."""

    port: int
    egress: Path | None = None
    """The socket of an environment; None is the direct way."""
    tls: ssl.SSLContext | None = None

    def open(self) -> Caller:
        """A connection to the server, or to the proxy where there is no TLS."""
        plain = _connected(self)
        if self.tls is None:
            return Caller(plain, "" if self.egress is None else f"http://{HOST}:{self.port}")
        return Caller(self.tls.wrap_socket(plain, server_hostname=HOST), "")


class Caller:
    """One kept connection."""

    def __init__(self, connection: socket.socket, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix
        self._buffer = bytearray(256 * 1024)

    def get(self, size: int, host: str) -> None:
        """Ask for `size` bytes and take them all."""
        request = f"GET {self._prefix}/{size} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        self._connection.sendall(request.encode("ascii"))
        left = size - len(head(self._connection))
        while left > 0:
            read = self._connection.recv_into(self._buffer)
            if read == 0:
                raise ConnectionError("the answer breaks off")
            left -= read

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def download(route: Route, size: int) -> float:
    """How long an answer of `size` bytes takes on a connection that stands, in seconds."""
    with closing(route.open()) as caller:
        caller.get(1, f"{HOST}:{route.port}")
        return seconds(lambda: caller.get(size, f"{HOST}:{route.port}"))


def head(connection: socket.socket) -> bytes:
    """Read the head of an answer; what was read behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("no answer came")
        data += more
    status, _, rest = data.partition(b"\r\n\r\n")
    if b" 200 " not in status.split(b"\r\n")[0]:
        raise ConnectionError(status.decode("latin-1"))
    return rest


def _connected(route: Route) -> socket.socket:
    if route.egress is None:
        return socket.create_connection((HOST, route.port), timeout=_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_SECONDS)
    connection.connect(str(route.egress))
    if route.tls is not None:
        target = f"{HOST}:{route.port}"
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode("ascii"))
        head(connection)
    return connection
