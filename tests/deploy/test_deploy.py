"""`make deploy`, an upgrade in place, what is refused, `make destroy` and what it leaves, as a person sees them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.stack import REGION, Project
from tests.deploy.template import resources, translated
from tests.end_to_end.test_blog_post import exchange
from tests.tools import ROOT, free_port, ministack, wscat

HERE = ("--region", REGION)


@pytest.fixture(scope="module")
def project(account: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"), account)


# -- before anything is done ------------------------------------------------------------------------------------------


def test_without_credentials_there_is_one_line(project: Project) -> None:
    missing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    said = project.script("up", *HERE, status=1, **missing)
    assert said == "There are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.\n"


def test_without_a_region_there_is_one_line(project: Project) -> None:
    said = project.script("down", status=1)
    assert said == "Which region? Say REGION=eu-west-1, for instance.\n"


def test_with_credentials_that_are_not_accepted_there_is_one_line(project: Project) -> None:
    wrong = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wrong"}
    said = project.script("up", *HERE, status=1, **wrong)
    assert said.startswith("AWS does not accept these credentials: ")
    assert said.count("\n") == 1
    said = project.script("up", *HERE, status=1, AWS_PROFILE="nobody")
    assert said == "AWS does not accept these credentials: The config profile (nobody) could not be found\n"


def test_without_a_network_there_is_one_line(project: Project) -> None:
    nowhere = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_MAX_ATTEMPTS": "1"}
    said = project.script("up", *HERE, status=1, **nowhere)
    assert said.startswith("AWS cannot be reached: ")
    assert said.count("\n") == 1


def test_it_says_what_it_will_make_and_what_that_costs_and_asks(project: Project) -> None:
    said = project.script("up", "--stage", "asked", *HERE, status=1, typed="n\n")
    assert "This creates the stack roost-asked in account 000000000000, eu-west-1:" in said
    for line in ("1 × WebSocket API", "1 × HTTP API", "1 × table", "× function", "× alarm"):
        assert line in said
    assert "At rest it costs about 0 $ a month" in said
    assert "Prices of us-east-1 on 23 November 2026" in said
    assert said.endswith("Go on? [y/N] Nothing was done.\n")
    said = project.script("up", "--stage", "asked", *HERE, status=1)  # nobody is there to answer
    assert said.endswith("Nothing was done. YES=1 answers beforehand.\n")
    assert "functions at once" not in said
    stacks = project.stack("asked").client("cloudformation").list_stacks()["StackSummaries"]
    assert "roost-asked" not in {each["StackName"] for each in stacks}


def test_it_warns_of_an_account_that_runs_few_functions_at_once(tmp_path: Path) -> None:
    with ministack(LAMBDA_ACCOUNT_CONCURRENCY="10") as endpoint:
        said = Project(tmp_path, endpoint).script("up", *HERE, status=1)
    assert "this account runs 10 functions at once, good for about 100 requests a second" in said
    assert 'Service Quotas, AWS Lambda, "Concurrent executions"' in said


# -- the life of a stack ----------------------------------------------------------------------------------------------


def test_two_people_talk_as_in_the_blog_post_and_what_was_said_outlives_upgrades_and_the_stack(
    project: Project,
) -> None:
    said = project.up("life")
    stack = project.stack("life")
    table, bucket = stack.physical("Table"), stack.physical("Files")
    assert f"web       {stack.output('WebUrl')}\n" in said
    assert f"sockets   {stack.output('SocketUrl')}\n" in said
    assert f"npx wscat -c {stack.output('SocketUrl')}\n" in said
    assert f"roost user add NAME --table 'dynamodb://{table}?region={REGION}'\n" in said
    assert re.search(rf"^  {re.escape(stack.output('WebUrl'))}setup#[\w-]{{43}}$", said, re.MULTILINE)
    exchange(stack.socket_url)
    with wscat(stack.socket_url) as ana, wscat(stack.socket_url) as ben:
        ana.type("before the upgrade")
        ben.hears("#general anonymous: before the upgrade")

        project.replace("roost/frames.py", "Valid commands: /help", "New commands: /help")
        assert "This changes the stack roost-life" in project.up("life")
        ana.type("/help")  # on a connection that is older than the code
        ana.shows("New commands: /help")
    with wscat(stack.socket_url) as ben:
        ben.type("/history")
        ben.shows("#general anonymous: before the upgrade")
    assert stack.physical("Table") == table

    refused_what_would_lose_it(project)
    assert stack.physical("Table") == table

    said = project.script("down", "--stage", "life", *HERE, "--yes")
    assert f"{table}\n      make erase TABLE={table} REGION={REGION}\n" in said
    assert f"{bucket}\n      make erase BUCKET={bucket} REGION={REGION}\n" in said
    assert project.script("down", "--stage", "life", *HERE, "--yes", status=1) == (
        "There is no stack roost-life in account 000000000000, eu-west-1.\n"
    )
    dynamodb = stack.client("dynamodb")
    assert "before the upgrade" in json.dumps(dynamodb.scan(TableName=table)["Items"])
    s3 = stack.client("s3")
    s3.put_object(Bucket=bucket, Key="F1", Body=b"attached")
    kept = ("--table", table, "--bucket", bucket)
    begun_again_with_it(project, table, bucket)

    assert "Nothing was done" in project.script("erase", *kept, *HERE, status=1, typed="no\n")
    assert table in dynamodb.list_tables()["TableNames"]
    project.script("erase", *kept, *HERE, "--yes")
    assert table not in dynamodb.list_tables()["TableNames"]
    assert bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}
    assert "Not all was deleted: " in project.script("erase", *kept, *HERE, "--yes", status=1)
    assert "Say TABLE=name or BUCKET=name" in project.script("erase", *HERE, status=1)
    stack.close()


def begun_again_with_it(project: Project, table: str, bucket: str) -> None:
    """A stack with the table that an earlier one has left. It has the same stage, since MiniStack makes a table's name
    out of the stack's and would replace one of another name."""
    assert "nobody cannot be taken: " in project.up("life", "--table", "nobody", status=1)
    again = project.up("life", "--table", table, "--bucket", bucket)
    assert f"It begins with what is in {table} and {bucket}.\n" in again
    stack = project.stack("life")
    assert stack.physical("Table") == table
    with wscat(stack.socket_url) as ana:
        ana.type("/history")
        ana.shows("#general anonymous: before the upgrade")
    assert stack.physical("Files") == bucket
    assert stack.client("s3").get_object(Bucket=bucket, Key="F1")["Body"].read() == b"attached"
    assert "roost-life has its own" in project.up("life", "--table", table, status=1)
    project.script("down", "--stage", "life", *HERE, "--yes")
    stack.close()


