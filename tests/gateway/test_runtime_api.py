"""The Lambda Runtime API that the gateway serves, call by call, to a client that is not always well behaved."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from roost.gateway.definition import Function
from roost.gateway.functions import MAX_PAYLOAD_BYTES, Failed, Invocation, Outcome, Returned
from roost.gateway.runtime_api import RuntimeApi

NEXT = "invocation/next"


@dataclass
class Host:
    """Notes what it is told."""

    polls: int = 0
    begun: list[Invocation] = field(default_factory=list)
    ended: list[tuple[Invocation, Outcome]] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)

    def polled(self) -> None:
        self.polls += 1

    def call_begins(self, invocation: Invocation) -> None:
        invocation.deadline = 1_800_000_000.25
        self.begun.append(invocation)

    def call_ended(self, invocation: Invocation, outcome: Outcome) -> None:
        self.ended.append((invocation, outcome))

    def init_failed(self, failed: Failed) -> None:
        self.failures.append(failed)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """The error type."""
        return str(json.loads(self.body)["errorType"])


class Client:
    """Plays the runtime."""

    def __init__(self, api: RuntimeApi, host: Host, address: str) -> None:
        self.api = api
        self.host = host
        self.address = address

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One request on a connection of its own."""
        return await asyncio.to_thread(self._ask, method, path, body, headers)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, f"/2018-06-01/runtime/{path}", body, named)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    async def take(self, event: bytes = b"{}") -> Invocation:
        """Give an event and poll for it."""
        call = invocation(event)
        self.api.give(call)
        assert (await self.ask("GET", NEXT)).status == 200
        return call


def invocation(event: bytes = b"{}") -> Invocation:
    made = Invocation(Function("f", "f", "m.f", Path()), lambda outcome: None)
    made.event = event
    return made


def talk(conversation: Callable[[Client], Awaitable[None]]) -> Host:
    """Have a conversation with a Runtime API; what its host was told."""
    host = Host()

    async def run() -> None:
        api = RuntimeApi(host, "arn:aws:lambda:eu-west-1:123456789012:function:f")
        address = await api.start()
        try:
            await conversation(Client(api, host, address))
        finally:
            api.stop()

    asyncio.run(run())
    return host


def test_a_poll_gets_the_event_with_exactly_the_headers_that_the_runtime_needs() -> None:
    async def conversation(client: Client) -> None:
        call = invocation('{"text": "ä"}'.encode())
        client.api.give(call)
        assert not client.api.gave(call)
        answer = await client.ask("GET", NEXT)
        assert client.api.gave(call)
        assert (answer.status, answer.body) == (200, '{"text": "ä"}'.encode())
        headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "Connection")}
        assert headers == {
            "Content-Type": "application/json",
            "Content-Length": "14",
            "Lambda-Runtime-Aws-Request-Id": call.request_id,
            "Lambda-Runtime-Deadline-Ms": "1800000000250",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
            "Lambda-Runtime-Trace-Id": headers["Lambda-Runtime-Trace-Id"],
        }

    host = talk(conversation)
    assert host.polls == len(host.begun) == 1


def test_a_poll_waits_for_an_event() -> None:
    async def conversation(client: Client) -> None:
        poll = asyncio.create_task(client.ask("GET", NEXT))
        while not client.api.polling:
            await asyncio.sleep(0.01)
        assert not poll.done()
        client.api.give(invocation(b"[1]"))
        assert (await poll).body == b"[1]"
        assert not client.api.polling

    talk(conversation)


@pytest.mark.parametrize(
    ("kind", "body", "outcome"),
    [
        ("response", b'{"statusCode": 200}', Returned({"statusCode": 200})),
        ("response", b"null", Returned(None)),
        ("error", b'{"errorType": "KeyError", "errorMessage": "x"}', Failed("KeyError", "x")),
        ("error", b"[]", Failed("Runtime.Unknown", "")),
        ("error", b"\xff", Failed("Runtime.Unknown", "")),
    ],
)
def test_an_answer_is_accepted_and_ends_the_call(kind: str, body: bytes, outcome: Outcome) -> None:
    calls: list[Invocation] = []

    async def conversation(client: Client) -> None:
        calls.append(await client.take())
        answer = await client.ask("POST", f"invocation/{calls[0].request_id}/{kind}", body)
        assert (answer.status, json.loads(answer.body)) == (202, {"status": "OK"})

    assert talk(conversation).ended == [(calls[0], outcome)]


@pytest.mark.parametrize("body", [b"", b"{", b'{"x": NaN}', b"\xff", b'"\xff"'])
def test_an_answer_that_is_not_json_is_a_failure(body: bytes) -> None:
    async def conversation(client: Client) -> None:
        call = await client.take()
        assert (await client.ask("POST", f"invocation/{call.request_id}/response", body)).status == 202

    ((_, outcome),) = talk(conversation).ended
    assert isinstance(outcome, Failed)
    assert outcome.type == "Runtime.InvalidResponse"


