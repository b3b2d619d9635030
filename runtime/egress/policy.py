"""Decides what an environment may reach, and what its requests are to be given. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import SecretStr

from runtime.egress.rules import INTERNAL_SETTING, HostRule, Rules
from runtime.egress.treatment import Treatment
from runtime.errors import AddressRefused
from runtime.outbound.addresses import PORTS, Allowance, IpAddress, literal
from runtime.outbound.hosts import Authority, Pattern, read_pattern

FORMER = 4
"""How many secrets of earlier rules are still masked, for each entry."""
Secrets = dict[str, Sequence[SecretStr]]
"""By the entry of the hosts, or the text of the placeholder, that they belong to."""
_SHOWN_HOSTS = 12
_NOTHING = Treatment()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about one host and port."""

    allowed: bool
    rule: str | None
    """The entry that decided; None when no entry speaks of the host."""
    reason: str
    """A sentence for the caller; empty when allowed."""
    treatment: Treatment = _NOTHING


class Policy:
    """The rules of one environment, ready to decide. The most specific entry of a host counts.

    An exact name goes before a suffix, a longer suffix before a shorter one, `*` comes last; among
    equals an entry with the port goes first, then the earlier one.
    """

    def __init__(self, rules: Rules, before: Policy | None = None) -> None:
        """`before` is what was in force: a server may still answer with secrets that it had."""
        self.rules = rules
        self._secrets = _secrets(rules)
        self._former = before.succeeded_by(self._secrets) if before is not None else {}
        self._entries: dict[tuple[str, str], list[tuple[Pattern, HostRule]]] = defaultdict(list)
        for rule in rules.hosts:
            pattern = read_pattern(rule.domain)
            self._entries[pattern.kind, pattern.name].append((pattern, rule))
        for entries in self._entries.values():
            entries.sort(key=lambda entry: entry[0].port is None)
        self._placeholders = [
            ([read_pattern(domain) for domain in one.domains], one) for one in rules.placeholders
        ]
        self._treatments: dict[tuple[str, ...], Treatment] = {}
        self._usual = Allowance(rules.allow_internal, setting=INTERNAL_SETTING, ports=PORTS)
        self._any_port = Allowance(rules.allow_internal, setting=INTERNAL_SETTING, ports=None)

    def decide(self, authority: Authority) -> Verdict:
        """Whether that host and port may be reached, as far as can be told before a lookup."""
        found = self._find(authority)
        if found is None:
            return Verdict(False, None, self._unknown(authority))
        pattern, rule = found
        if rule.unavailable:
            return Verdict(False, str(pattern), rule.unavailable)
        try:
            self._allowance(pattern).check_name(authority.host, authority.port)
        except AddressRefused as error:
            return Verdict(False, str(pattern), error.message)
        return Verdict(True, str(pattern), "", self._treatment(authority, rule))

    def allowance(self, authority: Authority) -> Allowance:
        """What the addresses of an allowed host are checked with."""
        found = self._find(authority)
        return self._usual if found is None else self._allowance(found[0])

    def allows_address(self, authority: Authority, address: IpAddress | None) -> bool:
        """Whether a connection that stands may stand; None is the address of an upstream proxy."""
        try:
            if address is not None:
                allowance = self.allowance(authority)
                allowance.check_address(authority.host, address, authority.port)
        except AddressRefused:
            return False
        return self.decide(authority).allowed

    def is_internal(self, authority: Authority, address: IpAddress | None = None) -> bool:
        """Whether the operator named this host or the address that it leads to."""
        if self._usual.allows_host(authority.host, authority.port):
            return True
        address = address or literal(authority.host)
        return address is not None and self._usual.allows_address(address, authority.port)

    def succeeded_by(self, secrets: Secrets) -> Secrets:
        """Of each entry that there still is, the secrets that it had before `secrets`."""
        return {
            name: [
                one
                for one in (*self._secrets.get(name, ()), *self._former.get(name, ()))
                if one not in current
            ][:FORMER]
            for name, current in secrets.items()
        }

    @cached_property
    def summary(self) -> str:
        """What is allowed, as a sentence for whoever was refused."""
        hosts = [rule.domain for rule in self.rules.hosts]
        if not hosts:
            return "This environment has no network: nothing is allowed."
        more = f" and {len(hosts) - _SHOWN_HOSTS} more" if len(hosts) > _SHOWN_HOSTS else ""
        return f"Allowed hosts: {', '.join(hosts[:_SHOWN_HOSTS])}{more}."

    def _find(self, authority: Authority) -> tuple[Pattern, HostRule] | None:
        labels = authority.host.split(".")
        keys = [("exact", authority.host)]
        keys += [("suffix", ".".join(labels[start:])) for start in range(1, len(labels))]
        for key in [*keys, ("any", "")]:
            for entry in self._entries.get(key, ()):
                if entry[0].matches(authority):
                    return entry
        return None

    def _allowance(self, pattern: Pattern) -> Allowance:
        return self._usual if pattern.port is None else self._any_port

    def _unknown(self, authority: Authority) -> str:
        # The port is the reason only where the host itself has an entry.
        shown = authority if ("exact", authority.host) in self._entries else authority.host
        return f"host {shown} is not in this environment's allowlist"

    def _treatment(self, authority: Authority, rule: HostRule) -> Treatment:
        placeholders = tuple(
            one
            for domains, one in self._placeholders
            if any(domain.matches(authority) for domain in domains)
        )
        key = (rule.domain, *(one.text for one in placeholders))
        if key not in self._treatments:
            former = [secret for name in key for secret in self._former.get(name, ())]
            self._treatments[key] = Treatment(
                rule.headers, placeholders, rule.credential, tuple(former)
            )
        return self._treatments[key]


def _secrets(rules: Rules) -> Secrets:
    # Of two entries for the same the earlier one counts, as where it is decided.
    hosts = reversed(rules.hosts)
    of_hosts = {rule.domain: [one.value for one in rule.headers] for rule in hosts}
    return {**of_hosts, **{one.text: [one.value] for one in rules.placeholders}}
