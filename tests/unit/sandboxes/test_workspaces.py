"""Workspaces on a small disk of their own: an ext4 image, loop-mounted, as the real ones are."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from runtime.errors import StorageFull
from runtime.sandboxes.workspaces import LoopWorkspaces

MIB = 1024**2
pytestmark = pytest.mark.skipif(
    LoopWorkspaces.problem() is not None, reason=f"{LoopWorkspaces.problem()}"
)


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """A disk with about a GiB of room."""
    image, folder = tmp_path / "disk", tmp_path / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        os.truncate(file.fileno(), 1100 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_more_than_the_disk_has_is_not_promised(disk: Path) -> None:
    workspaces = LoopWorkspaces(disk / "workspaces")
    workspaces.mount("one", 400 * MIB, 10_000)
    try:
        with pytest.raises(StorageFull, match="promised to 1 running sandboxes"):
            workspaces.mount("two", 600 * MIB, 10_000)
        assert not list((disk / "workspaces").glob("two*")), "nothing of it stays behind"
    finally:
        workspaces.unmount("one")
    workspaces.mount("two", 600 * MIB, 10_000)  # what is not mounted cannot grow
    with pytest.raises(StorageFull):
        workspaces.mount("one", 400 * MIB, 10_000)
    workspaces.unmount("two")
    assert (disk / "workspaces" / "one.ext4").exists(), "an environment's files are kept"


def test_inodes_leave_room_for_bytes(disk: Path) -> None:
    workspaces = LoopWorkspaces(disk / "workspaces")
    workspaces.mount("one", 256 * MIB, 400_000)
    try:
        found = os.statvfs(disk / "workspaces" / "one")
    finally:
        workspaces.unmount("one")
    assert found.f_bavail * found.f_frsize > 200 * MIB
    assert found.f_files >= 60_000


def test_other_users_of_the_host_reach_neither_files_nor_images(disk: Path) -> None:
    folder = disk / "workspaces"
    folder.mkdir(mode=0o755)  # as one of an earlier version was made
    LoopWorkspaces(folder).mount("one", 64 * MIB, 1000)
    try:
        for path in (folder, folder / "one.ext4"):
            assert path.stat().st_mode & 0o077 == 0
    finally:
        LoopWorkspaces(folder).unmount("one")
