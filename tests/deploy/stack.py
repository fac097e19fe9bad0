"""Roost as `make deploy` puts it on AWS, here on MiniStack with signatures and roles enforced."""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3

from scripts import tools
from tests.tools import ROOT

PYTHON = tools.TOOLS / "sam" / "bin" / "python"
REGION = "eu-west-1"
BATCH = "sqs:SendMessageBatch"
ARCH = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


class Project:
    """A copy of what is deployed from, so that a test can change it, and the account that it is deployed to."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.endpoint = folder, endpoint
        for part in ("roost", "scripts", "deploy"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for lock in ("requirements-lambda.lock", "requirements-oidc.lock"):
            shutil.copy(ROOT / lock, folder)
        (folder / ".venv").symlink_to(ROOT / ".venv")

    def script(self, *arguments: str, status: int = 0, typed: str = "", **env: str) -> str:
        """Run scripts/deploy.py as the Makefile does; what it printed."""
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        clean["HOME"] = str(self.folder)  # where AWS's tools would find settings, and leave some
        done = subprocess.run(
            [str(PYTHON), "-m", "scripts.deploy", *arguments],
            cwd=self.folder,
            env={**clean, **keys, "AWS_ENDPOINT_URL": self.endpoint, "SAM_CLI_POLL_DELAY": "0.2", **env},
            input=typed,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        return said

    def up(self, stage: str, *options: str, status: int = 0) -> str:
        """Deploy."""
        emulator = self.endpoint.removeprefix("http://") + "/_aws/execute-api"
        settings = ("--set", "Guests=on", f"Arch={ARCH}", f"Emulator={emulator}")
        return self.script("up", "--stage", stage, "--region", REGION, "--yes", *settings, *options, status=status)

    def stack(self, stage: str) -> Stack:
        """What is deployed."""
        return Stack(f"roost-{stage}", self.endpoint)

    def replace(self, file: str, old: str, new: str) -> None:
        """Change a file of the project."""
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))


class Stack:
    """A deployed stack."""

    def __init__(self, name: str, endpoint: str) -> None:
        self.name, self.endpoint = name, endpoint
        self.clients: list[Any] = []

    @functools.cache  # noqa: B019  a few for the life of a test
    def client(self, service: str) -> Any:
        """boto3's client, as the account's owner."""
        made: Any = boto3.session.Session(
            region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        ).client(service, endpoint_url=self.endpoint)
        self.clients.append(made)
        return made

    def output(self, key: str) -> str:
        """One of the stack's outputs."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {str(each["OutputKey"]): str(each["OutputValue"]) for each in stack["Outputs"]}[key]

    def physical(self, logical: str) -> str:
        """What a resource of the template is called."""
        answer = self.client("cloudformation").describe_stack_resource(StackName=self.name, LogicalResourceId=logical)
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])

    @property
    def socket_url(self) -> str:
        """Where MiniStack serves what the output SocketUrl names."""
        host, _, stage = self.output("SocketUrl").removeprefix("wss://").partition("/")
        return f"{self.endpoint.replace('http', 'ws')}/_aws/execute-api/{host.partition('.')[0]}/{stage}"

    @property
    def web_url(self) -> str:
        """Where MiniStack serves what the output WebUrl names."""
        host = self.output("WebUrl").removeprefix("https://").partition(".")[0]
        return f"{self.endpoint}/_aws/execute-api/{host}/$default"

    def policy(self, role: str) -> dict[str, Any]:
        """What a role may do."""
        iam, name = self.client("iam"), self.physical(role)
        (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        found: dict[str, Any] = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        return found

    def allow(self, role: str, document: dict[str, Any]) -> None:
        """Let a role do this and nothing else."""
        iam, name = self.client("iam"), self.physical(role)
        (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))

    def allow_batches(self, *roles: str) -> None:
        """Let roles that may send messages send ten at once: MiniStack has a right of its own for that, AWS has not."""
        for role in roles:
            document = self.policy(role)
            for statement in document["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                if "sqs:SendMessage" in actions:
                    statement["Action"] = [*actions, BATCH]
            self.allow(role, document)

    def close(self) -> None:
        """Close its clients."""
        for client in self.clients:
            client.close()
