"""Stored credentials: their life, MCP servers that are asked with them, variables behind them."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.acceptance.manifest import AIO, BLOCKING
from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import World, call, code_results, fence, refused, unique

OAUTH = {
    "type": "oauth2",
    "client_id": "id-s3cret",
    "client_secret": "client-s3cret",
    "refresh_token": "refresh-s3cret",
    "token_url": "https://auth.example.com/token",
    "scopes": ["mail.read"],
}


@acceptance(65)
async def the_life_of_a_credential(world: World) -> None:
    credentials = world.sdk.credentials
    bearer = {"type": "bearer_token", "token": "bearer-s3cret", "header_name": "X-Key"}
    variable = {"type": "environment_variable", "value": "value-s3cret"}
    variable |= {"injection_location": ["header", "query"], "trusted_domains": ["api.example.com"]}
    ids = [unique("credential") for _ in range(3)]
    for name, body in zip(ids, (bearer, OAUTH, variable), strict=True):
        made = await credentials.create(id=name, **body)
        assert (made.id, made.type, made.status) == (name, body["type"], "active")
        assert made.create_time == made.update_time
        found = await credentials.get(id=name)
        assert found.id == name and "s3cret" not in repr(made) + repr(found)
    listed = await credentials.list()
    assert {*ids} <= {one.id for one in listed.credentials} and "s3cret" not in repr(listed)
    new = await credentials.update(id=ids[0], type="bearer_token", token="new-s3cret")
    assert new.id == ids[0] and new.update_time > new.create_time
    assert "s3cret" not in repr(new)
    update = {"type": "environment_variable", "injection_location": "body"}
    assert (await credentials.update(id=ids[2], **update)).type == "environment_variable"
    await _wrong_calls(world, ids)
    for name in ids:
        await credentials.delete(id=name)
        error = await refused("NotFoundError", credentials.get, id=name)
        assert error["code"] == "not_found"
        assert error["message"] == "Result not found.; GetCredential call failed"


async def _wrong_calls(world: World, ids: list[str]) -> None:
    credentials = world.sdk.credentials
    bearer: dict[str, Any] = {"type": "bearer_token", "token": "bearer-s3cret"}
    error = await refused("ConflictError", credentials.create, id=ids[0], **bearer)
    assert error["code"] == "aborted"
    wrong = {"id": unique("wrong"), "extra_body": {"headerName": "X-Key"}}
    error = await refused("BadRequestError", credentials.create, **wrong, **bearer)
    assert error["code"] == "invalid_request"
    assert error["message"] == "Unknown parameter 'headerName'. Did you mean 'header_name'?"
    error = await refused("BadRequestError", credentials.update, id=ids[1], **bearer)
    assert "type" in error["message"] and "s3cret" not in error["message"]


@acceptance(30, kinds=(BLOCKING, AIO))
async def an_mcp_server_is_asked_with_a_credential(world: World) -> None:
    name, secret = unique("credential"), unique("secret")
    await world.sdk.credentials.create(id=name, type="bearer_token", token=secret)
    server = {"type": "mcp_server", "name": "weather", "url": world.place.mcp, "credential": name}
    prompt = call("weather__forecast", days=1) + "\n" + call("weather__reveal")
    made = await world.create(prompt, tools=[server])
    assert made.status == "completed", made
    seen = [one for one in await world.back("mcp/headers") if secret in str(one)]
    assert seen and all(one["authorization"] == f"Bearer {secret}" for one in seen)
    kept = await world.sdk.interactions.get(made.id, include_input=True)
    assert secret not in repr(kept) and secret not in repr(made)
    unknown = {**server, "credential": unique("unknown")}
    error = await refused("BadRequestError", world.create, prompt="Hi", tools=[unknown])
    assert unknown["credential"] in error["message"]


@acceptance(47)
async def a_variable_is_a_placeholder_of_its_credential(world: World) -> None:
    name, secret = unique("my-api-token"), unique("secret")
    trusted, other = f"{unique('trusted')}.test", f"{unique('other')}.test"
    await world.sdk.credentials.create(
        id=name,
        type="environment_variable",
        value=secret,
        injection_location="header",
        trusted_domains=[trusted],
    )
    variables = {"LOG_LEVEL": "debug", "API_TOKEN": {"credential": name}}
    sent = 'curl -sS -m 30 -H "X-Token: $API_TOKEN" "https://{}/"'
    made = await world.create(
        fence("bash", "echo $LOG_LEVEL $API_TOKEN", *map(sent.format, (trusted, other))),
        environment={"type": "remote", "env": variables},
    )
    shown, reached, _ = code_results(made)
    level, placeholder = shown.split()
    assert level == "debug" and placeholder and placeholder != secret
    assert json.loads(reached)["path"] == "/" and secret not in repr(made)
    (met,) = await world.back(f"outside/{trusted}")
    assert met["headers"]["x-token"] == secret
    (met,) = await world.back(f"outside/{other}")
    assert met["headers"]["x-token"] == placeholder
