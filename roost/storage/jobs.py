"""The queue: do this later, at least once, not before its time. Written once, over the Table.

A job is an item like any other, so it can be written in one transaction with what it belongs to: a scheduled message is
never stored without the job that sends it. What differs between the shells is only who looks at the right moment. On
the laptop a worker in the same process knows from the table's own commits when something is due; on AWS the table's
stream turns each new job into an SQS message that comes back in time. Both then call `Queue.run`, which decides from
the item alone, so whoever looks twice, too early, too late or after a crash does no harm:

* *waiting*: `due` is when to begin.
* *running*: begun, and `due` is when it may be begun anew: whoever had begun it has died by then.
* *parked*: it failed as often as it may. An admin sees it and can have it tried again.
* *done*: remembered for a day, so that the same job queued again is not done again.

Every step is one conditional write that names the `due` it saw; of two that look at once, one takes the job. A process
that dies while a job runs has used up a try, so a job that kills its process is parked at last, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from roost.storage.items import JOB_LIFE, JOBS, PARKED_INDEX, JobRow, from_item, job_key, to_item
from roost.storage.table import (
    ConditionFailed,
    Equals,
    InvalidItem,
    Item,
    Key,
    Missing,
    Operation,
    Put,
    Table,
)

PAUSES = (1.0, 60.0, 300.0)  # seconds after each failure but the last, as Slack's Events API: soon, 1 and 5 minutes
CLAIM = 120.0  # seconds that one try may take; a Lambda function of ours ends well before
MAX_FIELDS = 64 * 1024  # bytes, as JSON: what is larger belongs into an item of its own

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:#-]{0,199}")
_KIND = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_ERROR_LENGTH = 200

S = TypeVar("S", bound=msgspec.Struct)


class Job(msgspec.Struct, frozen=True):
    """Something to do. Two jobs with one id are the same job."""

    id: str
    kind: str  #: what to do
    fields: dict[str, Any] = {}  #: and with what: JSON without fractions

    def read(self, kind: type[S]) -> S:
        """The fields as a struct. Raises `msgspec.ValidationError`."""
        return msgspec.convert(self.fields, kind)


class JobFailed(Exception):
    """A job could not be done this time; the text is for the admin, and holds nothing that a member wrote."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A job that failed as often as it may."""

    id: str
    kind: str
    tries: int
    error: str


