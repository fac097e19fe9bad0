"""The text protocol: what a plain `wscat` sends and sees.

One table of commands; a line that is no command is said to the channel. Everything that is shown goes through
`visible`, so nothing that anybody wrote can forge another's line or drive a terminal. `docs/protocol.md` has an example
of each frame, which a test replays.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from roost.chat import rights
from roost.chat.chat import Chat
from roost.chat.errors import NotAuthed, Refused
from roost.chat.events import MessageChanged, MessagePosted, Recorded
from roost.chat.messages import SAID
from roost.chat.model import Channel, ChannelId, ConnectionId, Message, Person, Seat, UserId, channel_of
from roost.chat.names import BIDI
from roost.chat.people import new_guest
from roost.storage import members, seats, streams
from roost.storage.items import MessageRow, SocketRow, membership_key
from roost.storage.table import Conflict, Operation, TransactionFailed, Update

VALID_COMMANDS = (
    "Valid commands: /help, /name [NAME], /channel [CHAN_NAME], /who, /channels, /history [N], /login TOKEN, /dm NAME"
)
NOT_A_COMMAND = "That is not a command; to send it as text, start with a blank."
UNKNOWN_ACTION = 'Valid commands: {"action":"command","data":"fetchChannels"}'

HISTORY = 20  # lines that `/history` shows
MAX_HISTORY = 200
FRAME_BYTES = 28 * 1024  # of several lines pushed in one frame: below what API Gateway bills once and sends whole
_TRIES = 5  # of a change to a seat that something else changes at the same time


@dataclass(frozen=True, slots=True)
class Line:
    """A text message that came in."""

    connection: ConnectionId
    body: str
    message_id: str  #: API Gateway's: the same for every delivery of one message
    time: int  #: when API Gateway got it, milliseconds since the epoch
    row: SocketRow  #: who sat there when it came


class TextProtocol:
    """Answers text connections. Replies are pushed to the connection that asked."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._table = chat.core.table
        self._commands: dict[str, Callable[[Line, str], str]] = {
            "/help": self._help,
            "/name": self._name,
            "/channel": self._channel,
            "/who": self._who,
            "/channels": self._channels,
            "/history": self._history,
            "/login": self._login,
            "/dm": self._direct,
        }

    # -- coming and going -------------------------------------------------------------------------------------------

    def connect(self, connection: ConnectionId, since: int) -> None:
        """Somebody connects: a guest in #general. `since` is API Gateway's time of it, in milliseconds."""
        guest = new_guest()
        general = self._chat.core.workspace.general
        row = SocketRow(
            user=guest.id, name=guest.name, guest=True, channel=general, channel_name="general", since=since
        )
        seats.take(self._table, connection, row)

    def disconnect(self, connection: ConnectionId, row: SocketRow) -> None:
        """Somebody's connection is over."""
        seats.leave(self._table, connection, row)
        if not row.guest:
            streams.unlist(self._table, connection, row.user)

    # -- lines ------------------------------------------------------------------------------------------------------

    def receive(self, line: Line) -> None:
        """Act on one message. Raises `Refused` for what the person should be told."""
        body = line.body
        command_data = command_frame(body)
        if command_data is not None:
            self._reply(line, self._command_frame(command_data))
            return
        if not body or body.isspace():
            return
        if body[0] == "/":
            word, *argument = body.split(maxsplit=1)
            command = self._commands.get(word)
            reply = command(line, "".join(argument).strip()) if command else f"{VALID_COMMANDS}. {NOT_A_COMMAND}"
            self._reply(line, reply)
            return
        self._say(line, body)

    def _say(self, line: Line, body: str) -> None:
        seat = self._seat(line)
        stripped = body.lstrip(" \t")
        text = stripped if stripped[0] == "/" else body
        channel = self._channel_of(seat, rights.Act.POST)
        say = self._chat.messages.say
        say(seat.person, channel, escaped(text), line=line.message_id, source=line.connection, time=line.time)

    def _command_frame(self, data: object) -> str:
        if data != "fetchChannels":
            return UNKNOWN_ACTION
        return json.dumps({"channelsList": self._chat.channels.public_names()})

    # -- commands: each takes the line and its argument, and answers what to reply ----------------------------------

    def _help(self, line: Line, argument: str) -> str:
        return VALID_COMMANDS

    def _name(self, line: Line, argument: str) -> str:
        if not argument:
            return f"{VALID_COMMANDS}. Usage: /name NAME"
        name = self._chat.people.guest_name(argument)

        def rename(row: SocketRow) -> None:
            if not row.guest:
                raise Refused("You are logged in as a member, whose name stays as it is.")
            seats.rename(self._table, line.connection, row, row.user, name, guest=True)

        self._change(line, rename)
        return f"Set username to {visible(name)}"

    def _channel(self, line: Line, argument: str) -> str:
        if not argument:
            return f"{VALID_COMMANDS}. Usage: /channel CHAN_NAME"
        person = self._seat(line).person
        channel = self._chat.channels.enter(person, argument.strip("# \t"))
        self._tune(line, person, channel, channel.name)
        return f"Changed to #{visible(channel.name)}"

    def _direct(self, line: Line, argument: str) -> str:
        if not argument:
            return "Usage: /dm NAME"
        person = self._seat(line).person
        if person.guest:
            raise Refused("Guests talk in public channels. Log in as a member: /login TOKEN")
        other = self._chat.people.by_name(argument.removeprefix("@"))
        row, _ = self._chat.channels.open_direct(person, [other.id])
        self._tune(line, person, channel_of(row), f"@{other.name}")
        return f"Talking with {visible(other.name)}"

    def _tune(self, line: Line, person: Person, channel: Channel, name: str) -> None:
        """Hear another conversation, under this name."""
        belongs: tuple[Operation, ...] = ()
        if channel.private:  # whoever is removed meanwhile does not get in
            # An update that changes nothing: a check would take one more right on DynamoDB.
            belongs = (Update(membership_key(channel.id, person.id), set={"user": person.id}),)

        def move(row: SocketRow) -> None:
            if row.channel != channel.id:
                seats.move(self._table, line.connection, row, channel.id, name, *belongs)

        self._change(line, move)

    def _who(self, line: Line, argument: str) -> str:
        seat = self._seat(line)
        rows = [row for _, row in seats.in_channel(self._table, seat.channel)]
        shown = sorted(f"{visible(row.name)}{' (guest)' if row.guest else ''}" for row in rows)
        return _cut(f"In {visible(_place(seat.channel_name))}: ", shown)

    def _channels(self, line: Line, argument: str) -> str:
        names = set(self._chat.channels.public_names())
        person = self._seat(line).person
        if not person.guest:
            names |= {row.name for row, _ in self._chat.channels.of(person) if row.kind == "channel"}
        return _cut("Channels: ", [f"#{name}" for name in sorted(names)])

    def _history(self, line: Line, argument: str) -> str:
        limit = _whole_number(argument) if argument else HISTORY
        if limit is None or not 1 <= limit <= MAX_HISTORY:
            return f"Usage: /history [N], where N is 1 to {MAX_HISTORY}"
        seat = self._seat(line)
        channel = self._chat.channels.get(seat.channel)
        member = not seat.person.guest and members.get(self._table, channel.id, seat.person.id) is not None
        said = self._chat.messages.recent(seat.person, channel, limit, member=member)
        named, name = self._chat.people.name, seat.channel_name
        lines = [f"{_stamp(message)} {text_line(name, message.row, named)}" for message in said]
        if not lines:
            return f"Nothing has been said in {visible(_place(name))} yet."
        *earlier, last = joined(lines, FRAME_BYTES)
        for frame in earlier:
            self._reply(line, frame)
        return last

    def _login(self, line: Line, argument: str) -> str:
        if not argument:
            return "Usage: /login TOKEN"
        bearer = self._chat.people.bearer(argument)
        member, token = bearer.person, bearer.digest

        def log_in(row: SocketRow) -> None:
            seats.rename(self._table, line.connection, row, member.id, member.name, guest=False, token=token)
            streams.list_text(self._table, line.connection, member.id, row.since)
            try:
                self._chat.people.of_digest(token)  # again, now that whoever takes it away finds the connection
            except Refused:
                self._chat.people.close(member.id, (token,))
                raise

        self._change(line, log_in)
        return f"Logged in as {visible(member.name)}"

    # -- the seat ---------------------------------------------------------------------------------------------------

    def _seat(self, line: Line) -> Seat:
        row = line.row
        person = Person(UserId(row.user), row.name, guest=True)
        if row.token:  # a member, as they are now: refuses what was revoked meanwhile
            person = self._chat.people.of_digest(row.token).person
        return Seat(line.connection, person, ChannelId(row.channel), row.channel_name, row.since)

    def _row(self, line: Line) -> SocketRow:
        row = seats.get(self._table, line.connection)
        if row is None:
            raise NotAuthed
        return row

    def _channel_of(self, seat: Seat, act: rights.Act) -> Channel:
        """The channel of a seat. A guest's is public, which was asked when they sat; a member's is asked again."""
        if seat.person.guest:
            return Channel(seat.channel, seat.channel_name, private=False, created=0)
        channel = self._chat.channels.get(seat.channel)
        member = members.get(self._table, channel.id, seat.person.id) is not None
        rights.check(seat.person, act, channel, member=member, text=True)
        return channel

    def _change(self, line: Line, change: Callable[[SocketRow], None]) -> None:
        """Change a seat as it is; where something else changes it at the same time, again."""
        row = line.row
        for attempt in range(_TRIES):
            try:
                change(row)
                return
            except (TransactionFailed, Conflict):
                if attempt == _TRIES - 1:
                    raise
                row = self._row(line)

    def _reply(self, line: Line, text: str) -> None:
        self._chat.core.push.send((line.connection,), text)


