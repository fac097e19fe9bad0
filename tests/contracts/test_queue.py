"""What the queue promises, whichever shell does the jobs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roost.local.sqlite import SqliteTable
from roost.storage.items import JOB_LIFE
from roost.storage.jobs import Job, JobFailed, Queue
from roost.storage.table import Condition, InvalidItem, Item, Key, Missing, Operation, Put, TransactionFailed
from roost.testing import FakeClock, MemoryTable, do_due
from tests.contracts.shells import Aws, Laptop, Plain, Shell
from tests.engines import Watched, dynamo_table, stream_of

SOON = (0.2, 0.2, 0.2)  # the pauses of a queue that is in a hurry


class Doer:
    """Does jobs by noting them; `fails` says which fail, how often."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float]] = []
        self.jobs: list[Job] = []
        self.fails: dict[str, int] = {}
        self.error: Callable[[], Exception] = lambda: ValueError("secret")
        self._changed = threading.Condition()

    def __call__(self, job: Job) -> None:
        with self._changed:
            self.done.append((job.id, time.time()))
            self.jobs.append(job)
            self._changed.notify_all()
            if self.fails.get(job.id, 0) > 0:
                self.fails[job.id] -= 1
                raise self.error()

    def wait_for(self, times: int, seconds: float = 60.0) -> None:
        """Wait until jobs were begun this many times."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.done) >= times, seconds), self.done

    def ids(self) -> list[str]:
        return [job for job, _ in self.done]


@pytest.fixture(params=["plain", "laptop", "laptop-shared", "aws"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    if request.param == "plain":
        yield Plain(MemoryTable())
    elif request.param == "laptop":
        table = SqliteTable(tmp_path / "t.db")
        yield Laptop(table)
        table.close()
    elif request.param == "laptop-shared":
        yield Laptop(MemoryTable(exclusive=False))
    else:
        endpoint = request.getfixturevalue("enforcing_endpoint")
        dynamo = dynamo_table(endpoint, time.time)
        aws = Aws(endpoint, dynamo, stream_of(endpoint, dynamo), max_delay=1)
        yield aws
        aws.sqs.close()
        dynamo.close()


def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def queue(shell: Shell) -> Queue:
    return Queue(shell.table, now_us, pauses=SOON, claim=30.0)


@pytest.fixture
def doer() -> Doer:
    return Doer()


@pytest.fixture
def started(shell: Shell, queue: Queue, doer: Doer) -> Iterator[None]:
    shell.start(queue, doer)
    yield
    shell.stop()


def parked(queue: Queue, count: int, seconds: float = 30.0) -> list[Any]:
    """The parked jobs, once there are this many."""
    deadline = time.monotonic() + seconds
    while True:
        found, _ = queue.list_parked()
        if len(found) == count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def settled(queue: Queue, seconds: float = 30.0) -> None:
    """Wait until nothing waits and nothing runs."""
    deadline = time.monotonic() + seconds
    while list(queue.unfinished()):
        assert time.monotonic() < deadline, list(queue.unfinished())
        time.sleep(0.05)


# -- doing ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("started")
def test_a_job_is_done_with_what_it_was_given(queue: Queue, doer: Doer) -> None:
    fields = {"channel": "C1", "count": 3, "list": [1, "x", None, True], "map": {"text": "grüße \U0001f600"}}
    assert queue.put(Job("Q1", "send_message", fields))
    doer.wait_for(1)
    assert doer.jobs == [Job("Q1", "send_message", fields)]
    settled(queue)


def test_what_was_queued_before_the_start_is_done(shell: Shell, queue: Queue, doer: Doer) -> None:
    queue.put(Job("Q1", "x"))
    shell.start(queue, doer)
    doer.wait_for(1)
    settled(queue)
    shell.stop()


@pytest.mark.usefixtures("started")
def test_a_job_is_never_done_before_its_time(queue: Queue, doer: Doer) -> None:
    now = time.time()
    times = {f"Q{number}": now + number * 0.7 for number in range(5)}
    for job, at in times.items():
        queue.put(Job(job, "x"), at)
    doer.wait_for(5)
    for job, began in doer.done:
        assert times[job] <= began < times[job] + 20
    assert sorted(doer.ids()) == sorted(times)


@pytest.mark.usefixtures("started")
def test_a_job_in_a_transaction_is_there_with_the_rest_or_not_at_all(shell: Shell, queue: Queue, doer: Doer) -> None:
    message = Put({"PK": "p", "SK": "m", "text": "later"}, Missing())

    def both(job: str) -> list[Operation]:
        return [message, *queue.operations(Job(job, "send"))]

    shell.table.transact(both("Q1"))
    with pytest.raises(TransactionFailed):
        shell.table.transact(both("Q2"))  # the message is there already
    with pytest.raises(TransactionFailed):
        shell.table.transact([Put({"PK": "p", "SK": "n"}), *queue.operations(Job("Q1", "send"))])  # the job is
    assert shell.table.get(Key("p", "n")) is None
    doer.wait_for(1)
    settled(queue)
    assert doer.ids() == ["Q1"]


@pytest.mark.usefixtures("started")
def test_the_same_job_queued_again_is_done_once(queue: Queue, doer: Doer) -> None:
    assert queue.put(Job("Q1", "x"), time.time() + 1)
    assert not queue.put(Job("Q1", "x"))
    doer.wait_for(1)
    settled(queue)
    assert not queue.put(Job("Q1", "x"))  # done, and remembered
    queue.put(Job("Q2", "x"))
    doer.wait_for(2)
    settled(queue)
    assert doer.ids() == ["Q1", "Q2"]


@pytest.mark.usefixtures("started")
def test_a_thousand_jobs_are_done(shell: Shell, queue: Queue, doer: Doer) -> None:
    jobs = [f"Q{number:04}" for number in range(1000)]
    for start in range(0, 1000, 50):
        shell.table.transact([part for job in jobs[start : start + 50] for part in queue.operations(Job(job, "x"))])
    doer.wait_for(1000, 120)
    settled(queue)
    assert set(doer.ids()) == set(jobs)
    assert len(doer.done) == 1000  # at least once is the promise; where nothing fails it is once


@pytest.mark.usefixtures("started")
def test_a_job_that_is_taken_back_is_not_done(queue: Queue, doer: Doer) -> None:
    queue.put(Job("Q2", "x"), time.time() + 1.5)
    queue.put(Job("Q1", "x"), time.time() + 3.0)
    assert queue.cancel("Q1")
    assert not queue.cancel("Q1")
    assert not queue.cancel("Q3")
    doer.wait_for(1)
    settled(queue)
    assert doer.ids() == ["Q2"]
    assert not queue.cancel("Q2")


def test_a_job_may_queue_another(shell: Shell, queue: Queue, doer: Doer) -> None:
    def do(job: Job) -> None:
        doer(job)
        if job.id < "Q3":
            queue.put(Job(f"Q{int(job.id[1:]) + 1}", "x"))

    shell.start(queue, do)
    queue.put(Job("Q1", "x"))
    doer.wait_for(3)
    settled(queue)
    shell.stop()
    assert doer.ids() == ["Q1", "Q2", "Q3"]


# -- failing ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("started")
def test_a_job_that_fails_is_tried_again_after_a_pause_and_others_meanwhile(queue: Queue, doer: Doer) -> None:
    doer.fails["Q1"] = 2
    queue.put(Job("Q1", "x"))
    queue.put(Job("Q2", "x"))
    doer.wait_for(4)
    settled(queue)
    assert sorted(doer.ids()) == ["Q1", "Q1", "Q1", "Q2"]
    began = [at for job, at in doer.done if job == "Q1"]
    assert all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(began))


@pytest.mark.usefixtures("started")
def test_a_job_that_fails_for_good_is_parked_until_somebody_says_otherwise(queue: Queue, doer: Doer) -> None:
    doer.fails["Q1"] = doer.fails["Q2"] = 4
    queue.put(Job("Q1", "send", {"n": 1}))
    doer.wait_for(4)
    (job,) = parked(queue, 1)
    assert (job.id, job.kind, job.tries, job.error) == ("Q1", "send", 4, "ValueError")  # and not what it said
    assert not queue.put(Job("Q1", "send"))
    assert list(queue.unfinished()) == []
    doer.error = lambda: JobFailed("the receiver answered 500")
    queue.put(Job("Q2", "send"))
    doer.wait_for(8)
    assert [job.error for job in parked(queue, 2)] == ["ValueError", "the receiver answered 500"]
    assert queue.retry("Q1")
    assert not queue.retry("Q1")
    assert queue.cancel("Q2")
    doer.wait_for(9)
    settled(queue)
    assert parked(queue, 0) == []
    assert doer.jobs[-1] == Job("Q1", "send", {"n": 1})


def test_a_job_whose_worker_died_is_done_again(shell: Shell, queue: Queue, doer: Doer) -> None:
    short = Queue(shell.table, now_us, pauses=SOON, claim=1.0)
    short.put(Job("Q1", "x"))

    def die(job: Job) -> None:
        raise SystemExit  # nothing after it happens, as under kill -9

    with pytest.raises(SystemExit):
        short.run("Q1", die)
    (row,) = short.unfinished()
    assert row.running
    shell.start(short, doer)
    doer.wait_for(1)
    settled(short)
    shell.stop()
    assert doer.ids() == ["Q1"]


# -- the steps, by a clock that is set by hand ------------------------------------------------------------------------


class Steps:
    """A queue in memory, and its clock."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.table = Watched(MemoryTable(clock=lambda: self.clock.now))
        self.queue = Queue(self.table, self.clock.now_us, **options)
        self.doer = Doer()

    def after(self, seconds: float) -> list[str]:
        """What is begun when so much time has passed."""
        self.clock.sleep(seconds)
        before = len(self.doer.done)
        do_due(self.queue, self.doer)
        return self.doer.ids()[before:]


