"""`make deploy` and `make destroy`: Roost into an AWS account and out of it, with AWS's own SAM CLI.

Runs in the SAM CLI's environment, which has boto3: `.tools/sam/bin/python -m scripts.deploy up --stage prod`. It says
what it is about to do and what that costs, asks, and leaves the work to `sam`. Its own part is what `sam` does not do:
to refuse a template that would put another table in place of the one with the data, to say what stays after a stack is
gone, and to remove that too when its name is given.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, WaiterError
from botocore.exceptions import ConnectionError as NotConnected
from samtranslator.yaml_helper import yaml_parse

from scripts.build_lambda import ROOT, TARGET, build

TEMPLATE = ROOT / "deploy" / "template.yaml"
ROOST = ROOT / ".venv" / "bin" / "roost"
SAM = Path(sys.executable).with_name("sam")
COST = """\
At rest it costs about 0 $ a month: 0.45 $ a GB of messages with their backup, 0.023 $ a GB of files, and of code in a
bucket of SAM's; 0.10 $ for each alarm beyond ten of the account. In use 1.00 $ a million messages to or from a socket,
and about as much again to store and send them: 2.30 $ a month for 50 people.
Prices of us-east-1 on 23 November 2026, before tax; docs/running.md has all of them."""
FEW = 100  #: functions at once: fewer are felt by a team
KEPT = {"AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName"}  #: and what names them
#: What makes CloudFormation put a new, empty thing in place of an old one.
REPLACING = ("TableName", "KeySchema", "AttributeDefinitions", "LocalSecondaryIndexes", "BucketName")
KINDS = {
    "AWS::DynamoDB::Table": "table, on demand, with backups of the last 35 days",
    "AWS::S3::Bucket": "bucket for files",
    "AWS::SQS::Queue": "queue, for jobs and for what has failed",
    "AWS::Serverless::WebSocketApi": "WebSocket API",
    "AWS::ApiGatewayV2::Api": "HTTP API",
    "AWS::Serverless::Function": "function",
    "AWS::IAM::Role": "role",
    "AWS::Logs::LogGroup": "log group, kept for 30 days",
    "AWS::CloudWatch::Alarm": "alarm",
}


@dataclass(frozen=True, slots=True)
class Account:
    """An account and a region of it, with credentials that work."""

    session: Any
    region: str
    number: str

    def client(self, service: str) -> Any:
        """boto3's client of a service."""
        return self.session.client(service, region_name=self.region)


def sign_in(region: str | None) -> Account:
    """The account of the credentials at hand; one line and the end where they do not work."""
    try:
        session = boto3.session.Session(region_name=region or None)
        if session.region_name is None:
            sys.exit("Which region? Say REGION=eu-west-1, for instance.")
        if session.get_credentials() is None:
            sys.exit("There are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        number = session.client("sts").get_caller_identity()["Account"]
    except (NotConnected, HTTPClientError) as error:
        sys.exit(f"AWS cannot be reached: {error}")
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"AWS does not accept these credentials: {error}")
    return Account(session, session.region_name, number)


# -- what is there, and what is to be ---------------------------------------------------------------------------------


def deployed(account: Account, stack: str) -> Mapping[str, Any] | None:
    """The stack as CloudFormation describes it; None if there is none."""
    try:
        described: Mapping[str, Any] = account.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        sys.exit(f"CloudFormation does not say whether there is a stack {stack}: {error}")
    return None if described["StackStatus"] == "REVIEW_IN_PROGRESS" else described  # planned once, never made


