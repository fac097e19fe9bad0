"""The serverless chat of the blog post: one function per route, plain text for clients."""

import json

import aws

OK = {"statusCode": 200}
HELP = "Valid commands: /help, /name [NAME], /channel [CHAN_NAME]"
MAX_NAME, MAX_TEXT = 80, 4000  # characters: a line and its prefix stay far below what a push may have


def connect(event, context):
    """`$connect`: everybody begins as anonymous in #general."""
    aws.sit_down(event["requestContext"]["connectionId"])
    return OK


def disconnect(event, context):
    """`$disconnect`"""
    aws.leave(event["requestContext"]["connectionId"])
    return OK


def default(event, context):
    """`$default`: a command, or something to say."""
    text = (event.get("body") or "").strip()
    if text.startswith("/"):
        _reply(event, _command(event, text))
    elif len(text) > MAX_TEXT:
        _reply(event, f"Too long: at most {MAX_TEXT} characters")
    elif text:
        _say(event, text)
    return OK


def handle_cmd(event, context):
    """The `command` route: {"action": "command", "data": "fetchChannels"}"""
    if _request(event) == "fetchChannels":
        _reply(event, json.dumps({"channelsList": aws.channels()}))
    else:
        _reply(event, HELP)
    return OK


def _request(event):
    """What is asked for. API Gateway also routes bodies that are not quite JSON, such as {action: "command"}."""
    try:
        return json.loads(event["body"])["data"]
    except (ValueError, TypeError, KeyError):
        return None


def _command(event, text):
    """Do what a command says; answers the reply."""
    me = event["requestContext"]["connectionId"]
    command, *words = text.split()  # at blanks of any kind: a line break in a name would forge another's line
    name, channel = " ".join(words), "".join(words).replace("#", "")
    if command == "/name" and 0 < len(name) <= MAX_NAME:
        aws.rename(me, name)
        return f"Set username to {name}"
    if command == "/channel" and 0 < len(channel) <= MAX_NAME:
        aws.move(me, channel)
        return f"Changed to #{channel}"
    return HELP


def _say(event, text):
    """Keep a message, then show it to everybody else in the channel."""
    request = event["requestContext"]
    seat = aws.seat(request["connectionId"])
    if seat is None:  # gone before their words were read: nobody knows who they were, or where
        return
    aws.save_message(seat["channel"], seat["name"], text, request["messageId"])
    line = f"#{seat['channel']} {seat['name']}: {' '.join(text.splitlines())}"
    aws.tell(event, seat["channel"], line, but=request["connectionId"])


def _reply(event, text):
    aws.post(event, event["requestContext"]["connectionId"], text)
