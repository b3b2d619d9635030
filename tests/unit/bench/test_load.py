from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from bench.failures import NotMeasured
from bench.load import calls as calls_module
from bench.load.streams import Reader
from bench.load.wire import answer_length, request, status
from bench.servers import Calls, call, reading, serving
from bench.streams import crowd, first_delay

BODY = json.dumps({"id": "int_1", "text": "x" * 100})


def test_a_request_is_what_http_wants() -> None:
    assert request("GET", "/a", "k") == (
        "GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\nx-goog-api-key: k\r\n\r\n"
    )
    head, _, body = request("POST", "/a", "k", {"text": "ü"}).partition("\r\n\r\n")
    assert f"Content-Length: {len(body.encode())}" in head
    assert json.loads(body) == {"text": "ü"}


def test_an_answer_ends_where_its_head_says() -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nx: y\r\n\r\nhello"
    assert answer_length(answer) == len(answer)
    assert answer_length(answer[:20]) is None
    assert status(answer) == 404
    with pytest.raises(ValueError, match="without content-length"):
        answer_length(b"HTTP/1.1 200 OK\r\n\r\n")


def test_calls_are_counted_and_timed() -> None:
    with serving("bench.bare_api", BODY) as server:
        once = call(
            server.port, [request("GET", f"/v1/interactions/{n}", "k") for n in range(30)], 4
        )
        again = call(server.port, [request("POST", "/v1/interactions", "k", {})], 4, seconds=0.2)
    assert len(once.latencies) == 30
    assert len(again.latencies) >= 4
    assert all(0 < latency < 60 for latency in once.latencies)


def test_a_refused_call_is_no_measurement() -> None:
    with (
        serving("bench.bare_api", BODY) as server,
        pytest.raises(NotMeasured, match="404 Not Found"),
    ):
        call(server.port, [request("GET", "/nowhere", "k")])


def test_rates_and_quantiles() -> None:
    calls = Calls([0.4, 0.1, 0.3, 0.2], 2.0)
    assert calls.rate == 2.0
    assert (calls.quantile(0.0), calls.quantile(0.5), calls.quantile(1.0)) == (0.1, 0.3, 0.4)


@contextmanager
def pieces(*sent: bytes) -> Generator[int]:
    """A server that sends its one caller a piece for whatever it hears; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for piece in sent:
                    connection.recv(65536)
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(timeout=30)


def test_a_moment_that_comes_in_two_pieces_is_read_once() -> None:
    with pieces(b"HTTP/1.1 200 OK\r\n\r\ndata: @1.0;@2.", b"500000;\n\n", b"0\r\n\r\n") as port:
        reader = Reader(port, b"GET / HTTP/1.1\r\n\r\n")
        assert reader.read()
        assert len(reader.delays) == 1
        assert not reader.has_begun
        reader._socket.sendall(b".")
        assert reader.read()
        assert len(reader.delays) == 2
        assert reader.has_begun
        assert reader.delays[0] - reader.delays[1] == pytest.approx(1.5, abs=60)
        reader._socket.sendall(b".")
        assert not reader.read()
        reader.close()


def test_an_answer_in_pieces_is_one_call() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n"
    with pieces(head + b"abc", b"def") as port:
        caller = calls_module.Caller(port)
        caller.call(b"GET / HTTP/1.1\r\n\r\n")
        assert caller.read() is None
        caller._socket.sendall(b".")
        found = caller.read()
        caller.close()
    assert found is not None
    assert found[1] == head + b"abcdef"


def test_a_crowd_gets_every_event_of_the_bare_server() -> None:
    with serving("bench.bare_api", "{}") as server:
        ticks = request("POST", "/ticks", "k", {"count": 3, "seconds": 0.01})
        found = crowd(
            server, request("GET", "/stream", "k"), lambda: _ignore(server.port, ticks), 3
        )
    assert len(found.delays) == 3 * 1000
    assert found.memory_bytes > 0
    assert found.quantile(0.5) <= found.quantile(0.99) <= found.quantile(1)


def _ignore(port: int, wanted: str) -> None:
    call(port, [wanted])


def test_streams_that_do_not_open_are_no_measurement() -> None:
    with serving("bench.bare_api", "{}") as server:
        port = server.port
    with (
        reading(port, request("GET", "/stream", "k"), 2) as readers,
        pytest.raises(NotMeasured, match="did not open"),
    ):
        readers.wait_open()


def test_the_model_says_when_it_spoke() -> None:
    ask = json.dumps({"count": 2, "seconds": 0.0})
    body = {"messages": [{"role": "user", "content": ask}]}
    with serving("bench.model_server") as model:
        assert 0 <= first_delay(model.port, request("POST", "/v1/chat/completions", "k", body)) < 60
