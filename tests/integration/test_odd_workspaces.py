"""What an agent may leave behind in a workspace, and that its files can be had all the same."""

from __future__ import annotations

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