# -- what text connections see ----------------------------------------------------------------------------------------


#: Who somebody is called, by their id.
Names = Callable[[str], str]

_MARKUP = re.compile(r"<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>")


def renderer(named: Names) -> Callable[[Channel | None, Recorded], str | None]:
    """How text connections are told of an event."""

    def render(channel: Channel | None, recorded: Recorded) -> str | None:
        event = recorded.event
        if channel is None or not isinstance(event, MessagePosted | MessageChanged):
            return None
        row = event.message
        if row.subtype not in SAID or (isinstance(event, MessageChanged) and not event.before):
            return None
        how = " (edited)" if isinstance(event, MessageChanged) else ""
        return text_line(channel.name or f"@{visible(row.name)}", row, named, how)

    return render


def text_line(channel: str, row: MessageRow, named: Names, how: str = "") -> str:
    """`#general bz: hello`; a reply says that it is one."""
    if row.thread and not row.broadcast:
        how = f" (in a thread){how}"
    said = visible(read_aloud(row.text, named))
    return f"{visible(_place(channel))} {visible(row.username or row.name)}{how}: {said}"


def _place(channel: str) -> str:
    """A conversation's name as it is shown: direct ones bear the other's."""
    return channel if channel.startswith("@") else f"#{channel}"


def escaped(text: str) -> str:
    """Plain text in the form in which messages are kept: Slack's, where < and & begin markup."""
    return html.escape(text, quote=False) if "&" in text or "<" in text or ">" in text else text


