"""MiniStack as AWS Lambda, and the push function on it, from the folder that is deployed."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3

from roost.aws.sign import Credentials
from scripts.build_lambda import build

REGION = "eu-west-1"
KEY = Credentials("000000000000", "test")  # what MiniStack gives its functions: the account, and a word


class Cloud:
    """MiniStack, with the code of Roost's functions."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint = endpoint
        built = build(folder, local=True)
        paths = [path for path in built.rglob("*") if path.is_file()]
        self._code = zipped({str(path.relative_to(built)): path.read_bytes() for path in paths})
        self._functions = 0

    def push_function(self, callback: str, **variables: str) -> str:
        """A new push function that posts to this API; its name."""
        self._functions += 1
        name = f"roost-push-{self._functions}"
        with self.client("lambda") as lambdas:
            lambdas.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role="arn:aws:iam::000000000000:role/any",
                Handler="roost.aws.functions.push",
                Code={"ZipFile": self._code},
                Timeout=29,
                Environment={"Variables": {"ROOST_CALLBACK_URL": callback, "AWS_REGION": REGION, **variables}},
            )
        return name

    @contextlib.contextmanager
    def client(self, service: Any) -> Iterator[Any]:
        """A client of boto3's."""
        made = boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        with contextlib.closing(made):
            yield made


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of these files."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return archive.getvalue()
