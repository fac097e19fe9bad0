"""What is SQLite's own about the engine: the file, the lock, the group commit, the sweep."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvloop

from roost.local.sqlite import SqliteTable, TableInUse
from roost.local.waiting import Hub
from roost.storage.table import Equals, Item, Key, Put, StoreUnavailable, TableError, TransactionFailed, Update

A = Key("p", "a")


def test_what_was_written_is_there_after_closing(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    table.put({"PK": "p", "SK": "a", "n": 1})
    table.close()
    table = SqliteTable(tmp_path / "t.db")
    assert table.get(A) == {"PK": "p", "SK": "a", "n": 1}
    table.close()
    table.close()
    with pytest.raises(StoreUnavailable):
        table.put({"PK": "p", "SK": "b"})


def test_a_second_server_on_the_same_data_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    holder = "import sys, time; from pathlib import Path; from roost.local.sqlite import SqliteTable\n"
    holder += "SqliteTable(Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", holder, tmp_path / "t.db"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    with pytest.raises(TableInUse, match="another Roost has the data"):
        SqliteTable(tmp_path / "t.db")
    process.kill()  # a crash lets go of it
    process.wait()
    process.stdout.close()
    SqliteTable(tmp_path / "t.db").close()


def test_a_file_that_is_not_ours_is_refused_in_a_sentence_and_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (a)")
    other.commit()
    other.close()
    (tmp_path / "text.db").write_text("this is no database at all, only some text that is long enough\n" * 50)
    before = (tmp_path / "text.db").read_bytes()
    with pytest.raises(TableError, match="is not a Roost database"):
        SqliteTable(tmp_path / "other.db")
    with pytest.raises(TableError, match="is not a database"):
        SqliteTable(tmp_path / "text.db")
    assert (tmp_path / "text.db").read_bytes() == before


def test_a_file_of_a_newer_roost_is_refused(tmp_path: Path) -> None:
    SqliteTable(tmp_path / "t.db").close()
    raw = sqlite3.connect(tmp_path / "t.db")
    raw.execute("PRAGMA user_version = 99")
    raw.commit()
    raw.close()
    with pytest.raises(TableError, match="newer Roost"):
        SqliteTable(tmp_path / "t.db")


def test_a_sweep_removes_the_expired_a_little_at_a_time(tmp_path: Path) -> None:
    now = [1000.0]
    table = SqliteTable(tmp_path / "t.db", clock=lambda: now[0])
    for n in range(100):
        table.put({"PK": f"p{n % 7}", "SK": f"{n:03}", **({"x": 1500} if n % 2 else {})})
    assert sum(table.sweep(30) for _ in range(4)) == 0
    now[0] = 1500
    removed = [table.sweep(30) for _ in range(4)]
    assert sum(removed) == 50
    assert max(removed) < 50
    raw = sqlite3.connect(f"file:{tmp_path / 't.db'}?mode=ro", uri=True)
    assert raw.execute("SELECT count(*), count(x) FROM items").fetchone() == (50, 0)
    raw.close()
    table.close()


def test_an_item_that_lives_again_is_not_swept_away(tmp_path: Path) -> None:
    now = [1000.0]
    table = SqliteTable(tmp_path / "t.db", clock=lambda: now[0])
    table.put({"PK": "p", "SK": "a", "x": 1500})
    now[0] = 1600
    table.put({"PK": "p", "SK": "a", "n": 2})
    table.sweep(10)
    assert table.get(A) == {"PK": "p", "SK": "a", "n": 2}
    table.close()


def test_watchers_hear_each_commit_in_order_before_its_writer_does(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    heard: list[tuple[Key, Item | None]] = []
    table.watch(heard.extend)
    table.put({"PK": "p", "SK": "a", "n": 1})
    assert heard == [(A, {"PK": "p", "SK": "a", "n": 1})]
    table.update(Update(A, add={"n": 1}))
    with pytest.raises(TransactionFailed):
        table.transact([Put({"PK": "p", "SK": "b"}, Equals({"n": 1}))])
    table.delete(A)
    assert heard[1:] == [(A, {"PK": "p", "SK": "a", "n": 2}), (A, None)]
    table.close()


def test_a_watcher_that_fails_takes_nobody_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = SqliteTable(tmp_path / "t.db")

    def failing(changes: object) -> None:
        raise ValueError

    table.watch(failing)
    table.put({"PK": "p", "SK": "a"})
    table.put({"PK": "p", "SK": "b"})
    assert len(table.query("p").items) == 2
    table.close()


def test_tasks_that_wait_together_share_commits_and_go_on_in_their_order(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    table.put({"PK": "p", "SK": "a", "n": 0})
    commits: list[int] = []
    table.watch(lambda changes: commits.append(len(changes)))
    order: list[int] = []

    async def main() -> None:
        hub, done = Hub(asyncio.get_running_loop()), asyncio.Event()

        def step(number: int) -> None:
            # each names the state that the one before it leaves: they only fit in this order
            table.transact([Update(A, set={"n": number + 1}, condition=Equals({"n": number}))])
            order.append(number)
            if number == 199:
                done.set()

        for number in range(200):
            hub.run(lambda number=number: step(number))  # type: ignore[misc]  # bound at once
        await asyncio.wait_for(done.wait(), 20)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert order == list(range(200))
    assert table.get(A) == {"PK": "p", "SK": "a", "n": 200}
    assert len(commits) < 50
    table.close()


def test_readers_see_whole_transactions_only(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    torn: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            numbers = {item["n"] for item in table.query("p").items}  # one statement, one state
            if len(numbers) > 1:
                torn.append(numbers)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(300):
        table.transact([Put({"PK": "p", "SK": "b", "n": n}), Put({"PK": "p", "SK": "a", "n": n})])
    stop.set()
    reader.join()
    table.close()
    assert torn == []


def test_the_log_file_stays_short(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db", checkpoint_pages=50)
    for n in range(600):
        table.put({"PK": "p", "SK": f"{n:04}", "text": "x" * 500})
    assert (tmp_path / "t.db-wal").stat().st_size < 300 * 4120
    table.close()
