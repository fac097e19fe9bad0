"""@connections at its worst: a server that fails some receivers in every way, and what the others notice of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from roost.aws import posting, sign
from roost.aws.invoke import Invoker
from roost.aws.push import ConnectionsPush, First, HandedShare, Job
from roost.aws.sign import Credentials
from roost.chat.ports import Outcome, Share
from roost.gateway.certificates import certificate

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LIMIT = posting.LIMIT

#: By the first part of a connection's id: what the server says to a post, and whether it hangs up then.
ANSWERS = {
    "ok": (OK, False),
    "gone": (b"HTTP/1.1 410 Gone\r\nx-amzn-ErrorType: GoneException\r\nContent-Length: 0\r\n\r\n", False),
    "forbidden": (b'HTTP/1.1 403 Forbidden\r\nContent-Length: 23\r\n\r\n{"message":"Forbidden"}', False),
    "large": (b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n", False),
    "busy": (b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", False),
    "broken": (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", False),
    "away": (b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", True),
    "hangup": (b"", True),
    "half": (b"HTTP/1.1 200 OK\r\nContent-Le", True),
    "short": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", True),
    "garbage": (b"\x15\x03\x01 what?\r\n\r\n", False),
    "endless": (b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 8_000, False),
    "silent": (b"", False),
    "accepted": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", False),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
    "lengthless": (b"HTTP/1.1 200 OK\r\n\r\n", True),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True),
    "twice": (OK + OK, False),
}
FAULTS = [name for name in ANSWERS if name not in ("ok", "gone", "accepted", "chunked", "lengthless", "old", "twice")]


class Server:
    """Answers posts as the receiver's id says."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.tls = tls
        self.url = f"http://localhost:{self.listener.getsockname()[1]}/prod"
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []  #: path, headers, body
        self.answered: dict[str, float] = {}
        self.by_body: Callable[[bytes], str] | None = None  #: what to go by instead of the id
        self.stale_after = 0  #: requests that a connection answers before it hangs up on the next
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError):  # a client that does not trust us
                client = self.tls.wrap_socket(client, server_side=True) if self.tls else client
                self.open.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as stream:
            served = 0
            while line := stream.readline():
                headers = {}
                while (header := stream.readline().decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                path = line.split()[1].decode()
                body = stream.read(int(headers["content-length"]))
                self.requests.append((path, headers, body))
                connection = self.by_body(body) if self.by_body else unquote(path.rpartition("/")[2])
                if served == self.stale_after > 0 or not self._answer(client, connection):
                    break
                served += 1
        self.open.discard(client)

    def _answer(self, client: socket.socket, connection: str) -> bool:
        kind = connection.partition("-")[0]
        if kind == "trickle":  # a byte now and then: no single wait is long
            for byte in OK[:-1]:
                client.sendall(bytes([byte]))
                time.sleep(0.3)
            return False
        data, hangs_up = ANSWERS[kind]
        self.answered[connection] = time.monotonic()
        client.sendall(data)
        return not hangs_up

    def posts(self) -> Counter[str]:
        """How often each connection was posted to."""
        return Counter(unquote(path.rpartition("/")[2]) for path, _, _ in self.requests)

    def hang_up(self) -> None:
        """Close every connection, as an idle time does."""
        for client in list(self.open):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listener.close()
        self.hang_up()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


@pytest.fixture
def make() -> Iterator[Callable[..., ConnectionsPush]]:
    with contextlib.ExitStack() as stack:

        def push(url: str, token: str | None = None) -> ConnectionsPush:
            made = ConnectionsPush(url, "eu-west-1", lambda: Credentials("AKID", "secret", token))
            stack.callback(made.close_sockets)
            return made

        yield push


@pytest.fixture
def push(server: Server, make: Callable[..., ConnectionsPush]) -> ConnectionsPush:
    return make(server.url)


@pytest.mark.parametrize("fault", [*FAULTS, "trickle", "gone"])
def test_one_bad_receiver_among_a_hundred(server: Server, push: ConnectionsPush, fault: str) -> None:
    others = [f"ok-{n}" for n in range(99)]
    receivers = [*others[:40], f"{fault}-1", *others[40:]]
    began = time.monotonic()
    assert push.send(receivers, "hello") == {f"{fault}-1": Outcome.GONE if fault == "gone" else Outcome.FAILED}
    took = time.monotonic() - began
    assert took < LIMIT + 3
    assert server.posts() == Counter(receivers)  # nobody was told twice
    heard = sorted(server.answered[each] - began for each in others)
    assert heard[-1] < LIMIT * 0.9  # the others did not wait for it
    if fault in ("silent", "trickle"):
        assert took > LIMIT * 0.9  # it had its time


def test_bad_receivers_of_every_kind_at_once(server: Server, push: ConnectionsPush) -> None:
    bad = [f"{fault}-{n}" for n in range(4) for fault in (*FAULTS, "trickle")]
    good = [f"{kind}-{n}" for n in range(20) for kind in ("ok", "chunked", "lengthless", "old")]
    began = time.monotonic()
    assert push.send([*bad, *good], "hello") == dict.fromkeys(bad, Outcome.FAILED)
    assert time.monotonic() - began < LIMIT + 3
    assert server.posts() == Counter([*bad, *good])


def test_what_was_said_out_of_turn_is_nobodys_answer(server: Server, push: ConnectionsPush) -> None:
    assert push.send(["twice-1"], "hello") == {}
    assert push.send(["gone-1"], "hello") == {"gone-1": Outcome.GONE}
    assert push.send(["gone-1", "twice-1", "gone-2", "gone-3"], "hello") == {
        f"gone-{n}": Outcome.GONE for n in (1, 2, 3)
    }


def test_what_the_accounts_limit_refuses_is_posted_again(server: Server, push: ConnectionsPush) -> None:
    everybody = [f"ok-{n}" for n in range(600)]
    numbers = itertools.count()
    server.by_body = lambda _: "busy" if 200 <= next(numbers) < 450 else "ok"  # a burst is let through, then no more
    assert push.send(everybody, "hello") == {}
    posts = server.posts()
    assert set(posts) == set(everybody)
    assert sum(posts.values()) == 850  # whoever had it was left alone


def test_a_reader_whose_buffer_is_full_does_not_keep_anybody_waiting(server: Server, push: ConnectionsPush) -> None:
    slow = [f"busy-{n}" for n in range(10)]
    assert push.send([*slow, "ok-1"], "hello") == dict.fromkeys(slow, Outcome.FAILED)
    assert server.posts() == Counter([*slow, "ok-1"])


def test_sockets_are_kept_and_never_more_than_two_hundred(server: Server, push: ConnectionsPush) -> None:
    everybody = [f"ok-{n}" for n in range(1_000)]
    for _ in range(3):
        assert push.send(everybody, "hello") == {}
    assert server.posts() == Counter(everybody * 3)
    assert server.connections <= posting.IN_FLIGHT
    before = server.connections
    for _ in range(5):
        assert push.send(["ok-1"], "hello") == {}
    assert server.connections == before


def test_a_socket_that_was_closed_meanwhile_is_not_used(server: Server, push: ConnectionsPush) -> None:
    everybody = [f"ok-{n}" for n in range(20)]
    assert push.send(everybody, "hello") == {}
    server.hang_up()
    time.sleep(0.1)
    assert push.send(everybody, "hello") == {}
    assert server.posts() == Counter(everybody * 2)


def test_a_socket_that_closes_under_a_post_is_replaced_once(server: Server, push: ConnectionsPush) -> None:
    server.stale_after = 1
    for _ in range(3):
        assert push.send(["ok-1"], "hello") == {}
    assert server.posts() == Counter({"ok-1": 5})  # the second and third were tried on the kept socket first
    assert server.connections == 3


def test_a_socket_that_idled_too_long_is_not_used(
    server: Server, push: ConnectionsPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert push.send(["ok-1"], "hello") == {}
    monkeypatch.setattr(posting, "_KEPT", -1.0)
    assert push.send(["ok-1"], "hello") == {}
    assert server.connections == 2


def test_where_nobody_listens_it_is_soon_known(make: Callable[..., ConnectionsPush]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    everybody = [f"ok-{n}" for n in range(3_000)]
    began = time.monotonic()
    assert make(f"http://127.0.0.1:{port}/prod").send(everybody, "hello") == dict.fromkeys(everybody, Outcome.FAILED)
    assert make("http://no-such-host.invalid/prod").send(["a"], "hello") == {"a": Outcome.FAILED}
    assert time.monotonic() - began < LIMIT


def test_where_no_handshake_is_answered_nobody_waits_twice(make: Callable[..., ConnectionsPush]) -> None:
    everybody = [f"ok-{n}" for n in range(3_000)]
    with socket.create_server(("127.0.0.1", 0), backlog=500) as deaf:
        push = make(f"https://127.0.0.1:{deaf.getsockname()[1]}/prod")
        began = time.monotonic()
        assert push.send(everybody, "hello") == dict.fromkeys(everybody, Outcome.FAILED)
    assert LIMIT * 0.9 < time.monotonic() - began < LIMIT + 3


def test_a_certificate_that_is_not_trusted_gets_nothing(
    make: Callable[..., ConnectionsPush], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificate(tmp_path, ())  # its authority is not among the usual ones
    server = Server(made.context)
    url = server.url.replace("http:", "https:")
    assert make(url).send(["ok-1", "ok-2"], "hello") == dict.fromkeys(["ok-1", "ok-2"], Outcome.FAILED)
    assert not server.requests
    trusting = ssl.create_default_context(cafile=made.bundle)
    monkeypatch.setattr(sign, "tls_context", lambda: trusting)
    push = make(url)
    assert push.send(["ok-1", "ok-2"], "hello") == {}
    server.close()


def test_an_address_that_does_not_answer_is_passed_over(
    server: Server, push: ConnectionsPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        dead = probe.getsockname()
    real = (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.listener.getsockname())
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", dead), real]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    everybody = [f"ok-{n}" for n in range(30)]
    assert push.send(everybody, "hello") == {}
    assert server.posts() == Counter(list(everybody))


@pytest.mark.parametrize("token", [None, "temporary/token=="])
@pytest.mark.parametrize("connection", ["Kq3vYcJ9oAMCJxQ=", "a/b+c==", "ü 1", "~_.-"])
def test_posts_are_signed_as_botocore_signs_them(
    server: Server, make: Callable[..., ConnectionsPush], connection: str, token: str | None
) -> None:
    make(server.url, token).send([f"ok-{connection}"], "grüße")
    ((path, headers, body),) = server.requests
    assert body == "grüße".encode()
    assert unquote(path) == f"/prod/@connections/ok-{connection}"
    request = AWSRequest("POST", f"http://{headers['host']}{path}", data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(BotoCredentials("AKID", "secret", token), "execute-api", "eu-west-1")
    for name in ("host", "x-amz-date", *(["x-amz-security-token"] if token else [])):
        request.headers[name] = headers[name]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert headers["authorization"].endswith(f"Signature={signer.signature(text, request)}")
    assert urlsplit(server.url).netloc == headers["host"]


# -- what is handed to the push function ------------------------------------------------------------------------------


@pytest.fixture
def helped(server: Server) -> Iterator[ConnectionsPush]:
    """A Push whose push function is invoked at the server."""
    key = Credentials("AKID", "secret", "token")
    endpoint = server.url.removesuffix("/prod")
    invoker = Invoker("roost-push", endpoint=endpoint, region="eu-west-1", credentials=lambda: key)
    yield ConnectionsPush("http://127.0.0.1:9/prod", "eu-west-1", lambda: key, invoker)
    invoker.close()


def crowd(size: int) -> dict[str, int]:
    return {f"{number:015}=": 1_800_000_000_000 + number for number in range(size)}


def handed(server: Server) -> list[Share]:
    """The shares that arrived, as the push function reads them."""
    return [msgspec.convert(json.loads(body), HandedShare, strict=True).share() for _, _, body in server.requests]


@pytest.mark.parametrize("size", [2_001, 2_500, 2_501, 10_000])
def test_a_large_audience_is_cut_into_equal_shares(server: Server, helped: ConnectionsPush, size: int) -> None:
    server.by_body = lambda _: "accepted"
    everybody = crowd(size)
    assert helped.spread(Share("C1", "grüße", everybody, 1_800_000_009_999)) == []
    shares = handed(server)
    assert sum(len(share.receivers) for share in shares) == size
    assert {each: since for share in shares for each, since in share.receivers.items()} == everybody
    assert len(shares) == -(-size // 2_500)
    assert max(len(share.receivers) for share in shares) - min(len(share.receivers) for share in shares) < len(shares)
    assert len({share.name for share in shares}) == len(shares)
    assert {(share.channel, share.payload, share.time) for share in shares} == {("C1", "grüße", 1_800_000_009_999)}
    for path, headers, body in server.requests:
        assert path == "/2015-03-31/functions/roost-push/invocations"
        assert headers["x-amz-invocation-type"] == "Event"
        assert len(body) <= 256 * 1024


@pytest.mark.parametrize("character", ["\0", "é", "🐦", "random"])
def test_a_share_fits_an_event_whatever_is_in_the_frame(
    server: Server, helped: ConnectionsPush, character: str
) -> None:
    server.by_body = lambda _: "accepted"
    frame = character * (128 * 1024 // len(character.encode()))
    if character == "random":
        frame = secrets.token_urlsafe(96 * 1024)  # 128 KB of characters
    everybody = crowd(5_000)
    assert helped.spread(Share("C1", frame, everybody, 1)) == []
    assert max(len(body) for _, _, body in server.requests) <= 256 * 1024
    shares = handed(server)
    assert all(share.payload == frame for share in shares)
    assert Counter(each for share in shares for each in share.receivers) == Counter(list(everybody))


@pytest.mark.parametrize("fault", ["busy", "forbidden", "broken", "hangup", "garbage", "silent"])
def test_shares_that_lambda_does_not_take_are_left(server: Server, helped: ConnectionsPush, fault: str) -> None:
    first = "000000000000000="
    server.by_body = lambda body: fault if first.encode() in body else "accepted"
    (left,) = helped.spread(Share("C1", "hello", crowd(7_500), 1))
    assert first in left.receivers
    assert len(left.receivers) == 2_500
    assert left.name in {share.name for share in handed(server)}  # whoever delivers it claims it by this name


def test_without_a_push_function_nothing_is_handed_over(push: ConnectionsPush) -> None:
    share = Share("C1", "hello", crowd(3_000), 1)
    assert list(push.spread(share)) == [share]
    push.send_first("ok-1", "welcome")  # said in the log, and nothing else


def test_a_first_frame_is_left_to_the_push_function(server: Server, helped: ConnectionsPush) -> None:
    server.by_body = lambda _: "accepted"
    helped.send_first("c=", "welcome")
    ((_, _, body),) = server.requests
    assert msgspec.convert(json.loads(body), Job) == First("c=", "welcome")


def test_invocations_are_signed_as_botocore_signs_them(server: Server, helped: ConnectionsPush) -> None:
    server.by_body = lambda _: "accepted"
    helped.send_first("c=", "grüße")
    ((path, headers, body),) = server.requests
    request = AWSRequest("POST", f"http://{headers['host']}{path}", data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    for name in ("host", "x-amz-date", "x-amz-invocation-type", "x-amz-security-token"):
        request.headers[name] = headers[name]
    signer = SigV4Auth(BotoCredentials("AKID", "secret", "token"), "lambda", "eu-west-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert headers["authorization"].endswith(f"Signature={signer.signature(text, request)}")
