"""Conversations: find, make, join, leave, invite, rename, archive; direct ones.

Every change of a conversation is in its log, beside what it changes. Whether somebody belongs to it is asked of the
table each time, by a strong read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from roost.chat import rights
from roost.chat.core import Core, Writes
from roost.chat.errors import (
    AlreadyArchived,
    AlreadyInChannel,
    CantArchiveGeneral,
    CantInvite,
    CantInviteSelf,
    CantKickFromGeneral,
    CantKickSelf,
    CantLeaveGeneral,
    ChannelNotFound,
    IsArchived,
    LastMember,
    MethodNotSupported,
    NameTaken,
    NotArchived,
    NotAuthorized,
    NotInChannel,
    TooLong,
    TooManyUsers,
    UserDisabled,
    UserNotFound,
    UsersNotSupplied,
)
from roost.chat.events import (
    AnyEvent,
    ChannelChanged,
    ChannelCreated,
    ConversationJoined,
    ConversationLeft,
    DirectClosed,
    DirectOpened,
    MemberJoined,
    MemberLeft,
    MessagePosted,
)
from roost.chat.model import Channel, ChannelId, Person, channel_of, person_of
from roost.chat.names import check_channel_name
from roost.chat.rights import Act
from roost.storage import channels, members, people, seats
from roost.storage.items import (
    ChannelNameRow,
    ChannelRow,
    MembershipRow,
    MessageRow,
    UserRow,
    channel_key,
    channel_name_key,
    channels_index,
    from_item,
    membership_key,
    message_key,
    to_item,
)
from roost.storage.log import Place
from roost.storage.table import ConditionFailed, Delete, Equals, Missing, Operation, Put, TransactionFailed
from roost.storage.workspace import GENERAL

MAX_TOPIC = 250  # characters, of purposes too: Slack's limit
MAX_DIRECT = 9  # people in one direct conversation, oneself included


class Channels:
    """The conversations of the workspace."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._table = core.table

    # -- finding ----------------------------------------------------------------------------------------------------

    def row(self, channel: str) -> ChannelRow:
        """A conversation by its id. Raises `ChannelNotFound`."""
        found = channels.by_id(self._table, channel)
        if found is None:
            raise ChannelNotFound
        return found

    def get(self, channel: str) -> Channel:
        """A conversation by its id. Raises `ChannelNotFound`."""
        return channel_of(self.row(channel))

    def visible(self, person: Person, channel: str) -> Channel:
        """A conversation by its id, as far as somebody may know that it is there. Raises `ChannelNotFound`.

        One that is hidden costs the same reads as one that is not there, so not even its answer's time tells of it.
        """
        item, membership = self._table.get_many([channel_key(channel), membership_key(channel, person.id)])
        if item is None:
            raise ChannelNotFound
        found = channel_of(from_item(item, ChannelRow))
        rights.check(person, Act.SEE, found, member=membership is not None)
        return found

    def named(self, name: str) -> Channel:
        """A channel by its name. Raises `ChannelNotFound`."""
        found = channels.by_name(self._table, self._core.workspace.team, name)
        if found is None:
            raise ChannelNotFound
        return channel_of(found)

    def check(self, person: Person, act: Act, channel: Channel) -> MembershipRow | None:
        """Return their membership if `person` may `act` on the conversation. Raises a `Refused`."""
        membership = members.get(self._table, channel.id, person.id)
        rights.check(person, act, channel, member=membership is not None)
        return membership

    def public_names(self) -> list[str]:
        """The names of all public channels, sorted; `general` always among them."""
        names = {name for name, _ in channels.public_ids(self._table, self._core.workspace.team)}
        return sorted(names | {GENERAL})

    def of(self, person: Person) -> list[tuple[ChannelRow, MembershipRow]]:
        """Every conversation that somebody belongs to, by id."""
        ids = members.of_user(self._table, person.id)
        rows = channels.by_ids(self._table, ids)
        memberships = members.get_many(self._table, [(each, person.id) for each in ids])
        pairs = zip(rows, memberships, strict=True)
        return [(row, membership) for row, membership in pairs if row is not None and membership is not None]

    def public(self) -> list[ChannelRow]:
        """Every public channel, by name; one that is brand new may be missing."""
        ids = [each for _, each in channels.public_ids(self._table, self._core.workspace.team)]
        return [row for row in channels.by_ids(self._table, ids) if row is not None and not row.private]

    # -- making -----------------------------------------------------------------------------------------------------

    def enter(self, person: Person, name: str) -> Channel:
        """The public channel of this name for a text connection, made if there is none; a member joins it.

        Raises a `Refused`.
        """
        check_channel_name(name)
        row = channels.by_name(self._table, self._core.workspace.team, name)
        if row is None:
            rights.check(person, Act.CREATE, Channel(ChannelId(""), name, private=False, created=0), text=True)
            row = self._make_public(person, name)
        channel = channel_of(row)
        member = members.get(self._table, channel.id, person.id) is not None
        rights.check(person, Act.ENTER, channel, member=member, text=True)
        if not person.guest and not member and not channel.archived:
            return self.join(person, channel)
        return channel

    def create(self, person: Person, name: str, *, private: bool) -> ChannelRow:
        """A new channel whose only member is who made it. Raises a `Refused`, `NameTaken` among them."""
        rights.check(person, Act.CREATE, Channel(ChannelId(""), name, private=private, created=0))
        check_channel_name(name)
        row = channels.new(name, person.id, self._core.now, private=private)
        channel = channel_of(row)
        joining = members.joining(row.id, MembershipRow(user=person.id, since=self._core.now))
        joined = self._note(channel, person, MemberJoined(user=person.id), "channel_join", [joining], {})
        first, events = self._core.beginning(row.id, joined, events=2, messages=1)
        self._make(row, first)
        self._core.tell(channel, events)
        self._tell_joined(person.id, row)
        return row

    def _make_public(self, person: Person, name: str) -> ChannelRow:
        """A public channel without members for a text connection; or the one of this name, if somebody was quicker."""
        row = channels.new(name, person.id, self._core.now)
        first, _ = self._core.beginning(row.id, lambda place: ([], []), events=0, messages=0)
        try:
            self._make(row, first)
        except NameTaken:
            there = channels.by_name(self._table, self._core.workspace.team, name)
            if there is None:
                raise
            return there
        return row

    def _make(self, row: ChannelRow, first: list[Operation]) -> None:
        """Store a new channel with the beginning of its log, in one transaction; a public one is told of to everybody.

        Raises `NameTaken`.
        """
        team = self._core.workspace.team
        operations = [*channels.rows(team, row), *first]

        def deed() -> Writes:
            if self._table.get(channel_name_key(team, row.name)) is not None:
                raise NameTaken("There is a channel of that name.")
            return lambda place: ([ChannelCreated(channel=row)], operations)

        if not row.private:
            self._core.happen_to_all(deed)
            return
        try:
            self._table.transact(operations)
        except TransactionFailed as failure:
            if isinstance(failure.reasons[1], ConditionFailed):
                raise NameTaken("There is a channel of that name.") from None
            raise

    def find_direct(self, person: Person, others: Sequence[str]) -> ChannelRow | None:
        """The direct conversation with these people, if there is one."""
        return channels.direct(self._table, self._core.workspace.team, sorted({person.id, *others}))

    def open_direct(self, person: Person, others: Sequence[str]) -> tuple[ChannelRow, bool]:
        """The direct conversation with these people, and whether it was there; made if not. Raises a `Refused`."""
        users = sorted({person.id, *others})
        if not others:
            raise UsersNotSupplied
        if len(users) > MAX_DIRECT:
            raise TooManyUsers
        for user in users:
            self._active(user)
        there = channels.direct(self._table, self._core.workspace.team, users)
        if there is not None:
            self.reopen_direct(channel_of(there), person.id)
            return there, True
        kind = "im" if len(users) <= 2 else "mpim"
        row = channels.new("", person.id, self._core.now, private=True, kind=kind, users=users)
        joins = [members.joining(row.id, MembershipRow(user=user, since=self._core.now)) for user in users]
        made, there_first = channels.create_direct(self._table, self._core.workspace.team, row, joins)
        if not there_first:
            for user in users:
                self._tell_joined(user, made)
        return made, there_first

    def _tell_joined(self, user: str, row: ChannelRow) -> None:
        head = self._core.log.head(row.id).seq
        self._core.tell_person(user, ConversationJoined(user=user, channel=row, head=head))

    def close_direct(self, person: Person, channel: Channel) -> bool:
        """Take a direct conversation out of one's list until somebody says something; whether it was in it. Raises a
        `Refused`."""
        membership = self.check(person, Act.READ, channel)
        if not channel.direct:
            raise MethodNotSupported
        if membership is None or membership.closed:
            return False
        self._table.update(members.choosing(channel.id, person.id, closed=True))
        self._core.tell_person(person.id, DirectClosed(user=person.id, channel=self.row(channel.id)))
        return True

    def reopen_direct(self, channel: Channel, user: str) -> None:
        """Bring a direct conversation back into somebody's list."""
        membership = members.get(self._table, channel.id, user)
        if membership is not None and membership.closed:
            self._table.update(members.reopening(channel.id, user))
            self._core.tell_person(user, DirectOpened(user=user, channel=self.row(channel.id)))

    def _active(self, user: str) -> UserRow:
        row = people.by_id(self._table, user)
        if row is None:
            raise UserNotFound
        if row.deactivated:
            raise UserDisabled
        return row

    # -- coming and going -------------------------------------------------------------------------------------------

    def join(self, person: Person, channel: Channel) -> Channel:
        """Belong to a public channel. Raises `AlreadyInChannel` and other refusals."""
        if self.check(person, Act.JOIN, channel) is not None:
            raise AlreadyInChannel
        self._joined(channel, person, inviter="")
        return channel

    def invite(self, person: Person, channel: Channel, user: str) -> None:
        """Let somebody else belong. Raises a `Refused`."""
        self.check(person, Act.INVITE, channel)
        if user == person.id:
            raise CantInviteSelf
        row = self._active(user)
        if row.role == "restricted" and not person.is_admin:
            raise CantInvite
        if members.get(self._table, channel.id, user) is not None:
            raise AlreadyInChannel
        self._joined(channel, person_of(row), inviter=person.id)

    def admit(self, person: Person, channel: Channel, inviter: str) -> None:
        """Let somebody belong whom an invite link of `inviter` let in. Raises `AlreadyInChannel` and `IsArchived`."""
        if channel.archived:
            raise IsArchived
        self._joined(channel, person, inviter)

    def _joined(self, channel: Channel, person: Person, inviter: str) -> None:
        def deed() -> Writes:
            if members.get(self._table, channel.id, person.id) is not None:
                raise AlreadyInChannel
            membership = MembershipRow(user=person.id, since=self._core.now)
            note = {"inviter": inviter} if inviter else {}
            return self._note(
                channel,
                person,
                MemberJoined(user=person.id, inviter=inviter),
                "channel_join",
                [members.joining(channel.id, membership)],
                note,
            )

        self._core.happen(channel, deed, events=2, messages=1)
        self._tell_joined(person.id, self.row(channel.id))

    def leave(self, person: Person, channel: Channel) -> None:
        """Belong no longer. Raises `NotInChannel`, `CantLeaveGeneral`, `LastMember` and other refusals."""
        self.check(person, Act.LEAVE, channel)
        if channel.id == self._core.workspace.general:
            raise CantLeaveGeneral
        if channel.private and len(members.page_of_channel(self._table, channel.id, "", 2)[0]) < 2:
            raise LastMember
        self._left(channel, person, by=person.id)

    def kick(self, person: Person, channel: Channel, user: str) -> None:
        """Let somebody belong no longer. When this returns nothing that is said later reaches them, on any connection.

        Raises a `Refused`.
        """
        self.check(person, Act.KICK, channel)
        if user == person.id:
            raise CantKickSelf
        if channel.id == self._core.workspace.general:
            raise CantKickFromGeneral
        row = people.by_id(self._table, user)
        if row is None:
            raise UserNotFound
        if not self._may_remove(person, channel):
            raise NotAuthorized
        self._left(channel, person_of(row), by=person.id)

    def _may_remove(self, person: Person, channel: Channel) -> bool:
        return person.is_admin or channel.private or self.row(channel.id).creator == person.id

    def _left(self, channel: Channel, person: Person, by: str) -> None:
        def deed() -> Writes:
            if members.get(self._table, channel.id, person.id) is None:
                raise NotInChannel
            gone = members.leaving(channel.id, person.id)
            return self._note(channel, person, MemberLeft(user=person.id, by=by), "channel_leave", [gone], {})

        self._core.happen(channel, deed, events=2, messages=1)
        self._core.tell_person(person.id, ConversationLeft(user=person.id, channel=self.row(channel.id)))
        if channel.private:
            seats.untune(self._table, channel.id, person.id, self._core.workspace.general, GENERAL)

    # -- describing -------------------------------------------------------------------------------------------------

    def set_topic(self, person: Person, channel: Channel, topic: str) -> ChannelRow:
        """Say what is talked about. Raises a `Refused`."""
        return self._describe(person, channel, "topic", topic)

    def set_purpose(self, person: Person, channel: Channel, purpose: str) -> ChannelRow:
        """Say what the conversation is for. Raises a `Refused`."""
        return self._describe(person, channel, "purpose", purpose)

    def _describe(self, person: Person, channel: Channel, what: str, text: str) -> ChannelRow:
        if len(text) > MAX_TOPIC:
            raise TooLong
        self.check(person, Act.DESCRIBE, channel)
        fields = {what: text, f"{what}_by": person.id, f"{what}_at": self._core.now}
        return self._change(person, channel, what, f"channel_{what}", fields, {what: text})

    def rename(self, person: Person, channel: Channel, name: str) -> ChannelRow:
        """Give a channel another name. Raises a `Refused`, `NameTaken` among them."""
        self.check(person, Act.RENAME, channel)
        check_channel_name(name)
        before = self.row(channel.id)
        if not person.is_admin and before.creator != person.id:
            raise NotAuthorized
        if name == before.name:
            return before
        if channels.by_name(self._table, self._core.workspace.team, name) is not None:
            raise NameTaken("There is a channel of that name.")
        fields = {"name": name, "previous_names": [*before.previous_names, before.name]}
        return self._change(
            person, channel, "rename", "channel_name", fields, {"name": name, "old_name": before.name}, before.name
        )

    def archive(self, person: Person, channel: Channel) -> None:
        """Close a channel to everything but reading. Raises a `Refused`."""
        self.check(person, Act.ARCHIVE, channel)
        if channel.id == self._core.workspace.general:
            raise CantArchiveGeneral
        if channel.archived:
            raise AlreadyArchived
        self._change(person, channel, "archive", "channel_archive", {"archived": True}, {})

    def unarchive(self, person: Person, channel: Channel) -> None:
        """Bring an archived channel back. Raises a `Refused`."""
        self.check(person, Act.UNARCHIVE, channel)
        if not channel.archived:
            raise NotArchived
        self._change(person, channel, "unarchive", "channel_unarchive", {"archived": False}, {})

    def _change(
        self,
        person: Person,
        channel: Channel,
        what: str,
        subtype: str,
        fields: dict[str, Any],
        note: dict[str, str],
        old_name: str = "",
    ) -> ChannelRow:
        """Change a channel's row, and note it in the channel; a rename moves the lock on the name with it."""
        changed: ChannelRow | None = None

        def deed() -> Writes:
            nonlocal changed
            before = self.row(channel.id)
            changed = msgspec.structs.replace(before, rev=before.rev + 1, **fields)
            operations = self._replacing(before, changed, old_name)
            event = ChannelChanged(what=what, by=person.id, channel=changed)
            return self._note(channel, person, event, subtype, operations, note)

        self._core.happen(channel, deed, events=2, messages=1)
        assert changed is not None
        return changed

    def _replacing(self, before: ChannelRow, after: ChannelRow, old_name: str) -> list[Operation]:
        team = self._core.workspace.team
        index = None if after.private else (channels_index(team), after.name)
        operations: list[Operation] = [
            Put(to_item(channel_key(after.id), after, g1=index), Equals({"rev": before.rev}))
        ]
        if old_name:
            lock = to_item(channel_name_key(team, after.name), ChannelNameRow(channel=after.id))
            operations += [Put(lock, Missing()), Delete(channel_name_key(team, old_name))]
        return operations

    # -- what the chat notes itself ---------------------------------------------------------------------------------

    def _note(
        self,
        channel: Channel,
        person: Person,
        event: AnyEvent,
        subtype: str,
        operations: Sequence[Operation],
        extra: dict[str, str],
    ) -> Writes:
        """What appends an event and, behind it, a message that tells of it."""

        def write(place: Place) -> tuple[list[AnyEvent], list[Operation]]:
            row = MessageRow(
                seq=place.seq + 1,
                n=place.n,
                user=person.id,
                name=person.name,
                text=_SENTENCES[subtype].format(user=person.id, **{"topic": "", "purpose": "", "name": "", **extra}),
                rev=0,
                subtype=subtype,
                extra=extra,
            )
            return [event, MessagePosted(message=row)], [
                *operations,
                Put(to_item(message_key(channel.id, place.ts), row)),
            ]

        return write


_SENTENCES = {
    "channel_join": "<@{user}> has joined the channel",
    "channel_leave": "<@{user}> has left the channel",
    "channel_topic": "<@{user}> set the channel topic: {topic}",
    "channel_purpose": "<@{user}> set the channel purpose: {purpose}",
    "channel_name": "<@{user}> has renamed the channel to {name}",
    "channel_archive": "<@{user}> archived the channel",
    "channel_unarchive": "<@{user}> brought the channel back",
}
