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
import threading
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import SandboxUnavailable, StorageFull
from runtime.sandboxes.docker_plan import WorkspaceMount

AGENT_UID = 1000
_PRIVATE_FOLDER = 0o700
_COMMAND_SECONDS = 60
_RESERVE_BYTES = 256 * 1024**2
_LEAST_BYTES_PER_INODE = 4096
"""More inodes than that take the place of what they should be for."""


class LoopWorkspaces:
    """Workspaces below `folder`: `<environment>.ext4`, mounted at `<environment>/`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounting = threading.Lock()

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
        self._folder.mkdir(parents=True, exist_ok=True)
        # Mounts are listed for everybody, and their files belong to a user id of this host as well.
        self._folder.chmod(_PRIVATE_FOLDER)
        image, target = self._image(environment_id), self._target(environment_id)
        is_new = not image.exists()
        if is_new:
            self._make(image, size_bytes, inodes)
        with self._mounting:
            if not target.is_mount():
                self._check_room(image, is_new)
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
        """Delete the workspace for good, and what was begun of one. Blocks."""
        self.unmount(environment_id)
        image = self._image(environment_id)
        image.unlink(missing_ok=True)
        _draft(image).unlink(missing_ok=True)

    def kept(self) -> list[str]:
        """The environments that have a workspace, or part of one. Blocks."""
        if not self._folder.is_dir():
            return []
        return sorted({path.stem for path in self._folder.iterdir()})

    def stored_bytes(self, environment_ids: Sequence[str]) -> int:
        """What these workspaces take on the disk, together. Blocks."""
        return sum(_taken(self._image(one)) for one in environment_ids)

    def _check_room(self, image: Path, is_new: bool) -> None:
        """Raise `StorageFull` unless all mounted workspaces and this one can grow to their size.

        The images are sparse: those that are not mounted cannot grow, so only these count.
        """
        folder = self._folder
        mounted = [one for one in folder.glob("*.ext4") if (folder / one.stem).is_mount()]
        promised, wanted = sum(map(_growth, mounted)), _growth(image)
        free = max(0, shutil.disk_usage(folder).free - _RESERVE_BYTES)
        if promised + wanted <= free:
            return
        if is_new:
            image.unlink()
        raise StorageFull(
            f"The disk has too little room for another sandbox: {free // 1024**2} MiB are free for "
            f"workspaces under {folder}, {promised // 1024**2} MiB of them are promised to "
            f"{len(mounted)} running sandboxes, and this one may need {wanted // 1024**2} MiB. "
            "Free some space, end other sandboxes, or lower sandbox.workspace."
        )

    def _make(self, image: Path, size_bytes: int, inodes: int) -> None:
        inodes = min(inodes, size_bytes // _LEAST_BYTES_PER_INODE)
        draft = _draft(image)
        try:
            with open(draft, "wb", opener=_private) as file:
                os.truncate(file.fileno(), size_bytes)
        except OSError as error:
            raise storage_error(error) from error
        owner = f"root_owner={AGENT_UID}:{AGENT_UID},lazy_itable_init=1,lazy_journal_init=1"
        command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(inodes), "-J", "size=8"]
        _run(*command, "-E", f"{owner},nodiscard", str(draft))
        draft.rename(image)

    def _image(self, environment_id: str) -> Path:
        return self._folder / f"{environment_id}.ext4"

    def _target(self, environment_id: str) -> Path:
        return self._folder / environment_id


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _draft(image: Path) -> Path:
    return image.with_suffix(".new")


def _growth(image: Path) -> int:
    """How many bytes a sparse image can still take from the disk."""
    found = image.stat()
    return max(0, found.st_size - found.st_blocks * 512)


def _taken(image: Path) -> int:
    try:
        return image.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


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


def storage_error(error: OSError) -> StorageFull | SandboxUnavailable:
    """What an error of the file system, or of starting a program, means for a workspace."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"The disk is full: {error}.")
    return SandboxUnavailable(f"A workspace cannot be made or removed: {error}.")
