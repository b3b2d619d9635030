"""Size- and inode-capped workspaces, one per environment.

`LoopWorkspaces` keeps each in an ext4 image file that is loop-mounted: on disk, capped, kept
when the sandbox stops. It needs root and loop devices. The file system is made before any sandbox
sees it and only the kernel touches what is in it afterwards: the controller never does.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from runtime.errors import SandboxUnavailable, StorageFull
from runtime.sandboxes.docker_plan import WorkspaceMount

AGENT_UID = 1000
_COMMAND_SECONDS = 60
_RESERVE_BYTES = 256 * 1024**2


class LoopWorkspaces:
    """Workspaces below `folder`: `<environment>.ext4`, mounted at `<environment>/`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def problem() -> str | None:
        """Why loop-mounted workspaces cannot be had here, or None."""
        if os.geteuid() != 0:
            return "not root"
        if not Path("/dev/loop-control").exists():
            return "no loop devices (/dev/loop-control)"
        missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
        return f"{', '.join(missing)} not installed (e2fsprogs, mount)" if missing else None

    def mount(self, environment_id: str, size_bytes: int, inodes: int) -> WorkspaceMount:
        """Mount the workspace, made first where it is new. Blocks.

        Raises `StorageFull`, `SandboxUnavailable`.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        image, target = self._image(environment_id), self._target(environment_id)
        is_new = not image.exists()
        if is_new:
            self._make(image, size_bytes, inodes)
        if not target.is_mount():
            target.mkdir(exist_ok=True, mode=0o700)
            _run("mount", "-o", "loop,nosuid,nodev,noatime", str(image), str(target))
        if is_new:
            (target / "lost+found").rmdir()
        return WorkspaceMount("bind", str(target))

    def unmount(self, environment_id: str) -> None:
        """Unmount; nothing when it is not mounted. Blocks."""
        target = self._target(environment_id)
        if target.is_mount():
            _run("umount", "-l", str(target))
        if target.exists():
            target.rmdir()

    def delete(self, environment_id: str) -> None:
        """Delete the workspace for good. Blocks."""
        self.unmount(environment_id)
        self._image(environment_id).unlink(missing_ok=True)

    def _make(self, image: Path, size_bytes: int, inodes: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < _RESERVE_BYTES:
            raise StorageFull(
                f"Only {free // 1024**2} MiB are free under {self._folder}; a new environment "
                f"needs at least {_RESERVE_BYTES // 1024**2} MiB."
            )
        draft = image.with_suffix(".new")
        try:
            with draft.open("wb") as file:
                os.truncate(file.fileno(), size_bytes)
        except OSError as error:
            raise _storage_error(error) from error
        owner = f"root_owner={AGENT_UID}:{AGENT_UID},lazy_itable_init=1,lazy_journal_init=1"
        command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(inodes), "-J", "size=8"]
        _run(*command, "-E", f"{owner},nodiscard", str(draft))
        draft.rename(image)

    def _image(self, environment_id: str) -> Path:
        return self._folder / f"{environment_id}.ext4"

    def _target(self, environment_id: str) -> Path:
        return self._folder / environment_id


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_COMMAND_SECONDS
        )
    except subprocess.CalledProcessError as error:
        detail = error.stderr.strip().splitlines()
        raise SandboxUnavailable(
            f"`{command[0]}` failed for a workspace: {detail[-1] if detail else error.returncode}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SandboxUnavailable(f"`{command[0]}` hung for {_COMMAND_SECONDS} s.") from error


def _storage_error(error: OSError) -> StorageFull | SandboxUnavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"The disk is full: {error}.")
    return SandboxUnavailable(f"A workspace cannot be made: {error}.")
