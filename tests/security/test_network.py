"""Network: a sandbox has none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.conftest import WeakRunner
from tests.support.sandlot import RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("unharmed")]
Found = dict[str, Any]


def test_n01_there_is_no_interface_but_loopback(seen: Found, weak: Found) -> None:
    assert seen["interfaces"] == ["lo"] and seen["routes"] == 0
    assert "eth0" in weak["interfaces"] and weak["routes"] > 0


def test_n02_no_address_is_reached(seen: Found, weak: Found) -> None:
    assert set(seen["connected"].values()) <= {"Network is unreachable", "No route to host"}
    assert set(seen["sent"].values()) <= {"Network is unreachable", "No route to host"}
    for what in ("connected", "sent"):
        assert weak[what]["172.17.0.1"] != "Network is unreachable", "a route shows"


def test_n08_nothing_of_another_environment_is_found(unharmed: RunningController) -> None:
    leave = (
        "echo mine > canary-file; echo x > /dev/shm/canary-memory; mkdir /tmp/canary-folder; "
        "python3 -c 'import socket,time; s=socket.socket(socket.AF_UNIX); "
        's.bind("\\0canary-socket"); time.sleep(60)\' & '
        "until grep -q canary-socket /proc/net/unix; do sleep 0.1; done; "
    )
    walk = 'print([list(os.walk(f)) for f in ("/workspace", "/dev/shm", "/tmp")])'
    look = f"python3 -c 'import os; {walk}'; cat /proc/net/unix"
    first = unharmed.run(fence("bash", leave + look))
    second = unharmed.run(fence("bash", look))
    for canary in ("canary-file", "canary-memory", "canary-folder", "canary-socket"):
        assert canary in results(first)[0], "the look finds what is there"
        assert canary not in results(second)[0]


def test_n09_the_socket_of_another_sandbox_is_not_reached(
    unharmed: RunningController, run_weakly: WeakRunner
) -> None:
    folders = sorted(path.name for path in (unharmed.folder.path / "s").iterdir())
    assert folders
    tries = [f"/run/sandlot/../{name}/gateway.sock" for name in folders]
    tries += [str(unharmed.folder.path / "s" / name / "gateway.sock") for name in folders]
    code = f"""
import socket
for path in {tries!r}:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
    except OSError as error:
        print(error.strerror)
    else:
        print("connected")
"""
    said = results(unharmed.run(fence("python", code)))[0].splitlines()
    assert len(said) == len(tries) and "connected" not in said
    with_all_folders = run_weakly(code, [unharmed.folder.path / "s"])
    assert "connected" in with_all_folders.decode().splitlines()
