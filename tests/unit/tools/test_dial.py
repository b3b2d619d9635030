"""The door to the network, against real servers on loopback."""

from __future__ import annotations

import gzip
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Thread

import anyio
import anyio.to_thread
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from runtime.errors import AddressRefused
from runtime.tools.dial import BodyTooLarge, Dialer
from tests.support.web import serving

pytestmark = pytest.mark.anyio


class Site:
    """A small site that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/hello", self.hello),
                Route("/hop/{count:int}", self.hop),
                Route("/to", self.to),
                Route("/endless", self.endless),
                Route("/packed", self.packed),
                Route("/charset/{name}", self.charset),
            ]
        )

    async def hello(self, request: Request) -> Response:
        self.asked.append(request.headers["host"])
        return PlainTextResponse(request.headers["accept-encoding"])

    async def hop(self, request: Request) -> Response:
        left = request.path_params["count"]
        return RedirectResponse(f"/hop/{left - 1}" if left else "/hello")

    async def to(self, request: Request) -> Response:
        return RedirectResponse(request.query_params["url"])

    async def endless(self, request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                await checkpoint()
                yield b"x" * 65536

        return StreamingResponse(chunks())

    async def packed(self, request: Request) -> Response:
        return Response(gzip.compress(b"0" * 1000), headers={"content-encoding": "gzip"})

    async def charset(self, request: Request) -> Response:
        kind = f"text/plain; charset={request.path_params['name']}"
        return Response(b"\\ud800 +2AA- gr\xfc\xdfe", headers={"content-type": kind})


@pytest.fixture
async def site() -> AsyncIterator[tuple[Site, int]]:
    site = Site()
    async with serving(site.app) as port:
        yield site, port


class Lookups:
    """A name service whose answers are set by the test, one after another."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_nothing_on_loopback_is_reached_by_default(site: tuple[Site, int]) -> None:
    served, port = site
    async with Dialer().client() as client:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(AddressRefused):
                await client.get(f"http://{host}:{port}/hello")
    assert served.asked == []


async def test_an_allowed_address_is_reached_and_asked_for_plain_bodies(
    site: tuple[Site, int],
) -> None:
    served, port = site
    async with Dialer(["127.0.0.0/8"]).client() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/hello")
    assert answer.text == "identity"
    assert served.asked == [f"127.0.0.1:{port}"]


async def test_a_name_is_looked_up_once_and_the_checked_address_is_dialled(
    site: tuple[Site, int],
) -> None:
    served, port = site
    lookups = Lookups(["127.0.0.1"], ["192.0.2.1"])
    async with Dialer(["127.0.0.1"], lookups).client() as client:
        answer = await client.get(f"http://shop.example.com:{port}/hello")
    assert answer.status_code == 200
    assert lookups.asked == ["shop.example.com"]
    assert served.asked == [f"shop.example.com:{port}"]


@pytest.mark.parametrize(
    "answer",
    [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["2606:4700::1111", "fd00:ec2::254"]],
)
async def test_a_name_that_leads_inside_is_refused(
    site: tuple[Site, int], answer: list[str]
) -> None:
    served, _ = site
    async with Dialer(resolve=Lookups(answer)).client() as client:
        with pytest.raises(AddressRefused, match="not public"):
            await client.get("http://rebound.example.com/hello")
    assert served.asked == []


async def test_a_name_whose_answers_change_is_checked_at_each_connection(
    site: tuple[Site, int],
) -> None:
    _, port = site
    dialer = Dialer(["127.0.0.1"], Lookups(["127.0.0.1"], ["10.0.0.1"]))
    async with dialer.client() as client:
        await client.get(f"http://flip.example.com:{port}/hello")
    async with dialer.client() as client:
        with pytest.raises(AddressRefused):
            await client.get(f"http://flip.example.com:{port}/hello")


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/",
        "http://[::1]/",
        "http://2852039166/",
    ],
)
async def test_a_redirect_is_checked_like_a_first_request(
    site: tuple[Site, int], target: str
) -> None:
    _, port = site
    async with Dialer([f"127.0.0.1:{port}"]).client(follow_redirects=True) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"http://127.0.0.1:{port}/to", params={"url": target})


async def test_redirects_are_followed_five_times(site: tuple[Site, int]) -> None:
    _, port = site
    async with Dialer(["127.0.0.1"]).client(follow_redirects=True) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/hop/4")
        assert answer.url.path == "/hello"
        with pytest.raises(httpx2.TooManyRedirects):
            await client.get(f"http://127.0.0.1:{port}/hop/5")


async def test_an_endless_body_is_given_up(site: tuple[Site, int]) -> None:
    _, port = site
    async with Dialer(["127.0.0.1"]).client(max_bytes=200_000) as client:
        with anyio.fail_after(10), pytest.raises(BodyTooLarge, match="200000 bytes"):
            await client.get(f"http://127.0.0.1:{port}/endless")


async def test_a_body_that_was_compressed_unasked_is_not_unfolded(site: tuple[Site, int]) -> None:
    _, port = site
    async with Dialer(["127.0.0.1"]).client() as client:
        with pytest.raises(httpx2.DecodingError):
            await client.get(f"http://127.0.0.1:{port}/packed")


async def test_the_next_address_is_tried_when_one_does_not_answer(site: tuple[Site, int]) -> None:
    _, port = site
    lookups = Lookups(["127.0.0.2", "127.0.0.1"])
    async with Dialer(["127.0.0.0/8"], lookups).client() as client:
        answer = await client.get(f"http://two.example.com:{port}/hello")
    assert answer.status_code == 200


async def test_a_server_that_is_not_there_is_a_connect_error() -> None:
    with anyio.fail_after(10):
        async with Dialer(["127.0.0.1"]).client() as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get("http://127.0.0.1:9/")


async def test_tls_is_verified_against_the_name(tmp_path: Path) -> None:
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subject = ["-subj", "/CN=shop.example.com", "-addext", "subjectAltName=DNS:shop.example.com"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    await anyio.run_process([*command, *subject, "-keyout", key, "-out", certificate])
    dialer = Dialer(["127.0.0.1"], Lookups(["127.0.0.1"]))
    async with serving(Site().app, certificate=(certificate, key)) as port, dialer.client() as web:
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await web.get(f"https://shop.example.com:{port}/hello")


@pytest.mark.parametrize(
    "charset",
    ["zlib", "hex", "rot13", "idna", "undefined", "punycode", "unicode_escape", "UTF-7", "none"],
)
async def test_an_odd_charset_is_read_as_the_default(site: tuple[Site, int], charset: str) -> None:
    _, port = site
    async with Dialer(["127.0.0.1"]).client() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/charset/{charset}")
        assert answer.text == "\\ud800 +2AA- gr\ufffd\ufffde"
        usual = await client.get(f"http://127.0.0.1:{port}/charset/iso-8859-1")
        assert usual.text.endswith("grüße")


async def test_a_server_that_resets_at_once_is_a_failed_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        resetting = Thread(target=_reset_all, args=(listener, 300))
        resetting.start()
        async with Dialer(["127.0.0.1"]).client() as client:
            # It takes luck for the reset to come before the connection is looked at.
            for _ in range(300):
                with pytest.raises(httpx2.NetworkError):
                    await client.get(f"http://127.0.0.1:{port}/")
        await anyio.to_thread.run_sync(resetting.join)


def _reset_all(listener: socket.socket, count: int) -> None:
    for _ in range(count):
        connection, _ = listener.accept()
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