def what_would_be_lost(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Why the data of a deployed template would be left behind by a new one: a line for each reason."""
    reasons = []
    for name, body in old.get("Resources", {}).items():
        if body["Type"] not in KEPT:
            continue
        successor = new["Resources"].get(name, {})
        if successor.get("Type") != body["Type"]:
            reasons.append(f"{name} ({body['Type']}) is gone or has another name in the template")
            continue
        before, after = body.get("Properties", {}), successor.get("Properties", {})
        changed = [part for part in REPLACING if before.get(part) != after.get(part)]
        reasons += [f"{part} of {name} has changed, which makes a new and empty one" for part in changed]
    return reasons


def guard(account: Account, stack: str, template: Mapping[str, Any]) -> None:
    """End here if the data would be left behind."""
    body = account.client("cloudformation").get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    reasons = what_would_be_lost(yaml_parse(body) if isinstance(body, str) else body, template)
    if reasons:
        sys.exit("Nothing was done, since what was said would be left behind:\n  " + "\n  ".join(reasons))


def announce(
    account: Account, stack: str, there: Mapping[str, Any] | None, template: Mapping[str, Any], named: Mapping[str, str]
) -> None:
    """Say what will be done and what it costs."""
    where = f"the stack {stack} in account {account.number}, {account.region}"
    print(f"This {'changes' if there else 'creates'} {where}:")
    counted = Counter(str(body["Type"]) for body in template["Resources"].values())
    for kind, what in KINDS.items():
        if counted[kind]:
            print(f"  {counted[kind]:>2} × {what}")
    if there:
        print("What was said stays. People are connected anew when their connection ends; nobody is cut off.")
    if named:
        print(f"It begins with what is in {' and '.join(named.values())}.")
    print(COST)


def warn_of_few_functions(account: Account) -> None:
    """New accounts run ten functions at once, which a team notices."""
    try:
        limit = account.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    except (BotoCoreError, ClientError) as error:
        print(f"Note: the account's limit of concurrent functions is not known: {error}")
        return
    if limit < FEW:
        print(
            f"Note: this account runs {limit} functions at once, good for about {limit * 10} requests a second.\n"
            'More is free: ask for it under Service Quotas, AWS Lambda, "Concurrent executions".'
        )


def agreed(question: str, *, yes: bool) -> None:
    """Ask, unless told not to; no ends it."""
    if yes:
        return
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        sys.exit("\nNothing was done. YES=1 answers beforehand.")
    if answer.strip().lower() not in ("y", "yes"):
        sys.exit("Nothing was done.")


# -- doing it ---------------------------------------------------------------------------------------------------------


def sam(account: Account, *arguments: str) -> None:
    """Run the SAM CLI; its failure is ours."""
    environ = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": account.region}
    status = subprocess.run([str(SAM), *arguments, "--region", account.region], env=environ, check=False).returncode
    if status:
        sys.exit(f"sam {arguments[0]} has failed, see above.")


def up(options: argparse.Namespace) -> None:
    """Create the stack or change it in place."""
    account, stack = sign_in(options.region), f"roost-{options.stage}"
    template, there = yaml_parse(TEMPLATE.read_text()), deployed(account, stack)
    named = {name: value for name, value in (("Table", options.table), ("Files", options.bucket)) if value}
    if there:
        if named:
            sys.exit(f"{stack} has its own: `make destroy STAGE={options.stage}` first, which leaves that as it is.")
        check_state(stack, str(there["StackStatus"]), options.stage)
        guard(account, stack, template)
    announce(account, stack, there, template, named)
    warn_of_few_functions(account)
    agreed("Go on?", yes=options.yes)
    local = "AWS_ENDPOINT_URL" in os.environ  # an emulator runs functions on this machine
    build(TARGET, local=local, oidc=has_provider(there, options.set))
    if named:
        adopt(account, stack, named, template)
    parameters = [f"Stage={options.stage}", *options.set]
    how = ["--capabilities", "CAPABILITY_IAM", "--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    sam(
        account,
        "deploy",
        "--template-file",
        str(TEMPLATE),
        "--stack-name",
        stack,
        *how,
        "--parameter-overrides",
        *parameters,
    )
    keep_the_table(account, stack)
    finished = deployed(account, stack)
    assert finished is not None
    tell_addresses(finished, account.region)
    tell_how_to_own_it(account, outputs(finished))


def has_provider(there: Mapping[str, Any] | None, changes: Sequence[str]) -> bool:
    """Whether people sign in with an identity provider: as is set now, or else as it was."""
    values = {each["ParameterKey"]: each["ParameterValue"] for each in (there or {}).get("Parameters", ())}
    values |= dict(change.partition("=")[::2] for change in changes)
    return bool(values.get("OidcIssuer"))


def adopt(account: Account, stack: str, named: Mapping[str, str], template: Mapping[str, Any]) -> None:
    """Begin a stack with a table and a bucket that are there: what a deleted stack left, or a restored backup.

    A table is taken in with its keys alone, so that the deployment which follows turns on all else: restored ones have
    neither expiry nor stream nor backups.
    """
    change, cloudformation = f"adopt-{time.time_ns()}", account.client("cloudformation")
    bodies = {name: template["Resources"][name] for name in named}
    known = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    taken = {
        name: {**body, "Properties": {each: body["Properties"][each] for each in known if each in body["Properties"]}}
        for name, body in bodies.items()
    }
    identified = [
        {
            "ResourceType": body["Type"],
            "LogicalResourceId": name,
            "ResourceIdentifier": {KEPT[body["Type"]]: named[name]},
        }
        for name, body in bodies.items()
    ]
    often = {"Delay": 2, "MaxAttempts": 300}
    try:
        cloudformation.create_change_set(
            StackName=stack,
            ChangeSetName=change,
            ChangeSetType="IMPORT",
            TemplateBody=json.dumps({"Resources": taken}),
            ResourcesToImport=identified,
        )
        cloudformation.get_waiter("change_set_create_complete").wait(
            StackName=stack, ChangeSetName=change, WaiterConfig=often
        )
        cloudformation.execute_change_set(StackName=stack, ChangeSetName=change)
        cloudformation.get_waiter("stack_import_complete").wait(StackName=stack, WaiterConfig=often)
    except (ClientError, WaiterError) as error:
        sys.exit(f"{' and '.join(named.values())} cannot be taken: {error}")


def check_state(stack: str, state: str, stage: str) -> None:
    """A stack that is at work, or whose first deployment failed, cannot be changed."""
    if state == "ROLLBACK_COMPLETE":
        sys.exit(f"The first deployment of {stack} failed and left nothing: `make destroy STAGE={stage}`, then again.")
    if not state.endswith("_COMPLETE"):
        sys.exit(f"{stack} is busy or stuck ({state}): look into CloudFormation's console.")


def keep_the_table(account: Account, stack: str) -> None:
    """Have CloudFormation itself refuse to replace or remove what holds data, whoever deploys and by whatever tool."""
    policy = """{"Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": ["Update:Replace", "Update:Delete"], "Resource": "*",
         "Condition": {"StringEquals": {"ResourceType": ["AWS::DynamoDB::Table", "AWS::S3::Bucket"]}}}]}"""
    account.client("cloudformation").set_stack_policy(StackName=stack, StackPolicyBody=policy)


def outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    """The outputs of a stack by name."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}