def read_aloud(text: str, named: Names) -> str:
    """A message's text as plain text: names in place of ids, labels and addresses in place of links."""
    if "<" in text:
        text = _MARKUP.sub(lambda found: _said(named, *found.groups()), text)
    return html.unescape(text) if "&" in text else text


def _said(named: Names, kind: str, what: str, label: str | None) -> str:
    if kind == "@":
        return f"@{label or named(what)}"
    if kind:
        return f"{kind.replace('!', '@')}{label or what}"
    return f"{label} ({what})" if label and label != what else what


def visible(text: str) -> str:
    """Text on one line: control characters, line separators and direction marks are shown as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if _hidden(c) else c for c in text)


def _hidden(c: str) -> bool:
    return c in BIDI or unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")


def _escape(c: str) -> str:
    return c.encode("unicode_escape").decode()


def joined(lines: list[str], limit: int) -> list[str]:
    """Lines in as few frames of at most `limit` bytes as they fit; a line that is longer has a frame of its own."""
    frames: list[str] = []
    size = 0
    for line in lines:
        length = len(line.encode()) + 1
        if frames and size + length <= limit:
            frames[-1] += f"\n{line}"
            size += length
        else:
            frames.append(line)
            size = length
    return frames


def _cut(head: str, parts: list[str]) -> str:
    """One line of parts, as many as fit into a frame."""
    shown, size = 0, len(head.encode()) + 32
    for part in parts:
        size += len(part.encode()) + 2
        if size > FRAME_BYTES:
            break
        shown += 1
    more = f" … and {len(parts) - shown} more" if shown < len(parts) else ""
    return head + ", ".join(parts[:shown]) + more


def _stamp(message: Message) -> str:
    moment = datetime.fromtimestamp(int(message.ts.partition(".")[0]), UTC)
    return f"[{moment:%Y-%m-%d %H:%M}]"


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


_decode = msgspec.json.Decoder().decode


def command_frame(body: str) -> object | None:
    """The `data` of `{"action":"command","data":…}`, `...` where there is none; None for all else, which is chat."""
    if body[:1] != "{" or '"action"' not in body:
        return None
    try:
        value = _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    if not isinstance(value, dict) or value.get("action") != "command" or value.keys() - {"action", "data"}:
        return None
    data: object = value.get("data", ...)
    return ... if data is None else data
