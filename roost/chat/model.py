"""What chat is about: people, conversations, messages, and their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from roost.storage.items import AttachedFile, ChannelRow, MessageRow, UserRow

UserId = NewType("UserId", str)  #: `U…`
ChannelId = NewType("ChannelId", str)  #: `C…`, of a direct conversation `D…`
TeamId = NewType("TeamId", str)  #: `T…`
ConnectionId = NewType("ConnectionId", str)  #: API Gateway's
Ts = NewType("Ts", str)  #: Slack's message id: seconds, a dot, six digits; unique and rising in its channel


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts: a member, an app's bot, or a guest, who is gone with their connection."""

    id: UserId
    name: str
    guest: bool
    role: str = "member"  #: owner, admin, member, restricted (only where they were invited), bot
    bot: str = ""  #: `B…`, where an app acts
    app: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether they run the workspace."""
        return self.role in ("owner", "admin")


@dataclass(frozen=True, slots=True)
class Channel:
    """A conversation: a channel that has a name, or a direct one between a few people."""

    id: ChannelId
    name: str
    private: bool
    created: int  #: seconds since the epoch
    kind: str = "channel"  #: channel, im, mpim
    archived: bool = False
    users: tuple[str, ...] = ()  #: of a direct conversation

    @property
    def direct(self) -> bool:
        """Whether it is between a few people, who cannot come and go."""
        return self.kind != "channel"


def channel_of(row: ChannelRow) -> Channel:
    """A conversation out of its row."""
    return Channel(
        ChannelId(row.id), row.name, row.private, row.created, row.kind, archived=row.archived, users=tuple(row.users)
    )


def person_of(row: UserRow) -> Person:
    """A member out of their row."""
    return Person(UserId(row.id), row.name, guest=False, role=row.role, bot=row.bot, app=row.app)


@dataclass(frozen=True, slots=True)
class Composition:
    """What makes a message beyond its text. JSON is text here, as a program sent it and after it was checked."""

    blocks: str = ""
    attachments: str = ""
    metadata: str = ""
    files: tuple[AttachedFile, ...] = ()
    username: str = ""
    icon: str = ""
    subtype: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it stands: who said what under which name, and what happened to it since."""

    channel: ChannelId
    ts: Ts
    row: MessageRow


@dataclass(frozen=True, slots=True)
class Seat:
    """A text connection: who sits there and which one channel they hear."""

    connection: ConnectionId
    person: Person
    channel: ChannelId
    channel_name: str
    since: int  #: milliseconds since the epoch
