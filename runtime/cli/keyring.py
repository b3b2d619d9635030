"""`sandlot keys` and `sandlot projects`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import typer

from runtime.cli.connection import connected
from runtime.cli.exits import Misuse
from runtime.cli.listings import ago, announce, print_json, print_table
from runtime.schema.callers import SCOPES
from runtime.schema.keys import Key, KeyPage, NewKey, Project, ProjectPage


def create_key(
    state_dir: Path | None, project: str | None, scopes: str, name: str | None, *, as_json: bool
) -> None:
    """Make a key and print it."""
    asked = {"project": project, "name": name, "scopes": _scopes(scopes)}
    body = {field: value for field, value in asked.items() if value is not None}
    with connected(state_dir, announce) as client:
        made = NewKey.model_validate(client.call("POST", "/v1/keys", body))
    if as_json:
        print_json(made)
        return
    announce(
        f"{made.id}: project {made.project}, may {', '.join(made.scopes)}. "
        "The key is shown this one time; keep it."
    )
    typer.echo(made.key)


def _scopes(text: str) -> list[str]:
    found = [part.strip() for part in text.split(",") if part.strip()]
    for part in found:
        if part not in SCOPES:
            raise Misuse(f"--scopes: '{part}' is none of {', '.join(SCOPES)}")
    if not found:
        raise Misuse(f"--scopes: name at least one of {', '.join(SCOPES)}")
    return found


def show_keys(state_dir: Path | None, project: str | None, *, as_json: bool) -> None:
    """Print the keys, oldest first."""
    path = "/v1/keys" if project is None else f"/v1/keys?project={quote(project, safe='')}"
    with connected(state_dir, announce) as client:
        found = KeyPage.model_validate(client.call("GET", path)).keys
    if as_json:
        print_json(found)
        return
    headings = ("ID", "STATUS", "PROJECT", "NAME", "KEY", "MAY", "MADE", "USED")
    print_table(headings, [_key_row(key) for key in found])


def _key_row(key: Key) -> tuple[str, ...]:
    status = "revoked" if key.revoked else "valid"
    scopes = ",".join(key.scopes)
    about = (key.id, status, key.project, key.name or "", f"{key.prefix}…", scopes)
    return (*about, ago(key.created), ago(key.last_used))


def revoke_key(state_dir: Path | None, key_id: str) -> None:
    """End a key."""
    if not key_id.startswith("key_"):
        # Whoever has only the key itself must not find it in the log of a server.
        raise Misuse("name the key by its id, which begins with key_; see `sandlot keys list`")
    with connected(state_dir, announce) as client:
        client.call("DELETE", f"/v1/keys/{quote(key_id, safe='')}")
    typer.echo(f"{key_id} is revoked")


def show_projects(state_dir: Path | None, *, as_json: bool) -> None:
    """Print the projects, by name."""
    with connected(state_dir, announce) as client:
        found = ProjectPage.model_validate(client.call("GET", "/v1/projects")).projects
    if as_json:
        print_json(found)
        return
    headings = ("PROJECT", "MADE", "KEYS", "INTERACTIONS", "ENVIRONMENTS", "FILES")
    print_table(headings, [_project_row(project) for project in found])


def _project_row(project: Project) -> tuple[str, ...]:
    counts = (project.keys, project.interactions, project.environments, project.files)
    return (project.id, ago(project.created), *map(str, counts))


def delete_project(state_dir: Path | None, name: str) -> None:
    """Delete a project that has nothing."""
    with connected(state_dir, announce) as client:
        client.call("DELETE", f"/v1/projects/{quote(name, safe='')}")
    typer.echo(f"the project {name} is deleted")
