"""Builds what stands between sandboxes and the network: the egress proxy and what it is told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from runtime.controller.egress_log import EgressLog
from runtime.controller.networks import Grants, Networks
from runtime.egress.protocol import ProxySettings
from runtime.egress.proxy import PROCESS_UID, EgressProxy
from runtime.errors import InvalidRequest
from runtime.schema.settings import EgressSettings
from runtime.store import Store

ADDED_CERTIFICATES = Path("/usr/local/share/ca-certificates")
"""Where an operator puts what the whole machine trusts, on Debian and its kin."""


async def open_networks(
    stack: AsyncExitStack, settings: EgressSettings, store: Store, grants: Grants
) -> Networks:
    """The networks of sandboxes, for as long as `stack` is open.

    Raises `InvalidRequest` for settings that cannot be obeyed, `SandboxUnavailable` when the proxy
    does not come up.
    """
    certificates = read_certificates(settings.ca_files)
    configured = ProxySettings(upstream_proxy=settings.upstream_proxy, certificates=certificates)
    proxy = EgressProxy(configured, PROCESS_UID if os.geteuid() == 0 else None)
    # The log is closed after the proxy: what is told while that stops is kept, too.
    await stack.enter_async_context(EgressLog(proxy, store.egress_events).open())
    await stack.enter_async_context(proxy.running())
    networks = Networks(store, proxy, grants, settings, certificates)
    await stack.enter_async_context(networks.open())
    return networks


def read_certificates(files: Iterable[str], added: Path = ADDED_CERTIFICATES) -> str:
    """The certificates in `files` and those that this machine trusts beside the usual, in PEM.

    Raises `InvalidRequest` for a file that cannot be read or holds none.
    """
    texts = [_certificates(Path(file)) for file in files]
    machine = [_certificates(path) for path in sorted(added.glob("**/*.crt"))]
    return "".join(f"{text.strip()}\n" for text in [*texts, *machine])


def _certificates(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise InvalidRequest(f"egress.ca_files: {path} cannot be read: {error}.") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise InvalidRequest(f"egress.ca_files: {path} holds no certificate in PEM.")
    return text
