"""What the chat keeps in DynamoDB, and how it reaches the others.

CONNECTION#{id}   META                   who sits there: name, channel
CHANNEL#{name}    CONNECTION#{id}        that a connection hears a channel
CHANNEL#{name}    MESSAGE#{time}#{id}    what was said, by whom
CHANNELS          {name}                 every channel that was ever entered
"""

import os
import time

import boto3
from boto3.dynamodb.conditions import Attr, Key

LIFE = 2 * 3600 + 600  # seconds: API Gateway ends a connection after two hours

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
_clients = {}


def seat(connection_id):
    """Who sits at a connection: {"name": …, "channel": …}."""
    item = table.get_item(Key=_seat_key(connection_id), ConsistentRead=True).get("Item", {})
    return {"name": item.get("name", "anonymous"), "channel": item.get("channel", "general")}


def sit_down(connection_id):
    """A new connection: anonymous, in #general."""
    table.put_item(Item={**_seat_key(connection_id), "name": "anonymous", "channel": "general", "expires": _expiry()})
    hear(connection_id, "general")


def rename(connection_id, name):
    """Change the name of a connection that is still there."""
    _update(connection_id, "SET #n = :value", {"#n": "name"}, name)


def move(connection_id, channel):
    """Let a connection hear another channel, and only that."""
    old = _update(connection_id, "SET #c = :value", {"#c": "channel"}, channel)
    if old != channel:
        table.delete_item(Key=_hears_key(connection_id, old))
    hear(connection_id, channel)


def hear(connection_id, channel):
    """Note that a connection hears a channel, and that there is such a channel."""
    table.put_item(Item={**_hears_key(connection_id, channel), "expires": _expiry()})
    table.put_item(Item={"pk": "CHANNELS", "sk": channel})


def leave(connection_id):
    """A connection is over."""
    old = table.delete_item(Key=_seat_key(connection_id), ReturnValues="ALL_OLD").get("Attributes", {})
    table.delete_item(Key=_hears_key(connection_id, old.get("channel", "general")))


def save_message(channel, name, text, message_id):
    """Keep a message under its time and its own id, so that two of one millisecond are two."""
    sk = f"MESSAGE#{time.time_ns() // 1_000_000:013}#{message_id}"
    table.put_item(Item={"pk": f"CHANNEL#{channel}", "sk": sk, "name": name, "text": text})


def channels():
    """The names of all channels, sorted."""
    return sorted(item["sk"] for item in _query(Key("pk").eq("CHANNELS")))


def hearers(channel):
    """The connections that hear a channel."""
    condition = Key("pk").eq(f"CHANNEL#{channel}") & Key("sk").begins_with("CONNECTION#")
    return [item["sk"].removeprefix("CONNECTION#") for item in _query(condition)]


def post(event, connection_id, text):
    """Send text to one connection; answers whether it is still there. Any other failure is that connection's own."""
    client = _client(event)
    try:
        client.post_to_connection(ConnectionId=connection_id, Data=text.encode())
    except client.exceptions.GoneException:
        return False
    except client.exceptions.ClientError as error:
        print(f"{connection_id} did not get it: {error}")
    return True


def _client(event):
    context = event["requestContext"]
    url = f"https://{context['domainName']}/{context['stage']}"
    if url not in _clients:
        _clients[url] = boto3.client("apigatewaymanagementapi", endpoint_url=url)
    return _clients[url]


def _query(condition):
    request = {"KeyConditionExpression": condition, "ConsistentRead": True}
    while True:
        page = table.query(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _update(connection_id, expression, names, value):
    """Change a connection's item; answers the old value. A connection that has left is not brought back."""
    (name,) = names.values()
    old = table.update_item(
        Key=_seat_key(connection_id),
        UpdateExpression=expression,
        ExpressionAttributeNames=names,
        ExpressionAttributeValues={":value": value},
        ConditionExpression=Attr("pk").exists(),
        ReturnValues="UPDATED_OLD",
    )
    return old["Attributes"][name]


def _seat_key(connection_id):
    return {"pk": f"CONNECTION#{connection_id}", "sk": "META"}


def _hears_key(connection_id, channel):
    return {"pk": f"CHANNEL#{channel}", "sk": f"CONNECTION#{connection_id}"}


def _expiry():
    return int(time.time()) + LIFE
