"""The address of a DynamoDB table: what it means, where the rest comes from, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.aws.sign import Credentials
from roost.local.dynamodb import Address, address, credentials, open_table
from roost.storage.table import TableError
from tests.tools import free_port

EMULATOR = "http://127.0.0.1:8111"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        (
            f"dynamodb://Roost-1.x_y?endpoint={EMULATOR}&region=eu-west-1",
            {},
            Address("Roost-1.x_y", EMULATOR, "eu-west-1", True),
        ),
        (
            "dynamodb://chat",
            {"AWS_REGION": "eu-west-1"},
            Address("chat", "https://dynamodb.eu-west-1.amazonaws.com", "eu-west-1", False),
        ),
        (
            "dynamodb://chat",
            {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": EMULATOR},
            Address("chat", EMULATOR, "us-east-1", True),
        ),
        (
            "dynamodb://chat?region=a",
            {"AWS_REGION": "b", "AWS_ENDPOINT_URL": "http://other", "AWS_ENDPOINT_URL_DYNAMODB": EMULATOR},
            Address("chat", EMULATOR, "a", True),
        ),
    ],
)
def test_an_address_and_the_environment_say_which_table(url: str, environ: dict[str, str], expected: Address) -> None:
    assert address(url, environ) == expected


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("chat", "chat is not dynamodb://NAME"),
        ("dynamodb://", "is not dynamodb://NAME"),
        ("dynamodb://chat/more?region=a", "is not dynamodb://NAME"),
        ("dynamodb://chat?regoin=a", "is not dynamodb://NAME"),
        ("postgres://chat", "is not dynamodb://NAME"),
        ("dynamodb://[chat", "is no address"),
        ("dynamodb://chat", "names no region"),
    ],
)
def test_an_address_that_says_nothing_is_refused_with_its_form(url: str, said: str) -> None:
    with pytest.raises(TableError, match="dynamodb") as refused:
        address(url, {})
    assert said in str(refused.value)


def test_keys_come_from_where_awss_tools_look(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="there are no AWS credentials"):
        credentials({"HOME": str(tmp_path)})
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "config").write_text(
        "[default]\nregion = eu-north-1\n[profile work]\nregion = ca-west-1\n"
        "aws_access_key_id = C\naws_secret_access_key = D\n"
    )
    (folder / "credentials").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = B%\n")
    home = {"HOME": str(tmp_path)}
    assert credentials(home) == Credentials("A", "B%", None)
    assert credentials({**home, "AWS_PROFILE": "work"}) == Credentials("C", "D", None)
    assert credentials({**home, **KEYS, "AWS_SESSION_TOKEN": "t"}) == Credentials("test", "secret", "t")
    assert address("dynamodb://chat", home).region == "eu-north-1"
    assert address("dynamodb://chat", {**home, "AWS_PROFILE": "work"}).region == "ca-west-1"
    (folder / "credentials").write_text("no file of theirs")
    with pytest.raises(TableError, match="is not a file of AWS's tools"):
        credentials(home)


def test_an_endpoint_where_nobody_listens_is_said() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TableError, match=f"{endpoint} cannot be reached"):
        open_table(f"dynamodb://chat?endpoint={endpoint}&region=eu-west-1", KEYS)
