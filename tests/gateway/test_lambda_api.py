"""Functions invoke each other with boto3's `lambda` client, as on AWS."""

from __future__ import annotations

import json
import threading
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from roost.gateway import server
from roost.gateway.connections import Credentials
from tests.gateway.harness import OK, Running, eventually, http, running, service

SETTINGS = server.Settings(log_events=False, lambda_api=True)
NAMES = ("echo", "raises", "$default")


def raises(event: Any) -> Any:
    raise KeyError("no such room")


def gateway(settings: server.Settings = SETTINGS) -> Any:
    declared = service(dict.fromkeys(NAMES, False))
    return running(declared, {"echo": lambda event: event, "raises": raises, "$default": lambda event: OK}, settings)


def client(to: Running, key: str = "test") -> Any:
    session: Any = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key=key, region_name="eu-west-1")
    config = Config(retries={"total_max_attempts": 1})
    return session.client("lambda", endpoint_url=f"http://127.0.0.1:{to.port}", config=config)


@pytest.mark.parametrize(
    "name",
    [
        "echo",
        "echo:$LATEST",
        "123456789012:function:echo",
        "arn:aws:lambda:eu-west-1:123456789012:function:echo",
        "arn:aws:lambda:eu-west-1:123456789012:function:echo:live",
    ],
)
def test_an_invocation_answers_what_the_function_returned(name: str) -> None:
    with gateway() as running:
        for payload in ({"text": "grüße"}, [1, None], "text"):
            answer = client(running).invoke(FunctionName=name, Payload=json.dumps(payload))
            assert (answer["StatusCode"], json.load(answer["Payload"])) == (200, payload)
            assert (answer["ExecutedVersion"], answer.get("FunctionError")) == ("$LATEST", None)
        assert json.load(client(running).invoke(FunctionName=name)["Payload"]) == {}


def test_a_function_that_fails_is_told_as_such() -> None:
    with gateway() as running:
        answer = client(running).invoke(FunctionName="raises", Payload="{}")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.load(answer["Payload"]) == {"errorMessage": "'no such room'", "errorType": "KeyError"}


def test_an_asynchronous_invocation_is_not_waited_for() -> None:
    go_on = threading.Event()
    declared = service({"slow": False})
    with running(declared, {"slow": lambda event: go_on.wait(10)}, SETTINGS) as gateway:
        answer = client(gateway).invoke(FunctionName="slow", InvocationType="Event", Payload='{"n": 1}')
        assert answer["StatusCode"] == 202
        eventually(lambda: gateway.functions.of("slow") == [{"n": 1}])
        go_on.set()


def test_a_dry_run_runs_nothing() -> None:
    with gateway() as running:
        assert client(running).invoke(FunctionName="echo", InvocationType="DryRun")["StatusCode"] == 204
        assert running.functions.events == []


def test_what_cannot_be_invoked_is_refused_by_its_name() -> None:
    with gateway() as running:
        api = client(running)
        with pytest.raises(api.exceptions.ResourceNotFoundException):
            api.invoke(FunctionName="nobody")
        with pytest.raises(api.exceptions.InvalidRequestContentException):
            api.invoke(FunctionName="echo", Payload=b"{")
        post = b"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n%s\r\n\r\n"
        from_a_page = http(running.port, post % b"Origin: https://evil.example\r\nConnection: close")
        assert from_a_page.startswith(b"HTTP/1.1 403 ")
        assert running.functions.events == []


def test_signed_only_if_asked_for() -> None:
    with gateway(
        server.Settings(log_events=False, lambda_api=True, credentials=Credentials("test", "test"))
    ) as running:
        assert client(running).invoke(FunctionName="echo", Payload=b'{"a": "+ /="}')["StatusCode"] == 200
        assert client(running).invoke(FunctionName="arn:aws:lambda:r:1:function:echo")["StatusCode"] == 200
        with pytest.raises(ClientError, match="AccessDenied"):
            client(running, "wrong").invoke(FunctionName="echo")


def test_it_is_not_there_unless_asked_for() -> None:
    with gateway(server.Settings(log_events=False)) as running, pytest.raises(ClientError):
        client(running).invoke(FunctionName="echo")
