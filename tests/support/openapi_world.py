"""A controller with something in it, and calls from its OpenAPI document that are about it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx2
from schemathesis import Case, GenerationMode

MODEL = "script/inline"
Json = dict[str, Any]
PROMPT = "Hello."
ASK = {"type": "function", "name": "ask", "parameters": {"type": "object"}}
TEXT = {"type": "text", "text": PROMPT}
PATHS = ("workspace", "workspace/a.txt", "workspace/new/b.txt", "workspace/none")
IN_ENVIRONMENT: Json = {
    "model": None,
    "agent": "antigravity",
    "input": PROMPT,
    "environment": "remote",
}
PLAIN = {"content-type": "text/plain"}
INPUTS: tuple[Json, ...] = (
    {"input": PROMPT},
    {"input": TEXT},
    {"input": [TEXT, TEXT]},
    {"input": [{"type": "user_input", "content": [TEXT]}]},
    {"input": [{"role": "user", "content": PROMPT}]},
    {"contents": [PROMPT]},
    {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}], "session_config": {"ttl": "60s"}},
    {"messages": [{"role": "user", "content": PROMPT}], "schemaVersion": "v1"},
)
CREDENTIALS: tuple[Json, ...] = (
    {"type": "bearer_token", "token": "t"},
    {
        "type": "oauth2",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "token_url": "https://auth.example.com/token",
    },
    {"type": "environment_variable", "value": "v", "injection_location": "header"},
)
KEPT: Mapping[str, set[str]] = {
    "/v1/interactions": {"stream", "background", "labels", "generation_config"},
    "/openai/v1/responses": {"stream", "background", "metadata", "temperature", "top_p"},
    "/openai/v1/chat/completions": {"stream", "metadata", "temperature", "stop"},
}
"""What stays as it was generated; other fields exclude others, or name what is not there."""


@dataclass
class World:
    """What a controller holds; the client carries its key."""

    http: httpx2.Client
    environment: str = ""
    file: str = ""
    interactions: Iterator[str] = field(default_factory=lambda: iter(()))
    inputs: Iterator[Json] = field(default_factory=lambda: cycle(INPUTS))
    paths: Iterator[str] = field(default_factory=lambda: cycle(PATHS))
    credentials: Iterator[Json] = field(default_factory=lambda: cycle(CREDENTIALS))

    def fill(self) -> None:
        """Make one interaction of every kind that needs no sandbox."""
        asking = self.run(input="```tool ask\n{}\n```", tools=[ASK])
        found = [self.run(input=PROMPT, labels={"k": "v"}), asking, self.run(input="```python\n1")]
        found.append(self.run(input=PROMPT, background=True))
        agent = self.run(**IN_ENVIRONMENT)
        assert {one["status"] for one in [*found, agent]} >= {"completed", "requires_action"}
        self.environment = agent["environment_id"]
        self.file = self.upload()
        self.interactions = cycle([one["id"] for one in [*found, agent]])

    def run(self, **body: Any) -> Json:
        """One interaction."""
        wanted = {name: value for name, value in {"model": MODEL, **body}.items() if value}
        answer = self.http.post("/v1/interactions", json=wanted)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make_environment(self) -> str:
        """The id of a new environment."""
        return self.run(**IN_ENVIRONMENT)["environment_id"]

    def upload(self) -> str:
        """The id of a new file."""
        answer = self.http.post("/upload/v1/files", content=b"text", headers=PLAIN)
        assert answer.status_code == 200, answer.text
        return answer.json()["file"]["name"].removeprefix("files/")

    def make_key(self, project: str) -> Json:
        """A new key."""
        answer = self.http.post("/v1/keys", json={"project": project})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def begin_upload(self) -> str | None:
        """The id of an upload into the environment; None where that has no sandbox."""
        path = f"/upload/v1/environments/{self.environment}/files/workspace/{uuid.uuid4().hex}"
        answer = self.http.put(path, headers={"x-goog-upload-protocol": "resumable"})
        if answer.status_code == 503:
            return None
        assert answer.status_code == 200, answer.text
        return answer.headers["x-goog-upload-url"].rpartition("/")[2]

    def fit(self, case: Case) -> None:
        """Let a call that follows the document be about what is there; others stay as they are."""
        if case.meta is None or case.meta.generation.mode is GenerationMode.NEGATIVE:
            return
        for name, value in case.path_parameters.items():
            case.path_parameters[name] = self._value(name, value, deletes=case.method == "DELETE")
        if "X-Goog-Upload-Command" in case.headers:
            case.headers["X-Goog-Upload-Command"] = "upload, finalize"
            case.headers["X-Goog-Upload-Offset"] = "0"
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = uuid.uuid4().hex
        if case.path.startswith("/v1/credentials") and isinstance(case.body, dict):
            is_new = case.method == "POST"
            case.body = next(self.credentials) if is_new else {**CREDENTIALS[0]}
            case.query.pop("update_mask", None)
        if case.path == "/v1/keys" and isinstance(case.body, dict):
            case.body = {"name": "generated", "scopes": ["read"]}
        if case.path in KEPT and isinstance(case.body, dict):
            case.body = self._body(case.path, case.body)

    def _value(self, name: str, value: Any, *, deletes: bool) -> Any:
        match name:
            case "interaction_id":
                return self.run(input=PROMPT)["id"] if deletes else next(self.interactions)
            case "response_id":
                found = self._value("interaction_id", value, deletes=deletes)
                return found.replace("int_", "resp_")
            case "environment_id":
                return self.make_environment() if deletes else self.environment
            case "upload_id":
                return self.begin_upload() or value
            case "path":
                return next(self.paths)
            case "file_id":
                return self.upload() if deletes else self.file
            case "agent_id":
                return "antigravity"
            case "model":
                return MODEL
            case _:
                return self._kept(name, value)

    def _kept(self, name: str, value: Any) -> Any:
        """The same of what only operators see."""
        match name:
            case "credential_id":
                answer = self.http.post("/v1/credentials", json=CREDENTIALS[0])
                return answer.json()["id"]
            case "key_id":
                return self.make_key("default")["id"]
            case "project_id":
                return self.make_key(f"p-{uuid.uuid4().hex[:12]}")["project"]
            case _:
                return value

    def _body(self, path: str, body: Json) -> Json:
        kept = {name: value for name, value in body.items() if name in KEPT[path]}
        if path == "/v1/interactions":
            return {**kept, **next(self.inputs), "model": MODEL}
        if path == "/openai/v1/responses":
            return {**kept, "input": PROMPT, "model": MODEL}
        return {**kept, "messages": [{"role": "user", "content": PROMPT}], "model": MODEL}