class Queue:
    """The jobs of one workspace. Safe to use wherever its table is."""

    def __init__(
        self, table: Table, now_us: Callable[[], int], *, pauses: Sequence[float] = PAUSES, claim: float = CLAIM
    ) -> None:
        self._table = table
        self._now_us = now_us
        self._pauses = pauses
        self._claim = claim

    # -- for the core -----------------------------------------------------------------------------------------------

    def operations(self, job: Job, at: float = 0.0) -> list[Operation]:
        """What queues a job for a time (epoch seconds; 0: now), as part of the caller's transaction.

        The transaction fails if the id is known already. Raises `InvalidItem`.
        """
        _check(job)
        due = max(self._now(), math.ceil(at * 1000))
        row = JobRow(id=job.id, kind=job.kind, fields=job.fields, due=due)
        return [Put(to_item(job_key(job.id), row), Missing())]

    def put(self, job: Job, at: float = 0.0) -> bool:
        """Queue a job. False: its id is known already, waiting, running, parked, or done within the last day."""
        (operation,) = self.operations(job, at)
        assert isinstance(operation, Put)
        try:
            self._table.put(operation.item, operation.condition)
        except ConditionFailed:
            return False
        return True

    def cancel(self, job: str) -> bool:
        """Take back a job that waits or is parked. False: there is none, or it has begun."""
        row = self._row(job)
        if row is None or row.done or row.running:
            return False
        try:
            self._table.delete(job_key(job), Equals({"due": row.due}))
        except ConditionFailed:
            return False
        return True

    def list_parked(self, limit: int = 100, after: str | None = None) -> tuple[list[Parked], str | None]:
        """Parked jobs by id, and what `after` takes to go on. On DynamoDB it may lag by moments."""
        page = self._table.query_index(PARKED_INDEX, limit=limit, after=after)
        items = self._table.get_many([Key(entry.pk, entry.sk) for entry in page.entries])
        rows = (from_item(item, JobRow) for item in items if item is not None)
        return [Parked(row.id, row.kind, row.tries, row.error) for row in rows if row.parked], page.next

    def retry(self, job: str) -> bool:
        """Let a parked job be tried anew, as often as a new one. False: it is not parked."""
        row = self._row(job)
        return row is not None and row.parked and self._change(row, due=self._now(), parked=False, tries=0, error="")

    # -- for the shells ---------------------------------------------------------------------------------------------

    def run(self, job: str, do: Callable[[Job], None]) -> int | None:
        """Do a job if it is due. Answers when to look again (epoch milliseconds) where it is not, or another has it.

        None: what comes next, if anything does, stands in the job's item, which this has written. What `do` raises is
        the job's failure; what the table raises comes out, and looking again soon is right.
        """
        row = self._row(job)
        if row is None or not _unfinished(row):
            return None
        now = self._now()
        if now < row.due:
            return row.due
        if row.tries > len(self._pauses):
            self._park(row, "the process that did it died, or took too long")
            return None
        until = now + round(self._claim * 1000)
        if not self._change(row, due=until, running=True, tries=row.tries + 1):
            return self._look_again(job)
        claimed = msgspec.structs.replace(row, due=until, running=True, tries=row.tries + 1)
        try:
            do(Job(row.id, row.kind, row.fields))
        except Exception as error:  # noqa: BLE001  whatever it is, it is the job's
            self._failed(claimed, error)
        else:
            self._change(claimed, done=True, running=False, fields={}, error="")
        return None

    def unfinished(self) -> Iterator[JobRow]:
        """Every job that waits or runs."""
        after: str | None = None
        while True:
            page = self._table.query(JOBS, after=after)
            yield from filter(_unfinished, (from_item(item, JobRow) for item in page.items))
            after = page.next
            if after is None:
                return

    def release(self, row: JobRow) -> bool:
        """Let a running job be begun at once: for a shell that knows that whoever had begun it is gone."""
        return self._change(row, due=self._now(), running=False)

    # -- steps ------------------------------------------------------------------------------------------------------

    def _failed(self, row: JobRow, error: Exception) -> None:
        reason = (str(error) if isinstance(error, JobFailed) else type(error).__name__)[:_ERROR_LENGTH]
        if row.tries > len(self._pauses):
            self._park(row, reason)
        else:
            due = math.ceil(self._now_us() / 1000) + round(self._pauses[row.tries - 1] * 1000)
            self._change(row, due=due, running=False, error=reason)

    def _park(self, row: JobRow, reason: str) -> None:
        self._change(row, due=self._now(), running=False, parked=True, error=reason)

    def _change(self, row: JobRow, **changes: Any) -> bool:
        """Write the row anew, unless somebody else has changed it since it was read."""
        new = msgspec.structs.replace(row, **changes)
        x = self._now() // 1000 + JOB_LIFE if new.done else None
        g1 = (PARKED_INDEX, new.id) if new.parked else None
        try:
            self._table.put(to_item(job_key(new.id), new, x=x, g1=g1), Equals({"due": row.due}))
        except ConditionFailed:
            return False
        return True

    def _look_again(self, job: str) -> int | None:
        row = self._row(job)
        return row.due if row is not None and _unfinished(row) else None

    def _row(self, job: str) -> JobRow | None:
        item = self._table.get(job_key(job))
        return None if item is None else from_item(item, JobRow)

    def _now(self) -> int:
        return self._now_us() // 1000


def due_of(item: Item | None) -> int | None:
    """When to look at a job's item, as it stands in the table; None: no more."""
    if item is None or item.get("done") or item.get("parked"):
        return None
    due = item["due"]
    assert isinstance(due, int)
    return due


def waiting(items: Iterable[Item]) -> list[tuple[str, int]]:
    """The jobs among these items, of any kind, that wait to be begun, and when each is due."""
    jobs = [(str(item["SK"]), due_of(item)) for item in items if item["PK"] == JOBS and not item.get("running")]
    return [(job, due) for job, due in jobs if due is not None]


def _unfinished(row: JobRow) -> bool:
    return not (row.done or row.parked)


def _check(job: Job) -> None:
    if not _ID.fullmatch(job.id):
        raise InvalidItem("a job's id is 1 to 200 letters, digits and _.:#-")
    if not _KIND.fullmatch(job.kind):
        raise InvalidItem("a job's kind is like send_message")
    if len(msgspec.json.encode(job.fields)) > MAX_FIELDS:
        raise InvalidItem(f"a job's fields have at most {MAX_FIELDS} bytes")
