"""What `schemathesis run` does beside making calls; it finds this module in its environment."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import schemathesis
from schemathesis import Case

from tests.support.openapi_world import World

URL, KEY, SEEN = "OPENAPI_URL", "OPENAPI_KEY", "OPENAPI_SEEN"
NEEDS_DOCKER = {503}


@cache
def world() -> World:
    headers = {"x-goog-api-key": os.environ[KEY]}
    found = World(httpx2.Client(base_url=os.environ[URL], headers=headers, timeout=30))
    found.fill()
    return found


@schemathesis.hook
def before_call(context: Any, case: Case, kwargs: dict[str, Any]) -> None:
    world().fit(case)


@schemathesis.hook
def after_call(context: Any, case: Case, response: Any) -> None:
    with Path(os.environ[SEEN]).open("a", encoding="utf-8") as seen:
        seen.write(f"{response.status_code} {case.operation.label}\n")


@schemathesis.check
def no_mistake_of_ours(ctx: Any, response: Any, case: Case) -> None:
    """Only what is not there for a while may be answered with 5xx."""
    if response.status_code >= 500:
        assert response.status_code in NEEDS_DOCKER, response.text
        is_health = case.operation.path in {"/healthz", "/readyz"}
        assert is_health or "sandbox_unavailable" in response.text, response.text
