"""What authorizers answer decides as on AWS."""

from typing import Any

import pytest

from roost.gateway.authorizers import Allowed, Refused, http_verdict, policy_allows, policy_verdict
from roost.gateway.definition import Authorizer
from roost.gateway.functions import Failed, IntegrationTimeout, Returned

ARN = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/dev/$connect"


def policy(effect: str, resource: Any, context: Any = None, action: Any = "execute-api:Invoke") -> dict[str, Any]:
    statement = {"Action": action, "Effect": effect, "Resource": resource}
    answer: dict[str, Any] = {
        "principalId": "u-17",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
    return answer | ({"context": context} if context is not None else {})


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [
        (ARN, True),
        ("*", True),
        (ARN.replace("$connect", "*"), True),
        (ARN.replace("dev/$connect", "dev/*/*"), False),
        (["nothing", ARN], True),
        (ARN.replace("dev", "prod"), False),
        (ARN.replace("$connect", "$conn?ct"), True),
        (None, False),
    ],
)
def test_a_policy_allows_by_resource(resource: Any, allowed: bool) -> None:
    assert policy_allows(policy("Allow", resource), ARN) is allowed


def test_a_deny_wins_over_an_allow() -> None:
    answer = policy("Allow", "*")
    answer["policyDocument"]["Statement"].append({"Action": "*", "Effect": "Deny", "Resource": ARN})
    assert policy_allows(answer, ARN) is False


def test_context_reaches_events_as_text_beside_the_principal() -> None:
    verdict = policy_verdict(Returned(policy("Allow", "*", {"tenant": "acme", "level": 3, "admin": True})), ARN, 23)
    assert verdict == Allowed(
        {"principalId": "u-17", "integrationLatency": 23, "tenant": "acme", "level": "3", "admin": "true"}
    )


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Failed("Exception", "Unauthorized"), 401),
        (Failed("Exception", "unauthorized"), 500),
        (Failed("KeyError", "x"), 500),
        (IntegrationTimeout(), 500),
        (Returned(None), 500),
        (Returned({"statusCode": 401}), 500),
        (Returned({"policyDocument": {"Statement": "x"}}), 500),
        (Returned(policy("Deny", "*")), 403),
        (Returned(policy("Allow", "other")), 403),
        (Returned(policy("Allow", "*", {"nested": {}})), 500),
        (Returned(policy("Allow", "*", [1])), 500),
    ],
)
def test_everything_but_an_allowing_policy_is_refused(outcome: Any, status: int) -> None:
    assert policy_verdict(outcome, ARN, 1) == Refused(status)


def test_a_simple_http_answer_keeps_its_types() -> None:
    simple = Authorizer("a", "auth", simple=True)
    answer = {"isAuthorized": True, "context": {"n": 1}}
    assert http_verdict(Returned(answer), simple, ARN) == Allowed({"lambda": {"n": 1}})
    assert http_verdict(Returned({"isAuthorized": False}), simple, ARN) == Refused(403)
    assert http_verdict(Returned({"isAuthorized": "yes"}), simple, ARN) == Refused(500)


def test_an_answer_over_8_kb_is_no_answer() -> None:
    assert policy_verdict(Returned(policy("Allow", "*", {"long": "x" * 8192})), ARN, 1) == Refused(500)
