"""`sandlot environments` against a controller with sandboxes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.errors import NotFound
from runtime.sandboxes.image import ensure_image
from tests.support.sandlot import fence, running_controller
from tests.support.shell import Shell


def test_environments_are_listed_shown_and_deleted(tmp_path: Path) -> None:
    config = f"sandbox: {{image: {ensure_image(lambda _: None)}, workspace: 64MiB}}\n"
    with running_controller(tmp_path / "state", config) as controller:
        shell = Shell(tmp_path, {"SANDLOT_STATE_DIR": str(controller.folder.path)})
        rules = {"type": "remote", "network": {"allowlist": [{"domain": "api.test"}]}}
        one = controller.run(fence("bash", "echo one"), rules).environment_id or ""
        other = controller.run(fence("bash", "echo two"), rules).environment_id or ""
        headings, *rows = shell("environments", "list").stdout.splitlines()
        assert headings == "ID\tSTATUS\tMADE\tUSED\tNETWORK"
        assert [row.split("\t")[0] for row in rows] == [other, one]
        assert all(row.endswith("\tapi.test") for row in rows)
        assert json.loads(shell("environments", "show", one).stdout)["id"] == one
        gone = shell("environments", "delete", one, other)
        assert gone.stdout == f"{one} is deleted\n{other} is deleted\n"
        assert json.loads(shell("environments", "list", "--json").stdout) == []
        with pytest.raises(NotFound):
            controller.client.environments.get(one)
        again = shell("environments", "delete", one)
        assert (again.returncode, again.stdout) == (1, "") and one in again.stderr
