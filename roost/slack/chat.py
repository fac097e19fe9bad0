"""`chat`: posting, editing, deleting, and where a message is found."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from roost.chat.errors import ChannelNotFound, MessageTooLong
from roost.chat.messages import Posting
from roost.chat.model import Channel, Composition, channel_of
from roost.chat.rights import Act
from roost.slack import blocks, shapes
from roost.slack.arguments import Arguments, nested
from roost.slack.call import Call
from roost.slack.errors import ApiError, InvalidArguments

Nested = str | list[Any] | dict[str, Any] | None

MAX_ATTACHMENTS = 100
MAX_MARKDOWN = 12_000  # characters
_CLIENT_MSG_ID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")


class Content(Arguments, frozen=True):
    """What a message may be made of."""

    text: str | None = None
    blocks: Nested = None
    attachments: Nested = None
    metadata: Nested = None
    markdown_text: str = ""
    thread_ts: str = ""
    reply_broadcast: bool = False
    username: str = ""
    icon_emoji: str = ""
    icon_url: str = ""
    client_msg_id: str = ""


class PostMessage(Content, frozen=True, kw_only=True):
    """`chat.postMessage`"""

    channel: str


class PostEphemeral(Content, frozen=True, kw_only=True):
    """`chat.postEphemeral`"""

    channel: str
    user: str


class Update(Content, frozen=True, kw_only=True):
    """`chat.update`"""

    channel: str
    ts: str


class Delete(Arguments, frozen=True):
    """`chat.delete`"""

    channel: str
    ts: str


class MeMessage(Arguments, frozen=True):
    """`chat.meMessage`"""

    channel: str
    text: str


class GetPermalink(Arguments, frozen=True):
    """`chat.getPermalink`"""

    channel: str
    message_ts: str


def composition(call: Call, content: Content, *, subtype: str = "") -> tuple[str, Composition]:
    """A message's text and what else it is made of, checked. Raises `ApiError`."""
    text = content.text or ""
    if content.markdown_text:
        if content.text or content.blocks:
            raise ApiError("markdown_text_conflict")
        if len(content.markdown_text) > MAX_MARKDOWN:
            raise MessageTooLong
        text = content.markdown_text
    return text, Composition(
        blocks=_blocks(content.blocks),
        attachments=_attachments(content.attachments),
        metadata=_metadata(content.metadata),
        username=content.username if call.person.bot else "",
        icon=(content.icon_emoji or content.icon_url) if call.person.bot else "",
        subtype=subtype,
    )


def _blocks(value: Nested) -> str:
    decoded = nested(value, "invalid_blocks_format")
    if decoded is None or decoded == []:
        return ""
    return msgspec.json.encode(blocks.checked(decoded, "message")).decode()


def _attachments(value: Nested) -> str:
    decoded = nested(value, "invalid_attachments")
    if decoded is None or decoded == []:
        return ""
    if not isinstance(decoded, list) or not all(isinstance(each, dict) for each in decoded):
        raise ApiError("invalid_attachments")
    if len(decoded) > MAX_ATTACHMENTS:
        raise ApiError("too_many_attachments")
    for number, each in enumerate(decoded, 1):
        each.setdefault("id", number)
        if isinstance(each.get("blocks"), list):
            each["blocks"] = blocks.checked(each["blocks"], "message")
    return msgspec.json.encode(decoded).decode()


def _metadata(value: Nested) -> str:
    decoded = nested(value, "invalid_metadata_format")
    if decoded is None:
        return ""
    if not isinstance(decoded, dict) or not isinstance(decoded.get("event_type"), str):
        raise ApiError("invalid_metadata_format")
    if not isinstance(decoded.get("event_payload"), dict):
        raise ApiError("invalid_metadata_schema")
    return msgspec.json.encode(decoded).decode()


