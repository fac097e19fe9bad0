"""What every engine of the Table port promises."""

from __future__ import annotations

import string
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roost.storage.table import (
    Below,
    Check,
    ConditionFailed,
    Conflict,
    Delete,
    Equals,
    Exists,
    InvalidItem,
    Item,
    Key,
    Missing,
    Put,
    Table,
    TableError,
    TransactionFailed,
    Update,
)
from tests.contracts.conftest import Engine

A, B = Key("p", "a"), Key("p", "b")
EVERYTHING: Item = {
    "PK": "p",
    "SK": "a",
    "text": "grüße \U0001f600 \0 end",
    "number": -(2**63),
    "large": 2**63 - 1,
    "zero": 0,
    "yes": True,
    "no": False,
    "none": None,
    "bytes": b"\x00\xff",
    "list": [1, "x", None, [True, {"deep": b"y"}]],
    "map": {"a": {"b": [1]}},
    "empty": "",
    "no bytes": b"",
    "no list": [],
    "no map": {},
}


def item(key: Key, **attributes: Any) -> Item:
    return {"PK": key.pk, "SK": key.sk, **attributes}


# -- put, get, delete -------------------------------------------------------------------------------------------------


def test_what_was_put_is_read_back_exactly(table: Table) -> None:
    table.put(EVERYTHING)
    got = table.get(A)
    assert got == EVERYTHING
    assert got is not None
    assert [type(value) for value in got.values()] == [type(EVERYTHING[name]) for name in got]


def test_nothing_is_none(table: Table) -> None:
    assert table.get(A) is None


def test_a_put_replaces_the_whole_item(table: Table) -> None:
    table.put(item(A, x1=1, G1PK="g", G1SK="s"))
    table.put(item(A, x2=2))
    assert table.get(A) == item(A, x2=2)
    assert table.query_index("g").entries == []


def test_get_many_answers_in_order_with_repeats_and_gaps(table: Table) -> None:
    for n in range(130):
        table.put(item(Key("p", f"{n:03}"), n=n))
    keys = [
        Key("p", "129"),
        Key("p", "none"),
        Key("p", "000"),
        Key("p", "129"),
        *(Key("p", f"{n:03}") for n in range(128)),
    ]
    got = table.get_many(keys)
    assert [each and each["n"] for each in got] == [129, None, 0, 129, *range(128)]
    assert table.get_many([]) == []


def test_a_deleted_item_is_gone_and_deleting_nothing_is_fine(table: Table) -> None:
    table.put(item(A))
    table.delete(A)
    table.delete(A)
    assert table.get(A) is None


def test_what_was_handed_over_is_not_shared(table: Table) -> None:
    handed = item(A, list=[1])
    table.put(handed)
    handed["list"] = [2]
    first = table.get(A)
    assert first is not None
    first["list"] = [3]
    assert table.get(A) == item(A, list=[1])


# -- conditions -------------------------------------------------------------------------------------------------------


def test_a_put_if_missing_happens_once_and_shows_what_was_there(table: Table) -> None:
    table.put(item(A, n=1), Missing())
    with pytest.raises(ConditionFailed) as failed:
        table.put(item(A, n=2), Missing())
    assert failed.value.item == item(A, n=1)
    assert table.get(A) == item(A, n=1)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Exists(), True),
        (Missing(), False),
        (Equals({}), True),
        (Equals({"n": 5}), True),
        (Equals({"n": 5, "t": "x"}), True),
        (Equals({"n": 5, "t": "y"}), False),
        (Equals({"n": "5"}), False),
        (Equals({"none": 5}), False),
        (Equals({"one": True}), False),
        (Equals({"yes": 1}), False),
        (Equals({"yes": True}), True),
        (Equals({"nothing": None}), True),
        (Equals({"gone": None}), False),
        (Equals({"l": [1, "a"]}), True),
        (Equals({"l": [1]}), False),
        (Equals({"m": {"k": b"v"}}), True),
        (Below("n", 6), True),
        (Below("n", 5), False),
        (Below("t", "y"), True),
        (Below("t", "x"), False),
        (Below("t", 5), False),
        (Below("gone", 0), True),
        (Below("big", "\U00010000"), True),
    ],
)
@pytest.mark.parametrize("how", ["put", "update", "delete", "check"])
def test_a_condition_decides_every_kind_of_write(table: Table, condition: Any, holds: bool, how: str) -> None:
    there = item(A, n=5, t="x", one=1, yes=True, nothing=None, l=[1, "a"], m={"k": b"v"}, big="\uffff")
    table.put(there)
    if how == "update" and isinstance(condition, Missing):
        with pytest.raises(InvalidItem):
            table.update(Update(A, set={"new": 1}, condition=condition))
        return
    writes: dict[str, Callable[[], Any]] = {
        "put": lambda: table.put(item(A, new=1), condition),
        "update": lambda: table.update(Update(A, set={"new": 1}, condition=condition)),
        "delete": lambda: table.delete(A, condition),
        "check": lambda: table.transact([Check(A, condition), Put(item(B))]),
    }
    if holds:
        writes[how]()
        assert (table.get(A) == there) is (how == "check")
    else:
        with pytest.raises((ConditionFailed, TransactionFailed)):
            writes[how]()
        assert table.get(A) == there
        assert table.get(B) is None