def tell_addresses(stack: Mapping[str, Any], region: str) -> None:
    """Where to go now."""
    found = outputs(stack)
    print(f"\nRoost is on AWS.\n\n  web       {found['WebUrl']}\n  sockets   {found['SocketUrl']}")
    print(f"  terminal  npx wscat -c {found['SocketUrl']}")
    print(f"  accounts  .venv/bin/roost user add NAME --table 'dynamodb://{found['TableName']}?region={region}'")
    guests = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())}.get("Guests")
    if guests != "on":
        print('\nPeople without an account are kept out: `make deploy SET="Guests=on"` lets them in.')


def tell_how_to_own_it(account: Account, found: Mapping[str, str]) -> None:
    """A link that makes the owner, where there is none: the command writes its hash into the table, as these
    credentials may and nobody on the web."""
    given = account.session.get_credentials().get_frozen_credentials()
    environ = {**os.environ, "AWS_ACCESS_KEY_ID": given.access_key, "AWS_SECRET_ACCESS_KEY": given.secret_key}
    if given.token:
        environ["AWS_SESSION_TOKEN"] = given.token
    table = f"dynamodb://{found['TableName']}?region={account.region}"
    command = [str(ROOST), "user", "setup-link", "--table", table, "--url", found["WebUrl"]]
    made = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if made.returncode == 0:
        print(f"\nMake yourself its owner, by a link that works once:\n\n  {made.stdout.strip()}")
    elif "has an owner" not in made.stderr:
        print(f"\nThere is no link to become the owner with: {made.stderr.strip()}")


