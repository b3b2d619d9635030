from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from runtime.errors import InvalidRequest, SourceFailed
from runtime.guest.children import all_processes
from runtime.guest.cloning import Cloner
from tests.support.outside import Outside, outside
from tests.support.repositories import add_repository

pytestmark = pytest.mark.anyio

MIB = 1024**2
TOKEN = "Basic canary-4be1"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[Outside]:
    with outside() as world:
        world.repositories = tmp_path_factory.mktemp("repositories")
        add_repository(world.repositories, "small.git", readme=b"small\n")
        add_repository(world.repositories, "large.git", noise=os.urandom(4 * MIB))
        yield world


@pytest.fixture
def cloner(world: Outside, tmp_path: Path) -> Cloner:
    (tmp_path / "ca.pem").write_text(world.certificates.pem, encoding="ascii")
    (tmp_path / "workspace").mkdir()
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "https_proxy": world.upstream,
        "http_proxy": world.upstream,
        "no_proxy": "",
        "GIT_DIR": "/nowhere",
        "GIT_SSL_NO_VERIFY": "1",
    }
    made = Cloner(tmp_path / "workspace", variables)
    made.set_variables({"GIT_SSL_CAINFO": str(tmp_path / "ca.pem")})
    return made


async def clone(cloner: Cloner, url: str, target: Path, seconds: float = 60, most: int = MIB):
    arguments = {"url": url, "target": str(target), "seconds": seconds, "max_bytes": most}
    return await cloner.clone(arguments)


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_repository_is_cloned_without_hooks(
    cloner: Cloner, tmp_path: Path, scheme: str
) -> None:
    target = tmp_path / "workspace" / "a" / "b"
    done = await clone(cloner, f"{scheme}://git.test/small.git", target)
    assert (target / "readme").read_bytes() == b"small\n"
    assert 0 < done["size_bytes"] < MIB
    assert not (target / ".git" / "hooks").exists()
    settings = (target / ".git" / "config").read_text(encoding="utf-8")
    assert "proxy" not in settings and "credential" not in settings


async def test_what_git_said_is_told(cloner: Cloner, world: Outside, tmp_path: Path) -> None:
    target = tmp_path / "workspace" / "r"
    with pytest.raises(SourceFailed, match=r"git said: fatal: repository .* not found"):
        await clone(cloner, "https://git.test/none.git", target)
    world.repositories_for = TOKEN
    try:
        with pytest.raises(SourceFailed, match="terminal prompts disabled") as refusal:
            await clone(cloner, "https://git.test/small.git", target)
    finally:
        world.repositories_for = None
    assert "401" in refusal.value.message
    assert "Recv header" not in refusal.value.message
    cloner.set_variables({"https_proxy": "http://127.0.0.1:1"})
    with pytest.raises(SourceFailed, match="git said: fatal: unable to access"):
        await clone(cloner, "https://git.test/small.git", target)


async def test_certificates_are_checked(cloner: Cloner, tmp_path: Path) -> None:
    cloner.set_variables({"GIT_SSL_CAINFO": "/etc/ssl/certs/ca-certificates.crt"})
    with pytest.raises(SourceFailed, match="certificate"):
        await clone(cloner, "https://git.test/small.git", tmp_path / "workspace" / "r")


@pytest.mark.parametrize("url", ["ext::sh -c true", "file:///", "ssh://git.test/small.git"])
async def test_other_protocols_are_not_spoken(cloner: Cloner, tmp_path: Path, url: str) -> None:
    with pytest.raises(SourceFailed, match=r"transport '.*' not allowed"):
        await clone(cloner, url, tmp_path / "workspace" / "r")


async def test_a_local_path_is_not_cloned(cloner: Cloner, world: Outside, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="transport 'file' not allowed"):
        path = f"{world.repositories}/small.git"
        await clone(cloner, path, tmp_path / "workspace" / "r")


async def test_what_looks_like_an_option_is_none(cloner: Cloner, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed):
        await clone(cloner, f"--config=core.x={tmp_path}", tmp_path / "workspace" / "r")


async def test_too_large_a_repository_is_refused(cloner: Cloner, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"more than 1 MiB, its history included"):
        await clone(cloner, "https://git.test/large.git", tmp_path / "workspace" / "r")
    done = await clone(
        cloner, "https://git.test/large.git", tmp_path / "workspace" / "s", most=16 * MIB
    )
    assert done["size_bytes"] > 8 * MIB


async def test_a_server_that_is_silent_is_given_up(
    cloner: Cloner, world: Outside, tmp_path: Path
) -> None:
    world.silent.add("silent.test")
    others = descendants()
    target = tmp_path / "workspace" / "r"
    with pytest.raises(SourceFailed, match=r"not done within 0\.5 s"):
        await clone(cloner, "https://silent.test/r", target, seconds=0.5)
    assert descendants() == others


async def test_cancelling_kills_git_with_its_kin(
    cloner: Cloner, world: Outside, tmp_path: Path
) -> None:
    world.silent.add("held.test")
    others = descendants()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clone, cloner, "https://held.test/r", tmp_path / "workspace" / "r")
        await anyio.to_thread.run_sync(wait_for_request, world, "held.test")
        assert descendants() != others
        tasks.cancel_scope.cancel()
    assert descendants() == others


def wait_for_request(world: Outside, host: str) -> None:
    deadline = time.monotonic() + 30
    while not any(one.host == host for one in world.seen):
        assert time.monotonic() < deadline, f"{host} was never asked"
        time.sleep(0.01)


def descendants() -> set[int]:
    return {entry.pid for entry in all_processes() if entry.parent == os.getpid()}


@pytest.mark.parametrize("target", ["/etc/x", "workspace", "workspace/../x", "x"])
async def test_a_target_elsewhere_is_refused(cloner: Cloner, tmp_path: Path, target: str) -> None:
    with pytest.raises(InvalidRequest, match="does not lie below"):
        await clone(cloner, "https://git.test/small.git", tmp_path / target)


async def test_a_folder_with_something_in_it_stays(cloner: Cloner, tmp_path: Path) -> None:
    target = tmp_path / "workspace" / "r"
    target.mkdir()
    (target / "mine").write_text("kept", encoding="utf-8")
    with pytest.raises(SourceFailed, match="not an empty directory"):
        await clone(cloner, "https://git.test/small.git", target)
    assert (target / "mine").read_text(encoding="utf-8") == "kept"
