"""Event streams over real sockets: who is let in, and with which code each is closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from slack_sdk import WebClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.end_to_end.test_slack_sdk import Office, open_office


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    opened = open_office(tmp_path_factory.mktemp("data"))
    yield opened
    assert "Traceback" not in opened.server.stderr()
    opened.server.kill()


@pytest.fixture
def ana(office: Office) -> WebClient:
    return office.client(office.ana)


def url_of(client: WebClient) -> str:
    return str(client.rtm_connect()["url"])


@pytest.fixture
def stream(ana: WebClient) -> Iterator[ClientConnection]:
    with connect(url_of(ana)) as opened:
        assert json.loads(opened.recv(20)) == {"type": "hello"}
        yield opened


def closed_with(stream: ClientConnection) -> int:
    """The code of the close frame, whatever comes before it."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            stream.recv(20)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def refused_with(url: str, origin: str | None = None) -> int:
    with pytest.raises(InvalidStatus) as refused, connect(url, origin=None if origin is None else Origin(origin)):
        pass
    return refused.value.response.status_code


def test_a_ticket_lets_in_once(ana: WebClient) -> None:
    url = url_of(ana)
    with connect(url):
        pass
    assert refused_with(url) == 401
    assert refused_with(url[:-4] + "xxxx") == 401


def test_pages_of_other_origins_are_turned_away(ana: WebClient, office: Office) -> None:
    assert refused_with(url_of(ana), origin="https://evil.example") == 403
    with connect(url_of(ana), origin=Origin(f"http://127.0.0.1:{office.server.port}")):
        pass


def test_the_21st_stream_is_turned_away_and_the_oldest_kept(office: Office) -> None:
    ben = office.client(office.ben)
    with ExitStack() as stack:
        streams = [stack.enter_context(connect(url_of(ben))) for _ in range(20)]
        assert refused_with(url_of(ben)) == 429
        streams[0].recv(20)
        streams[0].send('{"id":1,"type":"ping"}')
        assert json.loads(streams[0].recv(20)) == {"type": "pong", "reply_to": 1}


def test_nonsense_is_answered_nineteen_times_and_then_closed(stream: ClientConnection) -> None:
    for _ in range(19):
        stream.send("{")
        assert json.loads(stream.recv(20))["error"]["code"] == "invalid_json"
    stream.send("{")
    assert closed_with(stream) == 1008


def test_frames_that_are_too_large_or_binary_close_the_stream(stream: ClientConnection, ana: WebClient) -> None:
    stream.send(b"\x00")
    assert closed_with(stream) == 1003
    with connect(url_of(ana)) as other:
        other.send('{"type":"' + "x" * 33_000)
        assert closed_with(other) == 1009


def test_a_token_that_is_revoked_takes_its_streams_with_it(office: Office, ana: WebClient) -> None:
    other = WebClient(ana.api_call("tokens.create", params={"label": "phone"})["token"], base_url=office.url)
    with connect(url_of(other)) as stream, connect(url_of(ana)) as kept:
        other.auth_revoke()
        assert closed_with(stream) == 1008
        kept.recv(20)
        kept.send('{"id":1,"type":"ping"}')
        assert json.loads(kept.recv(20))["type"] == "pong"
