"""What `schemathesis run` does with the key of one project and the ids of another."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import Case

IDS, SEEN = "FOREIGN_IDS", "FOREIGN_SEEN"
FIELDS = {
    "previous_interaction_id": "interaction_id",
    "previous_response_id": "response_id",
    "environment": "environment_id",
    "session_id": "session_id",
}
"""Fields of bodies, and what they name."""
OWNED = {"interaction_id", "response_id", "environment_id", "file_id", "credential_id", "key_id"}


@cache
def ids() -> dict[str, str]:
    return json.loads(Path(os.environ[IDS]).read_text("utf-8"))


@schemathesis.hook
def before_call(context: Any, case: Case, kwargs: dict[str, Any]) -> None:
    """Name what belongs to the other project, wherever something is named."""
    for name in case.path_parameters:
        if name in OWNED:
            case.path_parameters[name] = ids()[name]
            _count()
    if isinstance(case.body, dict):
        for field, name in FIELDS.items():
            if field in case.body:
                case.body[field] = ids()[name]
                _count()


def _count() -> None:
    path = Path(os.environ[SEEN])
    before = int(path.read_text("utf-8")) if path.exists() else 0
    path.write_text(str(before + 1), "utf-8")


@schemathesis.check
def nothing_of_another_project(ctx: Any, response: Any, case: Case) -> None:
    """What is named is not there, and nothing else of that project is in any answer."""
    named = [name for name in case.path_parameters or {} if name in OWNED]
    if named:
        assert response.status_code >= 400, response.text
    if response.status_code < 400:
        for name in OWNED:
            assert ids()[name] not in response.text, f"{name}: {response.text[:500]}"
    assert "secret-of-alpha" not in response.text
