"""The event stream: what a client with a ticket sends and sees. Slack's RTM frames, with `seq` and `epoch` beside them.

Every event carries its place: `stream` (a channel's id, or the team's), `seq` and the workspace's `epoch`. A client
drops what it has, asks with `resume` for what it missed, and loads anew where the answer says `reload`.
`docs/protocol.md` has an example of each frame.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from roost.chat import rights
from roost.chat.chat import Chat
from roost.chat.errors import InvalidAuth, Refused
from roost.chat.events import Recorded
from roost.chat.limits import RateLimit
from roost.chat.messages import Posting
from roost.chat.model import Channel, ConnectionId, Person
from roost.chat.people import Bearer
from roost.slack import shapes
from roost.slack.arguments import check_text
from roost.slack.chat import client_msg_id
from roost.slack.errors import ApiError, InvalidArguments
from roost.storage import members
from roost.storage.items import SocketRow, WorkspaceRow

MAX_TYPING = 20  # people in a channel up to which typing is told
HELLO = '{"type":"hello"}'
GOODBYE = '{"type":"goodbye"}'
MAX_ID = 255  # characters
MAX_WRONG = 20  # frames a minute that are none, with the last of which a stream is closed
_NO_FRAME = frozenset({"invalid_json", "invalid_type"})
_MAX_RESUMED = 500  # logs in one resume
_encode = msgspec.json.Encoder().encode


def renderer(workspace: Callable[[], WorkspaceRow], url: str) -> Callable[[Channel | None, Recorded], str | None]:
    """How event streams are told of an event. `url` is the server's own address."""

    def render(channel: Channel | None, recorded: Recorded) -> str | None:
        return frame(channel, recorded, workspace(), url)

    return render