def test_a_condition_on_nothing_fails_unless_nothing_is_wanted(table: Table) -> None:
    for condition in (Exists(), Equals({"n": 1}), Below("n", 5)):
        with pytest.raises(ConditionFailed) as failed:
            table.put(item(A), condition)
        assert failed.value.item is None
        with pytest.raises(ConditionFailed):
            table.delete(A, condition)
    table.put(item(A), Missing())


# -- updates ----------------------------------------------------------------------------------------------------------


def test_an_update_sets_adds_and_removes_and_answers_the_new_item(table: Table) -> None:
    table.put(item(A, keep="k", change="old", count=5, drop=1))
    update = Update(A, set={"change": "new", "fresh": [1]}, add={"count": -2, "other": 7}, remove=["drop", "never"])
    expected = item(A, keep="k", change="new", fresh=[1], count=3, other=7)
    assert table.update(update) == expected
    assert table.get(A) == expected


def test_an_update_of_nothing_brings_nothing_into_being(table: Table) -> None:
    with pytest.raises(ConditionFailed):
        table.update(Update(A, set={"n": 1}))
    assert table.get(A) is None


def test_adding_to_what_is_no_number_is_refused(table: Table) -> None:
    table.put(item(A, t="x", yes=True))
    for name in ("t", "yes"):
        with pytest.raises(InvalidItem):
            table.update(Update(A, add={name: 1}))
    assert table.get(A) == item(A, t="x", yes=True)


def test_an_update_moves_an_item_in_the_index(table: Table) -> None:
    table.put(item(A, G1PK="g", G1SK="1"))
    table.update(Update(A, set={"G1SK": "2"}))
    assert [entry.g1sk for entry in table.query_index("g").entries] == ["2"]
    table.update(Update(A, remove=["G1PK", "G1SK"]))
    assert table.query_index("g").entries == []


# -- transactions -----------------------------------------------------------------------------------------------------


def test_a_transaction_is_all(table: Table) -> None:
    table.put(item(A, n=1))
    table.put(item(B))
    c = Key("q", "c")
    table.transact(
        [Update(A, add={"n": 1}), Delete(B), Put(item(c, t="x"), Missing()), Check(Key("q", "d"), Missing())]
    )
    assert table.get_many([A, B, c]) == [item(A, n=2), None, item(c, t="x")]


def test_or_nothing_and_says_which_condition_was_against_it(table: Table) -> None:
    table.put(item(A, n=1))
    c, d = Key("q", "c"), Key("q", "d")
    with pytest.raises(TransactionFailed) as failed:
        table.transact(
            [Put(item(c)), Update(A, add={"n": 1}, condition=Equals({"n": 2})), Delete(d), Put(item(B), Exists())]
        )
    first, second, third, fourth = failed.value.reasons
    assert (first, third) == (None, None)
    assert isinstance(second, ConditionFailed)
    assert second.item == item(A, n=1)
    assert isinstance(fourth, ConditionFailed)
    assert fourth.item is None
    assert table.get_many([A, B, c, d]) == [item(A, n=1), None, None, None]


def test_a_hundred_operations_are_one_transaction(table: Table) -> None:
    table.transact([Put(item(Key("p", f"{n:03}"))) for n in range(100)])
    assert len(table.query("p").items) == 100
    table.transact([Delete(Key("p", f"{n:03}")) for n in range(100)])
    assert table.query("p").items == []


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [Put(item(Key("p", f"{n:03}"))) for n in range(101)],
        [Put(item(A)), Delete(A)],
        [Put(item(B)), Put(item(A, t="x" * 410_000))],
        [Put(item(Key("p", str(n)), t="x" * 390_000)) for n in range(11)],
    ],
    ids=["none", "101", "one item twice", "an item too large", "over 4 MB"],
)
def test_a_transaction_that_dynamodb_would_not_take_is_refused_whole(table: Table, operations: Any) -> None:
    with pytest.raises(InvalidItem):
        table.transact(operations)
    assert table.query("p").items == []


