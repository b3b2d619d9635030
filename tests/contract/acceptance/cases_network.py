"""What environments may reach, and with what."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import World, code_results, fence, unique


def allowing(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"type": "remote", "network": {"allowlist": [*entries]}, **more}


def curl(*urls: str) -> str:
    return fence("bash", *(f"curl -sS -m 30 '{url}' 2>&1 || true" for url in urls))


async def headers_seen(world: World, host: str) -> dict[str, str]:
    """The headers of the latest request to a host outside."""
    return (await world.back(f"outside/{host}"))[-1]["headers"]


@acceptance(42)
async def headers_are_injected_and_other_hosts_blocked(world: World) -> None:
    host, token = f"{unique('api')}.test", unique("token")
    search = f"grep -rls '{token[:-1]}[{token[-1]}]' /workspace /proc/[0-9]*/environ; echo searched"
    prompt = curl(f"https://{host}/", "https://other.test/", "http://other.test/")
    interaction = await world.create(
        f"{prompt}\n{fence('bash', search)}",
        environment=allowing(
            {"domain": host, "transform": {"Authorization": f"Bearer {token}"}},
            {"domain": "packages.example.com"},
        ),
    )
    allowed, tunnel, plain, searched = code_results(interaction)
    assert json.loads(allowed)["path"] == "/"
    assert "403" in tunnel
    assert "other.test is not in this environment's allowlist" in plain
    assert searched.strip() == "searched"
    assert token not in str(interaction)
    assert (await headers_seen(world, host))["authorization"] == f"Bearer {token}"
    assert await world.back("outside/other.test") == []
    shown = await world.sdk.environments.get(id=interaction.environment_id)
    assert host in str(shown) and token not in str(shown)


@acceptance(43)
async def headers_may_be_a_list(world: World) -> None:
    host = f"{unique('list')}.test"
    headers = [{"X-One": "first"}, {"X-Two": "second"}]
    await world.create(
        curl(f"https://{host}/"), environment=allowing({"domain": host, "transform": headers})
    )
    seen = await headers_seen(world, host)
    assert (seen["x-one"], seen["x-two"]) == ("first", "second")


@acceptance(44)
async def a_disabled_network_reaches_nothing(world: World) -> None:
    interaction = await world.create(
        curl("https://some.test/"), environment={"type": "remote", "network": "disabled"}
    )
    assert "curl: (" in code_results(interaction)[0]
    assert await world.back("outside/some.test") == []


@acceptance(45)
async def a_wildcard_is_what_lies_below(world: World) -> None:
    domain = f"{unique('wild')}.test"
    interaction = await world.create(
        curl(f"https://a.{domain}/", f"http://{domain}/"),
        environment=allowing({"domain": f"*.{domain}"}),
    )
    below, itself = code_results(interaction)
    assert json.loads(below)["headers"]["host"] == f"a.{domain}"
    assert "is not in this environment's allowlist" in itself


@acceptance(46)
async def new_rules_replace_the_old_ones(world: World) -> None:
    host, other = f"{unique('old')}.test", f"{unique('new')}.test"
    first = await world.create(
        fence("bash", f"echo kept > note.txt; curl -sS https://{host}/"),
        environment=allowing({"domain": host, "transform": {"X-Token": "the-old-one"}}),
    )
    second = await world.create(
        f"{curl(f'http://{host}/', f'https://{other}/')}\n{fence('bash', 'cat note.txt')}",
        environment=allowing(
            {"domain": other, "transform": {"X-Token": "the-new-one"}},
            environment_id=first.environment_id,
        ),
    )
    assert second.environment_id == first.environment_id
    refused, reached, note = code_results(second)
    assert "is not in this environment's allowlist" in refused
    assert json.loads(reached)["path"] == "/"
    assert note.strip() == "kept"
    assert (await headers_seen(world, host))["x-token"] == "the-old-one"
    assert (await headers_seen(world, other))["x-token"] == "the-new-one"


@acceptance(47)
async def variables_stand_for_credentials(world: World) -> None:
    name, secret = unique("my-api-token"), unique("real-secret")
    trusted, other = f"{unique('trusted')}.test", f"{unique('other')}.test"
    await world.sdk.credentials.create(
        id=name,
        type="environment_variable",
        value=secret,
        injection_location="header",
        trusted_domains=[trusted],
    )
    send = 'curl -sS -m 30 -H "X-Token: $API_TOKEN"'
    script = f"echo $LOG_LEVEL\necho $API_TOKEN\n{send} https://{trusted}/; {send} https://{other}/"
    interaction = await world.create(
        fence("bash", *script.split("\n")),
        environment=allowing(
            {"domain": trusted},
            {"domain": other},
            env={"LOG_LEVEL": "debug", "API_TOKEN": {"credential": name}},
        ),
    )
    level, placeholder, _ = code_results(interaction)
    assert level.strip() == "debug"
    assert placeholder.strip() and secret not in str(interaction)
    assert (await headers_seen(world, trusted))["x-token"] == secret
    assert (await headers_seen(world, other))["x-token"] == placeholder.strip()