def frame(channel: Channel | None, recorded: Recorded, workspace: WorkspaceRow, url: str) -> str:
    """An event as one frame."""
    shown = shapes.event(channel, recorded, workspace.team, workspace.general, url)
    if not recorded.seq:  # in no log: shown once, to one person
        return _encode(shown if channel is None else shown | {"is_ephemeral": True}).decode()
    place = {"stream": recorded.stream, "seq": recorded.seq, "epoch": workspace.epoch}
    return _encode(shown | place).decode()


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What every frame of a client may hold; `id` is echoed as `reply_to`."""

    type: str
    id: int = 0
    channel: str = ""
    text: str = ""
    thread_ts: str = ""
    client_msg_id: str = ""
    epoch: str = ""
    streams: dict[str, int] = msgspec.field(default_factory=dict)
    ids: list[str] = []


class _Asked(NamedTuple):
    """A frame, and who sent it on which connection."""

    connection: ConnectionId
    row: SocketRow
    person: Person
    frame: _Frame


_Answer = Callable[[_Asked], dict[str, Any] | None]
_decode = msgspec.json.Decoder().decode


class EventStream:
    """Answers event streams. Replies are pushed to the connection that asked."""

    def __init__(self, chat: Chat, url: str) -> None:
        self._chat = chat
        self._wrong = RateLimit(MAX_WRONG - 1, 60.0)
        self._goodbyes = RateLimit(1, 600.0)
        self._url = url
        self._frames: dict[str, _Answer] = {
            "message": self._message,
            "typing": self._typing,
            "resume": self._resume,
            "heartbeat": self._heartbeat,
            "presence_sub": self._presence_sub,
            "presence_query": self._presence_query,
        }

    def connect(self, connection: ConnectionId, ticket: str, since: int) -> None:
        """Open a stream; its first frame is hello. Raises a `Refused`."""
        person = self._chat.streams.open(connection, ticket, since)
        self._chat.core.push.send_first(connection, HELLO)
        self._chat.presence.came(person.id)

    def disconnect(self, connection: ConnectionId, row: SocketRow) -> None:
        """A stream is over."""
        self._wrong.forget(connection)
        self._goodbyes.forget(connection)
        self._chat.streams.close(connection, row)
        self._chat.presence.went(connection, row.user)

    def receive(self, connection: ConnectionId, row: SocketRow, body: str) -> None:
        """Act on one frame; what is wrong with it is said in the reply."""
        number: object = None
        over = False
        try:
            fields = _fields(body)
            number = fields.get("id")
            bearer = self._whose(row)
            if fields.get("type") == "ping":
                answer: dict[str, Any] | None = _pong(fields)
            else:
                answer = self._act(connection, row, bearer.person, fields)
        except Refused as refusal:
            over = isinstance(refusal, InvalidAuth) or self._too_often_wrong(connection, refusal)
            answer = {"ok": False, "error": {"code": refusal.code, "msg": refusal.sentence}}
            if isinstance(number, int):
                answer["reply_to"] = number
        if answer is not None:
            self._chat.core.push.send((connection,), _encode(answer).decode())
        if over:
            self._chat.core.push.close(connection)
        else:
            self._say_goodbye(connection, row)

    def _say_goodbye(self, connection: ConnectionId, row: SocketRow) -> None:
        """Ask an old stream to be replaced, in the middle of what it sends: API Gateway ends it after two hours. Each
        has an end of its own, so that those which were opened together are not replaced together."""
        now = self._chat.core.clock.now_us() / 1_000_000
        if now - row.since / 1000 >= lifetime(connection) and self._goodbyes.allows(connection, now):
            self._chat.core.push.send((connection,), GOODBYE)

    def _whose(self, row: SocketRow) -> Bearer:
        """Whose stream it is. Whatever became of its token or of them, a stream hears `invalid_auth`, and is closed."""
        try:
            return self._chat.streams.whose(row)
        except Refused:
            raise InvalidAuth from None

    def _too_often_wrong(self, connection: ConnectionId, refusal: Refused) -> bool:
        """Whether a client sends frames that are none, and goes on sending them."""
        now = self._chat.core.clock.now_us() / 1_000_000
        return refusal.code in _NO_FRAME and not self._wrong.allows(connection, now)

    def _act(
        self, connection: ConnectionId, row: SocketRow, person: Person, fields: dict[str, Any]
    ) -> dict[str, Any] | None:
        act = self._frames.get(fields["type"]) if isinstance(fields.get("type"), str) else None
        if act is None:
            raise ApiError("invalid_type")
        try:
            asked = msgspec.convert(fields, _Frame)
        except msgspec.ValidationError as error:
            raise InvalidArguments(str(error)) from None
        check_text(asked.text)
        if max(map(len, (asked.channel, asked.thread_ts, *asked.ids, *asked.streams)), default=0) > MAX_ID:
            raise InvalidArguments("no id is as long as that")
        return act(_Asked(connection, row, person, asked))

    # -- frames -----------------------------------------------------------------------------------------------------

    def _message(self, asked: _Asked) -> dict[str, Any]:
        said = asked.frame
        channel = self._chat.channels.visible(asked.person, said.channel)
        posting = Posting(said.text, thread=said.thread_ts, client_msg_id=client_msg_id(said.client_msg_id))
        posted = self._chat.messages.post(asked.person, channel, posting)
        return {"ok": True, "reply_to": said.id, "ts": posted.message.ts, "text": posted.message.row.text}

    def _typing(self, asked: _Asked) -> None:
        chat, person = self._chat, asked.person
        channel = chat.channels.visible(person, asked.frame.channel)
        chat.channels.check(person, rights.Act.POST, channel)
        users, more = members.page_of_channel(chat.core.table, channel.id, "", MAX_TYPING)
        if more:
            return
        told: dict[str, Any] = {"type": "user_typing", "channel": channel.id, "user": person.id}
        if asked.frame.thread_ts:
            told["thread_ts"] = asked.frame.thread_ts
        others = [user for user in users if user != person.id]
        chat.core.delivery.tell_users(others, [_encode(told).decode()], chat.core.clock.now_us() // 1000)

    def _presence_sub(self, asked: _Asked) -> None:
        self._chat.presence.look(asked.connection, asked.row, asked.frame.ids)

    def _presence_query(self, asked: _Asked) -> None:
        self._chat.presence.query(asked.connection, asked.row, asked.frame.ids)

    def _heartbeat(self, asked: _Asked) -> dict[str, Any]:
        """Where every log of theirs ends, so that what was missed shows."""
        chat, workspace = self._chat, self._chat.core.workspace
        heads = {channel: head.seq for channel, head in chat.reads.heads(asked.person)}
        heads[workspace.team] = chat.core.log.head(workspace.team).seq
        return {"ok": True, "type": "heartbeat", "reply_to": asked.frame.id, "epoch": workspace.epoch, "heads": heads}

    def _resume(self, asked: _Asked) -> dict[str, Any]:
        """Push what happened since the places that the client names, then say how far that brings it."""
        workspace = self._chat.core.workspace
        answer: dict[str, Any] = {"ok": True, "type": "resume", "reply_to": asked.frame.id, "epoch": workspace.epoch}
        wanted = asked.frame.streams
        if asked.frame.epoch != workspace.epoch or len(wanted) > _MAX_RESUMED:
            return answer | {"reload": True, "streams": {}}
        places: dict[str, int] = {}
        reload = False
        for stream, seq in wanted.items():
            replay = self._chat.streams.replay(asked.person, stream, seq)
            if replay is None or replay.events is None:
                reload = True
                continue
            for recorded in replay.events:
                self._chat.core.push.send((asked.connection,), frame(replay.channel, recorded, workspace, self._url))
            places[stream] = seq + len(replay.events)
        return answer | {"streams": places} | ({"reload": True} if reload else {})


def lifetime(connection: str) -> int:
    """The seconds after which a stream should be replaced by another: 100 to 115 minutes, the same whoever asks."""
    return 6000 + zlib.crc32(connection.encode()) % 901


def _fields(body: str) -> dict[str, Any]:
    try:
        value = _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        raise ApiError("invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError("invalid_json")
    return value


def _pong(fields: dict[str, Any]) -> dict[str, Any]:
    echoed = {name: value for name, value in fields.items() if name not in ("id", "type")}
    return {**echoed, "type": "pong", "reply_to": fields.get("id", 0)}
