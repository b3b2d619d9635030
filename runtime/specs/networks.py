"""What is wrong with network rules beyond their shape: in agents' files, in the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runtime.errors import InvalidRequest
from runtime.outbound.addresses import Allowance
from runtime.outbound.headers import checked_name, checked_value
from runtime.outbound.hosts import read_pattern
from runtime.outbound.upstream import read_upstream
from runtime.schema.credentials import wrong_id
from runtime.schema.network import AllowedHost, Network, allowed_hosts
from runtime.schema.settings import EgressSettings, OutboundSettings
from runtime.specs.mistakes import Loc, Mistake
from runtime.specs.paths import is_there
from runtime.specs.yaml_marks import Document


def network_mistakes(document: Document, network: Network | None, loc: Loc) -> Iterator[Mistake]:
    """The mistakes of `network`, which was read from `document` at `loc`."""
    if network is None:
        return
    for index, host in enumerate(allowed_hosts(network)):
        at = (*loc, "allowlist", index)
        try:
            pattern = read_pattern(host.domain)
        except InvalidRequest as error:
            yield document.mistake((*at, "domain"), error.message)
            continue
        if host.credential is not None and (message := wrong_id(host.credential)):
            yield document.mistake((*at, "credential"), message)
        if pattern.kind == "any" and host.credential is not None:
            message = "needs a host or `*.suffix` as domain; with `*` it could be sent anywhere"
            yield document.mistake((*at, "credential"), message)
        yield from _header_mistakes(document, host, at)


def _header_mistakes(document: Document, host: AllowedHost, at: Loc) -> Iterator[Mistake]:
    for headers in host.transform or []:
        for name, value in headers.items():
            try:
                checked_name(name)
                checked_value(value)
            except ValueError as error:
                yield document.mistake((*at, "transform", name), str(error), key=True)


def egress_mistakes(document: Document, egress: EgressSettings) -> Iterator[Mistake]:
    """The mistakes of the configuration's `egress`, which was read from `document`."""
    if not isinstance(egress.default, str):
        yield from network_mistakes(document, egress.default, ("egress", "default"))
    yield from _allowance_mistakes(document, egress.allow_internal, ("egress", "allow_internal"))
    if egress.upstream_proxy is not None:
        try:
            read_upstream(egress.upstream_proxy.get_secret_value())
        except InvalidRequest as error:
            yield document.mistake(("egress", "upstream_proxy"), error.message)
    base = Path(document.file).absolute().parent
    for index, file in enumerate(egress.ca_files):
        if not file.startswith("~") and not is_there(base / file):
            yield document.mistake(("egress", "ca_files", index), f"there is no file {base / file}")


def outbound_mistakes(document: Document, outbound: OutboundSettings) -> Iterator[Mistake]:
    """The mistakes of the configuration's `outbound`, which was read from `document`."""
    return _allowance_mistakes(document, outbound.allow, ("outbound", "allow"))


def _allowance_mistakes(document: Document, entries: list[str], loc: Loc) -> Iterator[Mistake]:
    for index, entry in enumerate(entries):
        try:
            Allowance([entry])
        except InvalidRequest as error:
            yield document.mistake((*loc, index), error.message)
