"""The Files API: with the official SDK, unmodified, and on the wire."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx2
import pytest
from google import genai
from google.genai import errors, types

from runtime.client import AsyncClient
from runtime.errors import InvalidRequest, NotFound
from runtime.schema.settings import FilesSettings, Settings
from tests.support.local_controller import KEY, LocalController, local_controller

pytestmark = pytest.mark.anyio

Value = TypeVar("Value")
CHUNK = 8 * 1024 * 1024
START = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[LocalController]:
    limits = FilesSettings(file_size_bytes=20 * 1024**2, total_size_bytes=30 * 1024**2)
    async with local_controller(tmp_path, settings=Settings(files=limits)) as running:
        yield running


OPEN: list[genai.Client] = []


def sdk(api: LocalController, **options: Any) -> genai.Client:
    http = types.HttpOptions(**{"base_url": api.url, **options})
    OPEN.append(genai.Client(api_key=KEY, http_options=http))
    return OPEN[-1]


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


async def call(action: Callable[[], Value]) -> Value:
    with anyio.fail_after(60):
        return await anyio.to_thread.run_sync(action)


async def upload(api: LocalController, data: bytes, **config: Any) -> types.File:
    client, config = sdk(api), {"mime_type": "text/plain", **config}
    return await call(lambda: client.files.upload(file=io.BytesIO(data), config=config))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(30):
        while not await condition():  # noqa: ASYNC110 - nothing rings when a file changes
            await anyio.sleep(0.01)


async def start(client: httpx2.AsyncClient, size: int | None, **headers: str) -> str:
    more = {} if size is None else told(size)
    answer = await client.post("/upload/v1beta/files", headers={**START, **more, **headers})
    assert answer.status_code == 200, answer.text
    return answer.headers["x-goog-upload-url"]


def told(size: int) -> dict[str, str]:
    return {"x-goog-upload-header-content-length": str(size)}


async def send(
    client: httpx2.AsyncClient, url: str, command: str, offset: int, data: bytes
) -> httpx2.Response:
    headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
    return await client.post(url, headers=headers, content=data)


async def test_a_file_is_uploaded_looked_at_listed_downloaded_and_deleted(
    api: LocalController, tmp_path: Path
) -> None:
    path = tmp_path / "notes.md"
    path.write_bytes(b"# Notes\n")
    client = sdk(api)
    made = await call(lambda: client.files.upload(file=path, config={"display_name": "Nötes"}))
    assert made.name is not None and made.name.startswith("files/")
    assert (made.display_name, made.mime_type, made.size_bytes) == ("Nötes", "text/markdown", 8)
    assert made.state == types.FileState.ACTIVE
    assert made.source == types.FileSource.UPLOADED
    assert made.sha256_hash == base64.b64encode(hashlib.sha256(b"# Notes\n").digest()).decode()
    assert made.uri == f"{api.url}/v1beta/{made.name}"
    assert made.create_time is not None and made.expiration_time is not None
    assert (made.expiration_time - made.create_time).total_seconds() == pytest.approx(
        172800, abs=60
    )
    assert await call(lambda: client.files.get(name=made.name or "")) == made
    assert [file.name for file in await call(lambda: list(client.files.list()))] == [made.name]
    assert await call(lambda: client.files.download(file=made)) == b"# Notes\n"
    assert await call(lambda: client.files.download(file=made.name or "")) == b"# Notes\n"
    assert await call(lambda: client.files.download(file=made.uri or "")) == b"# Notes\n"
    await call(lambda: client.files.delete(name=made.name or ""))
    with pytest.raises(errors.ClientError) as caught:
        await call(lambda: client.files.get(name=made.name or ""))
    assert caught.value.code == 404
    assert "may have expired" in str(caught.value)
    assert list((tmp_path / "state" / "files").iterdir()) == []


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_every_version_and_a_name_of_ones_own(api: LocalController, version: str) -> None:
    client = sdk(api, api_version=version)
    source = io.BytesIO(b"x")
    config = {"name": "my-report", "mime_type": "text/csv"}
    made = await call(lambda: client.files.upload(file=source, config=config))
    assert made.name == "files/my-report"
    assert (await call(lambda: client.files.get(name="my-report"))).size_bytes == 1
    with pytest.raises(errors.ClientError) as caught:
        await call(lambda: client.files.upload(file=io.BytesIO(b"y"), config=config))
    assert caught.value.code == 409


async def test_the_async_sdk(api: LocalController) -> None:
    client = sdk(api).aio
    made = await client.files.upload(file=io.BytesIO(b"abc"), config={"mime_type": "text/plain"})
    assert (await client.files.get(name=made.name or "")).size_bytes == 3
    assert [file.name async for file in await client.files.list()] == [made.name]
    assert await client.files.download(file=made) == b"abc"
    await client.files.delete(name=made.name or "")
    assert [file.name async for file in await client.files.list()] == []
    await client.aclose()


async def test_a_large_file_goes_in_chunks(api: LocalController, tmp_path: Path) -> None:
    data = bytes(range(256)) * (CHUNK // 256) * 2 + b"end"
    made = await upload(api, data, mime_type="video/mp4")
    assert made.size_bytes == len(data)
    assert made.sha256_hash == base64.b64encode(hashlib.sha256(data).digest()).decode()
    async with api.http() as client:
        answer = await client.get(
            f"/v1beta/{made.name}:download?alt=media", headers={"range": f"bytes={2 * CHUNK}-"}
        )
    assert (answer.status_code, answer.content) == (206, b"end")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_list_comes_in_pages(api: LocalController) -> None:
    names = [(await upload(api, b"x", name=f"f{number}")).name for number in range(5)]
    client = sdk(api)
    files = await call(lambda: list(client.files.list(config={"page_size": 2})))
    assert [file.name for file in files] == names[::-1]
    async with api.http() as http:
        for token in ("nonsense", "bm90aGluZw==", "MjAyNi0wMS0wMSB4"):
            answer = await http.get("/v1/files", params={"pageToken": token})
            assert answer.status_code == 400


async def test_an_interrupted_upload_goes_on_where_it_broke_off(api: LocalController) -> None:
    async with api.http() as client:
        url = await start(client, 10)
        first = await send(client, url, "upload", 0, b"01234")
        assert first.headers["x-goog-upload-status"] == "active"
        asked = await send(client, url, "query", 0, b"")
        assert asked.headers["x-goog-upload-size-received"] == "5"
        beyond = await send(client, url, "upload, finalize", 7, b"789")
        assert (beyond.status_code, "stands at byte 5" in beyond.text) == (400, True)
        # A chunk whose answer was lost is sent again.
        again = await send(client, url, "upload", 3, b"3456")
        assert again.headers["x-goog-upload-size-received"] == "7"
        short = await send(client, url, "finalize", 7, b"")
        assert (short.status_code, "not whole" in short.text) == (400, True)
        last = await send(client, url, "upload, finalize", 7, b"789")
        assert last.headers["x-goog-upload-status"] == "final"
        repeated = await send(client, url, "upload, finalize", 7, b"789")
        assert repeated.json() == last.json()
        name = last.json()["file"]["name"]
        assert (await client.get(f"/v1/{name}?alt=media")).content == b"0123456789"


async def test_a_connection_that_breaks_leaves_what_had_arrived(api: LocalController) -> None:
    async with api.http() as client:
        url = await start(client, 4)
        path = url.removeprefix(api.url)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n"
        head = head.replace("host: x", "host: " + api.url.removeprefix("http://"))
        head += "x-goog-upload-command: upload, finalize\r\nx-goog-upload-offset: 0\r\n\r\n"
        port = int(api.url.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as raw:
            await raw.send(head.encode() + b"ab")

            async def is_there() -> bool:
                return any((api.folder / "state" / "files").glob("*"))

            await until(is_there)

        async def has_arrived() -> bool:
            asked = await send(client, url, "query", 0, b"")
            return asked.headers["x-goog-upload-size-received"] == "2"

        await until(has_arrived)
        last = await send(client, url, "upload, finalize", 2, b"cd")
        assert last.json()["file"]["sizeBytes"] == "4"


async def test_a_later_request_takes_over_from_one_that_hangs(api: LocalController) -> None:
    async with api.http() as client:
        url = await start(client, 4)
        stuck = anyio.Event()

        async def bytes_that_never_end() -> AsyncIterator[bytes]:
            yield b"ab"
            stuck.set()
            await anyio.sleep_forever()

        async def hang() -> None:
            headers = {"x-goog-upload-command": "upload", "content-length": "4"}
            answer = await client.post(url, headers=headers, content=bytes_that_never_end())
            assert answer.status_code == 409

        async def is_there() -> bool:
            return any((api.folder / "state" / "files").glob("*"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hang)
            await stuck.wait()
            await until(is_there)
            last = await send(client, url, "upload, finalize", 0, b"abcd")
            assert last.json()["file"]["sizeBytes"] == "4"
            tasks.cancel_scope.cancel()


async def test_an_upload_outlives_the_controller(tmp_path: Path) -> None:
    async with local_controller(tmp_path) as api, api.http() as client:
        url = await start(client, 6)
        await send(client, url, "upload", 0, b"abc")
        path = url.removeprefix(api.url)
    async with local_controller(tmp_path) as api, api.http() as client:
        last = await send(client, path, "upload, finalize", 3, b"def")
        name = last.json()["file"]["name"]
        assert (await client.get(f"/v1/{name}?alt=media")).content == b"abcdef"


async def test_an_upload_is_cancelled(api: LocalController) -> None:
    async with api.http() as client:
        url = await start(client, 6)
        await send(client, url, "upload", 0, b"abc")
        done = await send(client, url, "cancel", 0, b"")
        assert done.headers["x-goog-upload-status"] == "cancelled"
        gone = await send(client, url, "upload, finalize", 3, b"def")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")
    assert list((api.folder / "state" / "files").iterdir()) == []


async def test_the_whole_file_in_one_request(api: LocalController) -> None:
    async with api.http() as client:
        headers = {"content-type": "text/plain", "x-goog-upload-file-name": "a.txt"}
        made = (await client.post("/upload/v1beta/files", headers=headers, content=b"hi")).json()
        assert made["file"]["displayName"] == "a.txt"
        assert made["file"]["mimeType"] == "text/plain"
        large = b"x" * (21 * 1024**2)
        refused = await client.post("/upload/v1beta/files", headers=headers, content=large)
        assert (refused.status_code, "larger than" in refused.text) == (413, True)


@pytest.mark.parametrize(
    ("headers", "body", "status", "words"),
    [
        ({"x-goog-upload-header-content-length": "0"}, None, 400, "empty"),
        ({"x-goog-upload-header-content-length": "x"}, None, 400, "content-length"),
        ({"x-goog-upload-header-content-length": str(21 * 1024**2)}, None, 413, "files.file_size"),
        ({"x-goog-upload-header-content-type": "nonsense"}, None, 400, "file.mimeType"),
        ({}, {"file": {"name": "files/Über"}}, 400, "file.name"),
        ({}, {"file": {"name": "environment-1"}}, 400, "file.name"),
        ({}, {"file": {"name": "../x"}}, 400, "file.name"),
        ({}, {"file": {"name": 7}}, 400, "file.name"),
        ({}, {"file": {"sizeBytes": "many"}}, 400, "file.sizeBytes"),
        ({}, {"file": {"colour": "red"}}, 400, "file.colour"),
        ({}, {"file": {"displayName": "x" * 513}}, 400, "file.displayName"),
        ({}, {"files": {}}, 400, "'file'"),
        ({}, ["file"], 400, "'file'"),
        ({"x-goog-upload-protocol": "multipart"}, None, 400, "resumable"),
    ],
)
async def test_a_wrong_beginning_is_refused(
    api: LocalController, headers: dict[str, str], body: Any, status: int, words: str
) -> None:
    async with api.http() as client:
        answer = await client.post("/upload/v1beta/files", headers={**START, **headers}, json=body)
    assert answer.status_code == status
    assert words.lower() in answer.json()["error"]["message"].lower()


async def test_more_than_announced_or_allowed_is_refused(api: LocalController) -> None:
    async with api.http() as client:
        url = await start(client, 3)
        answer = await send(client, url, "upload, finalize", 0, b"abcd")
        assert (answer.status_code, "announced" in answer.text) == (400, True)
        url = await start(client, None)
        answer = await send(client, url, "upload", 0, b"x" * (20 * 1024**2 + 1))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
        await send(client, url, "cancel", 0, b"")
        await start(client, 19 * 1024**2)
        headers = {**START, "x-goog-upload-header-content-length": str(19 * 1024**2)}
        full = await client.post("/upload/v1beta/files", headers=headers)
        assert (full.status_code, "files.total_size" in full.text) == (507, True)


async def test_uploads_of_untold_size_share_the_room_that_there_is(api: LocalController) -> None:
    megabyte = b"x" * 1024**2
    async with api.http() as client:
        urls = [await start(client, None) for _ in range(3)]
        parts = [await send(client, url, "upload", 0, megabyte * 14) for url in urls]
        assert [part.status_code for part in parts] == [200, 200, 413]
        refused = await client.post("/upload/v1beta/files", headers={**START, **told(3 * 1024**2)})
        assert (refused.status_code, "files.total_size" in refused.text) == (507, True)
        assert (await send(client, urls[0], "finalize", 0, b"")).status_code == 200
        gone = await send(client, urls[2], "query", 0, b"")
        assert gone.status_code == 404, "what was refused takes no room"
        last = await send(client, urls[1], "upload, finalize", 14 * 1024**2, megabyte * 2)
        assert last.status_code == 200, last.text


async def test_of_uploads_that_start_at_once_none_gets_room_twice(api: LocalController) -> None:
    statuses: list[int] = []
    async with api.http() as client, anyio.create_task_group() as tasks:

        async def begin() -> None:
            headers = {**START, **told(20 * 1024**2)}
            answer = await client.post("/upload/v1beta/files", headers=headers)
            statuses.append(answer.status_code)

        for _ in range(10):
            tasks.start_soon(begin)
    assert sorted(statuses) == [200] + [507] * 9


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_a_page_token_from_beyond_the_calendar_is_refused(
    api: LocalController, moment: str
) -> None:
    token = base64.urlsafe_b64encode(f"{moment} x".encode()).decode()
    async with api.http() as client:
        answer = await client.get("/v1beta/files", params={"page_token": token})
    assert (answer.status_code, "page_token" in answer.text) == (400, True)


async def test_wrong_commands_and_secrets(api: LocalController) -> None:
    async with api.http() as client:
        url = await start(client, 3)
        assert (await send(client, url, "delete", 0, b"")).status_code == 400
        assert (await client.post(url)).status_code == 400
        other = url.rpartition("/")[0] + "/upl_guessed"
        assert (await send(client, other, "query", 0, b"")).status_code == 404
    async with httpx2.AsyncClient(base_url=api.url) as stranger:
        assert (await stranger.get("/v1beta/files")).status_code == 401
        assert (await stranger.post("/upload/v1beta/files", headers=START)).status_code == 401
        # The secret in the address is all that the SDKs send.
        assert (await send(stranger, url, "upload, finalize", 0, b"abc")).status_code == 200


async def test_files_expire_and_are_swept(tmp_path: Path) -> None:
    limits = FilesSettings(retention_seconds=0.001)
    async with local_controller(tmp_path, settings=Settings(files=limits)) as api:
        client, made = sdk(api), await upload(api, b"gone")
        with pytest.raises(errors.ClientError) as caught:
            await call(lambda: client.files.get(name=made.name or ""))
        assert (caught.value.code, "expired" in str(caught.value)) == (404, True)
        assert await call(lambda: list(client.files.list())) == []
        (tmp_path / "state" / "files" / "orphan").write_bytes(b"x")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(api.contents.expire)

            async def is_empty() -> bool:
                return list((tmp_path / "state" / "files").iterdir()) == []

            await until(is_empty)
            tasks.cancel_scope.cancel()


async def test_our_own_client(api: LocalController, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b")
    async with AsyncClient(api.url, KEY) as client:
        made = await client.files.upload(path)
        assert (made.mime_type, made.size_bytes, made.display_name) == ("text/csv", 3, "a.csv")
        other = await client.files.upload(b"x", mime_type="text/plain", name="mine")
        assert other.name == "files/mine"
        assert await client.files.list() == [other, made]
        assert await client.files.get(made.name) == made
        assert await client.files.read(made.name) == b"a,b"
        await client.files.delete("mine")
        with pytest.raises(NotFound):
            await client.files.get("mine")
        with pytest.raises(InvalidRequest, match="mime_type"):
            await client.files.upload(b"x")


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ("bytes=99-", 416, "range_not_satisfiable"),
        ("bytes=abc", 400, "invalid_request"),
        ("items=1", 400, "invalid_request"),
        ("bytes=5-2", 400, "invalid_request"),
    ],
)
async def test_ranges_that_are_none(
    api: LocalController, asked: str, status: int, code: str
) -> None:
    made = await upload(api, b"hello world")
    async with api.http() as client:
        answer = await client.get(f"/v1beta/{made.name}:download", headers={"range": asked})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["content-length"] == str(len(answer.content))
