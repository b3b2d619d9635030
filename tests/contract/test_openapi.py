"""The OpenAPI document is true: what every route answers to generated calls is what it says.

schemathesis makes the calls, those that follow the document and those that do not, always the same
ones. The controller is a whole one in a process of its own; only Docker is not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import httpx2
import pytest

from tests.support import openapi_hooks
from tests.support.sandlot import RunningController, running_controller

CONFIG = "models: {default: script/inline}\n"
NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
SETTINGS = """\
# What was answered to one call is no part of another, so that the calls are always the same.
[phases]
coverage = {extra-data-sources = {responses = false}}
fuzzing = {extra-data-sources = {responses = false}, error-feedback = {enabled = false}}
"""
CHECKS = [
    "no_mistake_of_ours",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "ignored_auth",
    "unsupported_method",
]
HEALTH = {"GET /healthz", "GET /readyz"}
NEEDS_A_SANDBOX = {
    "GET /v1/environments/{environment_id}/files",
    "GET /v1/environments/{environment_id}/files/{path}",
    "PUT /upload/v1/environments/{environment_id}/files/{path}",
    "POST /upload/v1/uploads/{upload_id}",
    "GET /v1/files/environment-{environment_id}:download",
    *HEALTH,
}
"""Routes that are never answered with 200 here."""
ROOT = Path(__file__).parents[2]


def schemathesis(controller: RunningController, folder: Path, *more: str) -> tuple[int, str]:
    """Run it against a controller: its exit status and what it printed."""
    config = folder / "schemathesis.toml"
    config.write_text(SETTINGS, "utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    options = [
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1"),
        *("--generation-deterministic", "--no-shrink"),
        # The key comes from the header below, whatever else is wrong with a call.
        *("--generation-with-security-parameters", "false"),
        *("--checks", ",".join(CHECKS), "--continue-on-failure", "--no-color"),
        *("--suppress-health-check", "all", "--warnings", "off", "--request-timeout", "60"),
        *("--header", f"x-goog-api-key: {controller.api_key}"),
    ]
    environ = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": openapi_hooks.__name__,
        openapi_hooks.URL: controller.url,
        openapi_hooks.KEY: controller.api_key,
        openapi_hooks.SEEN: str(folder / "seen"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [*command, *options, *more, f"{controller.url}/openapi.json"],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_what_routes_answer_is_what_the_document_says(tmp_path: Path) -> None:
    with running_controller(tmp_path / "state", CONFIG, NO_DOCKER) as controller:
        status, printed = schemathesis(controller, tmp_path)
        paths = httpx2.get(f"{controller.url}/openapi.json").json()["paths"]
    assert status == 0, printed
    seen = answers(tmp_path)
    routes = {f"{method.upper()} {path}" for path, found in paths.items() for method in found}
    assert routes == seen.keys()
    assert {route for route in routes if 200 not in seen[route]} <= NEEDS_A_SANDBOX


def answers(folder: Path) -> dict[str, set[int]]:
    """The statuses that each route answered with."""
    seen: dict[str, set[int]] = defaultdict(set)
    for line in (folder / "seen").read_text("utf-8").splitlines():
        code, _, label = line.partition(" ")
        seen[label].add(int(code))
    return seen


@pytest.mark.docker
def test_the_same_of_files_in_a_sandbox(tmp_path: Path) -> None:
    of_files = ("--include-path-regex", "/files|/uploads", "--max-examples", "10")
    with running_controller(tmp_path / "state", CONFIG) as controller:
        status, printed = schemathesis(controller, tmp_path, *of_files)
    assert status == 0, printed
    seen = answers(tmp_path)
    assert all(200 in seen[route] for route in NEEDS_A_SANDBOX - HEALTH)
