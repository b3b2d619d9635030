"""Projects apart from each other: who has a key of one learns and changes nothing of another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from runtime.api.scopes import OPEN
from tests.security.tenants import PARAMETER, TABLES, Json, Owner, Tenants, ask
from tests.support.routes import all_routes

pytestmark = pytest.mark.timeout(300)
_OF_NOBODY = {"agents", "models", "voices", "decisions", "uploads"}
"""Resources that no project owns, or that need a sandbox."""


def routes_with_ids(folder: Path) -> list[tuple[str, str]]:
    return [
        (method, path)
        for method, path in all_routes(folder)
        if path not in OPEN and PARAMETER.search(path) and not _OF_NOBODY & set(path.split("/"))
    ]


def test_a05_every_id_of_another_project_is_not_there(
    tenants: Tenants, alpha: Owner, beta: httpx2.Client, tmp_path: Path
) -> None:
    before = tenants.rows("alpha")
    assert all(before[table] for table in TABLES if table != "idempotency"), before.keys()
    routes = routes_with_ids(tmp_path)
    assert len(routes) > 20
    for method, path in routes:
        address = PARAMETER.sub(lambda found: alpha.ids[found[1]], path)
        unknown = PARAMETER.sub(lambda found: _unlike(alpha.ids[found[1]]), path)
        there = ask(tenants, beta, method, address)
        nowhere = ask(tenants, beta, method, unknown)
        assert there[0] in {403, 404}, f"{method} {path}: {there}"
        assert there[0] == nowhere[0], f"{method} {path}: {there} {nowhere}"
        hidden = there[1].replace(address.rsplit("/", 1)[-1], "")
        assert "alpha" not in hidden or "project" in path, there
    assert tenants.rows("alpha") == before
    control = {
        "/v1/interactions/{interaction_id}",
        "/v1/environments/{environment_id}",
        "/v1/files/{file_id}",
        "/v1/credentials/{credential_id}",
        "/openai/v1/responses/{response_id}",
    }
    for path in control:
        assert ("GET", path) in routes
        address = PARAMETER.sub(lambda found: alpha.ids[found[1]], path)
        assert alpha.world.http.get(address).status_code == 200, "its own key finds it"


def _unlike(text: str) -> str:
    """An id of the same form that nothing has."""
    return text if len(text) < 12 else text[:-6] + ("0" * 6 if text[-6:] != "0" * 6 else "1" * 6)


def test_a05_nor_is_it_where_bodies_name_it(
    tenants: Tenants, alpha: Owner, beta: httpx2.Client
) -> None:
    ids, before = alpha.ids, tenants.rows("alpha")
    uri = f"{tenants.controller.url}/v1beta/files/{ids['file_id']}"
    file = {"type": "document", "uri": f"files/{ids['file_id']}"}
    agent = {
        "agent": "antigravity",
        "agent_config": {"type": "antigravity", "model": "script/inline"},
    }
    rules = {"allowlist": [{"domain": "example.com", "credential": ids["credential_id"]}]}
    attempts: list[tuple[str, Json]] = [
        ("/v1/interactions", {"previous_interaction_id": ids["interaction_id"]}),
        ("/v1/interactions", {"session_id": ids["session_id"], "contents": ["Hi"]}),
        ("/v1/interactions", {"input": [file]}),
        ("/v1/interactions", {**agent, "environment": ids["environment_id"]}),
        ("/v1/interactions", {**agent, "environment": {"environment_id": ids["environment_id"]}}),
        ("/v1/interactions", {**agent, "environment": {"type": "remote", "network": rules}}),
        ("/openai/v1/responses", {"previous_response_id": ids["response_id"]}),
    ]
    for path, body in attempts:
        wanted: Json = {"input": "Hi", **({} if "agent" in body else {"model": "script/inline"})}
        if "contents" in body:
            del wanted["input"]
        asked = {**wanted, **body}
        answer = beta.post(path, json=asked)
        assert answer.status_code in {400, 404}, f"{body}: {answer.text}"
        mine = alpha.world.http.post(path, json={**asked, "background": True})
        assert mine.status_code == 200, f"{body}: {mine.text}"
    fetched = beta.post(
        "/v1/interactions",
        json={"model": "script/inline", "input": [{"type": "document", "uri": uri}]},
    )
    assert fetched.status_code in {400, 404}, fetched.text
    assert len(tenants.rows("beta")["interactions"]) == 0
    assert before["files"] == tenants.rows("alpha")["files"]


def test_a05_lists_hold_a_projects_own_rows(alpha: Owner, beta: httpx2.Client) -> None:
    lists = {
        "/v1/operations": "operations",
        "/v1/environments": "environments",
        "/v1/files": "files",
        "/v1/credentials": "credentials",
    }
    for path, name in lists.items():
        assert not beta.get(path).json().get(name), path
        assert alpha.world.http.get(path).json()[name], path
    assert {key["project"] for key in beta.get("/v1/keys").json()["keys"]} == {"beta"}
    assert beta.get("/v1/keys?project=alpha").status_code == 403
    assert beta.get("/v1/projects").status_code == 403


def test_a05_names_and_idempotency_keys_are_a_projects_own(
    alpha: Owner, beta: httpx2.Client
) -> None:
    header, body = {"idempotency-key": "the-same"}, {"model": "script/inline", "input": "Hi"}
    first = alpha.world.http.post("/v1/interactions", json=body, headers=header).json()
    second = beta.post("/v1/interactions", json={**body, "input": "Ho"}, headers=header).json()
    assert first["id"] != second["id"]
    again = alpha.world.http.post("/v1/interactions", json=body, headers=header).json()
    assert again["id"] == first["id"]
    for http, content in ((alpha.world.http, b"of alpha"), (beta, b"of beta")):
        start = {"X-Goog-Upload-Protocol": "resumable"}
        named = {"file": {"name": "files/report", "mimeType": "text/plain"}}
        begun = http.post("/upload/v1/files", json=named, headers=start)
        assert begun.status_code == 200, begun.text
        more = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
        done = httpx2.post(begun.headers["x-goog-upload-url"], content=content, headers=more)
        assert done.status_code == 200, done.text
    for http, content in ((alpha.world.http, b"of alpha"), (beta, b"of beta")):
        assert http.get("/v1/files/report:download").content == content
    assert beta.delete("/v1/files/report").status_code == 200
    assert alpha.world.http.get("/v1/files/report").status_code == 200


def test_a06_streams_of_another_project_are_not_there(alpha: Owner, beta: httpx2.Client) -> None:
    path = f"/v1/interactions/{alpha.ids['interaction_id']}?stream=true"
    assert beta.get(path).status_code == 404
    assert beta.get(path + "&last_event_id=1").status_code == 404
    assert b"interaction.completed" in alpha.world.http.get(path).content


def test_a08_cursors_give_nothing_of_others(alpha: Owner, beta: httpx2.Client) -> None:
    first = alpha.world.http.get("/v1/operations?page_size=1").json()
    token = first["next_page_token"]
    assert alpha.world.http.get(f"/v1/operations?page_token={token}").json()["operations"]
    later = [
        row["name"] for row in beta.get(f"/v1/operations?page_token={token}").json()["operations"]
    ]
    own = {row["name"] for row in beta.get("/v1/operations").json()["operations"]}
    assert set(later) <= own
    for query in ("page_token=' OR 1=1 --", "page_size=-1", "page_size=1000000", "page_size=x"):
        for path in ("/v1/operations", "/v1/files"):
            assert beta.get(f"{path}?{query}").status_code == 400, f"{path}?{query}"


META = ("' OR '1'='1", '" OR ""="', "1; DROP TABLE interactions; --", "%", "_", "alph%", "\\")
FILTERS = [
    ("/v1/operations", ("page_token", "status", "done", "page_size")),
    ("/v1/environments", ("page_token", "page_size")),
    ("/v1/files", ("page_token", "pageToken", "page_size")),
    ("/v1/credentials", ("page_token", "page_size")),
    ("/v1/agents", ("page_token", "page_size")),
]


def test_a21_signs_of_sql_mean_themselves(
    tenants: Tenants, alpha: Owner, beta: httpx2.Client
) -> None:
    before = tenants.rows("alpha")
    for path, names in FILTERS:
        everything = alpha.world.http.get(path)
        assert everything.status_code == 200
        for name in names:
            for sign in META:
                answer = beta.get(path, params={name: sign})
                assert answer.status_code in {200, 400, 404}, f"{path} {name}={sign}: {answer}"
                told = [one for one in alpha.ids.values() if len(one) > 12 and one in answer.text]
                assert told == [], f"{path} {name}={sign}"
    with tenants.operator() as operator:
        for sign in META:
            found = operator.get("/v1/keys", params={"project": sign})
            assert found.status_code in {400, 404} or found.json().get("keys", []) == []
        control = operator.get("/v1/keys", params={"project": "alpha"}).json()["keys"]
        assert {key["project"] for key in control} == {"alpha"}
    assert tenants.rows("alpha") == before


def test_a05_generated_calls_of_another_project_change_nothing(
    tenants: Tenants, alpha: Owner, tmp_path: Path
) -> None:
    before = tenants.rows("alpha")
    stranger = tenants.key("stranger", "run", "read", "admin")
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(alpha.ids), "utf-8")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", "--phases", "examples,fuzzing"),
        *("--max-examples", "12", "--seed", "1", "--generation-deterministic", "--no-shrink"),
        *("--generation-with-security-parameters", "false", "--continue-on-failure"),
        *("--checks", "nothing_of_another_project", "--no-color", "--warnings", "off"),
        *("--suppress-health-check", "all", "--request-timeout", "60"),
        *("--header", f"x-goog-api-key: {stranger['key']}"),
        f"{tenants.controller.url}/openapi.json",
    ]
    root = Path(__file__).parents[2]
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(root),
        "SCHEMATHESIS_HOOKS": "tests.support.foreign_hooks",
        "FOREIGN_IDS": str(ids),
        "FOREIGN_SEEN": str(tmp_path / "seen"),
    }
    done = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int((tmp_path / "seen").read_text("utf-8")) > 200, "foreign ids were tried"
    assert tenants.rows("alpha") == before
