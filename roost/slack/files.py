"""`files`: what is to come, what has come, and who may have it. The bytes themselves: `transfers.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from roost.chat.errors import FileNotFound, NoText
from roost.chat.files import MAX_ATTACHED, Expected, File
from roost.chat.messages import Posting, check_text
from roost.chat.model import Channel
from roost.slack import attached
from roost.slack.arguments import Arguments, names, nested
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.slack.chat import Content, Nested, composition, destination
from roost.slack.errors import ApiError, InvalidArguments
from roost.storage.items import FileRow

_PREVIEW = 8192  # bytes of a text that files.info shows
_MAX_CHANNELS = 100
_THUMBS = ("image/png", "image/jpeg", "image/webp")

#: What `types` of files.list selects, by the beginning of a type; Slack's other names select nothing here.
_TYPES = {
    "all": "",
    "images": "image/",
    "pdfs": "application/pdf",
    "zips": "application/zip",
    "spaces": "\0",
    "snippets": "\0snippet",
    "gdocs": "\0",
}


class GetUploadUrl(Arguments, frozen=True):
    """`files.getUploadURLExternal`"""

    filename: str
    length: int
    alt_txt: str = ""
    snippet_type: str = ""


class GetUploadForm(GetUploadUrl, frozen=True):
    """`files.getUploadForm`"""

    thumb_type: str = ""
    thumb_length: int = 0


class Complete(Arguments, frozen=True):
    """`files.completeUploadExternal`"""

    files: Nested
    channel_id: str = ""
    channels: str | list[str] = ""
    thread_ts: str = ""
    initial_comment: str = ""
    blocks: Nested = None


class One(Arguments, frozen=True):
    """A file."""

    file: str


class List(Arguments, frozen=True):
    """`files.list`"""

    channel: str = ""
    user: str = ""
    ts_from: float = 0
    ts_to: float = math.inf
    types: str | list[str] = "all"
    count: int = 100
    page: int = 1


class _Named(msgspec.Struct, frozen=True):
    """An element of `files`."""

    id: str
    title: str = ""
    alt_txt: str = ""


# -- coming ------------------------------------------------------------------------------------------------------------


def get_upload_url(call: Call, arguments: GetUploadUrl) -> dict[str, Any]:
    """`files.getUploadURLExternal`: where the bytes go, good for half an hour; whoever has the URL may bring them."""
    row, secret = call.chat.files.expect(call.person, _expected(arguments))
    return {"upload_url": f"{call.url}upload/v1/{row.id}/{secret}", "file_id": row.id}


def get_upload_form(call: Call, arguments: GetUploadForm) -> dict[str, Any]:
    """`files.getUploadForm`, Roost's own: a form that goes to the store of files itself, which takes larger ones; with
    `thumb_type` and `thumb_length` a second one for a small picture, at most 360 pixels wide and high."""
    thumb = (arguments.thumb_type, arguments.thumb_length) if arguments.thumb_type else None
    if thumb is not None and thumb[0] not in _THUMBS:
        raise InvalidArguments("thumb_type is not a type of pictures")
    row, uploads = call.chat.files.expect_at_store(call.person, _expected(arguments), thumb)
    shown = [{"url": _absolute(call, each.url), "fields": dict(each.fields)} for each in uploads]
    return {"file_id": row.id, **dict(zip(("upload", "thumb"), shown, strict=False))}


def _absolute(call: Call, url: str) -> str:
    return call.url.rstrip("/") + url if url.startswith("/") else url


def _expected(arguments: GetUploadUrl) -> Expected:
    if not arguments.filename.strip():
        raise ApiError("missing_argument")
    return Expected(arguments.filename, arguments.length, arguments.alt_txt, arguments.snippet_type)


def complete(call: Call, arguments: Complete) -> dict[str, Any]:
    """`files.completeUploadExternal`: with a conversation one message carries all the files. The same files again, in
    the same conversation, are not posted twice within a day."""
    wanted = _named(arguments.files)
    places = [destination(call, each) for each in names(arguments.channels) or _given(arguments.channel_id)]
    if len(places) > _MAX_CHANNELS:
        raise ApiError("channels_limit_exceeded")
    posting = _posting(call, arguments, wanted)
    for channel in places:  # before anything is done
        call.chat.files.check(call.person, channel, posting)
    rows = call.chat.files.complete(call.person, [(each.id, each.title) for each in wanted])
    for channel in places:
        call.chat.files.share(call.person, channel, rows, posting)
    return {"files": [_shown(call, call.chat.files.get(call.person, row.id)) for row in rows]}


def _given(channel: str) -> list[str]:
    return [channel] if channel else []


def _named(value: Nested) -> list[_Named]:
    decoded = nested(value, "invalid_arguments")
    try:
        found = msgspec.convert(decoded, list[_Named])
    except msgspec.ValidationError as error:
        raise InvalidArguments(f"files: {error}") from None
    if not 0 < len(found) <= MAX_ATTACHED or len({each.id for each in found}) < len(found):
        raise InvalidArguments(f"files: 1 to {MAX_ATTACHED}, each once")
    return found


def _posting(call: Call, arguments: Complete, wanted: Sequence[_Named]) -> Posting:
    comment = arguments.initial_comment
    if comment:
        try:
            check_text(comment)
        except NoText:
            comment = ""
    text, composed = composition(call, Content(text=comment, blocks=arguments.blocks))
    once = str(uuid5(NAMESPACE_URL, " ".join([arguments.thread_ts, *sorted(each.id for each in wanted)])))
    return Posting(text, composed, arguments.thread_ts, client_msg_id=once)


# -- being there -------------------------------------------------------------------------------------------------------


def _shown(call: Call, file: File) -> dict[str, Any]:
    """A file, with those of its messages that the caller may read."""
    row = file.row
    shown = _alone(call, row)
    places: dict[str, list[str]] = {"channels": [], "groups": [], "ims": []}
    shares: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for channel, share in file.shares:
        listed = places[_list_of(channel)]
        if channel.id not in listed:
            listed.append(channel.id)
        note = {"ts": share.ts, "channel_name": channel.name, "team_id": call.chat.core.workspace.team}
        if share.thread:
            note["thread_ts"] = share.thread
        side = shares.setdefault("private" if channel.private else "public", {})
        side.setdefault(channel.id, []).append({**note, "reply_count": 0, "reply_users": [], "reply_users_count": 0})
    return shown | places | {"is_public": "public" in shares, "shares": shares, "comments_count": 0}


def _alone(call: Call, row: FileRow) -> dict[str, Any]:
    team = call.chat.core.workspace.team
    shown = attached.shape(row, team, call.url)
    if row.link:
        public = f"{call.url}files-pub/{team}-{row.id}-{row.link}"
        shown |= {"public_url_shared": True, "permalink_public": public}
    return shown


def _list_of(channel: Channel) -> str:
    if channel.kind == "im":
        return "ims"
    return "groups" if channel.private else "channels"


def info(call: Call, arguments: One) -> dict[str, Any]:
    """`files.info`: of a text its beginning, too."""
    file = call.chat.files.get(call.person, arguments.file)
    row = file.row
    answer: dict[str, Any] = {"file": _shown(call, file), "comments": [], "response_metadata": {"next_cursor": ""}}
    if row.mimetype.startswith("text/") or row.snippet:
        start = call.chat.files.blobs.get(row.id, 0, _PREVIEW)
        answer["content"] = start.decode(errors="replace").replace("\0", "\ufffd")
        answer["is_truncated"] = row.size > _PREVIEW
    return answer


def list_(call: Call, arguments: List) -> dict[str, Any]:
    """`files.list`: those that the caller may have, the newest first."""
    kinds = names(arguments.types) or ["all"]
    if not set(kinds) <= set(_TYPES):
        raise ApiError("unknown_type")
    if not 1 <= arguments.count <= 1000 or arguments.page < 1:
        raise InvalidArguments("count is 1 to 1000, page 1 or more")
    user = arguments.user
    if user:
        call.chat.people.row(user)
    channel = call.channel(arguments.channel) if arguments.channel else None
    found = [
        row
        for row in call.chat.files.listed(call.person, channel=channel, user=user)
        if arguments.ts_from <= row.created <= arguments.ts_to and any(_is(row, kind) for kind in kinds)
    ]
    start = (arguments.page - 1) * arguments.count
    pages = math.ceil(len(found) / arguments.count)
    return {
        "files": [_alone(call, row) for row in found[start : start + arguments.count]],
        "paging": {"count": arguments.count, "total": len(found), "page": arguments.page, "pages": pages},
    }


def _is(row: FileRow, kind: str) -> bool:
    return bool(row.snippet) if kind == "snippets" else row.mimetype.startswith(_TYPES[kind])


# -- a link for everybody, and going -----------------------------------------------------------------------------------


def publish(call: Call, arguments: One) -> dict[str, Any]:
    """`files.sharedPublicURL`: whoever is given `permalink_public` may have the file, without a token."""
    call.chat.files.publish(call.person, arguments.file)
    return {"file": _shown(call, call.chat.files.get(call.person, arguments.file))}


def withdraw(call: Call, arguments: One) -> dict[str, Any]:
    """`files.revokePublicURL`"""
    call.chat.files.withdraw(call.person, arguments.file)
    return {"file": _shown(call, call.chat.files.get(call.person, arguments.file))}


def delete(call: Call, arguments: One) -> dict[str, Any]:
    """`files.delete`"""
    if not arguments.file:
        raise FileNotFound
    call.chat.files.delete(call.person, arguments.file)
    return {}


def retired(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`files.upload`: Slack retired it, and so did its clients."""
    raise ApiError("method_deprecated")
