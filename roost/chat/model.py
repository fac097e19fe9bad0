"""What chat is about: people, channels, messages, and their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

UserId = NewType("UserId", str)  #: `U…`
ChannelId = NewType("ChannelId", str)  #: `C…`
TeamId = NewType("TeamId", str)  #: `T…`
ConnectionId = NewType("ConnectionId", str)  #: API Gateway's
Ts = NewType("Ts", str)  #: Slack's message id: seconds, a dot, six digits; unique and rising in its channel


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts: a member, or a guest, who is gone with their connection."""

    id: UserId
    name: str
    guest: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """A conversation that has a name."""

    id: ChannelId
    name: str
    private: bool
    created: int  #: seconds since the epoch


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said, under the name they had then."""

    channel: ChannelId
    ts: Ts
    seq: int  #: place in the channel's log: 1, 2, 3, …
    author: Person
    text: str


@dataclass(frozen=True, slots=True)
class Seat:
    """A text connection: who sits there and which one channel they hear."""

    connection: ConnectionId
    person: Person
    channel: ChannelId
    channel_name: str
    since: int  #: milliseconds since the epoch
