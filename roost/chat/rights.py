"""Who may do what: one function for every path."""

from __future__ import annotations

from enum import Enum

from roost.chat.errors import ChannelNotFound, UserIsRestricted
from roost.chat.model import Channel, Person


class Act(Enum):
    """What somebody wants to do with a channel."""

    ENTER = "enter"
    READ = "read"
    POST = "post"
    CREATE = "create"


def check(person: Person, act: Act, channel: Channel, *, member: bool = False) -> None:
    """Return if `person` may `act` on `channel`; `member` says whether they belong to it.

    Public channels are open to everybody, guests included. A private one does not exist for those who do not belong to
    it: `ChannelNotFound`, and `UserIsRestricted` for a guest who wants to make one.
    """
    if not channel.private:
        return
    if act is Act.CREATE and person.guest:
        raise UserIsRestricted
    if act is not Act.CREATE and not member:
        raise ChannelNotFound