def client_msg_id(value: str) -> str:
    """A sender's own id of a message, "" where there is none. Raises `ApiError` unless it is a UUID."""
    if not value:
        return ""
    if not _CLIENT_MSG_ID.fullmatch(value):
        raise InvalidArguments("client_msg_id is not a UUID")
    return value.lower()


def destination(call: Call, channel: str) -> Channel:
    """Where a message goes: a conversation's id, `#name` or a name, or a person's id for their direct conversation."""
    if channel[:1] in ("U", "W"):
        row, _ = call.chat.channels.open_direct(call.person, [channel])
        return channel_of(row)
    try:
        return call.channel(channel)
    except ChannelNotFound:
        found = call.chat.channels.named(channel.removeprefix("#"))
        call.chat.channels.check(call.person, Act.SEE, found)
        return found


def post_message(call: Call, arguments: PostMessage) -> dict[str, Any]:
    """`chat.postMessage`"""
    channel = destination(call, arguments.channel)
    text, composed = composition(call, arguments)
    return _posted(call, channel, text, composed, arguments)


def _posted(call: Call, channel: Channel, text: str, composed: Composition, content: Content) -> dict[str, Any]:
    posting = Posting(
        text,
        composed,
        thread=content.thread_ts,
        broadcast=content.reply_broadcast and bool(content.thread_ts),
        client_msg_id=client_msg_id(content.client_msg_id),
    )
    posted = call.chat.messages.post(call.person, channel, posting)
    message = posted.message
    shown = shapes.message(message, call.chat.core.workspace.team, call.person.id, metadata=True, url=call.url)
    answer: dict[str, Any] = {"channel": channel.id, "ts": message.ts, "message": shown}
    return answer | ({"duplicate": True} if posted.duplicate else {})


def me_message(call: Call, arguments: MeMessage) -> dict[str, Any]:
    """`chat.meMessage`"""
    channel = destination(call, arguments.channel)
    content = Content(text=arguments.text)
    text, composed = composition(call, content, subtype="me_message")
    answer = _posted(call, channel, text, composed, content)
    return {"channel": answer["channel"], "ts": answer["ts"]}


def post_ephemeral(call: Call, arguments: PostEphemeral) -> dict[str, Any]:
    """`chat.postEphemeral`: shown to one person in a channel, and stored nowhere."""
    channel = destination(call, arguments.channel)
    text, composed = composition(call, arguments)
    ts = call.chat.messages.whisper(call.person, channel, arguments.user, Posting(text, composed, arguments.thread_ts))
    return {"message_ts": ts}


def update(call: Call, arguments: Update) -> dict[str, Any]:
    """`chat.update`"""
    channel = call.channel(arguments.channel)
    text, composed = composition(call, arguments)
    given = text if arguments.text is not None or arguments.markdown_text else None
    if given is None and not (composed.blocks or composed.attachments or composed.metadata):
        raise ApiError("no_text")
    message = call.chat.messages.edit(call.person, channel, arguments.ts, given, composed)
    shown = shapes.message(message, call.chat.core.workspace.team, call.person.id, metadata=True, url=call.url)
    return {"channel": channel.id, "ts": message.ts, "text": message.row.text, "message": shown}


def delete(call: Call, arguments: Delete) -> dict[str, Any]:
    """`chat.delete`"""
    channel = call.channel(arguments.channel)
    call.chat.messages.delete(call.person, channel, arguments.ts)
    return {"channel": channel.id, "ts": arguments.ts}


def get_permalink(call: Call, arguments: GetPermalink) -> dict[str, Any]:
    """`chat.getPermalink`"""
    channel = call.channel(arguments.channel)
    message = call.chat.messages.get(call.person, channel, arguments.message_ts)
    return {"channel": channel.id, "permalink": permalink(call.url, channel.id, message.ts, message.row.thread)}


def permalink(url: str, channel: str, ts: str, thread: str) -> str:
    """Where a message is found in a browser."""
    reply = f"?thread_ts={thread}&cid={channel}" if thread else ""
    return f"{url}archives/{channel}/p{ts.replace('.', '')}{reply}"
