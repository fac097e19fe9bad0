"""Rooms: what a socket app needs besides messages. An authorizer, a route that answers, an HTTP API that pushes.

wscat -c "ws://127.0.0.1:8000/dev?token=open-sesame&user=ana" -s rooms.v1
> {"action":"whoami"}
curl -d '{"to":"CONNECTION_ID","text":"hi"}' 127.0.0.1:8000/rooms/42/messages
"""

import base64
import functools
import hmac
import json
import os

import boto3


def authorize(event, context):
    """REQUEST authorizer of `$connect`: who knows the token may come in, under the name they give.

    Without a token API Gateway answers 401 by itself: it is the identity source.
    """
    query = event["queryStringParameters"]
    allowed = hmac.compare_digest(query["token"].encode(), os.environ["ROOMS_TOKEN"].encode())
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if allowed else "Deny",
        "Resource": event["methodArn"],
    }
    return {
        "principalId": query.get("user", "nobody"),
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"guest": "user" not in query},
    }


def connect(event, context):
    """`$connect`: speak rooms.v1 with who offers it."""
    offered = event["headers"].get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
    headers = {"Sec-WebSocket-Protocol": "rooms.v1"} if "rooms.v1" in offered else {}
    return {"statusCode": 200, "headers": headers}


def whoami(event, context):
    """A two-way route: what is returned goes back on the socket."""
    request = event["requestContext"]
    who = {"connection": request["connectionId"], "user": request["authorizer"]["principalId"]}
    return {"statusCode": 200, "body": json.dumps(who | {"guest": request["authorizer"]["guest"]})}


def show(event, context):
    """GET /rooms/{id}: anything without a statusCode is a JSON body."""
    return {"room": event["pathParameters"]["id"], "query": event.get("queryStringParameters", {})}


def tell(event, context):
    """POST /rooms/{id}/messages: from HTTP to a socket."""
    message = _json_body(event)
    if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("to", "text")):
        return _answer(400, 'a message is {"to": "CONNECTION_ID", "text": "…"}')
    sockets = _sockets(os.environ["CALLBACK_URL"])
    data = json.dumps({"room": event["pathParameters"]["id"], "text": message["text"]})
    try:
        sockets.post_to_connection(ConnectionId=message["to"], Data=data)
    except sockets.exceptions.GoneException:
        return _answer(404, "they have left")
    except sockets.exceptions.PayloadTooLargeException:
        return _answer(413, "at most 128 KB")
    except sockets.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "BadRequestException":
            raise
        return _answer(400, "that is no connection id")
    return {"statusCode": 202, "body": ""}


def files(event, context):
    """ANY /files/{path+}: the rest of the path, with a cookie to show how."""
    method, path = event["requestContext"]["http"]["method"], event["pathParameters"]["path"]
    return {"statusCode": 200, "cookies": ["seen=1; HttpOnly"], "body": f"{method} {path}"}


def fallback(event, context):
    """`$default`: whatever no other route takes."""
    return {"statusCode": 404, "headers": {"content-type": "text/plain"}, "body": f"no {event['rawPath']} here"}


def _json_body(event):
    """The body as JSON, None if it is none. API Gateway encodes it where its content type is not one of text."""
    body = event.get("body", "")
    try:
        return json.loads(base64.b64decode(body) if event["isBase64Encoded"] else body)
    except ValueError:
        return None


def _answer(status, message):
    return {"statusCode": status, "body": json.dumps({"message": message})}


@functools.cache
def _sockets(url):
    return boto3.client("apigatewaymanagementapi", endpoint_url=url)
