"""deploy/template.yaml as CloudFormation will have it: translated by SAM, in an environment of SAM's."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import tools
from tests.tools import ROOT

TEMPLATE = ROOT / "deploy" / "template.yaml"
SAM = tools.TOOLS / "sam" / "bin"
CHECKOV = tools.TOOLS / "checkov" / "bin"

_TRANSLATE = """
import json, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

class NoManagedPolicies:
    def load(self):
        return {}

template = yaml_parse(open(sys.argv[1]).read())
template["Globals"]["Function"]["CodeUri"] = "s3://bucket/code.zip"
json.dump(transform(template, {}, NoManagedPolicies()), sys.stdout)
"""


@functools.cache
def translated() -> Mapping[str, Any]:
    """The template after SAM's transform."""
    made: Mapping[str, Any] = json.loads(run([SAM / "python", "-c", _TRANSLATE, TEMPLATE]).stdout)
    return made


def run(command: list[str | Path], status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a tool of AWS's, which must end with this status."""
    env = {"AWS_DEFAULT_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0", "PATH": f"{SAM}:/usr/bin:/bin", "HOME": "/tmp"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
    return done


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of every resource of a type, by logical id."""
    found = translated()["Resources"].items()
    return {name: body.get("Properties", {}) for name, body in found if body["Type"] == kind}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a role's policy, its intrinsics replaced by plausible names."""

    role: str
    number: int
    actions: tuple[str, ...]
    resources: tuple[str, ...]


def statements() -> Iterator[Statement]:
    """Every statement of every role."""
    for role, properties in resources("AWS::IAM::Role").items():
        assert len(properties["Policies"]) == 1
        for number, each in enumerate(properties["Policies"][0]["PolicyDocument"]["Statement"]):
            assert each["Effect"] == "Allow"
            assert set(each) == {"Effect", "Action", "Resource"}
            yield Statement(role, number, tuple(_list(each["Action"])), tuple(map(arn, _list(each["Resource"]))))


def arn(value: Any) -> str:
    """An ARN as it could look: AWS's parameters filled in, a resource's attribute by the kind of its resource."""
    if isinstance(value, str):
        return value
    ((function, operand),) = value.items()
    if function == "Fn::GetAtt":
        logical, attribute = operand
        return _attribute(logical, attribute)
    assert function == "Fn::Sub"
    text: str = operand
    for name, filled in (("Partition", "aws"), ("Region", "eu-west-1"), ("AccountId", "123456789012")):
        text = text.replace(f"${{AWS::{name}}}", filled)
    for logical in translated()["Resources"]:
        text = text.replace(f"${{{logical}}}", logical)
        for attribute in ("Arn", "StreamArn"):
            text = text.replace(f"${{{logical}.{attribute}}}", _attribute(logical, attribute))
    return text.replace("${Stage}", "prod").replace("${AWS::StackName}", "roost-prod")


def _attribute(logical: str, attribute: str) -> str:
    patterns = {
        ("AWS::DynamoDB::Table", "Arn"): "dynamodb:eu-west-1:123456789012:table/{}",
        (
            "AWS::DynamoDB::Table",
            "StreamArn",
        ): "dynamodb:eu-west-1:123456789012:table/{}/stream/2026",
        ("AWS::Logs::LogGroup", "Arn"): "logs:eu-west-1:123456789012:log-group:{}:*",
        ("AWS::SQS::Queue", "Arn"): "sqs:eu-west-1:123456789012:{}",
        ("AWS::S3::Bucket", "Arn"): "s3:::{}",
        ("AWS::Lambda::Function", "Arn"): "lambda:eu-west-1:123456789012:function:{}",
    }
    pattern = patterns.get((translated()["Resources"][logical]["Type"], attribute))
    return "" if pattern is None else "arn:aws:" + pattern.format(logical)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