# -- ranges -----------------------------------------------------------------------------------------------------------


def keys_of(table: Table, **options: Any) -> list[str]:
    return [str(each["SK"]) for each in table.query("p", **options).items]


def fill(table: Table, *sks: str) -> None:
    for sk in sks:
        table.put(item(Key("p", sk)))
    table.put(item(Key("o", "x")))
    table.put(item(Key("q", "x")))


def test_a_query_reads_one_partition_in_order_both_ways(table: Table) -> None:
    fill(table, "c", "a", "b", "ab", "A")
    assert keys_of(table) == ["A", "a", "ab", "b", "c"]
    assert keys_of(table, reverse=True) == ["c", "b", "ab", "a", "A"]


def test_order_is_that_of_utf8_bytes(table: Table) -> None:
    sks = ["a", "\x01", "ä", "\uffff", "\U00010000", "z", "ab", "a\0"]
    fill(table, *sks)
    assert keys_of(table) == sorted(sks, key=str.encode)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"prefix": "M#"}, ["M#1", "M#2", "M#\U0010ffff"]),
        ({"prefix": "M#\U0010ffff"}, ["M#\U0010ffff"]),
        ({"prefix": "X"}, []),
        ({"low": "M#2"}, ["M#2", "M#\U0010ffff", "N"]),
        ({"high": "M#1"}, ["A", "M", "M#1"]),
        ({"low": "M", "high": "M#2"}, ["M", "M#1", "M#2"]),
        ({"low": "Z", "high": "A"}, []),
        ({"low": "M#2", "reverse": True}, ["N", "M#\U0010ffff", "M#2"]),
        ({"prefix": "M#", "limit": 2}, ["M#1", "M#2"]),
    ],
)
def test_a_range_is_a_prefix_or_bounds(table: Table, options: Any, expected: list[str]) -> None:
    fill(table, "A", "M", "M#1", "M#2", "M#\U0010ffff", "N")
    assert keys_of(table, **options) == expected


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_go_on_where_they_ended_whatever_was_changed_between(table: Table, reverse: bool) -> None:
    fill(table, *(f"{n:02}" for n in range(25)))
    seen: list[str] = []
    after: str | None = None
    while True:
        page = table.query("p", limit=10, reverse=reverse, after=after)
        seen += [str(each["SK"]) for each in page.items]
        if page.next is None:
            break
        after = page.next
        table.delete(Key("p", after))
    assert seen == sorted((f"{n:02}" for n in range(25)), reverse=reverse)


def test_a_page_ends_after_a_megabyte(table: Table) -> None:
    for n in range(5):
        table.put(item(Key("p", str(n)), t="x" * 300_000))
    first = table.query("p")
    assert 3 <= len(first.items) <= 4
    assert first.next is not None
    assert len(table.query("p", after=first.next).items) == 5 - len(first.items)


@pytest.mark.parametrize("limit", [0, -1, 1001, True])
def test_a_limit_out_of_range_is_refused(table: Table, limit: int) -> None:
    with pytest.raises(InvalidItem):
        table.query("p", limit=limit)
    with pytest.raises(InvalidItem):
        table.query_index("p", limit=limit)


def test_a_prefix_together_with_bounds_is_refused(table: Table) -> None:
    with pytest.raises(InvalidItem):
        table.query("p", prefix="a", low="b")


# -- the index --------------------------------------------------------------------------------------------------------


def test_the_index_names_items_by_its_own_keys_in_order(table: Table) -> None:
    table.put(item(A, G1PK="g", G1SK="2", secret="x"))
    table.put(item(B, G1PK="g", G1SK="1"))
    table.put(item(Key("q", "c"), G1PK="g", G1SK="1"))
    table.put(item(Key("q", "d"), G1PK="other", G1SK="1"))
    table.put(item(Key("q", "e")))
    entries = table.query_index("g").entries
    assert {entry[:2] for entry in entries} == {("p", "a"), ("p", "b"), ("q", "c")}
    assert [entry.g1sk for entry in entries] == ["1", "1", "2"]
    assert [entry.g1sk for entry in table.query_index("g", reverse=True).entries] == ["2", "1", "1"]
    assert [entry.sk for entry in table.query_index("g", prefix="2").entries] == ["a"]


