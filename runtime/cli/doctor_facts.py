"""Finds out what `doctor_checks` looks at. Changes nothing on the machine."""

from __future__ import annotations

import grp
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runtime.cli.doctor_checks import HostFacts, ImageFact, KernelCount
from runtime.client.discovery import state_folder
from runtime.errors import SandlotError
from runtime.sandboxes.docker_connection import DockerFacts, docker_facts
from runtime.sandboxes.image import find_image, image_tag
from runtime.sandboxes.image_plan import base_candidates
from runtime.sandboxes.strictness import weaknesses
from runtime.sandboxes.workspaces import LoopWorkspaces
from runtime.schema.protocol import PROTOCOL_VERSION
from runtime.schema.settings import Settings
from runtime.specs.settings import load_settings

_EXTRA_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_AMPLE = {
    "fs.inotify.max_user_instances": 1_048_576,
    "fs.inotify.max_user_watches": 16_777_216,
    "fs.pipe-user-pages-soft": 0,
}
_DOCKER_ROOT = "/var/lib/docker"


def gather(config: Path | None = None) -> HostFacts:
    """Ask the system and the Docker daemon; whatever cannot be known is a fact as well.

    `config` is the configuration to go by, None for that which would be found.
    """
    settings, config_problem = _settings(config)
    docker, docker_problem = _docker()
    image, image_problem = _image(settings.sandbox.image) if docker else (None, "")
    folder = state_folder(settings.state_dir).path
    disk_folder = _existing(Path(docker.root_folder if docker else _DOCKER_ROOT))
    return HostFacts(
        python=sys.version_info[:3],
        is_root=os.geteuid() == 0,
        in_docker_group=_in_docker_group(),
        docker=docker,
        docker_problem=docker_problem,
        loop_problem=LoopWorkspaces.problem(),
        disk_free_bytes=shutil.disk_usage(disk_folder).free,
        disk_folder=str(disk_folder),
        image=image,
        image_problem=image_problem,
        has_base_image=docker is not None and _has_base(),
        has_apt=shutil.which("apt-get") is not None,
        has_mmdebstrap=shutil.which("mmdebstrap") is not None,
        extra_certificates=len(list(_EXTRA_CERTIFICATES.glob("**/*.crt"))),
        state_folder=str(folder),
        state_problem=_write_problem(folder),
        config_problem=config_problem,
        protocol=PROTOCOL_VERSION,
        runtime=settings.sandbox.runtime,
        shared_counts=tuple(_shared_counts()),
        weaknesses=_weaknesses(settings, docker),
    )


def _shared_counts() -> Iterator[KernelCount]:
    for name, wanted in _AMPLE.items():
        with suppress(OSError, ValueError):
            value = int(Path("/proc/sys", *name.split(".")).read_text("ascii"))
            yield KernelCount(name, value, wanted)


def _weaknesses(settings: Settings, docker: DockerFacts | None) -> tuple[str, ...]:
    if docker is None or not settings.sandbox.strict:
        return ()
    return tuple(weaknesses(settings.sandbox, docker))


def _settings(config: Path | None) -> tuple[Settings, str | None]:
    try:
        return load_settings(config, os.environ), None
    except SandlotError as fault:
        return Settings(), fault.message


def _docker() -> tuple[DockerFacts | None, str]:
    try:
        return docker_facts(), ""
    except SandlotError as fault:
        return None, fault.message


def _image(configured: str | None) -> tuple[ImageFact | None, str]:
    try:
        name = configured or image_tag()
        found = find_image(name)
    except SandlotError as fault:
        return None, fault.message
    return ImageFact(
        name,
        is_configured=configured is not None,
        is_present=found is not None,
        protocol=found.protocol if found else None,
    ), ""


def _has_base() -> bool:
    wanted = os.environ.get("SANDLOT_BASE_IMAGE")
    return any(find_image(name) is not None for name in base_candidates(wanted))


def _in_docker_group() -> bool:
    try:
        return grp.getgrnam("docker").gr_gid in os.getgroups()
    except KeyError:
        return False


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def _write_problem(folder: Path) -> str | None:
    nearest = _existing(folder.absolute())
    if not nearest.is_dir():
        return f"{nearest} is not a folder"
    return None if os.access(nearest, os.W_OK | os.X_OK) else "cannot be written"
