from __future__ import annotations

from pathlib import Path

import pytest

from runtime.api.scopes import OPEN, WEBSOCKET, needed_scope
from tests.support.routes import all_routes


def test_every_route_needs_a_scope_or_is_open(tmp_path: Path) -> None:
    routes = all_routes(tmp_path)
    assert {path for _, path in routes} >= OPEN
    assert (WEBSOCKET, "/v1/environments/{environment_id}/terminal") in routes
    without = [route for route in routes if route[1] not in OPEN and needed_scope(*route) is None]
    assert without == [], "name the resource in runtime/api/scopes.py"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/interactions/int_1", "read"),
        ("POST", "/v1/interactions", "run"),
        ("POST", "/v1/interactions/int_1:cancel", "run"),
        ("DELETE", "/v1/files/a", "run"),
        ("POST", "/v1/operations/int_1:wait", "read"),
        ("POST", "/v1/operations/int_1:cancel", "run"),
        ("POST", "/v1/interactions/x:wait", "run"),
        ("PUT", "/upload/v1/environments/e/files/a", "run"),
        (WEBSOCKET, "/v1/environments/e/terminal", "run"),
        ("GET", "/openai/v1/models", "read"),
        ("POST", "/openai/v1/responses", "run"),
        ("GET", "/v1/keys", "admin"),
        ("DELETE", "/v1/keys/key_1", "admin"),
        ("GET", "/v1/projects", "admin"),
        ("GET", "/v1/credentials/c", "admin"),
        ("GET", "/v1/nothing", None),
        ("GET", "/v2/interactions", None),
        ("GET", "/v1", None),
        ("GET", "/", None),
        ("GET", "", None),
    ],
)
def test_scopes(method: str, path: str, scope: str | None) -> None:
    assert needed_scope(method, path) == scope
