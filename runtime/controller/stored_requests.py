"""What is kept of a request: everything but the secrets in it. Pure."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]


def stored_request(body: Json, said: Any) -> Json:
    """`body` as it is stored, with `said` as its input.

    Headers of MCP servers and of network rules are left out, and what follows `?` in the addresses
    of MCP servers: they are secrets, and nobody needs them in the request once the run has begun.
    """
    kept = {name: value for name, value in body.items() if value is not None}
    kept["input"] = said
    if isinstance(kept.get("tools"), list):
        kept["tools"] = [open_part(tool) for tool in kept["tools"]]
    if isinstance(kept.get("environment"), dict):
        kept["environment"] = _environment(kept["environment"])
    return kept


def open_part(tool: Any) -> Any:
    """What of a tool may be stored and shown: no headers, no query in its address."""
    found = _without(tool, "headers")
    if isinstance(found, dict) and isinstance(found.get("url"), str):
        found["url"] = re.split("[?#]", found["url"], maxsplit=1)[0]
    return found


def _environment(environment: Json) -> Json:
    network = environment.get("network")
    if not isinstance(network, dict) or not isinstance(network.get("allowlist"), list):
        return environment
    hosts = [_without(host, "transform") for host in network["allowlist"]]
    return {**environment, "network": {**network, "allowlist": hosts}}


def _without(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: inner for key, inner in value.items() if key != name}
