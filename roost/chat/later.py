"""What is to happen later: scheduled messages and reminders.

Each is stored in one transaction with the job that does it, so none is forgotten and none comes twice. What may be done
is asked when it is due, of whom the author is by then: who has left a channel meanwhile posts nothing there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import (
    InvalidScheduledMessage,
    NoText,
    NotFound,
    Refused,
    TimeInPast,
    TimeTooFar,
    TooManyScheduled,
)
from roost.chat.files import Files
from roost.chat.messages import Messages, Posting, check_text, posting
from roost.chat.model import Channel, Composition, Person, UserId, channel_of
from roost.chat.people import People
from roost.chat.times import parse
from roost.storage import later
from roost.storage.ids import new_id
from roost.storage.items import (
    ReminderRow,
    ScheduledRow,
    idempotency_key,
    reminder_key,
    scheduled_key,
    to_item,
)
from roost.storage.jobs import Job, JobFailed, Queue
from roost.storage.table import ConditionFailed, Exists, Missing, Put, Update

log = logging.getLogger("roost.chat")

MAX_AHEAD = 120 * 86400  # seconds: Slack's limit
MAX_REMINDER_AHEAD = 5 * 366 * 86400
_WINDOW, _IN_WINDOW = 300, 30  # seconds, and how many messages one channel takes within them

#: Who reminds. Not a member: nobody can write to it.
REMINDER = Person(UserId("USLACKBOT"), "slackbot", guest=False, role="bot")


class _Due(msgspec.Struct, frozen=True):
    """The fields of a job: whose item it is about, and what finds it."""

    user: str
    id: str
    at: int


class Later:
    """Scheduled messages and reminders of everybody."""

    def __init__(
        self, core: Core, queue: Queue, channels: Channels, people: People, messages: Messages, files: Files
    ) -> None:
        self._core = core
        self._table = core.table
        self._queue = queue
        self._channels = channels
        self._people = people
        self._messages = messages
        self._kinds: dict[str, Callable[[_Due], None]] = {
            "send_message": self._send,
            "remind": self._remind,
            "drop_upload": lambda due: files.drop(due.id),
            "erase_file": lambda due: files.erase(due.user, due.id),
        }

    def do(self, job: Job) -> None:
        """Do a job that is due; done twice it does no more than once. Raises `JobFailed`."""
        act = self._kinds.get(job.kind)
        if act is None:
            raise JobFailed(f"nobody knows how to do {job.kind}")
        act(job.read(_Due))

    # -- scheduled messages -----------------------------------------------------------------------------------------

    def schedule(self, author: Person, channel: Channel, wanted: Posting, at: int) -> ScheduledRow:
        """Have a message posted at a time (epoch seconds). Raises `TimeInPast`, `TimeTooFar` and other refusals."""
        now = self._core.now
        if at <= now:
            raise TimeInPast
        if at > now + MAX_AHEAD:
            raise TimeTooFar
        self._messages.check(author, channel, wanted)
        self._check_number(author, channel, at)
        composed = wanted.composed
        row = ScheduledRow(
            id=new_id("Q"),
            channel=channel.id,
            at=at,
            created=now,
            text=wanted.text,
            thread=wanted.thread,
            broadcast=wanted.broadcast,
            blocks=composed.blocks,
            attachments=composed.attachments,
            metadata=composed.metadata,
            username=composed.username,
            icon=composed.icon,
        )
        job = Job(row.id, "send_message", {"user": author.id, "id": row.id, "at": at})
        put = Put(to_item(scheduled_key(author.id, at, row.id), row), Missing())
        self._table.transact([put, *self._queue.operations(job, at)])
        return row

    def _check_number(self, author: Person, channel: Channel, at: int) -> None:
        start = at - at % _WINDOW
        theirs = later.scheduled(self._table, author.id)
        if sum(1 for row in theirs if row.channel == channel.id and start <= row.at < start + _WINDOW) >= _IN_WINDOW:
            raise TooManyScheduled

    def scheduled(self, author: Person) -> list[ScheduledRow]:
        """What somebody scheduled and what was not posted yet, by time."""
        return later.scheduled(self._table, author.id)

    def unschedule(self, author: Person, channel: Channel, scheduled: str) -> None:
        """Take a scheduled message back. Raises `InvalidScheduledMessage`."""
        theirs = later.scheduled(self._table, author.id)
        found = [row for row in theirs if row.id == scheduled and row.channel == channel.id]
        if not found:
            raise InvalidScheduledMessage
        self._forget(author.id, found[0], InvalidScheduledMessage)
        self._queue.cancel(scheduled)  # a job that finds no message does nothing, so this may fail

    def _forget(self, user: str, row: ScheduledRow, missing: type[Refused] | None = None) -> None:
        try:
            self._table.delete(scheduled_key(user, row.at, row.id), Exists() if missing else None)
        except ConditionFailed:
            if missing is not None:
                raise missing from None

    def _send(self, due: _Due) -> None:
        """Post a scheduled message; the log takes its id once."""
        row = later.scheduled_at(self._table, due.user, due.at, due.id)
        if row is None:
            return
        composed = Composition(
            blocks=row.blocks,
            attachments=row.attachments,
            metadata=row.metadata,
            username=row.username,
            icon=row.icon,
        )
        wanted = Posting(row.text, composed, thread=row.thread, broadcast=row.broadcast, client_msg_id=row.id)
        try:
            self._messages.post(self._people.active(due.user), self._channels.get(row.channel), wanted)
        except Refused as refusal:
            log.info("a scheduled message was not posted", extra={"fields": {"error": refusal.code}})
        self._forget(due.user, row)

    # -- reminders --------------------------------------------------------------------------------------------------

    def remind(self, person: Person, text: str, said: str) -> ReminderRow:
        """Remind somebody at a time, in seconds or in words of their own time zone. Raises `CannotParse`, `NoText`."""
        if not text.strip():
            raise NoText
        check_text(text)
        now = self._core.now
        at = parse(said, now, self._people.row(person.id).tz)
        if at <= now:
            raise TimeInPast
        if at > now + MAX_REMINDER_AHEAD:
            raise TimeTooFar
        row = ReminderRow(id=new_id("Rm"), user=person.id, text=text, at=at)
        job = Job(row.id, "remind", {"user": person.id, "id": row.id, "at": at})
        put = Put(to_item(reminder_key(person.id, row.id), row), Missing())
        self._table.transact([put, *self._queue.operations(job, at)])
        return row

    def reminders(self, person: Person) -> list[ReminderRow]:
        """Somebody's reminders, the next first."""
        return sorted(later.reminders(self._table, person.id), key=lambda row: row.at)

    def reminder(self, person: Person, reminder: str) -> ReminderRow:
        """One of them. Raises `NotFound`."""
        row = later.reminder(self._table, person.id, reminder)
        if row is None:
            raise NotFound
        return row

    def complete(self, person: Person, reminder: str) -> None:
        """Say that it is done with; it is not told any more. Raises `NotFound`."""
        try:
            self._table.update(Update(reminder_key(person.id, reminder), set={"completed": self._core.now}))
        except ConditionFailed:
            raise NotFound from None
        self._queue.cancel(reminder)

    def forget(self, person: Person, reminder: str) -> None:
        """Delete a reminder. Raises `NotFound`."""
        try:
            self._table.delete(reminder_key(person.id, reminder), Exists())
        except ConditionFailed:
            raise NotFound from None
        self._queue.cancel(reminder)

    def _remind(self, due: _Due) -> None:
        """Tell somebody, in the direct conversation that they have with themselves."""
        row = later.reminder(self._table, due.user, due.id)
        if row is None or row.completed:
            return
        try:
            person = self._people.active(due.user)
        except Refused:
            return
        channel = channel_of(self._channels.open_direct(person, [person.id])[0])
        deed = posting(REMINDER, channel, Posting(f"Reminder: {row.text}", Composition(username="Roost")))
        once = idempotency_key(REMINDER.id, row.id, channel.id)
        self._core.happen(channel, lambda: deed, messages=1, once=once)
