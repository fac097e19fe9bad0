"""Our signatures are botocore's, and a socket that was closed meanwhile costs a write nothing."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore import auth, awsrequest
from botocore.credentials import Credentials as BotoCredentials

from roost.aws import sign
from roost.aws.sign import Credentials, Signer, Sockets, Unreachable, _canonical
from tests.aws.servers import listening

NOW = 1_763_983_845.0
REGION = "eu-west-1"
KEYS = [
    Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    Credentials("ASIAEXAMPLE", "secret/with+signs=", "a/session+token=="),
]
DYNAMODB = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "DynamoDB_20120810.TransactWriteItems"}
SQS = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessage"}
FUNCTIONS = "/2015-03-31/functions"
CONNECTION = quote("L0SM9cOFvHcCIhw=/+~é", safe="")


@pytest.fixture(autouse=True)
def one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both signers see the same second."""
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: moment)


def theirs(signer: type[Any], service: str, key: Credentials, request: awsrequest.AWSRequest, *more: Any) -> Any:
    credentials = BotoCredentials(key.access_key, key.secret_key, key.token)
    signer(credentials, service, REGION, *more).add_auth(request)
    return request


def lower(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in headers.items()}


@pytest.mark.parametrize("key", KEYS, ids=["user", "role"])
@pytest.mark.parametrize(
    ("service", "method", "path", "query", "headers", "body"),
    [
        ("dynamodb", "POST", "/", "", DYNAMODB, b'{"TableName":"t"}'),
        ("execute-api", "POST", f"/prod/@connections/{CONNECTION}", "", {}, "grüße".encode()),
        ("execute-api", "DELETE", f"/_aws/execute-api/id/prod/@connections/{CONNECTION}", "", {}, b""),
        ("lambda", "POST", f"{FUNCTIONS}/roost-Push-1X/invocations", "", {"X-Amz-Invocation-Type": "Event"}, b"{}"),
        ("lambda", "POST", f"{FUNCTIONS}/roost%3Aprod/invocations", "Qualifier=prod", {}, b"{}"),
        ("sqs", "POST", "/", "", SQS, b'{"QueueUrl":"q"}'),
        ("s3", "PUT", "/bucket/files/F1/a%20b%2Bc~%C3%A9", "", {"content-type": "image/png"}, b"\x00\xff"),
        ("s3", "GET", "/F1", "response-content-type=text%2Fplain&a=2&a=1&empty=", {"range": "bytes=0-9"}, b""),
        ("s3", "DELETE", "/F1", "", {"x-padded": "  two   blanks  "}, b""),
    ],
)  # fmt: skip
def test_a_signature_is_botocores(
    key: Credentials, service: str, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    host = f"{service}.eu-west-1.amazonaws.com"
    ours = Signer(lambda: key, service, REGION).headers(method, host, path, headers, body, NOW, query)
    url = f"https://{host}{path}" + (f"?{query}" if query else "")
    request = awsrequest.AWSRequest(method, url, dict(headers), body)
    signed = theirs(auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth, service, key, request)
    assert ours == {"host": host, **lower(signed.headers)}


@pytest.mark.parametrize("key", KEYS, ids=["user", "role"])
@pytest.mark.parametrize("query", ["", "response-content-disposition=attachment%3B%20filename%3D%22a.txt%22"])
def test_a_presigned_query_is_botocores(key: Credentials, query: str) -> None:
    host, path = "roost.s3.eu-west-1.amazonaws.com", "/files/F1%20x"
    ours = Signer(lambda: key, "s3", REGION).presigned("GET", host, path, 300, query, NOW)
    url = f"https://{host}{path}" + (f"?{query}" if query else "")
    request = awsrequest.AWSRequest("GET", url)
    signed = theirs(auth.S3SigV4QueryAuth, "s3", key, request, 300)
    assert sorted(ours.split("&")) == sorted(urlsplit(signed.url).query.split("&"))


@pytest.mark.parametrize("key", KEYS, ids=["user", "role"])
def test_a_form_for_s3_is_botocores(key: Credentials) -> None:
    fields = {"key": "F1", "Content-Type": "image/png"}
    conditions: list[Any] = [{"bucket": "roost"}, ["content-length-range", 5, 5]]
    ours = Signer(lambda: key, "s3", REGION).form(fields, conditions, 600, NOW)
    request = awsrequest.AWSRequest("POST", "https://roost.s3.eu-west-1.amazonaws.com/")
    request.context["s3-presign-post-fields"] = dict(fields)
    request.context["s3-presign-post-policy"] = {
        "expiration": "2025-11-24T11:40:45Z",
        "conditions": [*({name: value} for name, value in fields.items()), *conditions],
    }
    expected = theirs(auth.S3SigV4PostAuth, "s3", key, request).context["s3-presign-post-fields"]
    assert _meaning(ours["policy"]) == _meaning(expected["policy"])
    ordered = ("policy", "x-amz-signature")  # conditions stand in another order, so what is signed differs
    assert {**ours, **dict.fromkeys(ordered)} == {**expected, **dict.fromkeys(ordered)}


def _meaning(policy: str) -> tuple[str, list[str]]:
    document = json.loads(base64.b64decode(policy))
    return document["expiration"], sorted(json.dumps(condition) for condition in document["conditions"])


def test_the_key_of_another_day_or_of_a_new_role_is_derived_anew() -> None:
    keys = list(KEYS)
    signer = Signer(lambda: keys[0], "dynamodb", REGION)
    seen = {signer.headers("POST", "h", "/", {}, b"", NOW)["authorization"]}
    seen.add(signer.headers("POST", "h", "/", {}, b"", NOW + 86_400)["authorization"])
    keys.reverse()
    fresh = Signer(lambda: keys[0], "dynamodb", REGION).headers("POST", "h", "/", {}, b"", NOW)
    assert signer.headers("POST", "h", "/", {}, b"", NOW) == fresh
    assert fresh["authorization"] not in seen
    assert len(seen) == 2


def test_parameters_are_signed_in_order_of_name_then_value() -> None:
    assert _canonical("GET", "/", "b=1&a=2&a=1&c", {}, "x").split("\n")[2] == "a=1&a=2&b=1&c="


# -- sockets ----------------------------------------------------------------------------------------------------------


def test_a_socket_is_used_again_and_one_that_the_other_side_closed_is_not() -> None:
    with listening() as server:
        server.close_after = 3  # answers, then closes without having said so
        sockets = Sockets(server.url, 5.0)
        for connection in (1, 2):
            for _ in range(3):
                assert sockets.request("POST", "/", {}, b"x").body == b"{}"
                assert server.accepted == connection
            server.wait_for_closed()
        sockets.close()


def test_a_socket_that_lay_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as server:
        sockets = Sockets(server.url, 5.0)
        sockets.request("POST", "/", {}, b"x")
        monkeypatch.setattr(sign, "_IDLE", 0.0)
        sockets.request("POST", "/", {}, b"x")
        assert server.accepted == 2
        sockets.close()


def test_what_did_not_leave_whole_was_not_sent() -> None:
    with listening() as server:
        sockets = Sockets(server.url, 5.0)
        server.answers = [None]  # reads the request, closes, and answers nothing
        with pytest.raises(Unreachable) as lost:
            sockets.request("POST", "/", {}, b"x")
        assert lost.value.sent
        server.reset_at_once = True
        with pytest.raises(Unreachable) as cut:
            sockets.request("POST", "/", {}, bytes(50_000_000))
        assert not cut.value.sent
    with pytest.raises(Unreachable) as refused:
        sockets.request("POST", "/", {}, b"x")
    assert not refused.value.sent


def test_an_answer_that_does_not_come_is_waited_for_as_long_as_is_said() -> None:
    with listening() as server:
        server.delay = 30.0
        with pytest.raises(Unreachable, match="timed out") as late:
            Sockets(server.url, 20.0).request("POST", "/", {}, b"x", timeout=0.2)
        assert late.value.sent
