"""One tunnel or request that is under way: its decision, its bytes, and how to end it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import anyio

from runtime import clock
from runtime.egress.protocol import EgressEvent, Verdict
from runtime.egress.refusals import Stopped
from runtime.egress.rules import Limits
from runtime.outbound.addresses import IpAddress
from runtime.outbound.hosts import Authority

Kind = Literal["tunnel", "http", "https"]


@dataclass(slots=True)
class Totals:
    """The bytes of an environment, and how many it may have."""

    limits: Limits
    bytes_out: int = 0
    bytes_in: int = 0

    @property
    def spent(self) -> str | None:
        """Which limit is reached, as a sentence; None while none is."""
        if self.bytes_out >= self.limits.bytes_out:
            return f"this environment has sent its {self.limits.bytes_out} bytes"
        if self.bytes_in >= self.limits.bytes_in:
            return f"this environment has received its {self.limits.bytes_in} bytes"
        return None


@dataclass(slots=True, eq=False)
class Flow:
    """What is known of it while it lasts."""

    kind: Kind
    authority: Authority
    rule: str | None
    totals: Totals
    method: str | None = None
    gives: frozenset[str] = frozenset()
    """What it was given, as `Treatment.gives`."""
    address: IpAddress | None = None
    credential: str | None = None
    is_silent: bool = False
    """Whether others tell of it: the requests inside a tunnel."""
    is_half_closed: bool = False
    """Whether one side of a tunnel has ended."""
    is_outlawed: bool = False
    """Whether new rules do not allow it any more."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    verdict: Verdict = "allowed"
    reason: str = ""
    bytes_out: int = 0
    bytes_in: int = 0
    started: float = field(default_factory=clock.monotonic)
    touched: float = field(default_factory=clock.monotonic)
    at: datetime = field(default_factory=clock.now)

    def sent(self, size: int) -> None:
        """Count bytes to the outside. Raises `Stopped` beyond what the environment may send."""
        self.bytes_out += size
        self.totals.bytes_out += size
        self._count()

    def received(self, size: int) -> None:
        """Count bytes from the outside. Raises `Stopped` beyond what it may receive."""
        self.bytes_in += size
        self.totals.bytes_in += size
        self._count()

    def end(self, verdict: Verdict, reason: str) -> None:
        """Say why it ends; the first reason stays."""
        if self.verdict == "allowed":
            self.verdict, self.reason = verdict, reason

    def stop(self, reason: str) -> None:
        """End it from outside, at once."""
        self.end("closed", reason)
        self.scope.cancel()

    def event(self, environment: str) -> EgressEvent:
        """What is told of it."""
        return EgressEvent(
            environment=environment,
            at=self.at,
            kind=self.kind,
            method=self.method,
            host=self.authority.host,
            port=self.authority.port,
            rule=self.rule,
            verdict=self.verdict,
            reason=self.reason,
            address=None if self.address is None else str(self.address),
            credential=self.credential,
            bytes_out=self.bytes_out,
            bytes_in=self.bytes_in,
            duration_seconds=round(clock.monotonic() - self.started, 6),
        )

    def _count(self) -> None:
        self.touched = clock.monotonic()
        spent = self.totals.spent
        if spent is not None:
            self.end("closed", spent)
            raise Stopped(spent)
