"""A bare server on loopback, plain and with TLS, that gives bytes out of memory.

Run as a module with the path of a PEM file that holds a certificate and its key; prints the port of
plain HTTP and that of HTTPS. `/SIZE` is answered with that many bytes.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from typing import BinaryIO

_CHUNK = bytes(1024 * 1024)


def answer(connection: socket.socket) -> None:
    """Answer the requests of one connection until it ends."""
    with connection, contextlib.suppress(OSError), connection.makefile("rb") as requests:
        while (size := _wanted(requests)) is not None:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
            connection.sendall(head + _CHUNK[: min(size, 1024)])
            left = max(0, size - 1024)
            while left:
                connection.sendall(_CHUNK[: min(left, len(_CHUNK))])
                left -= min(left, len(_CHUNK))


def _wanted(requests: BinaryIO) -> int | None:
    line = requests.readline()
    while line and requests.readline() not in (b"\r\n", b""):
        pass
    return int(line.split()[1].lstrip(b"/")) if line else None


def accept(listener: socket.socket, tls: ssl.SSLContext | None) -> None:
    """Serve each connection in a thread of its own, for ever."""
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(connection, tls), daemon=True).start()


def _serve(connection: socket.socket, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):
        answer(connection if tls is None else tls.wrap_socket(connection, server_side=True))


def main() -> None:
    """Serve until killed."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[1])
    with (
        socket.create_server(("127.0.0.1", 0), backlog=256) as plain,
        socket.create_server(("127.0.0.1", 0), backlog=256) as secure,
    ):
        print(plain.getsockname()[1], secure.getsockname()[1], flush=True)
        threading.Thread(target=accept, args=(plain, None), daemon=True).start()
        accept(secure, tls)


if __name__ == "__main__":
    main()
