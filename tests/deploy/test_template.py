"""The AWS stack before anything is deployed: what linters say, that routes can be reached, that roles are narrow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from roost.app import ROUTE_SELECTION_EXPRESSION, ROUTES
from roost.aws.dynamodb import table_definition
from tests.deploy.template import CHECKOV, SAM, TEMPLATE, resources, run, statements, translated
from tests.tools import ROOT

CHECKOV_SETTINGS = ROOT / "deploy" / "checkov.yaml"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The translated template as a file."""
    file = tmp_path_factory.mktemp("plain") / "template.json"
    file.write_text(json.dumps(translated()))
    return file


# -- linters ----------------------------------------------------------------------------------------------------------


def test_sam_finds_nothing(tmp_path: Path) -> None:
    assert "is a valid SAM Template" in run([SAM / "sam", "validate", "--lint", "--template", TEMPLATE]).stdout


def test_cfn_lint_finds_nothing_in_what_cloudformation_gets(plain: Path) -> None:
    regions = ["us-east-1", "eu-west-1", "ap-southeast-2"]
    assert run([SAM / "cfn-lint", plain, "--regions", *regions]).stdout == ""


def test_cfn_lint_would_find_something(plain: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(plain.read_text().replace('"PAY_PER_REQUEST"', '"PAY_PER_REQUESTS"'))
    assert "PAY_PER_REQUESTS" in run([SAM / "cfn-lint", wrong], status=2).stdout


def test_checkov_finds_what_is_argued_and_nothing_else(plain: Path) -> None:
    options = ["--framework", "cloudformation", "--skip-download", "--compact", "--output", "json"]
    report = json.loads(run([CHECKOV / "checkov", *options, "--file", plain], status=1).stdout)
    failed = {check["check_id"] for check in report["results"]["failed_checks"]}
    assert failed == set(re.findall(r"^  - (CKV\w+)", CHECKOV_SETTINGS.read_text(), re.MULTILINE))


_PARLIAMENT = """
import json, sys
from parliament import analyze_policy_string
found = []
for statement in json.load(sys.stdin):
    policy = analyze_policy_string(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    found += [[statement, finding.issue, str(finding.detail)] for finding in policy.findings]
json.dump(found, sys.stdout)
"""


def parliament(judged: list[dict[str, Any]], tmp_path: Path) -> list[Any]:
    """What parliament says of IAM statements."""
    script = f"sys.stdin = open({str(tmp_path / 'statements.json')!r})"
    (tmp_path / "statements.json").write_text(json.dumps(judged))
    code = _PARLIAMENT.replace("found = []", f"{script}\nfound = []")
    found: list[Any] = json.loads(run([CHECKOV / "python", "-c", code]).stdout)
    return found


def test_parliament_finds_nothing_in_any_statement(tmp_path: Path) -> None:
    judged = [{"Effect": "Allow", "Action": s.actions, "Resource": s.resources} for s in statements()]
    assert len(judged) > 4
    # It wants `*` here. DynamoDB's guide has the table's streams ("read access for a DynamoDB stream only"), SAM too.
    known = [["dynamodb:ListStreams"], "RESOURCE_MISMATCH"]
    assert [[statement["Action"], issue] for statement, issue, _ in parliament(judged, tmp_path)] == [known]


def test_parliament_would_find_something(tmp_path: Path) -> None:
    wrong = {"Effect": "Allow", "Action": "dynamodb:GetItems", "Resource": "arn:aws:s3:::bucket"}
    assert len(parliament([wrong], tmp_path)) == 1


# -- rights -----------------------------------------------------------------------------------------------------------


def test_every_function_has_a_role_of_its_own() -> None:
    functions = resources("AWS::Lambda::Function")
    roles = [properties["Role"]["Fn::GetAtt"][0] for properties in functions.values()]
    assert roles == [f"{function}Role" for function in functions]
    assert sorted(roles) == sorted(resources("AWS::IAM::Role"))
    for role in resources("AWS::IAM::Role").values():
        assert set(role) == {"AssumeRolePolicyDocument", "Policies"}  # no managed policy, which would be wide


def test_no_statement_is_wide() -> None:
    for statement in statements():
        for action in statement.actions:
            assert re.fullmatch(r"[a-z0-9-]+:[A-Za-z]+", action), statement
        for resource in statement.resources:
            assert re.fullmatch(NARROW, resource), statement


def test_what_nobody_waits_for_ends_in_the_dead_letters_and_in_an_alarm() -> None:
    configured = resources("AWS::Lambda::EventInvokeConfig")
    assert {each["FunctionName"]["Ref"] for each in configured.values()} == {"Push"}
    for each in configured.values():
        assert each["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    alarm = resources("AWS::CloudWatch::Alarm")["Undone"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["DeadLetters", "QueueName"]}}]


def test_functions_that_say_what_failed_are_listened_to() -> None:
    """Otherwise an answer that names failures counts as success, and what failed never comes again."""
    mappings = resources("AWS::Lambda::EventSourceMapping")
    assert {each["FunctionName"]["Ref"] for each in mappings.values()} == {"Stream", "Worker"}
    for each in mappings.values():
        assert each["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


#: One named thing; below it `*` only for what has no name before it is there: a connection, a log stream, a table's
#: stream, an object.
NARROW = (
    r"arn:aws:dynamodb:[^:*]+:\d+:table/\w+(/index/\w+|/stream/[^*]+|/stream/\*)?"
    r"|arn:aws:execute-api:[^:*]+:\d+:\w+/\w+/(POST|DELETE)/@connections/\*"
    r"|arn:aws:logs:[^:*]+:\d+:log-group:\w+:\*"
    r"|arn:aws:(sqs|lambda):[^:*]+:\d+:(function:)?\w+"
    r"|arn:aws:s3:::\w+(/\*)?"
)


def test_api_gateway_may_call_every_function_that_a_route_leads_to() -> None:
    allowed = {
        (api_of(json.dumps(permission["SourceArn"])), function_of(permission["FunctionName"]), route_of(permission))
        for permission in resources("AWS::Lambda::Permission").values()
        if permission["Principal"] == "apigateway.amazonaws.com"
    }
    integrations = resources("AWS::ApiGatewayV2::Integration")
    wanted = set()
    for route in resources("AWS::ApiGatewayV2::Route").values():
        integration = integrations[re.findall(r"\w*Integration", json.dumps(route["Target"]))[0]]
        called = re.findall(r'"Fn::GetAtt": \["(\w+)"', json.dumps(integration["IntegrationUri"]))
        wanted.add((route["ApiId"]["Ref"], called[0], route["RouteKey"]))
    assert allowed == wanted
    assert len(integrations) == len(wanted)


def api_of(source: str) -> str:
    apis = resources("AWS::ApiGatewayV2::Api")
    return next(name for name in apis if re.search(rf"\$\{{{name}(\.ApiId)?\}}/", source))


def function_of(value: dict[str, Any]) -> str:
    return str(value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0])


def route_of(permission: dict[str, Any]) -> str:
    source = permission["SourceArn"]["Fn::Sub"]
    return str(source if isinstance(source, str) else source[0]).rpartition("/")[2]


# -- what it consists of ----------------------------------------------------------------------------------------------


def test_the_routes_are_those_of_the_app() -> None:
    routes = [r["RouteKey"] for r in resources("AWS::ApiGatewayV2::Route").values() if r["ApiId"] == {"Ref": "Sockets"}]
    assert sorted(routes) == sorted(ROUTES)
    expression = resources("AWS::ApiGatewayV2::Api")["Sockets"]["RouteSelectionExpression"]
    assert expression == ROUTE_SELECTION_EXPRESSION


def test_the_table_is_the_one_that_the_code_expects_and_outlives_the_stack() -> None:
    ((name, table),) = resources("AWS::DynamoDB::Table").items()
    body = translated()["Resources"][name]
    assert (name, body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("Table", "Retain", "Retain")
    assert "TableName" not in table  # a changed name would be a new, empty table
    expected = table_definition("x")
    for part in ("KeySchema", "GlobalSecondaryIndexes", "AttributeDefinitions", "BillingMode"):
        assert table[part] == expected[part]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "x", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["StreamSpecification"]["StreamViewType"] == expected["StreamSpecification"]["StreamViewType"]
    assert table["DeletionProtectionEnabled"] is True


def test_the_bucket_is_closed_and_outlives_the_stack() -> None:
    ((name, bucket),) = resources("AWS::S3::Bucket").items()
    body = translated()["Resources"][name]
    assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert "BucketName" not in bucket
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}


def test_every_function_writes_to_a_log_of_its_own_that_ends() -> None:
    logs = resources("AWS::Logs::LogGroup")
    for name, function in resources("AWS::Lambda::Function").items():
        assert function["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}Log"}
        assert logs[f"{name}Log"]["RetentionInDays"] == 30
        assert logs[f"{name}Log"]["LogGroupName"] == {"Fn::Sub": "/aws/lambda/" + function["FunctionName"]["Fn::Sub"]}
        assert function["Runtime"] == "python3.13"


def test_both_apis_are_throttled() -> None:
    stages = resources("AWS::ApiGatewayV2::Stage")
    assert {stage["ApiId"]["Ref"] for stage in stages.values()} == {"Sockets", "Web"}
    for stage in stages.values():
        assert set(stage["DefaultRouteSettings"]) == {"ThrottlingRateLimit", "ThrottlingBurstLimit"}


def test_alarms_fit_into_what_cloudwatch_always_gives_and_reach_a_person() -> None:
    alarms = resources("AWS::CloudWatch::Alarm")
    assert 6 <= len(alarms) <= 10
    for alarm in alarms.values():
        assert alarm["AlarmActions"]["Fn::If"][:2] == ["HasAlarmEmail", [{"Ref": "AlarmTopic"}]]
        assert alarm["AlarmDescription"].endswith(".")
