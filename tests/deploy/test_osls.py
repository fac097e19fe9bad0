"""The blog post's example packed by `osls`, the open fork of the framework that the original was deployed with.

To MiniStack it cannot be deployed: that refuses the `AWS::ApiGatewayV2::Deployment` which the framework makes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts import tools
from tests.deploy.template import SAM, run
from tests.tools import ROOT

APP = ROOT / "examples" / "blog-post"
OSLS = tools.OSLS / "node_modules" / "osls" / "bin" / "serverless.js"
ROUTES = {"$connect": "Connect", "$disconnect": "Disconnect", "$default": "Default", "command": "Command"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `osls package` makes: a zip file and CloudFormation."""
    folder = tmp_path_factory.mktemp("app") / "blog-post"
    shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("__pycache__", ".serverless"))
    env = {**os.environ, "HOME": str(folder.parent), "SLS_TELEMETRY_DISABLED": "1"}
    env |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    command = [str(tools.node()), str(OSLS), "package", "--stage", "prod"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / ".serverless"


@pytest.fixture(scope="module")
def resources(packed: Path) -> dict[str, dict[str, Any]]:
    """Every resource of the stack."""
    template = json.loads((packed / "cloudformation-template-update-stack.json").read_text())
    found: dict[str, dict[str, Any]] = template["Resources"]
    return found


def of_type(resources: dict[str, dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {name: body["Properties"] for name, body in resources.items() if body["Type"] == kind}


def test_cfn_lint_finds_no_error_in_it(packed: Path) -> None:
    file = packed / "cloudformation-template-update-stack.json"
    run([SAM / "cfn-lint", file, "--regions", "eu-west-1", "--non-zero-exit-code", "error"])


def test_every_route_leads_to_its_function_and_may(resources: dict[str, dict[str, Any]]) -> None:
    integrations = of_type(resources, "AWS::ApiGatewayV2::Integration")
    led = {}
    for route in of_type(resources, "AWS::ApiGatewayV2::Route").values():
        (integration,) = re.findall(r"\w+Integration", json.dumps(route["Target"]))
        (led[route["RouteKey"]],) = re.findall(r"(\w+)LambdaFunction", json.dumps(integrations[integration]))
    assert led == ROUTES
    permissions = of_type(resources, "AWS::Lambda::Permission").values()
    allowed = {name for each in permissions for name in re.findall(r"(\w+)LambdaFunction", json.dumps(each))}
    assert allowed == set(ROUTES.values())


def test_the_role_has_the_table_and_the_connections(resources: dict[str, dict[str, Any]]) -> None:
    ((_, role),) = of_type(resources, "AWS::IAM::Role").items()
    actions = {
        action for statement in role["Policies"][0]["PolicyDocument"]["Statement"] for action in statement["Action"]
    }
    assert {action for action in actions if not action.startswith("logs:")} == {
        *(f"dynamodb:{each}Item" for each in ("Get", "Put", "Update", "Delete")),
        "dynamodb:Query",
        "execute-api:ManageConnections",
    }
    ((name, table),) = of_type(resources, "AWS::DynamoDB::Table").items()
    assert (name, table["TableName"]) == ("ChatTable", "blog-post-chat-prod")


def test_the_functions_are_the_two_files(packed: Path, resources: dict[str, dict[str, Any]]) -> None:
    with zipfile.ZipFile(packed / "blog-post-chat.zip") as archive:
        assert sorted(archive.namelist()) == ["aws.py", "handler.py"]
    for function in of_type(resources, "AWS::Lambda::Function").values():
        assert function["Runtime"] == "python3.13"
        assert function["Handler"].startswith("handler.")
