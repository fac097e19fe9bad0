"""Who may do what: one function for every path."""

from __future__ import annotations

from enum import Enum

from roost.chat.errors import (
    ChannelNotFound,
    IsArchived,
    MethodNotSupported,
    NotAuthorized,
    NotInChannel,
    RestrictedAction,
    UserIsRestricted,
)
from roost.chat.model import Channel, Person


class Act(Enum):
    """What somebody wants to do with a conversation."""

    SEE = "see"  #: know that it is there, and what it is called
    ENTER = "enter"  #: hear it on a text connection
    READ = "read"
    POST = "post"
    JOIN = "join"
    CREATE = "create"
    INVITE = "invite"
    KICK = "kick"
    LEAVE = "leave"
    DESCRIBE = "describe"  #: topic and purpose
    RENAME = "rename"
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    MARK = "mark"  #: read marks, level, what concerns oneself
    MODERATE = "moderate"  #: delete what others said


#: What members of a conversation alone may do; the rest is open to whoever may see it.
_MEMBERS_ONLY = frozenset({Act.POST, Act.INVITE, Act.KICK, Act.DESCRIBE, Act.RENAME, Act.ARCHIVE, Act.MARK, Act.LEAVE})
#: What changes a conversation, so that an archived one refuses it.
_CHANGES = frozenset({Act.POST, Act.JOIN, Act.INVITE, Act.KICK, Act.DESCRIBE, Act.RENAME, Act.LEAVE})
#: What a direct conversation does not know.
_NOT_DIRECT = frozenset({Act.JOIN, Act.INVITE, Act.KICK, Act.RENAME, Act.ARCHIVE, Act.UNARCHIVE, Act.LEAVE})
#: What people who were let into some channels alone may not do.
_FULL_MEMBERS = frozenset({Act.CREATE, Act.INVITE, Act.KICK, Act.RENAME, Act.ARCHIVE, Act.UNARCHIVE})


def check(person: Person, act: Act, channel: Channel, *, member: bool = False, text: bool = False) -> None:
    """Return if `person` may `act` on `channel`; `member` says whether they belong to it. Raises a `Refused`.

    A private conversation does not exist for those who do not belong to it, and nothing that they were not invited to
    exists for restricted members: `ChannelNotFound`. On a text connection (`text`) whoever sits in a public channel
    may talk there without belonging to it, guests included.
    """
    hidden = channel.private or person.role == "restricted"
    if hidden and not member and act is not Act.CREATE:
        raise ChannelNotFound
    if act in _FULL_MEMBERS and person.role == "restricted":
        raise UserIsRestricted
    if person.guest and act is Act.CREATE and channel.private:
        raise UserIsRestricted
    if person.guest and act not in (Act.SEE, Act.ENTER, Act.READ, Act.POST, Act.CREATE):
        raise UserIsRestricted
    if channel.direct and (act in _NOT_DIRECT or (act is Act.DESCRIBE and channel.kind == "im")):
        raise MethodNotSupported
    if not member:
        _check_from_outside(person, act, channel, text=text)
    if channel.archived and act in _CHANGES:
        raise IsArchived
    if act is Act.MODERATE and not person.is_admin:
        raise NotAuthorized


def _check_from_outside(person: Person, act: Act, channel: Channel, *, text: bool) -> None:
    """What may be done with a public channel that one does not belong to."""
    if act in _MEMBERS_ONLY and not text:
        raise NotInChannel
    if act is Act.READ and person.role == "bot":
        raise NotInChannel


def check_admin(person: Person) -> None:
    """Return if `person` runs the workspace. Raises `RestrictedAction`."""
    if not person.is_admin:
        raise RestrictedAction
