"""The serverless chat of the blog post: one function per route, plain text for clients."""

import json

import aws

OK = {"statusCode": 200}
HELP = "Valid commands: /help, /name [NAME], /channel [CHAN_NAME]"


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
    elif text:
        _say(event, text)
    return OK


def handle_cmd(event, context):
    """The `command` route: {"action": "command", "data": "fetchChannels"}"""
    if json.loads(event["body"]).get("data") == "fetchChannels":
        _reply(event, json.dumps({"channelsList": aws.channels()}))
    else:
        _reply(event, HELP)
    return OK


def _command(event, text):
    me = event["requestContext"]["connectionId"]
    command, _, argument = text.partition(" ")
    argument = argument.strip()
    if command == "/name" and argument:
        aws.rename(me, argument)
        return f"Set username to {argument}"
    channel = argument.replace("#", "").replace(" ", "")
    if command == "/channel" and channel:
        aws.move(me, channel)
        return f"Changed to #{channel}"
    return HELP


def _say(event, text):
    me = event["requestContext"]["connectionId"]
    seat = aws.seat(me)
    channel, name = seat["channel"], seat["name"]
    aws.save_message(channel, name, text, event["requestContext"]["messageId"])
    line = f"#{channel} {name}: {' '.join(text.splitlines())}"
    for other in aws.hearers(channel):
        if other != me and not aws.post(event, other, line):
            aws.leave(other)


def _reply(event, text):
    aws.post(event, event["requestContext"]["connectionId"], text)
