"""What an agent may leave behind in a workspace, and that its files can be had all the same."""

from __future__ import annotations

import time

import pytest

from tests.support.sandlot import RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]
LEFT = {
    "a home that leads nowhere": "rm -rf ~; ln -s /tmp/gone /workspace/.home",
    "a home that is a file": "rm -rf ~; touch /workspace/.home",
    "closed to its owner": "chmod 000 /workspace",
    "closed and without a home": "rm -rf ~; chmod 555 /workspace",
    "full and without a home": "rm -rf ~ /workspace/.local; cat /dev/zero > /workspace/fill",
}


@pytest.mark.parametrize("name", LEFT)
def test_an_odd_workspace_can_be_read_and_worked_in(sandlot: RunningController, name: str) -> None:
    begun = sandlot.run(fence("bash", f"echo kept > /workspace/kept.txt; {LEFT[name]}"))
    environment = begun.environment_id
    assert environment is not None
    sandlot.sandbox_of(environment).remove(force=True)
    files = sandlot.client.environments.files
    assert files.read(environment, "workspace/kept.txt") == b"kept\n"
    again = sandlot.run(fence("bash", "cat kept.txt; rm -f fill"), environment)
    assert (again.status, results(again)) == ("completed", ["kept\n"])
    sandlot.client.environments.delete(environment)


ENDS_ITS_PARENT = """
import os, site
os.makedirs(site.getusersitepackages(), exist_ok=True)
with open(site.getusersitepackages() + "/usercustomize.py", "w") as file:
    file.write("import os, sys\\nif '-f' in sys.orig_argv: os.kill(os.getppid(), 9)")
with open("kept.txt", "w") as file:
    file.write("kept")
"""
"""A package that every Python loads; only a kernel's parent is the hands."""


def test_a_package_that_ends_the_hands_with_each_kernel_leaves_shell_and_files(
    sandlot: RunningController,
) -> None:
    environment = sandlot.run(fence("python", ENDS_ITS_PARENT)).environment_id
    assert environment is not None
    sandlot.sandbox_of(environment).remove(force=True)
    # The kernel that a new sandbox starts with ends the hands once; then there is none to do it.
    command = fence("bash", "sleep 1; cat kept.txt; rm -rf .local/lib")
    deadline = time.monotonic() + 30
    while results(run := sandlot.run(command, environment)) != ["kept"]:
        assert time.monotonic() < deadline, results(run)
    assert sandlot.client.environments.files.read(environment, "workspace/kept.txt") == b"kept"
    assert results(sandlot.run(fence("python", "print(1)"), environment)) == ["1\n"]
    sandlot.client.environments.delete(environment)
