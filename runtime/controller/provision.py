"""Puts an environment's first files into its sandbox: as one tar stream, through the guest.

Only the operator's own files and the caller's bytes are read here, never a path of a sandbox.
"""

from __future__ import annotations

import base64
import io
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import anyio.to_thread

from runtime.controller.plan import EnvironmentPlan
from runtime.errors import InvalidRequest
from runtime.gateway.session import GuestSession

SKILLS_FOLDER = "/workspace/.agents/skills"
_IN_MEMORY_BYTES = 8 * 1024**2
_CHUNK_BYTES = 1024**2


async def provision(session: GuestSession, plan: EnvironmentPlan) -> None:
    """Write data sources, skills and files of `plan`. Raises `InvalidRequest`, `SandboxFault`."""
    if not (plan.data_sources or plan.skills or plan.files):
        return
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as archive:
        await anyio.to_thread.run_sync(_pack, plan, archive)
        archive.seek(0)
        arguments = {"path": "/", "overwrite": True}
        await session.write("extract_tar", arguments, _chunks(archive))


async def _chunks(archive: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := archive.read(_CHUNK_BYTES):
        yield chunk


def _pack(plan: EnvironmentPlan, archive: IO[bytes]) -> None:
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for source in plan.data_sources:
            _add(tar, source.path, source.target)
        for skill in plan.skills:
            _add(tar, skill.folder, f"{SKILLS_FOLDER}/{skill.name}")
        for file in plan.files:
            content = base64.b64decode(file.content_base64)
            entry = _entry(file.target, len(content))
            tar.addfile(entry, io.BytesIO(content))


def _add(tar: tarfile.TarFile, path: Path, target: str) -> None:
    if not path.exists():
        raise InvalidRequest(f"The data source {path} does not exist any more.")
    tar.add(path, target.lstrip("/"), filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (entry.isfile() or entry.isdir()) or "__pycache__" in entry.name:
        return None
    return _owned(entry)


def _entry(target: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(target.lstrip("/"))
    entry.size = size
    entry.mode = 0o644
    return _owned(entry)


def _owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 1000
    entry.uname = entry.gname = "agent"
    return entry
