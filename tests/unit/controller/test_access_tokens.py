"""When a token is kept, replaced, or given up; with the real store and a source that is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from runtime.controller.credentials import CredentialService
from runtime.errors import CredentialFault, InvalidRequest, NotFound
from runtime.store import Store
from runtime.tools.oauth import AccessToken, RefreshGrant, RefreshRefused

pytestmark = pytest.mark.anyio

OAUTH = {
    "type": "oauth2",
    "id": "mail",
    "client_id": "c",
    "client_secret": "s",
    "refresh_token": "r0",
    "token_url": "https://auth.example.com/token",
}


class Source:
    """Gives numbered tokens; `before` happens while it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lifetime = 3600.0
        self.next_refresh: str | None = None
        self.fault: Exception | None = None
        self.before: Callable[[], Awaitable[Any]] | None = None

    def check(self, url: str) -> None:
        pass

    async def refresh(self, grant: RefreshGrant) -> AccessToken:
        self.asked.append(grant.refresh_token.get_secret_value())
        before, self.before = self.before, None
        if before is not None:
            await before()
        if self.fault is not None:
            raise self.fault
        new = SecretStr(self.next_refresh) if self.next_refresh else None
        return AccessToken(SecretStr(f"token-{len(self.asked)}"), self.lifetime, new)


class World:
    def __init__(self, service: CredentialService, source: Source) -> None:
        self.service = service
        self.source = source

    async def token(self) -> str:
        found = (await self.service.resolve("default", ["mail"]))["mail"]
        assert found.header_value is not None
        return found.header_value.get_secret_value()

    async def patch(self, **fields: Any) -> None:
        await self.service.update("default", "mail", {"type": "oauth2", **fields})


@asynccontextmanager
async def opened(folder: Path, source: Source) -> AsyncIterator[World]:
    async with Store.open(folder) as store:
        service = CredentialService(store, source)
        async with service.open():
            yield World(service, source)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path, Source()) as found:
        await found.service.create("default", OAUTH)
        yield found


async def test_a_token_is_kept_while_it_holds(world: World) -> None:
    assert [await world.token() for _ in range(3)] == ["Bearer token-1"] * 3
    world.source.lifetime = 0.0
    await world.patch(scopes=["a"])
    assert [await world.token() for _ in range(2)] == ["Bearer token-2", "Bearer token-3"]


async def test_the_next_refresh_token_is_there_after_a_restart(tmp_path: Path) -> None:
    source = Source()
    source.next_refresh = "r1"
    async with opened(tmp_path, source) as world:
        await world.service.create("default", OAUTH)
        await world.token()
    async with opened(tmp_path, source) as again:
        assert await again.token() == "Bearer token-2"
    assert source.asked == ["r0", "r1"]


async def test_new_secrets_given_during_a_fetch_win(world: World) -> None:
    world.source.next_refresh = "rotated"
    world.source.before = lambda: world.patch(refresh_token="given")
    assert await world.token() == "Bearer token-1"
    assert await world.token() == "Bearer token-2"
    assert world.source.asked == ["r0", "given"]


async def test_a_refresh_token_rotated_during_another_change_is_kept(world: World) -> None:
    world.source.next_refresh = "rotated"
    world.source.before = lambda: world.patch(client_secret="new")
    await world.token()
    await world.patch(scopes=["a"])
    await world.token()
    assert world.source.asked == ["r0", "rotated"]


async def test_a_credential_deleted_during_a_fetch_gives_no_token(world: World) -> None:
    world.source.before = lambda: world.service.delete("default", "mail")
    with pytest.raises((CredentialFault, NotFound)):
        # What was fetched may be used once; it is not there the next time.
        await world.token()
        await world.token()
    await world.service.create("default", {**OAUTH, "refresh_token": "other"})
    await world.token()
    assert world.source.asked[-1] == "other"


@pytest.mark.parametrize("is_refused", [False, True])
async def test_a_credential_made_anew_during_a_fetch_is_no_change_of_the_old_one(
    world: World, is_refused: bool
) -> None:
    async def made_anew() -> None:
        await world.service.delete("default", "mail")
        await world.service.create("default", {**OAUTH, "refresh_token": "new"})

    world.source.next_refresh = "rotated from the old one"
    world.source.fault = RefreshRefused("invalid_grant") if is_refused else None
    world.source.before = made_anew
    with suppress(CredentialFault, InvalidRequest):
        await world.token()
    world.source.fault, world.source.next_refresh = None, None
    await world.patch(scopes=["a"])
    await world.token()
    assert world.source.asked[0] == "r0" and world.source.asked[-1] == "new"


async def test_a_failure_is_the_same_for_all_who_wait_and_for_a_while(world: World) -> None:
    world.source.fault = CredentialFault("the token endpoint a.example answered 503")
    told: list[str] = []

    async def ask() -> None:
        try:
            await world.token()
        except CredentialFault as error:
            told.append(error.message)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    await ask()
    assert len(told) == 6 and len({*told}) == 1 and len(world.source.asked) == 1
    assert told[0] == (
        "The credential 'mail' cannot be used now: the token endpoint a.example answered 503."
    )
    world.source.fault = None
    await world.patch(client_secret="new")
    assert await world.token() == "Bearer token-2"


async def test_a_token_is_used_until_it_expires_while_no_other_can_be_had(world: World) -> None:
    world.source.lifetime = 6.0
    assert await world.token() == "Bearer token-1"
    world.source.fault = CredentialFault("the token endpoint a.example answered 503")
    await anyio.sleep(world.source.lifetime / 2)
    assert await world.token() == "Bearer token-1"
    assert len(world.source.asked) == 2
    await anyio.sleep(world.source.lifetime / 2)
    with pytest.raises(CredentialFault, match="503"):
        await world.token()


async def test_a_refused_refresh_token_ends_the_use_of_what_came_of_it(world: World) -> None:
    world.source.lifetime = 6.0
    await world.token()
    world.source.fault = RefreshRefused("invalid_grant")
    await anyio.sleep(world.source.lifetime / 2)
    with pytest.raises(InvalidRequest, match="is revoked"):
        await world.token()


async def test_whoever_gives_up_does_not_stop_the_fetch(world: World) -> None:
    go_on = anyio.Event()
    world.source.before = go_on.wait
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.token)
        with anyio.fail_after(30):
            while not world.source.asked:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    go_on.set()
    assert await world.token() == "Bearer token-1"


async def test_a_token_that_a_server_refuses_at_once_is_not_replaced(world: World) -> None:
    sign = await world.service.uses.signature("default", "mail")
    first = await sign()
    assert await sign(refused=first.value) == first
    assert len(world.source.asked) == 1


async def test_signatures_see_what_becomes_of_their_credential(world: World) -> None:
    sign = await world.service.uses.signature("default", "mail")
    await world.service.delete("default", "mail")
    with pytest.raises(NotFound, match="There is no credential 'mail'"):
        await sign()
    variable = {"type": "environment_variable", "value": "v", "injection_location": "body"}
    await world.service.create("default", {**variable, "id": "mail"})
    with pytest.raises(InvalidRequest, match="signs nothing any more"):
        await sign()


async def test_names_are_checked_with_their_places(world: World) -> None:
    uses = world.service.uses
    await uses.check("default", {"environment.env.A.credential": "mail"})
    with pytest.raises(InvalidRequest, match=r"env\.A\.credential: There is no credential"):
        await uses.check("default", {"environment.env.A.credential": "none"})
    with pytest.raises(InvalidRequest):
        await uses.check("other", {"environment.env.A.credential": "mail"})