@pytest.mark.parametrize("reverse", [False, True])
def test_the_index_pages_through_equal_keys(table: Table, reverse: bool) -> None:
    for n in range(12):
        table.put(item(Key(f"p{n:02}", "s"), G1PK="g", G1SK=f"{n // 4}"))
    seen: list[str] = []
    after: str | None = None
    while True:
        page = table.query_index("g", limit=5, reverse=reverse, after=after)
        seen += [entry.pk for entry in page.entries]
        if page.next is None:
            break
        after = page.next
    assert sorted(seen) == [f"p{n:02}" for n in range(12)]


def test_an_item_with_half_an_index_key_is_not_in_the_index(table: Table) -> None:
    table.put(item(A, G1PK="g"))
    assert table.query_index("g").entries == []


# -- expiry -----------------------------------------------------------------------------------------------------------


def test_an_expired_item_is_absent_from_reads_at_once(engine: Engine) -> None:
    table, now = engine.table, int(engine.now)
    table.put(item(A, x=now + 60))
    table.put(item(B))
    assert table.get(A) is not None
    engine.now = now + 60
    assert table.get(A) is None
    assert table.get_many([A, B]) == [None, item(B)]
    assert table.query("p").items == [item(B)]
    assert table.query("p", reverse=True).items == [item(B)]


def test_an_expired_item_is_absent_from_conditions(engine: Engine) -> None:
    table, now = engine.table, int(engine.now)
    table.put(item(A, n=1, x=now + 60))
    engine.now = now + 61
    for condition in (Exists(), Equals({"n": 1}), Below("n", 5)):
        with pytest.raises(ConditionFailed) as failed:
            table.put(item(A), condition)
        assert failed.value.item is None
    with pytest.raises(ConditionFailed):
        table.update(Update(A, set={"n": 2}))
    with pytest.raises(TransactionFailed):
        table.transact([Check(A, Exists()), Put(item(B))])
    table.transact([Put(item(A, n=3), Missing())])
    assert table.get(A) == item(A, n=3)


def test_expired_items_do_not_end_a_range(engine: Engine) -> None:
    table, now = engine.table, int(engine.now)
    for n in range(30):
        table.put(item(Key("p", f"{n:02}"), **({"x": now + 60} if n % 3 else {})))
    engine.now = now + 61
    seen: list[str] = []
    after: str | None = None
    while True:
        page = table.query("p", limit=7, after=after)
        seen += [str(each["SK"]) for each in page.items]
        if page.next is None:
            break
        after = page.next
    assert seen == [f"{n:02}" for n in range(0, 30, 3)]


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"PK": "", "SK": "a"},
        {"PK": "p", "SK": ""},
        {"PK": "p"},
        {"PK": 1, "SK": "a"},
        {"PK": "p" * 2049, "SK": "a"},
        {"PK": "p", "SK": "s" * 1025},
        {"PK": "p", "SK": "ä" * 513},
        item(A, n=1.5),
        item(A, n=2**63),
        item(A, n=-(2**63) - 1),
        item(A, s={1, 2}),
        item(A, t="\ud800"),
        item(A, l=[1.5]),
        item(A, m={"a": object()}),
        item(A, m={"\ud800": 1}),
        item(A, t="x" * 409_600),
        item(A, x="soon"),
        item(A, x=True),
        item(A, G1PK="", G1SK="a"),
        {"PK": "p", "SK": "a", "": 1},
    ],
    ids=range(20),
)
def test_an_item_that_dynamodb_would_not_take_is_refused(table: Table, wrong: Any) -> None:
    with pytest.raises(InvalidItem):
        table.put(wrong)
    with pytest.raises(InvalidItem):
        table.transact([Put(item(B)), Put(wrong)])
    assert table.query("p").items == []


def test_values_nested_too_deeply_are_refused(table: Table) -> None:
    deep: Any = 1
    for _ in range(33):
        deep = [deep]
    with pytest.raises(InvalidItem):
        table.put(item(A, deep=deep))


def test_the_largest_item_and_the_longest_keys_are_taken(table: Table) -> None:
    room = 400 * 1024 - len("PKSKt") - 2048 - 1024
    key = Key("p" * 2048, "s" * 1024)
    table.put(item(key, t="x" * room))
    assert table.get(key) is not None
    with pytest.raises(InvalidItem):
        table.put(item(key, t="x" * (room + 1)))


