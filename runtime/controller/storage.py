"""How many bytes the projects have stored: uploaded files, and workspaces on the disk."""

from __future__ import annotations

from runtime.sandboxes.port import SandboxProvider
from runtime.store import Store


class StoredBytes:
    """Adds up what a project has."""

    def __init__(self, store: Store, provider: SandboxProvider) -> None:
        self._store = store
        self._provider = provider

    async def of(self, project_id: str) -> int:
        """The bytes of a project: files as they were announced, workspaces as they are."""
        files = await self._store.files.load(project_id)
        environments = await self._store.environments.active_ids(project_id)
        return files.size_bytes + await self._provider.workspace_bytes(environments)
