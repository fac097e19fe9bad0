"""A workspace for tests of the Web API: named people with tokens, who call methods and open event streams.

`ana.does(method, …)` expects it to go well and answers what came back; `ana.is_refused(method, …)` expects a refusal
and answers its code; `ana.calls(method, …)` expects nothing. All go through `App.handle` as HTTP events.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from roost.settings import Settings
from roost.testing import Room, http_event, socket_event

Json = dict[str, Any]

_connections = itertools.count(1)


def api_event(
    method: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    token: str = "",
    how: str = "form",
    verb: str = "POST",
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Json:
    """A call as an HTTP event. `how` says where the arguments are: form, json, query or multipart; `body` and `headers`
    replace what that makes."""
    event = http_event(verb, f"/api/{method}")
    given: dict[str, str] = {"authorization": f"Bearer {token}"} if token else {}
    query, content = "", b""
    values = {name: value for name, value in (arguments or {}).items() if value is not None}
    if how == "json":
        given["content-type"] = "application/json;charset=utf-8"
        content = json.dumps(values).encode() if values else b""
    elif how == "multipart":
        given["content-type"], content = _multipart(values)
    elif how == "query":
        given["content-type"] = "application/x-www-form-urlencoded"
        query = urlencode({name: _plain(value) for name, value in values.items()})
    else:
        given["content-type"] = "application/x-www-form-urlencoded"
        content = urlencode({name: _plain(value) for name, value in values.items()}).encode()
    if body is not None:
        content = body.encode() if isinstance(body, str) else body
    event["rawQueryString"] = query
    event["headers"] = given | dict(headers or {})
    if content:
        event["body"], event["isBase64Encoded"] = base64.b64encode(content).decode(), True
    return event


def _plain(value: object) -> str:
    """A value as client libraries write it into a form: 1 and 0, commas, JSON text."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _multipart(values: Mapping[str, Any]) -> tuple[str, bytes]:
    """A body as slack_sdk makes it: it begins with a line break, and the boundary with dashes."""
    boundary = "--------------------3c9e0f2b"
    content = b"\r\n"
    for name, value in values.items():
        head, data = f'form-data; name="{name}"', value
        if isinstance(value, tuple):
            head, data = f'{head}; filename="{value[0]}"', value[1]
        written = data if isinstance(data, bytes) else _plain(data).encode()
        content += f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode() + written + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", content + f"--{boundary}--\r\n".encode()


class Workspace:
    """People who use the Web API of one App. `ana` is its owner."""

    def __init__(self, table: Any = None, settings: Settings | None = None, *, room: Room | None = None) -> None:
        self.room = room or Room(table, settings)
        self.app, self.clock, self.push = self.room.app, self.room.clock, self.room.push
        self.chat = self.app.chat
        self.ana = self.member("ana", role="owner", real_name="Ana Abel", email="ana@example.com")

    @property
    def team(self) -> str:
        """The team's id."""
        return self.chat.core.workspace.team

    @property
    def general(self) -> str:
        """The id of `#general`."""
        return self.chat.core.workspace.general

    def member(self, name: str, *, scopes: tuple[str, ...] = (), kind: str = "user", **fields: Any) -> Member:
        """A new member, who has a token. `fields` are those of their row: role, email, …"""
        row = self.chat.people.add(name, **fields)
        return Member(self, row.id, name, self.chat.people.create_token(row, kind, scopes=scopes))

    def bot(self, name: str, *, scopes: tuple[str, ...] = ()) -> Member:
        """An app's bot, who has a token."""
        return self.member(name, scopes=scopes, kind="bot", role="bot", bot=f"B{name.upper()}", app=f"A{name.upper()}")

    def asks(self, event: Json) -> tuple[int, dict[str, str], Json]:
        """Status, headers and body of what an HTTP event is answered with."""
        answer = self.app.handle(event)
        return answer["statusCode"], answer["headers"], json.loads(answer["body"])

    def calls(self, method: str, *, token: str = "", how: str = "form", **arguments: Any) -> Json:
        """The answer to a call, well or not."""
        return self.asks(api_event(method, arguments, token=token, how=how))[2]