def refused_what_would_lose_it(project: Project) -> None:
    """Whatever would put another table in place of this one."""
    file = "deploy/template.yaml"
    template = (project.folder / file).read_text()
    renamed = "Nothing was done, since what was said would be left behind:\n  Table (AWS::DynamoDB::Table) is gone"
    for old, new, reason in (
        (r"(?<![\w:])Table(?=[:.}\n]| \}| \n)", "Data", renamed),
        (
            r"BillingMode: PAY_PER_REQUEST",
            "BillingMode: PAY_PER_REQUEST\n      TableName: chat",
            "  TableName of Table has",
        ),
        (r"AttributeName: SK, KeyType: RANGE", "AttributeName: G1SK, KeyType: RANGE", "  KeySchema of Table has"),
    ):
        changed = re.sub(old, new, template)
        assert changed != template
        (project.folder / file).write_text(changed)
        assert reason in project.up("life", status=1)
    (project.folder / file).write_text(template)
    policy = project.stack("life").client("cloudformation").get_stack_policy(StackName="roost-life")["StackPolicyBody"]
    assert {"Update:Replace", "Update:Delete"} == set(json.loads(policy)["Statement"][1]["Action"])


# -- the Makefile -----------------------------------------------------------------------------------------------------


def test_make_passes_on_what_a_person_says() -> None:
    words = ["REGION=eu-west-1", "YES=1", "TABLE=old", "BUCKET=files", "SET=Guests=on Burst=5"]
    for target, command in (
        ("deploy", "up --stage prod --region eu-west-1 --yes --table old --bucket files --set Guests=on Burst=5"),
        ("destroy", "down --stage prod --region eu-west-1 --yes"),
        ("erase", "erase --region eu-west-1 --yes --table old --bucket files"),
    ):
        shown = subprocess.run(["make", "-n", target, *words], cwd=ROOT, capture_output=True, text=True, check=True)
        assert f"-m scripts.deploy {command}" in " ".join(shown.stdout.split())
        assert f"make {target}" in (ROOT / "docs" / "running.md").read_text()


def test_every_parameter_and_alarm_is_on_the_page_about_running() -> None:
    text = (ROOT / "docs" / "running.md").read_text()
    for name in translated()["Parameters"].keys() - {"Stage"}:
        assert name in text
    for name in resources("AWS::CloudWatch::Alarm"):
        assert f"`{name}`" in text