@pytest.mark.parametrize(
    "wrong",
    [
        Update(A, set={"PK": "q"}),
        Update(A, remove=["SK"]),
        Update(A, set={"n": 1}, add={"n": 1}),
        Update(A, set={"n": 1.5}),  # type: ignore[dict-item]  # what the type forbids is refused, too
        Update(A, add={"n": True}),
        Update(A, set={"": 1}),
        Update(Key("", "a"), set={"n": 1}),
    ],
)
def test_an_update_that_makes_no_sense_is_refused(table: Table, wrong: Update) -> None:
    table.put(item(A, n=1))
    with pytest.raises(InvalidItem):
        table.update(wrong)
    assert table.get(A) == item(A, n=1)


# -- several at once --------------------------------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_no_conditional_update_is_lost(table: Table) -> None:
    table.put(item(A, n=0))

    def add(number: int) -> None:
        done = 0
        while done < 20:
            there = table.get(A)
            assert there is not None
            n = there["n"]
            assert isinstance(n, int)
            try:
                table.update(Update(A, set={"n": n + 1}, condition=Equals({"n": n})))
                done += 1
            except (ConditionFailed, Conflict):
                continue

    in_threads(6, add)
    assert table.get(A) == item(A, n=120)


def test_additions_from_everywhere_add_up(table: Table) -> None:
    table.put(item(A, n=0))

    def add(number: int) -> None:
        for _ in range(30):
            table.update(Update(A, add={"n": 1}))

    in_threads(5, add)
    assert table.get(A) == item(A, n=150)


def test_only_one_of_many_puts_if_missing_wins(table: Table) -> None:
    won: list[int] = []

    def claim(number: int) -> None:
        try:
            table.put(item(A, n=number), Missing())
            won.append(number)
        except ConditionFailed:
            pass

    in_threads(8, claim)
    assert table.get(A) == item(A, n=won[0])
    assert len(won) == 1


def test_money_moved_by_transactions_is_never_made_or_lost(table: Table) -> None:
    accounts = [Key("bank", str(n)) for n in range(4)]
    for account in accounts:
        table.put(item(account, n=100))

    def move(number: int) -> None:
        done = 0
        while done < 15:
            one, other = accounts[(number + done) % 4], accounts[(number + done * 2 + 1) % 4]
            if one == other:
                other = accounts[(number + done * 2 + 2) % 4]
            before = table.get_many([one, other])
            assert before[0] is not None
            try:
                table.transact(
                    [
                        Update(one, add={"n": -7}, condition=Equals({"n": before[0]["n"]})),
                        Update(other, add={"n": 7}),
                    ]
                )
                done += 1
            except TableError:
                continue

    in_threads(4, move)
    assert sum(each["n"] for each in table.query("bank").items if isinstance(each["n"], int)) == 400


# -- against a model --------------------------------------------------------------------------------------------------

_SMALL = st.sampled_from([Key(pk, sk) for pk in "pq" for sk in ("a", "ab", "b", "\U00010000")])
_VALUES = st.one_of(
    st.integers(-5, 5), st.text(string.printable, max_size=4), st.booleans(), st.none(), st.binary(max_size=3)
)
_CONDITIONS = st.one_of(
    st.none(),
    st.just(Missing()),
    st.just(Exists()),
    st.builds(lambda value: Equals({"v": value}), _VALUES),
    st.builds(lambda value: Below("v", value), st.integers(-5, 5)),
)
_WRITES = st.one_of(
    st.builds(lambda k, v, c: Put(item(k, v=v), c), _SMALL, _VALUES, _CONDITIONS),
    st.builds(Delete, _SMALL, _CONDITIONS),
    st.builds(
        lambda k, v, c: Update(k, set={"v": v}, condition=c),
        _SMALL,
        _VALUES,
        _CONDITIONS.filter(lambda c: c is not None and not isinstance(c, Missing)),
    ),
)
_STEPS = st.lists(st.lists(_WRITES, min_size=1, max_size=4), max_size=15)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_any_history_agrees_with_a_dictionary(table: Table, steps: list[list[Any]]) -> None:
    from roost.testing import MemoryTable

    for partition in "pq":
        for each in table.query(partition).items:
            table.delete(Key(str(each["PK"]), str(each["SK"])))
    model = MemoryTable()
    for operations in steps:
        outcomes: list[Any] = []
        for store in (table, model):
            try:
                store.transact(operations)
                outcomes.append("done")
            except TransactionFailed as failure:
                outcomes.append([getattr(reason, "item", "held") for reason in failure.reasons])
            except InvalidItem:
                outcomes.append("invalid")
        assert outcomes[0] == outcomes[1]
    for partition in "pq":
        assert table.query(partition).items == model.query(partition).items
        assert table.query(partition, reverse=True).items == model.query(partition, reverse=True).items
