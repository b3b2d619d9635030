"""One controller for all cases, and a container in which little holds what they try."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import docker
import httpx2
import pytest

from runtime.sandboxes.image import ensure_image
from runtime.sandboxes.runtimes import is_gvisor
from tests.security import host
from tests.security.catalogue import ON_GVISOR
from tests.security.probes import ATTEMPTS
from tests.security.tenants import alpha, beta, silent_model, tenants
from tests.support.sandlot import RunningController, fence, results, running_controller

__all__ = ["alpha", "beta", "silent_model", "tenants"]
RUNTIME = os.environ.get("SANDLOT_TEST_RUNTIME", "runc")
"""What the sandboxes run on; the controls always run where little holds them."""
IS_GVISOR = is_gvisor(RUNTIME)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect what is known to be different on gVisor; which of it is depends on its release."""
    for item in items if IS_GVISOR else ():
        if item.name in ON_GVISOR and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xfail(reason=ON_GVISOR[item.name], strict=False))


CONFIG = """
sandbox:
  image: {image}
  runtime: {runtime}
  memory: 512MiB
  workspace: 64MiB
  file_size: 32MiB
  pids: 200
  max_running: 3
"""


@pytest.fixture(scope="session")
def image() -> str:
    return os.environ.get("SANDLOT_TEST_IMAGE") or ensure_image(lambda _: None)


@pytest.fixture(scope="session")
def sandlot(image: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningController]:
    state_dir: Path = tmp_path_factory.mktemp("secure")
    with running_controller(state_dir, CONFIG.format(image=image, runtime=RUNTIME)) as controller:
        yield controller
    host.check_nothing_left(controller)


@pytest.fixture
def unharmed(sandlot: RunningController) -> Generator[RunningController]:
    """The controller, and after the case a look at the host."""
    yield sandlot
    host.check(sandlot)


@pytest.fixture
def http(sandlot: RunningController) -> Generator[httpx2.Client]:
    """Plain HTTP with the key."""
    headers = {"x-goog-api-key": sandlot.api_key or ""}
    with httpx2.Client(base_url=sandlot.url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def seen(sandlot: RunningController) -> dict[str, Any]:
    """How the attempts end in a sandbox, with a browser running beside them."""
    browse = '```tool browser_navigate\n{"url": "data:text/html,<p>x"}\n```\n'
    run = sandlot.run(browse + fence("bash", f"python3 - <<'END'\n{ATTEMPTS}\nEND"))
    assert run.status == "completed", run
    return json.loads(results(run)[-1])


NEIGHBOUR = """
import ctypes, glob, os, time
for place in glob.glob("/sys/fs/cgroup/*") + ["/sys/fs/cgroup"]:
    ctypes.CDLL(None).mount(None, place.encode(), None, 4096 | 32, None)  # no longer read-only
if os.fork() == 0:
    os.setgid(900)
    os.setuid(900)
    time.sleep(600)
"""
"""Stands for the guest's other processes, where groups of processes may be written to."""


class WeakRunner(Protocol):
    """Runs Python where little holds it, with more folders of the host; gives what it printed."""

    def __call__(self, code: str, folders: Sequence[Path] = ()) -> bytes: ...


@pytest.fixture(scope="session")
def run_weakly(image: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[WeakRunner]:
    """Runs Python in a container where little holds it; gives what it printed."""
    place = tmp_path_factory.mktemp("weak") / "gateway.sock"
    client = docker.from_env()
    network = client.networks.create("sandlot-test-controls", internal=True)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(place))
            listening.listen()
            yield partial(_run_weak, client.api, image, place, str(network.name))
    finally:
        network.remove()
        client.close()


@pytest.fixture(scope="session")
def weak(run_weakly: WeakRunner) -> dict[str, Any]:
    """How the same attempts end where little holds them: what is not `done` here proves nothing."""
    return json.loads(run_weakly(NEIGHBOUR + ATTEMPTS))


def _run_weak(
    api: docker.APIClient,
    image: str,
    engine_socket: Path,
    network: str,
    code: str,
    folders: Sequence[Path] = (),
) -> bytes:
    binds = [f"{engine_socket}:/var/run/docker.sock", f"{engine_socket.parent}:/run/sandlot"]
    host_config = api.create_host_config(
        binds=[*binds, *(f"{folder}:{folder}" for folder in folders)],
        cap_add=["SYS_ADMIN", "SYS_PTRACE", "SYSLOG", "NET_ADMIN", "SYS_RAWIO", "SYS_NICE"],
        devices=["/dev/loop-control:/dev/fuse"],
        network_mode=network,
        security_opt=["seccomp=unconfined"],
    )
    host_config |= {"MaskedPaths": [], "ReadonlyPaths": []}
    created = api.create_container(
        image,
        ["-c", code],
        entrypoint=["/usr/bin/python3"],
        host_config=host_config,
    )
    try:
        api.start(created["Id"])
        api.wait(created["Id"], timeout=120)
        return api.logs(created["Id"], stderr=False)
    finally:
        api.remove_container(created["Id"], force=True)