def test_an_answer_to_another_call_is_refused() -> None:
    async def conversation(client: Client) -> None:
        before = await client.ask("POST", "invocation/none/response", b"1")
        assert (before.status, before.kind) == (400, "InvalidRequestID")
        await client.take()
        answer = await client.ask("POST", "invocation/other/response", b"1")
        assert (answer.status, answer.kind) == (400, "InvalidRequestID")

    assert talk(conversation).ended == []


def test_a_second_answer_to_one_call_is_refused() -> None:
    async def conversation(client: Client) -> None:
        call = await client.take()
        for status in (202, 403, 403):
            answer = await client.ask("POST", f"invocation/{call.request_id}/response", b"1")
            assert answer.status == status
        assert answer.kind == "InvalidStateTransition"

    assert len(talk(conversation).ended) == 1


def test_a_poll_in_the_middle_of_a_call_or_beside_another_poll_is_refused() -> None:
    async def conversation(client: Client) -> None:
        call = await client.take()
        answer = await client.ask("GET", NEXT)
        assert (answer.status, answer.kind) == (403, "InvalidStateTransition")
        await client.ask("POST", f"invocation/{call.request_id}/response", b"1")
        poll = asyncio.create_task(client.ask("GET", NEXT))
        while not client.api.polling:
            await asyncio.sleep(0.01)
        assert (await client.ask("GET", NEXT)).status == 403
        client.api.give(invocation())
        assert (await poll).status == 200

    talk(conversation)


def test_the_event_waits_for_another_poll_if_the_one_that_waited_is_gone() -> None:
    async def conversation(client: Client) -> None:
        _, writer = await asyncio.open_connection(*client.address.split(":"))
        writer.write(f"GET /2018-06-01/runtime/{NEXT} HTTP/1.1\r\nHost: {client.address}\r\n\r\n".encode())
        while not client.api.polling:
            await asyncio.sleep(0.01)
        writer.close()
        while client.api.polling:
            await asyncio.sleep(0.01)
        call = invocation(b"[2]")
        client.api.give(call)
        assert not client.api.gave(call)
        assert (await client.ask("GET", NEXT)).body == b"[2]"

    talk(conversation)


@pytest.mark.parametrize("size", [MAX_PAYLOAD_BYTES + 1, 12_000_000])
def test_an_answer_over_6_mb_is_refused_and_ends_the_call(size: int) -> None:
    async def conversation(client: Client) -> None:
        call = await client.take()
        try:
            answer = await client.ask("POST", f"invocation/{call.request_id}/response", b"1" * size)
        except OSError:
            assert size > 10_000_000  # not even read: the connection may break before the refusal is read
        else:
            assert answer.status == 413

    ((_, outcome),) = talk(conversation).ended
    assert isinstance(outcome, Failed)
    assert outcome.type == "Function.ResponseSizeTooLarge"


def test_an_answer_of_6_mb_is_taken() -> None:
    body = b'"' + b"x" * (MAX_PAYLOAD_BYTES - 2) + b'"'

    async def conversation(client: Client) -> None:
        call = await client.take()
        assert (await client.ask("POST", f"invocation/{call.request_id}/response", body)).status == 202

    ((_, outcome),) = talk(conversation).ended
    assert isinstance(outcome, Returned)


def test_a_failed_import_is_noted() -> None:
    async def conversation(client: Client) -> None:
        body = b'{"errorType": "Runtime.ImportModuleError", "errorMessage": "no", "stackTrace": []}'
        answer = await client.ask("POST", "init/error", body, Lambda_Runtime_Function_Error_Type="x")
        assert answer.status == 202

    assert talk(conversation).failures == [Failed("Runtime.ImportModuleError", "no")]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "invocation"),
        ("POST", NEXT),
        ("GET", "../../"),
        ("POST", "restore/error"),
        ("GET", "invocation/x/response"),
    ],
)
def test_what_is_no_call_of_the_runtime_is_not_found(method: str, path: str) -> None:
    async def conversation(client: Client) -> None:
        assert (await client.ask(method, path)).status == 404

    talk(conversation)


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://example.com"}, {"Sec_Fetch_Mode": "no-cors"}, {"Host": "rebound.example.com"}]
)
def test_a_web_page_cannot_take_an_event(headers: dict[str, Any]) -> None:
    async def conversation(client: Client) -> None:
        call = invocation()
        client.api.give(call)
        assert (await client.ask("GET", NEXT, **headers)).status == 403
        assert not client.api.gave(call)

    assert talk(conversation).begun == []


def test_a_long_header_is_read() -> None:
    async def conversation(client: Client) -> None:
        call = await client.take()
        cause = {"Lambda_Runtime_Function_XRay_Error_Cause": "x" * 500_000}
        answer = await client.ask("POST", f"invocation/{call.request_id}/error", b"{}", **cause)
        assert answer.status == 202

    talk(conversation)
