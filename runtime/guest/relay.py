"""The sandbox's way to the egress proxy: connections to a loopback port, passed to a unix socket.

It reads nothing of what it carries. One thread serves all connections: a socket is read only when
what was read before has been written, so a slow side holds up its other side and nobody else, and a
connection takes 64 KiB at most in either direction. Copying through one buffer is faster here than
`splice`, which moves single pages between a unix socket and TCP.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from pathlib import Path

from runtime import clock

MAX_CONNECTIONS = 512
"""More than the proxy takes of one environment, so that its refusal is what a program sees."""
CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 15.0
"""For the proxy's socket to take a connection: while it is replaced, it does not."""
FAREWELL_SECONDS = 2.0
"""For a caller to read its answer and close; it may be in the middle of sending something."""
_RETRY_SECONDS = 0.1
_ROUNDS = 8
"""Chunks that one direction may pass before the other connections have their turn."""
_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_GONE = (
    b"HTTP/1.1 503 the network of this sandbox does not answer\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 49\r\n\r\n"
    b"The network of this sandbox does not answer now.\n"
)


class SinkGone(Exception):
    """The side that was to be written to has closed."""


class Lane:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source = source
        self._sink = sink
        self._waiting = memoryview(b"")
        """Read, and not written yet."""
        self.is_discarding = False
        """What comes is read and dropped: nobody takes it any more."""
        self.has_ended = False
        """The source has ended, and the sink was told."""

    def advance(self, buffer: memoryview) -> bool:
        """Pass on what there is; whether there may be more.

        Raises `OSError` when the source broke off, `SinkGone`.
        """
        if self.has_ended:
            return False
        try:
            for _ in range(_ROUNDS):
                self._flush()
                count = self._source.recv_into(buffer)
                if count == 0:
                    self.end()
                    return False
                if not self.is_discarding:
                    self._pass(buffer[:count])
        except BlockingIOError:
            return False
        return True

    def discard(self) -> None:
        """Drop what comes from now on."""
        self.is_discarding = True
        self._waiting = memoryview(b"")

    def end(self) -> None:
        """Pass on that the source has ended."""
        self.has_ended = True
        with contextlib.suppress(OSError):  # it has closed: nothing to tell
            self._sink.shutdown(socket.SHUT_WR)

    def _flush(self) -> None:
        while self._waiting:
            self._waiting = self._waiting[self._send(self._waiting) :]

    def _pass(self, data: memoryview) -> None:
        sent = 0
        try:
            while sent < len(data):
                sent += self._send(data[sent:])
        except BlockingIOError:
            self._waiting = memoryview(bytes(data[sent:]))
            raise

    def _send(self, data: memoryview) -> int:
        try:
            return self._sink.send(data)
        except ConnectionError as error:
            raise SinkGone from error


class Connection:
    """A program's connection and the one to the proxy that carries it."""

    def __init__(self, caller: socket.socket, proxy: socket.socket) -> None:
        self.sides = (caller, proxy)
        self.proxy = proxy
        self._outward = Lane(caller, proxy)
        self._inward = Lane(proxy, caller)
        self._proxy_is_gone = False

    def advance(self, buffer: memoryview) -> bool:
        """Move both directions; whether there may be more to move now.

        Raises `OSError` or `SinkGone` when the caller has closed or broken off. When the proxy
        has, the caller gets what the proxy said before: it may have refused a request in the
        middle of its body.
        """
        try:
            has_more = self._outward.advance(buffer)
        except SinkGone:
            self.proxy_closed()
            has_more = True
        try:
            return self._inward.advance(buffer) or has_more
        except ConnectionError:
            self.proxy_closed()
            self._inward.end()
            return has_more

    def proxy_closed(self) -> None:
        """The proxy has closed its side, for reading too."""
        self._proxy_is_gone = True
        self._outward.discard()

    @property
    def is_over(self) -> bool:
        """Whether both sides have ended."""
        return self._inward.has_ended and self._outward.has_ended

    @property
    def is_left(self) -> bool:
        """Whether only the caller is there, and has got all that was for it."""
        return self._inward.has_ended and self._proxy_is_gone

    def close(self) -> None:
        """Close both sides."""
        for side in self.sides:
            side.close()


