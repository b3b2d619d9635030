"""The world outside of sandboxes: every name there is, over HTTP and HTTPS, on this machine alone.

Names are known to an upstream proxy and to nobody else, so nothing is asked of a name service's
owner but whether it knows them.
"""

from __future__ import annotations

import json
import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.certificates import Certificates

_SECONDS = 60
_PIECE = 65536


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that reached a server outside."""

    host: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Outside:
    """Where the world is, and what it has seen."""

    upstream: str
    """The proxy that leads there."""
    certificates: Certificates
    seen: list[Seen] = field(default_factory=list[Seen])
    asked: list[str] = field(default_factory=list[str])
    """The hosts and ports that the proxy was asked for."""
    pages: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Bodies by path; any other path shows the request's headers as JSON."""
    redirects: dict[str, str] = field(default_factory=dict[str, str])
    """Where paths lead to."""
    repositories: Path | None = None
    """A folder of bare repositories, which `git.test` serves to read and write."""
    repositories_for: str | None = None
    """The only `Authorization` with which it serves them; None for anybody."""
    silent: set[str] = field(default_factory=set[str])
    """Hosts that take a request and answer nothing until the world ends."""
    ending: threading.Event = field(default_factory=threading.Event)

    def last(self, host: str) -> Seen:
        """The latest request to `host`."""
        return [one for one in self.seen if one.host == host][-1]


@contextmanager
def outside() -> Generator[Outside]:
    """The world, for as long as it is open."""
    world = Outside("", Certificates())
    plain, secure = _server(world), _server(world)
    secure.socket = _tls(world).wrap_socket(
        secure.socket, server_side=True, do_handshake_on_connect=False
    )
    proxy = _proxy(world, {80: plain.server_port, 443: secure.server_port})
    world.upstream = f"http://127.0.0.1:{proxy.server_port}"
    servers = [plain, secure, proxy]
    threads = [threading.Thread(target=one.serve_forever, daemon=True) for one in servers]
    for thread in threads:
        thread.start()
    try:
        yield world
    finally:
        world.ending.set()
        for server in servers:
            server.shutdown()
            server.server_close()


def _tls(world: Outside) -> ssl.SSLContext:
    known: dict[str, ssl.SSLContext] = {}

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        name = name or "127.0.0.1"
        if name not in known:
            known[name] = world.certificates.serving(name)
        connection.context = known[name]

    context = world.certificates.serving("unnamed.test")
    context.sni_callback = choose
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what tests are about."""


def _server(world: Outside) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _SECONDS

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            host = headers.get("host", "").partition(":")[0]
            world.seen.append(Seen(host, self.path, headers, body))
            if host in world.silent:
                world.ending.wait(_SECONDS)
                return
            if host == "git.test" and world.repositories is not None:
                self.serve_git(world.repositories, headers, body)
                return
            told = json.dumps({"path": self.path, "headers": headers}).encode()
            shown = world.pages.get(self.path.partition("?")[0], told)
            away = world.redirects.get(self.path)
            self.send_response(302 if away else 200)
            if away:
                self.send_header("location", away)
            self.send_header("content-type", _kind(shown))
            self.send_header("content-length", str(len(shown)))
            self.end_headers()
            self.wfile.write(shown)

        def serve_git(self, folder: Path, headers: dict[str, str], body: bytes) -> None:
            if world.repositories_for in (None, headers.get("authorization")):
                self.run_git(folder, headers, body)
                return
            self.send_response(401)
            self.send_header("www-authenticate", 'Basic realm="git"')
            self.send_header("content-length", "0")
            self.end_headers()

        def run_git(self, folder: Path, headers: dict[str, str], body: bytes) -> None:
            given, content = _git(folder, self.command, self.path, headers, body)
            self.send_response(int(given.pop("Status", "200").split()[0]))
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names are the library's

        def log_message(self, format: str, *args: object) -> None:
            """Tests look at what was seen."""

    return _Server(("127.0.0.1", 0), Handler)


def _git(
    folder: Path, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[dict[str, str], bytes]:
    """What smart HTTP answers, by git's own CGI program: headers and a body."""
    path, _, query = path.partition("?")
    variables = {
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REMOTE_USER": "agent",
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
    }
    done = subprocess.run(
        ["git", "http-backend"],
        input=body,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        check=True,
    )
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")), content


def _kind(body: bytes) -> str:
    kinds = {b"<": "text/html", b"{": "application/json"}
    return kinds.get(body[:1], "application/octet-stream")


def _proxy(world: Outside, ports: dict[int, int]) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_CONNECT(self) -> None:
            world.asked.append(self.path)
            port = ports.get(int(self.path.rpartition(":")[2]))
            if port is None:
                self.send_error(502)
                return
            with socket.create_connection(("127.0.0.1", port), _SECONDS) as server:
                self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                _carry(self.connection, server)
            self.close_connection = True

        def do_GET(self) -> None:
            world.asked.append(self.path)
            with socket.create_connection(("127.0.0.1", ports[80]), _SECONDS) as server:
                path = "/" + self.path.partition("://")[2].partition("/")[2]
                head = f"{self.command} {path} HTTP/1.1\r\n{self.headers}".rstrip()
                server.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode("latin-1"))
                server.sendall(self.rfile.read(int(self.headers.get("content-length", 0))))
                while piece := server.recv(_PIECE):
                    self.wfile.write(piece)
            self.close_connection = True

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Tests look at what was asked."""

    return _Server(("127.0.0.1", 0), Handler)


def _carry(client: socket.socket, server: socket.socket) -> None:
    other = {client: server, server: client}
    while True:
        ready, _, _ = select.select([client, server], [], [], _SECONDS)
        if not ready:
            return
        for side in ready:
            piece = side.recv(_PIECE)
            if not piece:
                return
            other[side].sendall(piece)