def test_tries_come_at_once_then_after_a_second_one_minute_and_five() -> None:
    steps = Steps()
    steps.doer.fails["Q1"] = 9
    steps.queue.put(Job("Q1", "x"))
    assert steps.after(0) == ["Q1"]
    for pause in (1, 60, 300):
        assert steps.after(pause - 0.01) == []
        assert steps.after(0.02) == ["Q1"]
    assert steps.after(10_000_000) == []
    assert [job.id for job in steps.queue.list_parked()[0]] == ["Q1"]


def test_of_two_who_look_at_once_one_does_it() -> None:
    steps = Steps()
    steps.queue.put(Job("Q1", "x"))

    def do(job: Job) -> None:
        steps.doer(job)
        assert steps.queue.run("Q1", steps.doer) == round(steps.clock.now * 1000) + 120_000  # the other looks then

    assert steps.queue.run("Q1", do) is None
    assert steps.doer.ids() == ["Q1"]


def test_a_slow_worker_whose_time_is_over_changes_nothing() -> None:
    steps = Steps()
    steps.queue.put(Job("Q1", "x"))

    def slow(job: Job) -> None:
        steps.clock.sleep(121)
        steps.doer.fails["Q1"] = 1
        assert steps.queue.run("Q1", steps.doer) is None  # another begins, and fails

    assert steps.queue.run("Q1", slow) is None
    (row,) = steps.queue.unfinished()
    assert (row.tries, row.running, row.error) == (2, False, "ValueError")


