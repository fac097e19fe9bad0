"""Many small HTTP requests to one endpoint at once, on kept-alive sockets and one thread.

A post to `@connections` is 15 ms of waiting and a few microseconds of work, and a Lambda function has a third of a
processor: so all sockets are non-blocking and whoever calls waits for all of them in one place. docs/why/pushing.md has
what threads cost instead. Each call owns the sockets that it uses, so several threads may call at once.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable
from urllib.parse import urlsplit

from roost.aws import sign

IN_FLIGHT = 200
LIMIT = 2.0  # seconds that one request may take, from its turn to its answer
_OPENING = 8  # handshakes under way at once: while they cost processor time, open sockets do the work
_ALL = 20.0  # seconds that one call may take; what has no answer by then gets none
_KEPT = 45.0  # seconds after which an idle socket is not used again: the other side may have gone unseen
_ADDRESSES = 30.0  # seconds that addresses are used without asking again
_HEAD = 64 * 1024  # bytes of an answer that are read at most
_READ = 64 * 1024
_TRIES = 3  # of one request: where a kept socket proves stale, or an address does not answer
_WORKS = -1
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def _close_all(idle: list[_Line]) -> None:
    while idle:
        idle.pop().sock.close()


class Posting:
    """One endpoint."""

    def __init__(self, endpoint: str, *, in_flight: int = IN_FLIGHT, limit: float = LIMIT) -> None:
        parts = urlsplit(endpoint)
        self.secure = parts.scheme == "https"
        self.host = parts.netloc
        self.base = parts.path.rstrip("/")
        self.in_flight = in_flight
        self.limit = limit
        self.name = parts.hostname or ""
        self.session: ssl.SSLSession | None = None  #: of an earlier handshake, which makes the next one cheap
        self._port = parts.port or (443 if self.secure else 80)
        self._found: tuple[float, list[_Address]] = (0.0, [])
        self._idle: list[_Line] = []
        weakref.finalize(self, _close_all, self._idle)
        self._lock = threading.Lock()

    def statuses(self, requests: Iterable[bytes]) -> list[int]:
        """Send each request; the status of each answer, 0 where none came. Takes requests as it gets to them."""
        return _Call(self, requests).run()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            _close_all(self._idle)

    def take(self) -> _Line | None:
        """An idle socket that is still good."""
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None or (0 <= time.time() - line.used < _KEPT and line.is_quiet()):
                return line
            line.sock.close()

    def has_idle(self) -> bool:
        """Whether there may be one to take."""
        return bool(self._idle)

    def give_back(self, line: _Line) -> None:
        """Keep a socket for the next call."""
        line.used = time.time()
        line.kept = True
        with self._lock:
            if len(self._idle) < self.in_flight:
                self._idle.append(line)
                return
        line.sock.close()

    def addresses(self) -> list[_Address]:
        """Where the endpoint is, the one that last worked first. Raises `OSError`."""
        at, found = self._found
        if not found or time.monotonic() - at > _ADDRESSES:
            every = socket.getaddrinfo(self.name, self._port, type=socket.SOCK_STREAM)
            found = [(family, address) for family, _, _, _, address in every]
            self._found = (time.monotonic(), found)
        return found

    def failed(self, address: _Address) -> None:
        """Try another address first from now on."""
        at, found = self._found
        if found and found[0] == address:
            self._found = (at, [*found[1:], address])


_Address = tuple[socket.AddressFamily, tuple[object, ...]]


class _Job:
    """A request and what becomes of it."""

    __slots__ = ("deadline", "number", "request", "tries")

    def __init__(self, number: int, request: bytes, deadline: float) -> None:
        self.number = number
        self.request = request
        self.deadline = deadline
        self.tries = 0  # that ended before anything could be said


class _Line:
    """A socket to the endpoint. `job` is what it is busy with."""

    __slots__ = ("address", "events", "job", "kept", "open", "proven", "received", "sock", "unsent", "used")

    def __init__(self, sock: socket.socket, address: _Address) -> None:
        self.sock = sock
        self.address = address
        self.open = False  #: connected, and the handshake is done
        self.proven = False  #: it has carried an answer
        self.kept = False  #: idle since an earlier call, so the other side may be about to close it
        self.used = 0.0  #: when it became idle, by the wall clock, which goes on while a function is frozen
        self.events = 0
        self.job: _Job | None = None
        self.unsent: bytes | memoryview = b""
        self.received = b""

    def is_quiet(self) -> bool:
        """Whether the other side has neither closed it nor said anything out of turn."""
        try:
            self.sock.recv(1)
        except _NOT_NOW:
            return True
        except OSError:
            return False
        return False


class _Call:
    """One call of `Posting.statuses`."""

    def __init__(self, posting: Posting, requests: Iterable[bytes]) -> None:
        self._posting = posting
        self._requests = enumerate(requests)
        self._again: deque[_Job] = deque()
        self._statuses: list[int] = []
        self._busy: set[_Line] = set()
        self._opening = 0
        self._failures = 0  # of openings, while nothing has worked yet; then _WORKS
        self._selector = selectors.DefaultSelector()
        self._end = self._first_end = time.monotonic() + _ALL  # no job ends before `_first_end`

    def run(self) -> list[int]:
        """Go on until every request has its status."""
        try:
            while self._busy or self._begin_what_can_begin():
                ready = self._selector.select(0)
                if not ready:  # only now: a handshake costs as much as twenty posts
                    self._begin_what_can_begin()
                    ready = self._selector.select(max(0.0, self._first_end - time.monotonic()))
                for key, _ in ready:
                    self._ready(key.data)
                if time.monotonic() >= self._first_end:
                    self._expire()
        finally:
            for line in self._busy:  # an error of ours
                line.sock.close()
            self._selector.close()
        return self._statuses

    # -- jobs -------------------------------------------------------------------------------------------------------

    def _begin_what_can_begin(self) -> bool:
        """Give sockets their jobs, as far as there are both; whether anything is under way."""
        posting = self._posting
        while len(self._busy) < posting.in_flight:
            may_open = self._opening < _OPENING
            job = self._next_job() if may_open or posting.has_idle() else None
            if job is None:
                break
            line = None if job.tries else posting.take()
            if line is not None:
                self._begin(line, job)
            elif may_open:
                self._open(job)
            else:
                self._again.appendleft(job)
                break
        return bool(self._busy)

    def _next_job(self) -> _Job | None:
        if self._again:
            return self._again.popleft()
        for number, request in self._requests:
            self._statuses.append(0)
            now = time.monotonic()
            if now < self._end and self._failures < _OPENING:  # else there is no time, or nobody there
                return _Job(number, request, min(now + self._posting.limit, self._end))
        return None

    def _begin(self, line: _Line, job: _Job) -> None:
        self._assign(line, job)
        line.received = b""
        line.unsent = job.request
        self._send(line)

    def _assign(self, line: _Line, job: _Job) -> None:
        line.job = job
        self._busy.add(line)
        if job.deadline < self._first_end:
            self._first_end = job.deadline

    def _expire(self) -> None:
        now = time.monotonic()
        for line in [line for line in self._busy if line.job is not None and line.job.deadline <= now]:
            self._drop(line)
        self._first_end = min((line.job.deadline for line in self._busy if line.job is not None), default=self._end)

    def _drop(self, line: _Line, *, again: bool = False) -> None:
        """Close a socket in the middle of its job. `again`: the job was not begun, so another socket may do it."""
        job = line.job
        assert job is not None
        self._busy.remove(line)
        if line.events:
            self._selector.unregister(line.sock)
        line.sock.close()
        if not line.open:
            self._opening -= 1
            self._opening_failed()
        job.tries += 1
        if again and job.tries < _TRIES:
            self._again.append(job)

    # -- opening ----------------------------------------------------------------------------------------------------

    def _open(self, job: _Job) -> None:
        try:
            address = self._posting.addresses()[0]
            sock = socket.socket(address[0], socket.SOCK_STREAM)
        except OSError:
            self._opening_failed()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = _Line(sock, address)
        self._assign(line, job)
        self._opening += 1
        sock.connect_ex(address[1])  # how it ended is asked for when the socket is ready
        self._wait(line, selectors.EVENT_WRITE)

    def _opening_failed(self) -> None:
        if self._failures != _WORKS:
            self._failures += 1

    def _connected(self, line: _Line) -> None:
        posting = self._posting
        if line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            posting.failed(line.address)
            self._drop(line, again=True)
            return
        if not posting.secure:
            self._opened(line)
            return
        self._selector.unregister(line.sock)
        line.events = 0
        try:
            sock = sign.tls_context().wrap_socket(
                line.sock, server_hostname=posting.name, do_handshake_on_connect=False, session=posting.session
            )
        except OSError:  # gone again already
            self._drop(line)
            return
        line.sock = sock
        self._shake_hands(line, sock)

    def _shake_hands(self, line: _Line, sock: ssl.SSLSocket) -> None:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self._wait(line, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._wait(line, selectors.EVENT_WRITE)
        except OSError:
            self._drop(line)
        else:
            self._opened(line)

    def _opened(self, line: _Line) -> None:
        assert line.job is not None
        line.open = True
        line.unsent = line.job.request
        self._opening -= 1
        self._failures = _WORKS
        self._send(line)

    # -- one request ------------------------------------------------------------------------------------------------

    def _ready(self, line: _Line) -> None:
        if line.open:
            self._receive(line)
            if line.unsent and line in self._busy:
                self._send(line)
        elif isinstance(line.sock, ssl.SSLSocket):
            self._shake_hands(line, line.sock)
        else:
            self._connected(line)

    def _send(self, line: _Line) -> None:
        try:
            sent = line.sock.send(line.unsent)
        except _NOT_NOW:
            sent = 0
        except OSError:
            self._drop(line, again=line.kept)
            return
        if sent == len(line.unsent):
            line.unsent = b""
            self._wait(line, selectors.EVENT_READ)
        else:
            line.unsent = memoryview(line.unsent)[sent:]
            self._wait(line, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _receive(self, line: _Line) -> None:
        try:
            data = line.sock.recv(_READ)
        except _NOT_NOW:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(line, again=line.kept and not line.received)
            return
        line.received += data
        answer = _answer(line.received)
        if answer is not None:
            self._answered(line, *answer)
        elif len(line.received) > _HEAD:
            self._drop(line)

    def _answered(self, line: _Line, status: int, usable: bool) -> None:
        """A job is done; its socket does the next one, or is kept."""
        job = line.job
        assert job is not None
        self._statuses[job.number] = status
        self._failures = _WORKS
        if not usable or line.unsent:
            self._drop(line)
            return
        line.kept = False
        if not line.proven:
            line.proven = True
            if isinstance(line.sock, ssl.SSLSocket):
                self._posting.session = line.sock.session
        following = self._next_job()
        if following is not None:
            self._begin(line, following)
            return
        self._busy.remove(line)
        self._selector.unregister(line.sock)
        line.events = 0
        self._posting.give_back(line)

    def _wait(self, line: _Line, events: int) -> None:
        if line.events == events:
            return
        if line.events:
            self._selector.modify(line.sock, events, line)
        else:
            self._selector.register(line.sock, events, line)
        line.events = events


def _answer(data: bytes) -> tuple[int, bool] | None:
    """An answer's status and whether its socket can be used again; None while it is not complete.

    Where an answer does not say how long it is, its status is all that is wanted, and the socket goes.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[: end + 2].lower()
    status = int(head[9:12]) if head.startswith(b"http/1.") and head[9:12].isdigit() else 0
    length = _header(head, b"\r\ncontent-length:")
    size = int(length) if length.isdigit() else 0
    if status and length and len(data) < end + 4 + size:
        return None
    whole = len(data) == end + 4 + size and (length != b"" or status == 204)
    return status, whole and head.startswith(b"http/1.1") and b"close" not in _header(head, b"\r\nconnection:")


def _header(head: bytes, name: bytes) -> bytes:
    start = head.find(name)
    return head[start + len(name) : head.find(b"\r\n", start + 2)].strip() if start >= 0 else b""
