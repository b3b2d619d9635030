"""The conformance suite of MCP, against the controller's client.

Left out are `auth/…`, since callers bring their own headers and the controller asks nobody to log
in, and `elicitation-…`, since a run has nobody whom a server could ask.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.acceptance.workers import HERE, MISSING, NODE, ROOT

PACKAGE = "@modelcontextprotocol/conformance"
SUITE = HERE / "javascript" / "node_modules" / PACKAGE / "dist" / "index.js"
CLIENT = [sys.executable, "-m", "tests.support.mcp_client"]
TIMING = "client-sse-retry-timing"


def checks(scenario: str, folder: Path) -> list[dict[str, Any]]:
    """What the suite says of the client in a scenario."""
    assert SUITE.exists(), MISSING.format(PACKAGE)
    command = [str(NODE), str(SUITE), "client", "--command", shlex.join(CLIENT)]
    ran = subprocess.run(
        [*command, "--scenario", scenario, "--timeout", "120000", "--output-dir", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    found = list(folder.glob("*/checks.json"))
    assert len(found) == 1, ran.stdout + ran.stderr
    assert "Traceback" not in (found[0].parent / "stderr.txt").read_text("utf-8")
    return json.loads(found[0].read_text("utf-8"))


def is_wrong(check: dict[str, Any]) -> bool:
    # On a busy machine the client comes late; what the protocol forbids is to come too early.
    if check["id"] == TIMING and not check["details"].get("tooEarly"):
        return False
    return check["status"] in {"FAILURE", "WARNING"}


@pytest.mark.parametrize(
    ("scenario", "passed"),
    [
        ("initialize", {"mcp-client-initialization"}),
        ("tools_call", {"tool-add-numbers"}),
        ("sse-retry", {"client-sse-graceful-reconnect", "client-sse-last-event-id"}),
    ],
)
def test_the_client_conforms(tmp_path: Path, scenario: str, passed: set[str]) -> None:
    found = checks(scenario, tmp_path)
    assert [check for check in found if is_wrong(check)] == []
    assert passed <= {check["id"] for check in found if check["status"] == "SUCCESS"}