def test_a_job_that_kills_whoever_does_it_is_parked_at_last() -> None:
    steps = Steps()
    steps.queue.put(Job("Q1", "x"))

    def die(job: Job) -> None:
        raise SystemExit

    for _ in range(4):
        with pytest.raises(SystemExit):
            steps.queue.run("Q1", die)
        steps.clock.sleep(120)
    assert steps.queue.run("Q1", die) is None
    ((job,), _) = steps.queue.list_parked()
    assert "died" in job.error


def test_a_done_job_is_forgotten_after_a_day() -> None:
    steps = Steps()
    steps.queue.put(Job("Q1", "x", {"text": "of a member"}))
    assert steps.after(0) == ["Q1"]
    (item,) = steps.table.everything()
    assert "of a member" not in str(item)
    assert not steps.queue.put(Job("Q1", "x"))
    steps.clock.sleep(JOB_LIFE)
    assert steps.queue.put(Job("Q1", "x"))


class Crash(BaseException):
    """The process dies here."""


class Mortal(MemoryTable):
    """A table whose user dies at the n-th write, before it or after it."""

    def __init__(self, clock: FakeClock, at: int, *, after: bool) -> None:
        super().__init__(clock=lambda: clock.now)
        self._left, self._after = at, after

    def put(self, item: Item, condition: Condition | None = None) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Crash
        super().put(item, condition)
        if self._left == 0:
            raise Crash


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, 7))
def test_a_crash_between_any_two_steps_loses_nothing(write: int, after: bool) -> None:
    clock, doer = FakeClock(), Doer()
    queue = Queue(Mortal(clock, write, after=after), clock.now_us)
    doer.fails["Q1"] = 1
    succeeded = 0

    def do(job: Job) -> None:
        nonlocal succeeded
        doer(job)
        succeeded += 1

    crashes, queued = 0, False
    for _ in range(12):  # queued until that is acknowledged, then looked at again and again
        try:
            queued = queued or queue.put(Job("Q1", "x")) or True
            queue.run("Q1", do)
        except Crash:
            crashes += 1
        clock.sleep(130)
    assert crashes == (write <= 5)  # put, claim, failure, claim, done
    assert succeeded in (1, 1 + crashes)
    assert list(queue.unfinished()) == []
    assert queue.list_parked()[0] == []


@pytest.mark.parametrize(
    "job",
    [
        Job("", "x"),
        Job("a b", "x"),
        Job("x" * 201, "x"),
        Job("Q1", ""),
        Job("Q1", "Send"),
        Job("Q1", "x", {"text": "x" * 70_000}),
        Job("Q1", "x", {"half": 0.5}),
        Job("Q1", "x", {"large": 2**64}),
    ],
    ids=lambda job: f"{job.id[:5]}-{job.kind}-{list(job.fields)}",
)
def test_what_is_no_job_is_refused(job: Job) -> None:
    steps = Steps()
    with pytest.raises(InvalidItem):
        steps.queue.put(job)
    assert steps.table.everything() == []


def test_parked_jobs_come_in_pages() -> None:
    steps = Steps(pauses=())
    for number in range(5):
        steps.doer.fails[f"Q{number}"] = 1
        steps.queue.put(Job(f"Q{number}", "x"))
    steps.after(0)
    found, following = steps.queue.list_parked(limit=3)
    assert [job.id for job in found] == ["Q0", "Q1", "Q2"]
    found, following = steps.queue.list_parked(limit=3, after=following)
    assert ([job.id for job in found], following) == (["Q3", "Q4"], None)


def test_a_jobs_fields_are_read_as_a_struct() -> None:
    class Reminder(msgspec.Struct):
        channel: str
        count: int = 1

    assert Job("Q1", "x", {"channel": "C1"}).read(Reminder) == Reminder("C1", 1)
    with pytest.raises(msgspec.ValidationError):
        Job("Q1", "x", {"channel": 5}).read(Reminder)
