"""Nothing opens connections to places that others choose but the one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CALLS = frozenset(
    {"connect", "connect_ex", "connect_tcp", "create_connection", "open_connection", "urlopen"}
    | {"create_datagram_endpoint", "create_udp_socket", "create_connected_udp_socket", "sendto"}
    | {"getaddrinfo", "gethostbyname", "Client", "AsyncClient", "AsyncConnectionPool"}
    | {"HTTPConnection", "HTTPSConnection", "AsyncHTTPTransport", "HTTPTransport"}
)
MODULES = frozenset(
    {"requests", "aiohttp", "urllib3", "urllib.request", "http.client", "ftplib", "smtplib"}
    | {"poplib", "imaplib", "telnetlib", "xmlrpc.client", "pycurl"}
)
ALLOWED = {
    "runtime/outbound/door.py": "the door",
    "runtime/tools/dial.py": "HTTP through the door",
    "runtime/tools/mcp_server.py": "an HTTP client on the transport of dial.py",
    "runtime/egress/lookups.py": "the door's lookups, in threads",
    "runtime/egress/__main__.py": "looks its own address up, so that what that needs is loaded",
    "runtime/egress/uplink.py": "TLS and tunnels on what the door connected",
    "runtime/models/google.py": "a provider that the operator configured",
    "runtime/sandboxes/docker_connection.py": "Docker's socket",
}
"""Files that may, and why."""
APART = ("runtime/guest/", "runtime/client/", "runtime/cli/")
"""What runs in a sandbox, without network, and the programs of those who call the API."""


def found(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            name = getattr(function, "attr", getattr(function, "id", ""))
            if name in CALLS:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if MODULES & {name, name.partition(".")[0]}:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {name}"


def sources() -> list[Path]:
    every = (ROOT / "runtime").rglob("*.py")
    return [path for path in every if not str(path.relative_to(ROOT)).startswith(APART)]


def test_only_the_door_opens_connections() -> None:
    strays = [
        line
        for path in sources()
        if str(path.relative_to(ROOT)) not in ALLOWED
        for line in found(path)
    ]
    assert strays == []


def test_what_is_allowed_is_needed() -> None:
    assert [name for name in ALLOWED if not list(found(ROOT / name))] == []