class Relay:
    """Serves `listening` for as long as the process lives."""

    def __init__(
        self,
        listening: socket.socket,
        proxy: Path,
        max_connections: int = MAX_CONNECTIONS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        """`proxy` is the path of the egress proxy's socket, which need not be there yet."""
        listening.setblocking(False)
        self._listening = listening
        self._proxy = str(proxy)
        self._max_connections = max_connections
        self._connect_seconds = connect_seconds
        self._poll = select.epoll()
        self._poll.register(listening.fileno(), select.EPOLLIN)
        self._is_accepting = True
        self._connections: dict[int, Connection] = {}
        """By the descriptor of either side."""
        self._unconnected: deque[tuple[float, socket.socket]] = deque()
        """Callers that wait for the proxy's socket, with their deadlines."""
        self._busy: set[Connection] = set()
        self._left: dict[Connection, float] = {}
        """Those whose proxy's side is gone, with the time until which their caller may talk on."""
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    def run(self) -> None:
        """Carry connections; never returns."""
        while True:
            self.turn()

    def turn(self, seconds: float | None = None) -> None:
        """Wait for something to do, `seconds` at most, and do it."""
        active = self._busy
        self._busy = set()
        for descriptor, events in self._poll.poll(self._patience(seconds, busy=bool(active))):
            connection = self._connections.get(descriptor)
            if connection is None:
                self._accept()
                continue
            if events & select.EPOLLHUP and descriptor == connection.proxy.fileno():
                connection.proxy_closed()
            active.add(connection)
        for connection in active:
            self._advance(connection)
        self._end_left()
        self._connect_waiting()
        self._regard_room()

    def close(self) -> None:
        """End all connections; the port is left to whoever made it."""
        for connection in set(self._connections.values()):
            self._end(connection)
        while self._unconnected:
            self._unconnected.popleft()[1].close()
        self._poll.close()

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._connections) // 2 + len(self._unconnected)

    def _patience(self, seconds: float | None, *, busy: bool) -> float | None:
        if busy:
            return 0
        if self._unconnected or self._left:
            return _RETRY_SECONDS
        return seconds

    def _accept(self) -> None:
        while self.count < self._max_connections:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return  # nobody waits any more, or they left
            caller.setblocking(False)
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._unconnected.append((clock.monotonic() + self._connect_seconds, caller))

    def _connect_waiting(self) -> None:
        while self._unconnected:
            deadline, caller = self._unconnected[0]
            proxy = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                proxy.connect(self._proxy)
            except OSError:  # not there, or as many wait there as can
                proxy.close()
                if clock.monotonic() < deadline:
                    return
                self._unconnected.popleft()
                _turn_away(caller, self._buffer)
                continue
            self._unconnected.popleft()
            self._begin(Connection(caller, proxy))

    def _begin(self, connection: Connection) -> None:
        for side in connection.sides:
            self._connections[side.fileno()] = connection
            self._poll.register(side.fileno(), _EDGES)
        self._busy.add(connection)

    def _advance(self, connection: Connection) -> None:
        try:
            has_more = connection.advance(self._buffer)
        except (OSError, SinkGone):
            self._end(connection)
            return
        if connection.is_over:
            self._end(connection)
            return
        if connection.is_left:
            self._left.setdefault(connection, clock.monotonic() + FAREWELL_SECONDS)
        if has_more:
            self._busy.add(connection)

    def _end_left(self) -> None:
        now = clock.monotonic()
        for connection in [one for one, deadline in self._left.items() if deadline < now]:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        self._busy.discard(connection)
        self._left.pop(connection, None)
        for side in connection.sides:
            del self._connections[side.fileno()]
        connection.close()

    def _regard_room(self) -> None:
        """Leave callers in the queue of the port while there are as many as may be."""
        has_room = self.count < self._max_connections
        if has_room != self._is_accepting:
            self._poll.modify(self._listening.fileno(), select.EPOLLIN if has_room else 0)
            self._is_accepting = has_room


def _turn_away(caller: socket.socket, buffer: memoryview) -> None:
    """Say that there is no network; what was asked is read first, or closing would be a reset."""
    with caller, contextlib.suppress(OSError):
        caller.recv_into(buffer)
        caller.send(_GONE)
