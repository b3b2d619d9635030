"""Has the guest clone the repositories that a new environment begins with."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from runtime.controller.plan import Repository
from runtime.errors import SourceFailed
from runtime.gateway.session import GuestSession, RemoteError
from runtime.schema.settings import SandboxSettings

GRACE_SECONDS = 30.0
"""How much longer than a clone may take its answer is waited for."""
_SHOWN_CHARACTERS = 1500

log = structlog.get_logger(__name__)


async def clone_all(
    session: GuestSession,
    environment_id: str,
    repositories: Sequence[Repository],
    settings: SandboxSettings,
) -> None:
    """Clone each in turn. Raises `SourceFailed` with what git said, `SandboxLost`."""
    seconds = settings.source_timeout_seconds
    for one in repositories:
        where = {"environment": environment_id, "url": one.url, "target": one.target}
        log.info("cloning a repository", **where)
        arguments = {
            "url": one.url,
            "target": one.target,
            "seconds": seconds,
            "max_bytes": settings.source_size_bytes,
        }
        try:
            await session.request("clone", arguments, seconds=seconds + GRACE_SECONDS)
        except RemoteError as error:
            said = _plain(error.message)
            log.warning("a repository could not be cloned", **where, reason=said)
            raise SourceFailed(
                f"The repository {one.url} could not be cloned to {one.target}: {said}"
            ) from error


def _plain(text: str) -> str:
    """Text of a guest, in one line without control characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown[:_SHOWN_CHARACTERS].strip()
