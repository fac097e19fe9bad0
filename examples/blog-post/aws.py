"""What the chat keeps in DynamoDB, and how it reaches the others.

CONNECTION#{id}   META                   who sits there: name, channel
CHANNEL#{name}    CONNECTION#{id}        that a connection hears a channel
CHANNEL#{name}    MESSAGE#{time}#{id}    what was said, by whom
CHANNELS          {name}                 every channel that was ever entered
"""

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

LIFE = 2 * 3600 + 600  # seconds: API Gateway ends a connection after two hours
YOUNG = 30  # seconds: until $connect has returned, posts to a connection answer as if it were gone
AT_ONCE = 10  # as many connections as boto3 keeps open

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
errors = table.meta.client.exceptions
# A client that reads slowly is answered 429: trying again for long would keep the sender's function waiting.
_posting = Config(retries={"mode": "standard", "total_max_attempts": 2})
_clients = {}


def sit_down(connection_id):
    """A new connection: anonymous, in #general."""
    _note("general")
    _write(
        _put(_seat_key(connection_id), name="anonymous", channel="general"), _put(_hears_key(connection_id, "general"))
    )


def seat(connection_id):
    """Who sits at a connection: {"name": …, "channel": …}; None if it is over."""
    item = table.get_item(Key=_seat_key(connection_id), ConsistentRead=True).get("Item")
    return item and {"name": item["name"], "channel": item["channel"]}


def rename(connection_id, name):
    """Change the name of a connection. One that is over is not brought back."""
    with contextlib.suppress(errors.ConditionalCheckFailedException):
        table.update_item(
            Key=_seat_key(connection_id),
            UpdateExpression="SET #n = :name",
            ExpressionAttributeNames={"#n": "name"},
            ExpressionAttributeValues={":name": name},
            ConditionExpression=Attr("pk").exists(),
        )


def move(connection_id, channel):
    """Let a connection hear another channel, and only that: all of it or nothing, whoever else moves it now."""
    for _ in range(10):
        old = seat(connection_id)
        if old is None or old["channel"] == channel:
            return
        _note(channel)
        try:
            _write(
                _change_channel(connection_id, old["channel"], channel),
                {"Delete": {"TableName": table.name, "Key": _hears_key(connection_id, old["channel"])}},
                _put(_hears_key(connection_id, channel)),
            )
            return
        except errors.TransactionCanceledException:
            time.sleep(0.02)  # it has moved, or is moving: look again
    raise TimeoutError(f"{connection_id} moves about too fast")


def leave(connection_id, channel=None):
    """A connection is over. `channel`: where it was found, should its own item not say so."""
    old = table.delete_item(Key=_seat_key(connection_id), ReturnValues="ALL_OLD").get("Attributes", {})
    for heard in {channel, old.get("channel")} - {None}:
        table.delete_item(Key=_hears_key(connection_id, heard))


def save_message(channel, name, text, message_id):
    """Keep a message under its time and its own id, so that two of one millisecond are two."""
    sk = f"MESSAGE#{time.time_ns() // 1_000_000:013}#{message_id}"
    table.put_item(Item={"pk": f"CHANNEL#{channel}", "sk": sk, "name": name, "text": text})


def channels():
    """The names of all channels, sorted."""
    return sorted(item["sk"] for item in _query(Key("pk").eq("CHANNELS")))


def tell(event, channel, text, but):
    """Send text to all who hear a channel except one, side by side. Who is gone leaves it; no failure is another's."""

    def to(row):
        connection_id = row["sk"].removeprefix("CONNECTION#")
        if not post(event, connection_id, text) and row["expires"] < _expiry() - YOUNG:
            leave(connection_id, channel)

    condition = Key("pk").eq(f"CHANNEL#{channel}") & Key("sk").begins_with("CONNECTION#")
    others = [row for row in _query(condition) if row["sk"] != f"CONNECTION#{but}"]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(to, others))


def post(event, connection_id, text):
    """Send text to one connection; answers whether it is still there."""
    client = _client(event)
    try:
        client.post_to_connection(ConnectionId=connection_id, Data=text.encode())
    except client.exceptions.GoneException:
        return False
    except (ClientError, BotoCoreError) as error:
        print(f"{connection_id} did not get it: {error}")
    return True


def _client(event):
    context = event["requestContext"]
    url = f"https://{context['domainName']}/{context['stage']}"
    if url not in _clients:
        _clients[url] = boto3.client("apigatewaymanagementapi", endpoint_url=url, config=_posting)
    return _clients[url]


def _query(condition):
    request = {"KeyConditionExpression": condition, "ConsistentRead": True}
    while True:
        page = table.query(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _note(channel):
    """Note that there is such a channel: by itself, since in a transaction all who come at once would conflict."""
    table.put_item(Item={"pk": "CHANNELS", "sk": channel})


def _write(*changes):
    """All of these changes or none."""
    table.meta.client.transact_write_items(TransactItems=list(changes))


def _put(key, **attributes):
    """What belongs to a connection ends with it, even if nobody says that it has ended."""
    return {"Put": {"TableName": table.name, "Item": {**key, **attributes, "expires": _expiry()}}}


def _change_channel(connection_id, old, new):
    return {
        "Update": {
            "TableName": table.name,
            "Key": _seat_key(connection_id),
            "UpdateExpression": "SET channel = :new",
            "ConditionExpression": "channel = :old",
            "ExpressionAttributeValues": {":old": old, ":new": new},
        }
    }


def _seat_key(connection_id):
    return {"pk": f"CONNECTION#{connection_id}", "sk": "META"}


def _hears_key(connection_id, channel):
    return {"pk": f"CHANNEL#{channel}", "sk": f"CONNECTION#{connection_id}"}


def _expiry():
    return int(time.time()) + LIFE
