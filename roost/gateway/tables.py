"""Declared DynamoDB tables, created on the endpoint that the person names; never on real AWS unasked."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from roost.gateway.definition import DeclaredTable
from roost.gateway.server import GatewayError

_COPIED = (
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "BillingMode",
    "ProvisionedThroughput",
)


def without_endpoint(tables: Sequence[DeclaredTable], *, real_credentials: bool) -> str | None:
    """What to say where tables are declared and no endpoint is known, or None where there are none."""
    if not tables:
        return None
    names = ", ".join(table.name for table in tables)
    where = (
        "WITH YOUR OWN CREDENTIALS from this shell" if real_credentials else "which refuses their made-up credentials"
    )
    return (
        f"no DynamoDB here for {names}: calls to it go to the real AWS, {where}; "
        "pass --dynamodb URL, such as that of DynamoDB Local or MiniStack, and the tables are created there"
    )


def create_tables(tables: Sequence[DeclaredTable], *, endpoint: str | None, region: str) -> list[str]:
    """Create each table that is not there yet and wait until it is active; answers what was done, a line each.

    Without an endpoint nothing is done. Raises `GatewayError` where it cannot be reached or refuses a definition.
    """
    if endpoint is None or not tables:
        return []
    client = local_client("dynamodb", endpoint, region)
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return [_create(client, table) for table in tables]
    except (ClientError, BotoCoreError) as error:
        raise GatewayError(f"cannot create tables at {endpoint}: {error}") from None


def local_client(service: str, endpoint: str, region: str) -> Any:
    """A boto3 client for what the person runs here. Raises `GatewayError` where boto3 is not installed."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise GatewayError("DynamoDB is reached with boto3, which is not installed: pip install boto3") from None
    session: Any = boto3.session.Session(  # of its own: the default one belongs to the functions
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  made up: the endpoint is a local one
    )
    return session.client(
        service, endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 2}, connect_timeout=3)
    )


def _create(client: Any, table: DeclaredTable) -> str:
    request = _request(table)
    try:
        client.create_table(**request)
    except client.exceptions.ResourceInUseException:
        return f"table {table.name} is there"
    client.get_waiter("table_exists").wait(TableName=table.name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    expiry = table.properties.get("TimeToLiveSpecification")
    if isinstance(expiry, dict) and str(expiry.get("Enabled")).lower() == "true":
        specification = {"Enabled": True, "AttributeName": expiry["AttributeName"]}
        with contextlib.suppress(client.exceptions.ClientError):  # an engine without expiry still has the table
            client.update_time_to_live(TableName=table.name, TimeToLiveSpecification=specification)
    return f"table {table.name} made"


def _request(table: DeclaredTable) -> dict[str, Any]:
    properties = table.properties
    request = {name: _numbers(properties[name]) for name in _COPIED if name in properties}
    request["TableName"] = table.name
    if "ProvisionedThroughput" not in request:
        request["BillingMode"] = "PAY_PER_REQUEST"
    stream = properties.get("StreamSpecification")
    if isinstance(stream, dict):
        request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": stream["StreamViewType"]}
    return request


def _numbers(value: Any) -> Any:
    """Capacities may stand as text in YAML; boto3 wants numbers and plain containers."""
    if isinstance(value, Mapping):
        return {key: int(each) if str(key).endswith("CapacityUnits") else _numbers(each) for key, each in value.items()}
    return [_numbers(each) for each in value] if isinstance(value, list) else value
