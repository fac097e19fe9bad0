"""Posting, and what was posted before."""

from __future__ import annotations

from roost.chat import rights
from roost.chat.delivery import Delivery
from roost.chat.errors import InvalidCharset, MessageTooLong, NoText
from roost.chat.events import MessagePosted
from roost.chat.model import Channel, ChannelId, ConnectionId, Message, Person, Ts, UserId
from roost.storage.items import line_key
from roost.storage.log import Draft, Log

MAX_CHARACTERS = 40_000  # Slack's limit
MAX_BYTES = 30 * 1024  # what fits one push of 32 KB with its wrapping


class Messages:
    """The messages of all channels."""

    def __init__(self, log: Log, delivery: Delivery) -> None:
        self._log = log
        self._delivery = delivery

    def post(
        self, author: Person, channel: Channel, text: str, *, line: str, source: ConnectionId, time: int
    ) -> Message:
        """Say a line. Stored when this returns, and everybody who hears the channel but `source` was told.

        The same `line` (API Gateway's message id) again gives the first message and tells nobody. `time` is API
        Gateway's, in milliseconds. Raises a `Refused` before anything is stored, `Busy` or `StoreUnavailable` when the
        store does not take it.
        """
        rights.check(author, rights.Act.POST, channel)
        check_text(text)
        draft = Draft(author.id, author.name, author.guest, text, once=line_key(line))
        place = self._log.append(channel.id, draft)
        message = Message(channel.id, Ts(place.ts), place.seq, author, text)
        if not place.duplicate:
            self._delivery.tell(MessagePosted(message, channel.name), source, time)
        return message

    def history(self, reader: Person, channel: Channel, limit: int) -> list[Message]:
        """The newest `limit` messages, oldest first."""
        rights.check(reader, rights.Act.READ, channel)
        rows = self._log.newest(channel.id, channel.created, limit)
        return [
            Message(ChannelId(channel.id), Ts(ts), row.seq, Person(UserId(row.user), row.name, row.guest), row.text)
            for ts, row in rows
        ]


def check_text(text: str) -> None:
    """Raise unless this can be a message."""
    if not text or text.isspace():
        raise NoText
    if len(text) > MAX_CHARACTERS:
        raise MessageTooLong
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate
        raise InvalidCharset from None
    if size > MAX_BYTES:
        raise MessageTooLong
