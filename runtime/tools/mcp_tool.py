"""A tool of type `mcp_server` as it was asked for, checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from runtime.errors import AddressRefused, InvalidRequest
from runtime.schema.server_names import wrong_server_name
from runtime.tools.dial import Dialer

MAX_HEADERS = 50
MAX_HEADER_CHARACTERS = 16_384
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
OWN_HEADERS = {
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "accept",
    "accept-encoding",
    "te",
    "trailer",
    "upgrade",
    "last-event-id",
    "mcp-session-id",
    "mcp-protocol-version",
}


@dataclass(frozen=True, slots=True)
class McpTool:
    """Which server, how to reach it, and which of its tools."""

    name: str
    url: str
    headers: Mapping[str, str]
    allowed: frozenset[str] | None
    """Names of tools; None is all of them."""
    credential: str | None = None
    """Whose header is put over `headers`."""

    @property
    def url_secrets(self) -> list[str]:
        """Values of the URL's query, which often are keys."""
        return [value for _, value in httpx2.URL(self.url).params.multi_items()]

    def selected(self, listed: list[str]) -> set[str]:
        """The tools of `listed` that may be called. Raises `InvalidRequest` for one not there."""
        if self.allowed is None:
            return set(listed)
        for name in sorted(self.allowed - set(listed)):
            close = difflib.get_close_matches(name, listed, 1) or listed[:10]
            known = ", ".join(repr(other[:80]) for other in close) or "none"
            raise InvalidRequest(
                f"mcp_server '{self.name}': allowed_tools: the server has no tool "
                f"'{name[:80]}'; it has {known}."
            )
        return set(self.allowed)


def read_mcp_tool(tool: Mapping[str, Any], dialer: Dialer) -> McpTool:
    """The tool in its wire form, checked. Raises `InvalidRequest`."""
    name = tool.get("name")
    if not isinstance(name, str):
        raise InvalidRequest("mcp_server: name: is needed.")
    where = f"mcp_server '{name[:80]}'"
    wrong = wrong_server_name(name)
    if wrong is not None:
        raise InvalidRequest(f"{where}: name: {wrong}.")
    url = tool.get("url")
    if not isinstance(url, str):
        raise InvalidRequest(f"{where}: url: is needed, the server's Streamable HTTP endpoint.")
    try:
        dialer.check(url)
    except AddressRefused as error:
        raise InvalidRequest(f"{where}: url: {error.message}") from error
    credential = tool.get("credential")
    if credential is not None:
        _check_secrecy(where, url, dialer)
    headers = _headers(where, tool.get("headers") or {})
    return McpTool(name, url, headers, _allowed(where, tool.get("allowed_tools")), credential)


def _check_secrecy(where: str, url: str, dialer: Dialer) -> None:
    parsed = dialer.check(url)
    if parsed.scheme != "https" and not dialer.is_named(parsed):
        raise InvalidRequest(
            f"{where}: url: must be https:// for a credential to be sent there. The operator can "
            "allow a host of their own as `outbound.allow` in sandlot.yaml."
        )


def _headers(where: str, headers: Mapping[str, str]) -> dict[str, str]:
    if len(headers) > MAX_HEADERS:
        raise InvalidRequest(f"{where}: headers: at most {MAX_HEADERS} are allowed.")
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None or name.lower() in OWN_HEADERS:
            # What is no name may be a value in the wrong place.
            shown = f"'{name[:80]}'" if _HEADER.fullmatch(name) else "what is no name of a header"
            raise InvalidRequest(f"{where}: headers: {shown} cannot be set.")
        if _VALUE.fullmatch(value) is None or len(value) > MAX_HEADER_CHARACTERS:
            raise InvalidRequest(f"{where}: headers: the value of '{name}' is not valid.")
    return {name: value.strip() for name, value in headers.items()}


def _allowed(where: str, entries: Any) -> frozenset[str] | None:
    if entries is None:
        return None
    names = set[str]()
    for entry in entries:
        if isinstance(entry, str):
            names.add(entry)
            continue
        mode = entry.get("mode") or "auto"
        if mode not in {"auto", "validated", "none"}:
            raise InvalidRequest(
                f"{where}: allowed_tools: the mode '{mode}' is not supported here; "
                "'generation_config.tool_choice' can ask for a tool to be called."
            )
        if mode == "none":
            continue
        if entry.get("tools") is None:
            return None
        names |= set(entry["tools"])
    return frozenset(names)
