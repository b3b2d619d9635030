"""Stored credentials in sandboxes that live: new secrets, revoked and deleted ones, at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from runtime.sandboxes.image import ensure_image
from tests.support.outside import Outside, outside
from tests.support.sandlot import RunningController, fence, results, running_controller
from tests.support.token_server import TokenServer, token_server

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}, memory: 512MiB, workspace: 64MiB, max_running: 2}}
egress: {{upstream_proxy: "{upstream}", ca_files: [{ca}]}}
outbound: {{allow: [127.0.0.1]}}
"""


@pytest.fixture(scope="module")
def world() -> Generator[Outside]:
    with outside() as world:
        yield world


@pytest.fixture(scope="module")
def tokens() -> Generator[TokenServer]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(token_server()) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def controller(
    tmp_path_factory: pytest.TempPathFactory, world: Outside
) -> Generator[RunningController]:
    folder = tmp_path_factory.mktemp("credentials")
    (folder / "ca.pem").write_text(world.certificates.pem, encoding="ascii")
    image = ensure_image(lambda _: None)
    config = CONFIG.format(image=image, upstream=world.upstream, ca=folder / "ca.pem")
    with running_controller(folder / "state", config) as controller:
        yield controller


def call(controller: RunningController, method: str, path: str, **body: Any) -> dict[str, Any]:
    return controller.client.call(method, f"/v1/credentials{path}", body or None)


def reach(controller: RunningController, environment: Any, host: str) -> tuple[str, str]:
    """The environment, and what a request to a host brought there."""
    prompt = fence("bash", f"curl -sS -m 30 'http://{host}/' 2>&1; curl -sS -m 30 https://{host}/")
    run = controller.run(prompt, environment)
    assert run.status == "completed" and run.environment_id is not None, run
    return run.environment_id, results(run)[-1]


def signed(host: str, credential: str) -> dict[str, Any]:
    entry = {"domain": host, "credential": credential}
    return {"type": "remote", "network": {"allowlist": [entry]}}


def test_a_live_sandbox_gets_new_secrets_and_loses_deleted_ones(
    controller: RunningController, world: Outside
) -> None:
    host = "signed.test"
    call(controller, "POST", "", id="key", type="bearer_token", token="first-of-all")
    environment, _ = reach(controller, signed(host, "key"), host)
    assert world.last(host).headers["authorization"] == "Bearer first-of-all"
    change = {"token": "second-of-all", "header_name": "X-Key", "prefix": ""}
    call(controller, "PATCH", "/key", type="bearer_token", **change)
    reach(controller, environment, host)
    assert world.last(host).headers["x-key"] == "second-of-all"
    assert "authorization" not in world.last(host).headers
    call(controller, "DELETE", "/key")
    count = len(world.seen)
    _, said = reach(controller, environment, host)
    assert "credential 'key' of this host does not exist any more" in said
    assert len(world.seen) == count
    call(controller, "POST", "", id="key", type="bearer_token", token="third-of-all")
    reach(controller, environment, host)
    assert world.last(host).headers["authorization"] == "Bearer third-of-all"


def test_a_live_sandbox_uses_access_tokens_until_they_are_refused(
    controller: RunningController, world: Outside, tokens: TokenServer
) -> None:
    host = "tokens.test"
    oauth = {"client_id": "client", "client_secret": "client-secret", "token_url": tokens.url}
    call(controller, "POST", "", id="mail", type="oauth2", refresh_token="refresh-wrong", **oauth)
    environment, said = reach(controller, signed(host, "mail"), host)
    assert "the credential 'mail' is revoked" in said
    assert call(controller, "GET", "/mail")["status"] == "revoked"
    call(controller, "PATCH", "/mail", type="oauth2", refresh_token="refresh-0")
    _, said = reach(controller, environment, host)
    assert world.last(host).headers["authorization"] == f"Bearer {tokens.given[-1]}"
    assert tokens.given[-1] not in said
