"""What ends a request before its answer begins: a status, and a sentence for whoever asked."""

from __future__ import annotations

from typing import Literal


class Refusal(Exception):
    """A request is not carried out."""

    def __init__(
        self, status: int, reason: str, verdict: Literal["refused", "failed"] = "refused"
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.is_recorded = False
        self.verdict: Literal["refused", "failed"] = verdict


class Stopped(Exception):
    """A limit of the environment was reached in the middle of a connection."""


class Broken(Exception):
    """A server closed the connection or broke the protocol."""