class Member:
    """Somebody who has a token."""

    def __init__(self, workspace: Workspace, user: str, name: str, token: str) -> None:
        self.workspace = workspace
        self.id = user
        self.name = name
        self.token = token

    def calls(self, method: str, *, how: str = "form", **arguments: Any) -> Json:
        """The answer to a call, well or not."""
        return self.workspace.calls(method, token=self.token, how=how, **arguments)

    def does(self, method: str, *, how: str = "form", **arguments: Any) -> Json:
        """The answer to a call that goes well."""
        answer = self.calls(method, how=how, **arguments)
        assert answer["ok"] is True, (method, arguments, answer)
        return answer

    def is_refused(self, method: str, *, how: str = "form", **arguments: Any) -> str:
        """The code of a call that is refused."""
        answer = self.calls(method, how=how, **arguments)
        assert answer["ok"] is False, (method, arguments, answer)
        return str(answer["error"])

    def channel(self, name: str, *members: Member, private: bool = False) -> str:
        """The id of a channel that they make, and invite others to."""
        made: str = self.does("conversations.create", name=name, is_private=private)["channel"]["id"]
        if members:
            self.does("conversations.invite", channel=made, users=[each.id for each in members])
        return made

    def direct(self, *others: Member) -> str:
        """The id of the direct conversation with others, opened."""
        opened = self.does("conversations.open", users=[each.id for each in others])
        return str(opened["channel"]["id"])

    def posts(self, channel: str, text: str = "hello", **more: Any) -> str:
        """The ts of a message that they post."""
        return str(self.does("chat.postMessage", channel=channel, text=text, **more)["ts"])

    def reads(self, channel: str, **more: Any) -> list[Json]:
        """What they see in a conversation's history, newest first."""
        return list(self.does("conversations.history", channel=channel, **more)["messages"])

    def texts(self, channel: str) -> list[str]:
        """What people said in a conversation, oldest first, without what the chat notes itself."""
        return [each["text"] for each in reversed(self.reads(channel)) if "subtype" not in each]

    def listens(self) -> Stream:
        """Open an event stream; its `hello` is read."""
        url = urlsplit(self.does("rtm.connect")["url"])
        ticket = parse_qs(url.query)["ticket"][0]
        stream = Stream(self, f"{self.name}{next(_connections)}")
        assert stream.opens(ticket) == 200
        assert stream.hears() == [{"type": "hello"}]
        return stream


class Stream:
    """An event stream of somebody."""

    def __init__(self, member: Member, connection: str) -> None:
        self.member = member
        self.connection = connection
        self._read = 0

    def opens(self, ticket: str, **event: Any) -> int:
        """The status of the handshake."""
        room = self.member.workspace.room
        event = {"queryStringParameters": {"ticket": ticket}, **event}
        return int(room.app.handle(socket_event("CONNECT", self.connection, time=room.time, **event))["statusCode"])

    def sends(self, frame: Json | str) -> list[Json]:
        """Send a frame; what came since the last look."""
        room, body = self.member.workspace.room, frame if isinstance(frame, str) else json.dumps(frame)
        room.app.handle(socket_event("MESSAGE", self.connection, body, time=room.time))
        return self.hears()

    def hears(self, *kinds: str) -> list[Json]:
        """The frames that came since the last look; only those of these types, where some are named."""
        frames = self.member.workspace.push.to(self.connection)
        new, self._read = frames[self._read :], len(frames)
        decoded: list[Json] = [json.loads(each) for each in new]
        return [each for each in decoded if not kinds or each.get("type") in kinds]

    @property
    def closed(self) -> bool:
        """Whether the chat has closed it."""
        return self.connection in self.member.workspace.push.closed

    def ends(self) -> None:
        """The connection closes, and API Gateway says so."""
        self.member.workspace.app.handle(socket_event("DISCONNECT", self.connection))
