"""One environment in the proxy: its rules, its open connections, its limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from runtime import clock
from runtime.egress.certificates import Issuer
from runtime.egress.flow import Flow, Kind, Totals
from runtime.egress.ledger import Ledger
from runtime.egress.lookups import Lookups
from runtime.egress.policy import Policy, Verdict
from runtime.egress.refusals import Refusal
from runtime.egress.rules import Rules
from runtime.egress.treatment import Treatment
from runtime.outbound.hosts import Authority


class Environment:
    """Decides, counts and ends the flows of one environment."""

    def __init__(
        self, name: str, rules: Rules, issuer: Issuer, resolve: Lookups, ledger: Ledger
    ) -> None:
        self.name = name
        self.issuer = issuer
        self.resolve = resolve
        self.policy = Policy(rules)
        self.connections = 0
        self._totals = Totals(rules.limits)
        self._flows: set[Flow] = set()
        self._ledger = ledger

    def replace(self, rules: Rules) -> None:
        """New rules from now on; what they do not allow ends."""
        self.policy = Policy(rules, self.policy)
        self._totals.limits = rules.limits
        for flow in list(self._flows):
            if not self._stands(flow):
                flow.is_outlawed = True
                flow.stop("the rules of this environment have changed")

    def sweep(self) -> None:
        """End what has idled or lasted too long."""
        now, limits = clock.monotonic(), self.policy.rules.limits
        for flow in list(self._flows):
            idle = limits.half_closed_seconds if flow.is_half_closed else limits.idle_seconds
            if now - flow.touched > min(idle, limits.idle_seconds):
                flow.stop(f"no byte passed for {min(idle, limits.idle_seconds):g} seconds")
            elif now - flow.started > limits.total_seconds:
                flow.stop(f"it lasted longer than {limits.total_seconds:g} seconds")

    @asynccontextmanager
    async def flow(
        self, kind: Kind, authority: Authority, method: str | None = None
    ) -> AsyncGenerator[tuple[Flow, Verdict]]:
        """One decision and what comes of it; afterwards it is recorded.

        Raises `Refusal` when it is not allowed, and passes on those from inside.
        """
        verdict = self.policy.decide(authority)
        flow = Flow(kind, authority, verdict.rule, self._totals, method, verdict.treatment.gives)
        self._flows.add(flow)
        try:
            with flow.scope:
                self._admit(verdict)
                flow.credential = verdict.treatment.credential
                yield flow, verdict
        except Refusal as refusal:
            flow.end(refusal.verdict, refusal.reason)
            refusal.is_recorded = True
            raise
        finally:
            self._flows.discard(flow)
            if not flow.is_silent:
                await self._ledger.record(flow.event(self.name))

    def treatment(self, authority: Authority) -> Treatment:
        """What requests to that host are given, and answers kept from, at this moment."""
        return self.policy.decide(authority).treatment

    async def refused(self, refusal: Refusal, method: str | None) -> None:
        """Record a refusal of something that names no host."""
        flow = Flow("http", Authority("", 0), None, self._totals, method)
        flow.end(refusal.verdict, refusal.reason)
        await self._ledger.record(flow.event(self.name))

    def _admit(self, verdict: Verdict) -> None:
        if not verdict.allowed:
            raise Refusal(403, verdict.reason)
        spent = self._totals.spent
        if spent is not None:
            raise Refusal(429, spent)

    def _stands(self, flow: Flow) -> bool:
        verdict = self.policy.decide(flow.authority)
        if not verdict.allowed:
            return False
        given, gives = flow.gives, verdict.treatment.gives
        if not given <= gives or (gives and not given):
            return False
        return self.policy.allows_address(flow.authority, flow.address)
