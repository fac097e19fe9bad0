"""The text protocol: what a plain `wscat` sends and sees.

One table of commands; a line that is no command is said to the channel. Everything that is shown goes through
`visible`, so nothing that anybody wrote can forge another's line or drive a terminal. `docs/protocol.md` has an example
of each frame, which a test replays.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from roost.chat import channels, people
from roost.chat.errors import NotAuthed, Refused
from roost.chat.events import Event, MessagePosted
from roost.chat.messages import Messages
from roost.chat.model import Channel, ChannelId, ConnectionId, Message, Person, Seat, UserId
from roost.chat.names import BIDI
from roost.chat.ports import Clock, Push
from roost.storage import seats
from roost.storage.items import SocketRow, WorkspaceRow
from roost.storage.table import Conflict, Table, TransactionFailed

VALID_COMMANDS = (
    "Valid commands: /help, /name [NAME], /channel [CHAN_NAME], /who, /channels, /history [N], /login TOKEN"
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


class TextProtocol:
    """Answers text connections. Replies are pushed to the connection that asked."""

    def __init__(
        self, table: Table, push: Push, clock: Clock, messages: Messages, workspace: Callable[[], WorkspaceRow]
    ) -> None:
        self._table = table
        self._push = push
        self._clock = clock
        self._messages = messages
        self._workspace = workspace
        self._commands: dict[str, Callable[[Line, str], str]] = {
            "/help": self._help,
            "/name": self._name,
            "/channel": self._channel,
            "/who": self._who,
            "/channels": self._channels,
            "/history": self._history,
            "/login": self._login,
        }

    # -- coming and going -------------------------------------------------------------------------------------------

    def connect(self, connection: ConnectionId, since: int) -> None:
        """Somebody connects: a guest in #general. `since` is API Gateway's time of it, in milliseconds."""
        guest = people.new_guest()
        general = self._workspace().general
        row = SocketRow(
            user=guest.id, name=guest.name, guest=True, channel=general, channel_name="general", since=since
        )
        seats.take(self._table, connection, row)

    def disconnect(self, connection: ConnectionId) -> None:
        """Somebody's connection is over."""
        row = seats.get(self._table, connection)
        if row is not None:
            seats.leave(self._table, connection, row)

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
        channel = _channel_of(seat)
        self._messages.post(seat.person, channel, text, line=line.message_id, source=line.connection, time=line.time)

    def _command_frame(self, data: object) -> str:
        if data != "fetchChannels":
            return UNKNOWN_ACTION
        return json.dumps({"channelsList": channels.public_names(self._table, self._workspace())})

    # -- commands: each takes the line and its argument, and answers what to reply ----------------------------------

    def _help(self, line: Line, argument: str) -> str:
        return VALID_COMMANDS

    def _name(self, line: Line, argument: str) -> str:
        if not argument:
            return f"{VALID_COMMANDS}. Usage: /name NAME"
        name = people.guest_name(self._table, self._workspace(), argument)

        def rename(row: SocketRow) -> None:
            if not row.guest:
                raise Refused("You are logged in as a member, whose name stays as it is.")
            seats.rename(self._table, line.connection, row, row.user, name, guest=True)

        self._change(line, rename)
        return f"Set username to {visible(name)}"

    def _channel(self, line: Line, argument: str) -> str:
        if not argument:
            return f"{VALID_COMMANDS}. Usage: /channel CHAN_NAME"
        name = argument.strip("# \t")
        person = self._seat(line).person
        channel = channels.enter(self._table, self._workspace(), person, name, self._clock.now_us() // 1_000_000)

        def move(row: SocketRow) -> None:
            if row.channel != channel.id:
                seats.move(self._table, line.connection, row, channel.id, channel.name)

        self._change(line, move)
        return f"Changed to #{visible(channel.name)}"

    def _who(self, line: Line, argument: str) -> str:
        seat = self._seat(line)
        rows = [row for _, row in seats.in_channel(self._table, seat.channel)]
        shown = sorted(f"{visible(row.name)}{' (guest)' if row.guest else ''}" for row in rows)
        return _cut(f"In #{visible(seat.channel_name)}: ", shown)

    def _channels(self, line: Line, argument: str) -> str:
        return _cut("Channels: ", [f"#{name}" for name in channels.public_names(self._table, self._workspace())])

    def _history(self, line: Line, argument: str) -> str:
        limit = _whole_number(argument) if argument else HISTORY
        if limit is None or not 1 <= limit <= MAX_HISTORY:
            return f"Usage: /history [N], where N is 1 to {MAX_HISTORY}"
        seat = self._seat(line)
        channel = channels.get(self._table, seat.channel)
        said = self._messages.history(seat.person, channel, limit)
        lines = [f"{_stamp(message)} {text_line(channel.name, message)}" for message in said]
        if not lines:
            return f"Nothing has been said in #{visible(channel.name)} yet."
        *earlier, last = joined(lines, FRAME_BYTES)
        for frame in earlier:
            self._reply(line, frame)
        return last

    def _login(self, line: Line, argument: str) -> str:
        if not argument:
            return "Usage: /login TOKEN"
        member = people.log_in(self._table, argument)
        self._change(
            line,
            lambda row: seats.rename(self._table, line.connection, row, member.id, member.name, guest=False),
        )
        return f"Logged in as {visible(member.name)}"

    # -- the seat ---------------------------------------------------------------------------------------------------

    def _seat(self, line: Line) -> Seat:
        return _seat(line.connection, self._row(line))

    def _row(self, line: Line) -> SocketRow:
        row = seats.get(self._table, line.connection)
        if row is None:
            raise NotAuthed
        return row

    def _change(self, line: Line, change: Callable[[SocketRow], None]) -> None:
        """Change a seat as it is; where something else changes it at the same time, again."""
        for attempt in range(_TRIES):
            try:
                change(self._row(line))
                return
            except (TransactionFailed, Conflict):
                if attempt == _TRIES - 1:
                    raise

    def _reply(self, line: Line, text: str) -> None:
        self._push.send((line.connection,), text)


def _seat(connection: ConnectionId, row: SocketRow) -> Seat:
    person = Person(UserId(row.user), row.name, row.guest)
    return Seat(connection, person, ChannelId(row.channel), row.channel_name, row.since)


def _channel_of(seat: Seat) -> Channel:
    """The channel that a seat is in, without asking the store: whether they may be there was decided when they sat."""
    return Channel(seat.channel, seat.channel_name, private=False, created=0)


# -- what text connections see ----------------------------------------------------------------------------------------


def render(event: Event) -> str:
    """An event as a line."""
    assert isinstance(event, MessagePosted)
    return text_line(event.channel_name, event.message)


def text_line(channel: str, message: Message) -> str:
    """`#general bz: hello`"""
    return f"#{visible(channel)} {visible(message.author.name)}: {visible(message.text)}"


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
