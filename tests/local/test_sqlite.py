"""What is SQLite's own about the engine: the file, the lock, the group commit, the sweep."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from roost.local.sqlite import SqliteTable, TableInUse
from roost.local.waiting import Hub
from roost.storage.table import (
    Equals,
    InvalidItem,
    Item,
    Key,
    Put,
    StoreUnavailable,
    TableError,
    TransactionFailed,
    Update,
)

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


def test_whoever_closes_need_not_be_who_opened(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    thread = threading.Thread(target=table.close)
    thread.start()
    thread.join()
    SqliteTable(tmp_path / "t.db").close()


def test_a_folder_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TableError, match="cannot use"):
        SqliteTable(tmp_path / "file" / "t.db")
    with pytest.raises(TableError, match="cannot open"):
        SqliteTable(tmp_path)


def test_a_damaged_file_is_refused_and_damage_met_later_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    table = SqliteTable(path)
    for n in range(300):
        table.put({"PK": "p", "SK": f"{n:03}", "text": "x" * 500})
    table.close()
    content = path.read_bytes()

    def damage(page: int) -> None:
        path.write_bytes(content[: page * 4096] + b"\xff" * 4096 + content[(page + 1) * 4096 :])

    damage(len(content) // 4096 // 2)
    table = SqliteTable(path)
    with pytest.raises(StoreUnavailable, match="damaged"):
        table.query("p")
    table.close()
    path.write_bytes(content[:100] + b"\xff" * 500 + content[600:])
    with pytest.raises(TableError, match="is damaged"):
        SqliteTable(path)


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


def test_a_sweep_of_many_takes_few_commits_and_watchers_hear_of_it(tmp_path: Path) -> None:
    now = [1000.0]
    table = SqliteTable(tmp_path / "t.db", clock=lambda: now[0])
    for start in range(0, 250, 50):
        table.transact([Put({"PK": "p", "SK": f"{start + n:03}", "x": 1500}) for n in range(50)])
    heard: list[list[tuple[Key, Item | None]]] = []
    table.watch(lambda changes: heard.append(list(changes)))
    now[0] = 1500
    assert table.sweep(1000) == 250
    assert [len(commit) for commit in heard] == [100, 100, 50]
    assert all(item is None for commit in heard for _, item in commit)
    assert table.sweep(1000) == 0
    table.close()


def test_nothing_can_be_read_or_written_once_it_is_closed(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    table.put({"PK": "p", "SK": "a"})
    assert table.get(A) is not None  # remembered from here on
    table.close()
    attempts: list[Callable[[], object]] = [
        lambda: table.get(A),
        lambda: table.get(Key("p", "none")),
        lambda: table.query("p"),
        lambda: table.query_index("g"),
        lambda: table.sweep(10),
        lambda: table.delete(A),
    ]
    for attempt in attempts:
        with pytest.raises(StoreUnavailable, match="closed"):
            attempt()


def test_whoever_writes_while_it_is_being_closed_is_answered(tmp_path: Path) -> None:
    for number in range(20):
        table = SqliteTable(tmp_path / f"{number}.db")
        stored: list[str] = []

        def write(writer: int, table: SqliteTable = table, stored: list[str] = stored) -> None:
            for n in range(10_000):
                try:
                    table.put({"PK": "p", "SK": f"{writer}-{n}"})
                except StoreUnavailable:
                    return
                stored.append(f"{writer}-{n}")

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        while len(stored) < number:
            threading.Event().wait(0.0005)
        table.close()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        table = SqliteTable(tmp_path / f"{number}.db")
        assert set(stored) <= {str(item["SK"]) for item in table.query("p").items}
        table.close()


def test_a_row_that_cannot_be_stored_takes_no_other_with_it(tmp_path: Path) -> None:
    """Ten good writers beside one that is refused late, when it is written: they share commits with it."""
    table = SqliteTable(tmp_path / "t.db")
    table.put({"PK": "p", "SK": "full", "text": "x" * 400_000})
    table.put({"PK": "p", "SK": "n", "n": 2**63 - 1})
    refused: list[str] = []

    def refuse() -> None:
        updates = [Update(Key("p", "full"), set={"more": "x" * 20_000}), Update(Key("p", "n"), add={"n": 1})]
        for update in updates * 20:
            with pytest.raises(InvalidItem) as error:
                table.update(update)
            refused.append(str(error.value))

    def write(writer: int) -> None:
        for n in range(20):
            table.put({"PK": "good", "SK": f"{writer}-{n}"})

    threads = [threading.Thread(target=refuse), *(threading.Thread(target=write, args=(n,)) for n in range(10))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refused) == {"an item has at most 400 KB", "a number has at most 64 bits"}
    assert len(refused) == 40
    assert len(table.query("good").items) == 200
    assert table.get(Key("p", "n")) == {"PK": "p", "SK": "n", "n": 2**63 - 1}
    table.close()


def test_what_a_read_remembers_is_what_the_file_has(tmp_path: Path) -> None:
    """Readers fill the memory while writers change the rows; each reader's numbers only grow."""
    table = SqliteTable(tmp_path / "t.db")
    keys = [Key("p", str(n)) for n in range(5)]
    table.transact([Put({"PK": key.pk, "SK": key.sk, "n": 0}) for key in keys])
    stop = threading.Event()
    backwards: list[object] = []

    def read() -> None:
        seen = [0] * len(keys)
        while not stop.is_set():
            for index, item in enumerate(table.get_many(keys)):
                assert item is not None
                n = int(str(item["n"]))
                if n < seen[index]:
                    backwards.append((index, seen[index], n))
                seen[index] = n
            table._recent.forget()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 200):
        table.transact([Put({"PK": key.pk, "SK": key.sk, "n": n}) for key in keys])
        assert [item and item["n"] for item in table.get_many(keys)] == [n] * len(keys)
    stop.set()
    for reader in readers:
        reader.join()
    table.close()
    assert backwards == []


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


def test_the_log_file_stays_short_though_somebody_always_waits(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db", checkpoint_pages=20)
    longest = 0

    def write(writer: int) -> None:
        for n in range(60):
            table.put({"PK": "p", "SK": f"{writer}-{n}", "text": "x" * 3_000})

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(16)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        longest = max(longest, (tmp_path / "t.db-wal").stat().st_size)
        threading.Event().wait(0.001)
    table.close()
    assert longest < 300 * 4120  # four times 20 pages, and what the last batches added; all of it would be 1,500


def test_a_log_that_a_burst_made_long_is_cut_back(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db", checkpoint_pages=4_000)
    for n in range(5):
        table.transact([Put({"PK": f"p{n}", "SK": str(m), "text": "x" * 350_000}) for m in range(10)])
    long = (tmp_path / "t.db-wal").stat().st_size
    for n in range(3):
        table.put({"PK": "q", "SK": str(n)})
    assert (tmp_path / "t.db-wal").stat().st_size <= 8 * 1024 * 1024 < long
    table.close()


def test_threads_that_end_leave_no_file_open(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    for _ in range(30):
        thread = threading.Thread(target=table.query, args=("p",))
        thread.start()
        thread.join()
    assert len(table._readers) == 0
    table.close()
