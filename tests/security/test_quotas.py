"""Quotas: what is too much is refused, and nobody else is held up."""

from __future__ import annotations

import anyio
import httpx2
import pytest

from tests.security.tenants import Tenants, hanging, until

pytestmark = pytest.mark.timeout(300)


def test_x12_more_runs_than_may_be_are_refused_and_leave_nothing(tenants: Tenants) -> None:
    key = tenants.key("small")
    body = {"model": "silent/m", "input": "Hi", "background": True}

    async def flood() -> tuple[list[httpx2.Response], list[int]]:
        answers: list[httpx2.Response] = []
        own: list[int] = []
        limits = httpx2.Limits(max_connections=100)
        headers = {"x-goog-api-key": key["key"]}
        operator = {"x-goog-api-key": tenants.controller.api_key or ""}
        async with (
            httpx2.AsyncClient(
                base_url=tenants.controller.url, headers=headers, timeout=120, limits=limits
            ) as http,
            anyio.create_task_group() as tasks,
        ):

            async def create() -> None:
                answers.append(await http.post("/v1/interactions", json=body))

            async def neighbour() -> None:
                said = {"model": "script/inline", "input": "Hi"}
                answer = await http.post("/v1/interactions", json=said, headers=operator)
                own.append(answer.status_code)

            for count in range(500):
                tasks.start_soon(create)
                if count % 100 == 0:
                    tasks.start_soon(neighbour)
        return answers, own

    answers, own = anyio.run(flood)
    made = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert (len(made), len(refused)) == (5, 495)
    assert own == [200] * 5, "others are served all the while"
    for answer in refused:
        assert answer.status_code == 429, answer.text
        assert answer.json()["error"]["code"] == "resource_exhausted"
        assert "quotas.queued" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) >= 1
    assert len(tenants.rows("small")["interactions"]) == 5
    with tenants.client(key["key"]) as http:
        for one in made:
            assert http.post(f"/v1/interactions/{one}:cancel").json()["status"] == "cancelled"
        again = http.post("/v1/interactions", json={"model": "script/inline", "input": "Hi"})
        assert again.json()["status"] == "completed", "there is room again"


def test_x12_environments_bytes_and_streams_have_their_quotas(tenants: Tenants) -> None:
    agent = {"agent": "antigravity", "input": "Hi", "environment": "remote"}
    with tenants.client(tenants.key("small")["key"]) as http:
        assert http.post("/v1/interactions", json=agent).status_code == 200
        refused = http.post("/v1/interactions", json=agent)
        assert refused.status_code == 429 and "quotas.environments" in refused.text
        plain = {"content-type": "text/plain"}
        assert http.post("/upload/v1/files", content=b"a" * 900, headers=plain).status_code == 200
        refused = http.post("/upload/v1/files", content=b"a" * 900, headers=plain)
        assert refused.status_code in {413, 429}, refused.text
        assert len(tenants.rows("small")["files"]) == 1
    with hanging(tenants, "narrow") as (http, _, run):
        path = f"/v1/interactions/{run}?stream=true"
        with http.stream("GET", path) as one, http.stream("GET", path) as two:
            assert (one.status_code, two.status_code) == (200, 200)
            refused = http.get(path)
            assert refused.status_code == 429 and "quotas.streams" in refused.text
            assert http.get(f"/v1/interactions/{run}").status_code == 200
        until(lambda: _opens(http, path))


def _opens(http: httpx2.Client, path: str) -> bool:
    with http.stream("GET", path) as stream:
        return stream.status_code == 200


def test_a25_calls_that_come_too_fast_are_told_when_to_come_again(tenants: Tenants) -> None:
    keys = [tenants.key("slow")["key"] for _ in range(3)]
    with tenants.operator() as operator:
        statuses: list[int] = []
        for key in keys * 3:
            with tenants.client(key) as http:
                answer = http.get("/v1/agents")
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert 1 <= int(answer.headers["retry-after"]) <= 100
                assert "quotas.requests_per_second" in answer.text
            assert operator.get("/v1/agents").status_code == 200, "nobody else is held up"
    assert statuses == [200] + [429] * 8, "many keys of a project are one project"