def down(options: argparse.Namespace) -> None:
    """Delete the stack; what people wrote stays."""
    account, stack = sign_in(options.region), f"roost-{options.stage}"
    there = deployed(account, stack)
    if there is None:
        sys.exit(f"There is no stack {stack} in account {account.number}, {account.region}.")
    print(
        f"This deletes the stack {stack} in account {account.number}, {account.region}: nobody can chat there any more."
    )
    agreed("Go on?", yes=options.yes)
    kept = names_of_kept(account, stack)
    sam(account, "delete", "--stack-name", stack, "--no-prompts")
    print("\nWhat was said stays, at 0.45 $ a GB-month, and files at 0.023 $: yours to keep, or to remove for good:")
    for kind, name in kept:
        word = "TABLE" if kind == "AWS::DynamoDB::Table" else "BUCKET"
        print(f"  {name}\n      make erase {word}={name} REGION={account.region}")


def names_of_kept(account: Account, stack: str) -> list[tuple[str, str]]:
    """The tables and buckets of a stack, as they are called."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    found = [
        (each["ResourceType"], each["PhysicalResourceId"]) for page in pages for each in page["StackResourceSummaries"]
    ]
    return [each for each in found if each[0] in KEPT]


def erase(options: argparse.Namespace) -> None:
    """Delete a table or a bucket that a deleted stack left."""
    account = sign_in(options.region)
    names = [name for name in (options.table, options.bucket) if name]
    if not names:
        sys.exit("What? Say TABLE=name or BUCKET=name, as `make destroy` has printed them.")
    print(f"This deletes {' and '.join(names)} in account {account.number}, {account.region}, for good.")
    agreed("Go on?", yes=options.yes)
    try:
        if options.table:
            dynamodb = account.client("dynamodb")
            dynamodb.update_table(TableName=options.table, DeletionProtectionEnabled=False)
            dynamodb.delete_table(TableName=options.table)
        if options.bucket:
            empty_and_delete(account.client("s3"), options.bucket)
    except ClientError as error:
        sys.exit(f"Not all was deleted: {error}")
    print(f"{' and '.join(names)} deleted. Backups of a table end after 35 days.")


def empty_and_delete(s3: Any, bucket: str) -> None:
    """Delete a bucket, which takes an empty one."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        objects = [{"Key": each["Key"]} for each in page.get("Contents", ())]
        if objects:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    s3.delete_bucket(Bucket=bucket)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and do it."""
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)  # in order with what sam prints
    parser = argparse.ArgumentParser(prog="deploy", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function in (("up", up), ("down", down), ("erase", erase)):
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("--region", default=os.environ.get("AWS_REGION"))
        command.add_argument("--yes", action="store_true", help="ask nothing")
        command.set_defaults(do=function)
        if name != "erase":
            command.add_argument("--stage", default="prod")
        if name != "down":
            command.add_argument("--table", help="what a deleted stack left, or a restored backup")
            command.add_argument("--bucket", help="what a deleted stack left")
        if name == "up":
            command.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="the template's parameters")
    options = parser.parse_args(arguments)
    options.do(options)


if __name__ == "__main__":
    main()
