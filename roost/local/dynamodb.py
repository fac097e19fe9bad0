"""`--table dynamodb://NAME`: a DynamoDB table in place of the SQLite file, found and opened as AWS's own tools would.

The address names the table, and perhaps `endpoint` and `region`; what it leaves out comes from the environment and from
the files in `~/.aws`, under the variables and in the order that boto3 has.
"""

from __future__ import annotations

import configparser
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from roost.aws.dynamodb import DynamoTable, table_definition
from roost.aws.sign import Credentials, Signer, Sockets, Unreachable
from roost.storage.table import TableError

_TIMEOUT = 10.0  # seconds for each call that looks for the table or makes it
_UNTIL_ACTIVE = 60.0  # seconds that a new table may take


@dataclass(frozen=True, slots=True)
class Address:
    """Which table, and where."""

    name: str
    endpoint: str
    region: str
    own_endpoint: bool  #: somebody named the endpoint: an emulator, where a table that is missing may be made


def address(url: str, environ: Mapping[str, str]) -> Address:
    """What `dynamodb://NAME?endpoint=URL&region=REGION` names. Raises `TableError` with what is wrong."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise TableError(f"{url} is no address") from None
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme != "dynamodb" or not parts.netloc or parts.path or options.keys() - {"endpoint", "region"}:
        raise TableError(f"{url} is not dynamodb://NAME?endpoint=URL&region=REGION")
    named = options.get("endpoint") or environ.get("AWS_ENDPOINT_URL_DYNAMODB") or environ.get("AWS_ENDPOINT_URL")
    region = options.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    region = region or _profile("AWS_CONFIG_FILE", "config", environ).get("region")
    if not region:
        raise TableError(f"{url} names no region, and AWS_REGION is not set")
    return Address(parts.netloc, named or f"https://dynamodb.{region}.amazonaws.com", region, bool(named))


def credentials(environ: Mapping[str, str]) -> Credentials:
    """The key to sign with: from the environment, else from the profile's files. Raises `TableError`."""
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        token = environ.get("AWS_SESSION_TOKEN")
        return Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], token)
    for variable, file in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        found = _profile(variable, file, environ)
        if "aws_access_key_id" in found and "aws_secret_access_key" in found:
            token = found.get("aws_session_token")
            return Credentials(found["aws_access_key_id"], found["aws_secret_access_key"], token)
    raise TableError(
        "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (an emulator takes any), "
        "or run `aws configure`"
    )


def _profile(variable: str, file: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The profile's section of one of AWS's files; nothing where there is none."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    path = environ.get(variable) or (f"{home}/.aws/{file}" if home else None)
    profile = environ.get("AWS_PROFILE") or "default"
    section = f"profile {profile}" if file == "config" and profile != "default" else profile
    parser = configparser.RawConfigParser()
    try:
        if path is not None:
            parser.read(Path(path).expanduser(), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        raise TableError(f"{path} is not a file of AWS's tools") from None
    return dict(parser[section]) if parser.has_section(section) else {}


def open_table(url: str, environ: Mapping[str, str]) -> DynamoTable:
    """The table that an address names. Raises `TableError` in one line for everything that hinders."""
    where, key = address(url, environ), credentials(environ)
    make_ready(where, key)
    return DynamoTable(where.name, endpoint=where.endpoint, region=where.region, credentials=lambda: key)


def make_ready(where: Address, key: Credentials) -> None:
    """Return once the table takes calls. Where an endpoint is named, a table that is missing is made."""
    control = _Control(where, key)
    try:
        control.ready()
    except Unreachable as error:
        raise TableError(f"{where.endpoint} cannot be reached: {error}") from None
    finally:
        control.close()


class _Control:
    """The few calls about the table itself."""

    def __init__(self, where: Address, key: Credentials) -> None:
        self._where = where
        self._sockets = Sockets(where.endpoint, _TIMEOUT)
        self._signer = Signer(lambda: key, "dynamodb", where.region)

    def ready(self) -> None:
        """Return once the table takes calls."""
        status = self._status()
        if status is None:
            self._make()
        elif status not in ("ACTIVE", "UPDATING"):
            self._wait()

    def close(self) -> None:
        """Close the sockets."""
        self._sockets.close()

    def _make(self) -> None:
        if not self._where.own_endpoint:
            raise TableError(f"there is no table {self._where.name} in {self._where.region}; make deploy makes one")
        self._call("CreateTable", table_definition(self._where.name))
        self._wait()
        expiry = {"AttributeName": "x", "Enabled": True}
        self._call("UpdateTimeToLive", {"TableName": self._where.name, "TimeToLiveSpecification": expiry})

    def _wait(self) -> None:
        deadline = time.monotonic() + _UNTIL_ACTIVE
        while self._status() != "ACTIVE":
            if time.monotonic() > deadline:
                raise TableError(f"the table {self._where.name} does not become ready")
            time.sleep(0.2)

    def _status(self) -> str | None:
        answer = self._call("DescribeTable", {"TableName": self._where.name}, missing_is_fine=True)
        return None if answer is None else str(answer["Table"]["TableStatus"])

    def _call(
        self, operation: str, request: Mapping[str, Any], *, missing_is_fine: bool = False
    ) -> dict[str, Any] | None:
        path, body = self._sockets.base + "/", msgspec.json.encode(request)
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"DynamoDB_20120810.{operation}"}
        signed = self._signer.headers("POST", self._sockets.host, path, headers, body)
        answer = self._sockets.request("POST", path, signed, body)
        try:
            decoded = msgspec.json.decode(answer.body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise TableError(f"{self._where.endpoint} does not answer as DynamoDB does") from None
        if answer.status == 200:
            return decoded
        kind = str(decoded.get("__type", answer.status)).rpartition("#")[2]
        if missing_is_fine and kind == "ResourceNotFoundException":
            return None
        reason = decoded.get("message") or decoded.get("Message") or ""
        raise TableError(f"{operation} {self._where.name}: {kind} {reason}".strip())
