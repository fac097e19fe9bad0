"""What every engine of the Table port promises."""

from __future__ import annotations

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
    Operation,
    Put,
    Table,
    TableError,
    TransactionFailed,
    Update,
)
from tests.contracts.conftest import Engine

EXCLUSIVE = ["memory", "sqlite"]  # engines of a process that owns the data

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


def test_every_kind_of_write_that_is_refused_shows_what_was_there(table: Table) -> None:
    there = item(A, n=1, t="x", l=[1], G1PK="g", G1SK="s")
    table.put(there)
    no = Equals({"n": 2})
    writes: list[Callable[[], Any]] = [
        lambda: table.put(item(A), no),
        lambda: table.update(Update(A, set={"n": 3}, condition=no)),
        lambda: table.delete(A, no),
    ]
    for write in writes:
        with pytest.raises(ConditionFailed) as failed:
            write()
        assert failed.value.item == there
    operations: list[Operation] = [Put(item(A), no), Update(A, set={"n": 3}, condition=no), Delete(A, no), Check(A, no)]
    for operation in operations:
        with pytest.raises(TransactionFailed) as cancelled:
            table.transact([Put(item(B)), operation])
        nothing, reason = cancelled.value.reasons
        assert nothing is None
        assert isinstance(reason, ConditionFailed)
        assert reason.item == there


@pytest.mark.parametrize(
    "wrong",
    [
        Equals({"n": 1.5}),  # type: ignore[dict-item]  # what the types forbid is refused, too
        Equals({"n": 2**63}),
        Equals({"n": "\ud800"}),
        Equals({"n": [1.5]}),  # type: ignore[list-item]
        Equals({"": 1}),
        Below("n", 1.5),  # type: ignore[arg-type]
        Below("n", True),
        Below("n", 2**63),
        Below("n", "\ud800"),
        Below("", 1),
    ],
    ids=str,
)
def test_a_condition_that_no_item_could_meet_is_refused(table: Table, wrong: Any) -> None:
    table.put(item(A, n=1))
    with pytest.raises(InvalidItem):
        table.put(item(A, n=2), wrong)
    with pytest.raises(InvalidItem):
        table.delete(A, wrong)
    with pytest.raises(InvalidItem):
        table.update(Update(A, set={"n": 2}, condition=wrong))
    for operation in (Put(item(A), wrong), Delete(A, wrong), Check(A, wrong)):
        with pytest.raises(InvalidItem):
            table.transact([Put(item(B)), operation])
    assert table.query("p").items == [item(A, n=1)]


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


def test_an_update_of_nothing_in_an_item_answers_it_as_it_is(table: Table) -> None:
    table.put(item(A, n=1))
    assert table.update(Update(A)) == item(A, n=1)
    assert table.update(Update(A, remove=["never"])) == item(A, n=1)


@pytest.mark.parametrize("engine", EXCLUSIVE, indirect=True)  # DynamoDB counts itself, with 38 digits
def test_an_update_counts_up_to_64_bits_and_not_past_them(table: Table) -> None:
    table.put(item(A, n=2**63 - 2, m=-(2**63) + 1))
    expected = item(A, n=2**63 - 1, m=-(2**63))
    assert table.update(Update(A, add={"n": 1, "m": -1})) == expected
    for name, amount in (("n", 1), ("m", -1), ("n", 2**63 - 1)):
        with pytest.raises(InvalidItem):
            table.update(Update(A, add={name: amount}))
        with pytest.raises(InvalidItem):
            table.transact([Put(item(B)), Update(A, add={name: amount})])
    assert table.query("p").items == [expected]


def test_an_update_cannot_make_an_item_too_large(table: Table) -> None:
    there = item(A, t="x" * 300_000)
    table.put(there)
    with pytest.raises(InvalidItem):
        table.update(Update(A, set={"more": "x" * 110_000}))
    assert table.get(A) == there
    table.update(Update(A, set={"t": "x" * 10, "more": "x" * 110_000}))


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


def test_operations_of_a_transaction_are_all_decided_by_what_was_before_it(table: Table) -> None:
    table.put(item(A, n=1))
    table.transact([Delete(A, Equals({"n": 1})), Put(item(B), Missing()), Check(Key("q", "c"), Missing())])
    with pytest.raises(TransactionFailed) as failed:
        table.transact([Put(item(A), Missing()), Check(B, Missing())])
    assert [type(reason) for reason in failed.value.reasons] == [type(None), ConditionFailed]
    assert table.get(A) is None


def test_a_transaction_of_checks_alone_writes_nothing(table: Table) -> None:
    table.put(item(A))
    table.transact([Check(A, Exists()), Check(B, Missing())])
    with pytest.raises(TransactionFailed):
        table.transact([Check(A, Exists()), Check(B, Exists())])
    assert table.query("p").items == [item(A)]


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


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (
            "",
            [
                "\0",
                "\0a",
                "a",
                "a\U0010ffff",
                "a\U0010ffff\U0010ffffb",
                "b",
                "\ud7ff",
                "\ud7ffx",
                "\ue000",
                "\U0010ffff",
            ],
        ),
        ("\0", ["\0", "\0a"]),
        ("a\U0010ffff", ["a\U0010ffff", "a\U0010ffff\U0010ffffb"]),
        ("a\U0010ffff\U0010ffff", ["a\U0010ffff\U0010ffffb"]),
        ("\ud7ff", ["\ud7ff", "\ud7ffx"]),  # the next character up is U+E000: surrogates lie between
        ("\U0010ffff", ["\U0010ffff"]),
        ("\U0010ffff\U0010ffff", []),
    ],
    ids=ascii,
)
def test_a_prefix_ends_where_it_should_also_at_the_last_characters(
    table: Table, prefix: str, expected: list[str]
) -> None:
    for sk in (
        "\0",
        "\0a",
        "a",
        "a\U0010ffff",
        "a\U0010ffff\U0010ffffb",
        "b",
        "\ud7ff",
        "\ud7ffx",
        "\ue000",
        "\U0010ffff",
    ):
        table.put(item(Key("p", sk), G1PK="g", G1SK=sk))
    assert keys_of(table, prefix=prefix) == expected
    assert keys_of(table, prefix=prefix, reverse=True) == expected[::-1]
    assert [entry.sk for entry in table.query_index("g", prefix=prefix).entries] == expected
    assert [entry.sk for entry in table.query_index("g", prefix=prefix, reverse=True).entries] == expected[::-1]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"prefix": "b"}, {"low": "b", "high": "b9"}, {"low": "b5"}, {"high": "b5"}], ids=str
)
@pytest.mark.parametrize("limit", [1, 5, 10, 1000])
def test_pages_of_any_size_put_together_are_the_range(table: Table, options: Any, reverse: bool, limit: int) -> None:
    fill(table, *(f"{letter}{n}" for letter in "abc" for n in range(10)), "\uffff", "\U00010000")
    whole = keys_of(table, reverse=reverse, **options)
    assert len(whole) in (10, 17, 16, 32)
    assert all_keys_of(table, limit=limit, reverse=reverse, **options) == whole


def all_keys_of(table: Table, **options: Any) -> list[str]:
    """The SKs of all pages."""
    seen: list[str] = []
    after: str | None = None
    while True:
        page = table.query("p", after=after, **options)
        seen += [str(each["SK"]) for each in page.items]
        assert len(page.items) <= options["limit"]
        if page.next is None:
            return seen
        after = page.next


@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_put_ahead_of_a_page_is_seen_and_what_is_put_behind_it_is_not(table: Table, reverse: bool) -> None:
    fill(table, "b", "d", "f")
    first = table.query("p", limit=2, reverse=reverse)
    for sk in ("a", "c", "e", "g"):
        table.put(item(Key("p", sk)))
    rest = keys_of(table, after=first.next, reverse=reverse)
    assert rest == (["c", "b", "a"] if reverse else ["e", "f", "g"])


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": "a", "low": "b"},
        {"prefix": "a", "high": "b"},
        {"low": ""},
        {"high": ""},
        {"prefix": "\ud800"},
        {"low": "\ud800"},
    ],
    ids=ascii,
)
def test_a_range_that_makes_no_sense_is_refused(table: Table, wrong: Any) -> None:
    with pytest.raises(InvalidItem):
        table.query("p", **wrong)


@pytest.mark.parametrize("wrong", ["", "\ud800", "p" * 2049], ids=["empty", "a surrogate", "too long"])
def test_what_can_be_no_key_is_refused_wherever_it_is_asked_for(table: Table, wrong: str) -> None:
    reads: list[Callable[[], Any]] = [
        lambda: table.get(Key(wrong, "a")),
        lambda: table.get_many([A, Key("p", wrong)]),
        lambda: table.query(wrong),
        lambda: table.query("p", after=wrong),
        lambda: table.query_index(wrong),
        lambda: table.delete(Key(wrong, "a")),
    ]
    for read in reads:
        with pytest.raises(InvalidItem):
            read()


@pytest.mark.parametrize(
    "wrong", ["", "no position", "[]", '["1","p"]', '["1","p",5]', '["","p","a"]', '["1","","a"]', '{"a":1}', "\ud800"]
)
def test_a_page_of_the_index_goes_on_from_a_page_before_or_not_at_all(table: Table, wrong: str) -> None:
    table.put(item(A, G1PK="g", G1SK="1"))
    with pytest.raises(InvalidItem):
        table.query_index("g", after=wrong)


@pytest.mark.parametrize("wrong", ["\ud800", "g" * 1025], ids=["a surrogate", "too long"])
def test_a_prefix_that_no_key_has_is_refused_in_the_index_too(table: Table, wrong: str) -> None:
    with pytest.raises(InvalidItem):
        table.query_index("g", prefix=wrong)


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


@pytest.mark.parametrize("half", [{"G1PK": "g"}, {"G1SK": "s"}], ids=str)
def test_an_item_with_half_an_index_key_is_not_in_the_index(table: Table, half: Any) -> None:
    table.put(item(A, **half))
    assert table.query_index("g").entries == []
    table.update(Update(A, set={"G1PK": "g", "G1SK": "s"}))
    assert [entry.sk for entry in table.query_index("g").entries] == ["a"]


def test_the_index_forgets_what_is_deleted(table: Table) -> None:
    table.put(item(A, G1PK="g", G1SK="1"))
    table.put(item(B, G1PK="g", G1SK="2"))
    table.transact([Delete(A), Put(item(B, G1PK="h", G1SK="2"))])
    assert table.query_index("g").entries == []
    assert [entry.sk for entry in table.query_index("h").entries] == ["b"]


@pytest.mark.parametrize("engine", EXCLUSIVE, indirect=True)  # DynamoDB's index lags: it stays until it is removed
def test_an_expired_item_is_absent_from_the_index(engine: Engine) -> None:
    table, now = engine.table, int(engine.now)
    table.put(item(A, G1PK="g", G1SK="1", x=now + 60))
    table.put(item(B, G1PK="g", G1SK="2", x=now + 61))
    engine.now = now + 60
    assert [entry.sk for entry in table.query_index("g").entries] == ["b"]


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


def test_an_item_expires_in_its_second_and_not_before(engine: Engine) -> None:
    table, now = engine.table, int(engine.now)
    table.put(item(A, x=now + 60))
    engine.now = now + 59.999
    assert table.get(A) is not None
    assert len(table.query("p").items) == 1
    table.put(item(A, x=now + 60), Exists())
    engine.now = now + 60.0
    assert table.get(A) is None
    assert table.query("p").items == []
    table.put(item(A, n=1), Missing())


def test_an_item_that_is_put_expired_is_never_seen(engine: Engine) -> None:
    table = engine.table
    table.put(item(A, x=int(engine.now) - 1))
    table.put(item(B, x=-5))
    assert table.query("p").items == []
    assert table.get_many([A, B]) == [None, None]
    table.delete(A)


def test_an_update_may_change_when_an_item_expires(engine: Engine) -> None:
    table, now = engine.table, int(engine.now)
    table.put(item(A, x=now + 60))
    table.put(item(B, x=now + 60))
    table.update(Update(A, set={"x": now + 600}))
    table.update(Update(B, remove=["x"]))
    engine.now = now + 61
    assert table.query("p").items == [item(A, x=now + 600), item(B)]


def test_an_update_answers_the_item_though_it_makes_it_expire(engine: Engine) -> None:
    table, now = engine.table, int(engine.now)
    table.put(item(A, x=now + 60))
    assert table.update(Update(A, add={"x": -60})) == item(A, x=now)
    assert table.get(A) is None
    table.put(item(A, n=1, x=now + 60))
    assert table.update(Update(A, set={"x": now})) == item(A, n=1, x=now)
    assert table.query("p").items == []


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
        item(A, x=None),
        item(A, x=2**63),
        item(A, G1PK=5, G1SK="a"),
        item(A, G1PK="g" * 2049, G1SK="a"),
        item(A, G1PK="g", G1SK="s" * 1025),
        item(A, G1PK="g", G1SK=""),
        {"PK": "p", "SK": "a", "": 1},
        {"PK": "p", "SK": "a", 5: 1},
        {"PK": "p\ud800", "SK": "a"},
        {"PK": "p", "SK": b"a"},
        item(A, t=(1, 2)),
        item(A, t=bytearray(b"x")),
        item(A, m={1: 2}),
        item(A, m={"": 2}),
        item(A, t=type("Text", (str,), {})("x")),
        item(A, l=[[2**63]]),
    ],
    ids=range(35),
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
        Update(A, set={"x": "soon"}),  # what is a column to an engine is checked as in a put
        Update(A, set={"x": True}),
        Update(A, set={"G1PK": 5}),
        Update(A, set={"G1PK": ""}),
        Update(A, set={"G1SK": "s" * 1025}),
        Update(A, set={"t": "\ud800"}),
        Update(A, set={"l": [{"deep": 1.5}]}),  # type: ignore[dict-item]
        Update(A, set={"t": "x" * 410_000}),
        Update(A, add={"n": 2**63}),
        Update(A, add={"n": 1.5}),  # type: ignore[dict-item]
        Update(A, add={"G1PK": 1}),
        Update(A, add={"PK": 1}),
        Update(A, remove=["n", "n"]),
        Update(A, remove=["\ud800"]),
        Update(A, remove=[""]),
    ],
    ids=range(22),
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


@pytest.mark.parametrize("engine", EXCLUSIVE, indirect=True)  # DynamoDB's become visible item by item
def test_a_reader_sees_transactions_that_overlap_whole(table: Table) -> None:
    keys = [Key("p", str(n)) for n in range(4)]
    table.transact([Put(item(key, n=0)) for key in keys])
    stop = threading.Event()
    torn: list[object] = []

    def work(number: int) -> None:
        if number == 0:
            while not stop.is_set():
                numbers = [each["n"] for each in table.query("p").items]
                if len(set(numbers[:2])) > 1 or len(set(numbers[2:])) > 1:
                    torn.append(numbers)
            return
        for _ in range(60):  # one moves the first two and the third, the other the last two and the first
            try:
                together = keys if number == 1 else keys[::-1]
                table.transact([Update(key, add={"n": 1}) for key in together])
            except TransactionFailed:
                continue
        if number == 1:
            stop.set()

    in_threads(3, work)
    assert torn == []
    assert [each["n"] for each in table.query("p").items] == [120] * 4


# -- watching ---------------------------------------------------------------------------------------------------------


def test_watchers_hear_what_stands_after_each_commit_before_its_writer_is_answered(table: Table) -> None:
    if not table.exclusive:
        with pytest.raises(TableError):
            table.watch(lambda changes: None)
        return
    heard: list[tuple[Key, Item | None]] = []
    table.watch(heard.extend)
    table.put(item(A, n=1))
    assert heard == [(A, item(A, n=1))]
    table.transact([Update(A, add={"n": 1}), Put(item(B)), Check(Key("q", "c"), Missing())])
    assert heard[1:] == [(A, item(A, n=2)), (B, item(B))]
    with pytest.raises(ConditionFailed):
        table.put(item(A), Missing())
    with pytest.raises(TransactionFailed):
        table.transact([Put(item(B, n=5)), Check(A, Missing())])
    assert heard[3:] == []
    table.delete(A)
    assert heard[3:] == [(A, None)]


# -- against a model --------------------------------------------------------------------------------------------------

_KEYS = st.builds(Key, st.sampled_from("pq"), st.sampled_from(["a", "ab", "b", "\uffff", "\U00010000"]))
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
_VALUES = st.recursive(
    st.one_of(
        st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1), _TEXT, st.booleans(), st.none(), st.binary(max_size=3)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["k", "\u00e4"]), inner, max_size=2)
    ),
    max_leaves=4,
)
_ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "v": _VALUES,
        "n": st.integers(-3, 3),
        "x": st.sampled_from([-1, 5, 10]),  # seconds from the beginning
        "G1PK": st.just("g"),
        "G1SK": st.sampled_from(["1", "2"]),
    },
)
_CONDITIONS = st.one_of(
    st.none(),
    st.just(Missing()),
    st.just(Exists()),
    st.builds(lambda value: Equals({"v": value}), _VALUES),
    st.builds(lambda value: Equals({"n": value}), st.integers(-3, 3)),
    st.builds(Below, st.sampled_from("nv"), st.one_of(st.integers(-3, 3), _TEXT)),
)
_UPDATES = st.builds(
    lambda key, value, amount, drop, condition: Update(
        key, set={"v": value}, add={"n": amount}, remove=drop, condition=condition
    ),
    _KEYS,
    _VALUES,
    st.integers(-3, 3),
    st.sampled_from([[], ["x"], ["G1PK"], ["G1SK", "x"]]),
    _CONDITIONS.filter(lambda condition: condition is not None and not isinstance(condition, Missing)),
)
_OPERATIONS = st.one_of(
    st.tuples(_KEYS, _ATTRIBUTES, _CONDITIONS),  # a put: `x` is made from the time when it is run
    st.builds(Delete, _KEYS, _CONDITIONS),
    st.builds(Check, _KEYS, _CONDITIONS.filter(lambda condition: condition is not None)),
    _UPDATES,
)
_STEPS = st.lists(
    st.one_of(
        st.lists(_OPERATIONS, min_size=1, max_size=4),  # a transaction
        _OPERATIONS,  # one write by itself
        st.sampled_from([0.5, 4, 20]),  # time passes, in seconds
    ),
    max_size=15,
)


class Model:
    """The port again, as plainly as it can be said, and sharing nothing with the engines."""

    def __init__(self) -> None:
        self.items: dict[Key, Item] = {}
        self.now = 0.0

    def get(self, key: Key) -> Item | None:
        there = self.items.get(key)
        return there if there is not None and int(str(there.get("x", 1 << 62))) > self.now else None

    def holds(self, condition: Any, there: Item | None) -> bool:
        if condition is None:
            return True
        if isinstance(condition, Missing):
            return there is None
        if there is None:
            return False
        if isinstance(condition, Equals):
            return all(name in there and repr_of(there[name]) == repr_of(v) for name, v in condition.values.items())
        if isinstance(condition, Below) and condition.attribute in there:
            value, limit = there[condition.attribute], condition.value
            if isinstance(value, str) and isinstance(limit, str):
                return value.encode("utf-8") < limit.encode("utf-8")
            return type(value) is int and type(limit) is int and value < limit
        return True

    def transact(self, operations: list[Any]) -> Any:
        keys = [
            Key(str(each.item["PK"]), str(each.item["SK"])) if isinstance(each, Put) else each.key
            for each in operations
        ]
        before = [self.get(key) for key in keys]
        if len(set(keys)) < len(keys):
            return "invalid"
        held = [self.holds(each.condition, there) for each, there in zip(operations, before, strict=True)]
        if any(
            isinstance(each, Update) and ok and there is not None and type(there.get("n", 0)) is not int
            for each, ok, there in zip(operations, held, before, strict=True)
        ):
            return "invalid"
        if not all(held):
            return [None if ok else (repr_of(there),) for ok, there in zip(held, before, strict=True)]
        for each, key, there in zip(operations, keys, before, strict=True):
            if isinstance(each, Put):
                self.items[key] = dict(each.item)
            elif isinstance(each, Delete):
                self.items.pop(key, None)
            elif isinstance(each, Update) and there is not None:
                changed = {**there, **each.set, "n": int(str(there.get("n", 0))) + each.add["n"]}
                self.items[key] = {name: value for name, value in changed.items() if name not in each.remove}
        return "done"

    def partition(self, pk: str) -> list[Item]:
        found = [there for key, there in self.items.items() if key.pk == pk and self.get(key) is not None]
        return sorted(found, key=lambda each: str(each["SK"]).encode("utf-8"))

    def index(self) -> set[tuple[str, str, str]]:
        """Of all items in the index: where they are and their G1SK."""
        live = [there for key, there in self.items.items() if self.get(key) is not None]
        return {
            (str(each["PK"]), str(each["SK"]), str(each["G1SK"])) for each in live if "G1PK" in each and "G1SK" in each
        }


def repr_of(value: Any) -> Any:
    """Equal for what is equal with its types: True is not 1. Maps have no order."""
    if isinstance(value, dict):
        return {name: repr_of(each) for name, each in value.items()}
    return [repr_of(each) for each in value] if isinstance(value, list) else (type(value).__name__, value)


def write_alone(table: Table, operation: Any) -> None:
    if isinstance(operation, Put):
        table.put(operation.item, operation.condition)
    elif isinstance(operation, Update):
        table.update(operation)
    elif isinstance(operation, Delete):
        table.delete(operation.key, operation.condition)
    else:
        table.transact([operation])


def outcome(table: Table, operations: list[Any], *, alone: bool) -> Any:
    """As `Model.transact` says it."""
    try:
        write_alone(table, operations[0]) if alone else table.transact(operations)
    except InvalidItem:
        return "invalid"
    except ConditionFailed as failure:
        return [(repr_of(failure.item),)]
    except TransactionFailed as failure:
        return [(repr_of(each.item),) if isinstance(each, ConditionFailed) else each for each in failure.reasons]
    return "done"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS, limit=st.integers(1, 6))
def test_any_history_agrees_with_a_model(engine: Engine, steps: list[Any], limit: int) -> None:
    table, model = engine.table, Model()
    for partition in "pq":
        for sk in ("a", "ab", "b", "\uffff", "\U00010000"):
            table.delete(Key(partition, sk))
    model.now = engine.now
    for step in steps:
        if isinstance(step, int | float):
            engine.now += step
            model.now = engine.now
            continue
        alone = not isinstance(step, list)
        operations = [as_operation(each, int(engine.now)) for each in ([step] if alone else step)]
        expected = model.transact(operations)
        assert outcome(table, operations, alone=alone) == expected
        keys = [Key(pk, sk) for pk in "pq" for sk in ("a", "b", "\uffff")]
        assert repr_of(table.get_many(keys)) == repr_of([model.get(key) for key in keys])
    for partition in "pq":
        expected = model.partition(partition)
        assert repr_of(pages(table, partition, limit, reverse=False)) == repr_of(expected)
        assert repr_of(pages(table, partition, limit, reverse=True)) == repr_of(expected[::-1])
    if table.exclusive:
        entries = table.query_index("g").entries
        assert {(each.pk, each.sk, each.g1sk) for each in entries} == model.index()
        assert [each.g1sk for each in entries] == sorted(each.g1sk for each in entries)


def as_operation(drawn: Any, now: int) -> Any:
    if not isinstance(drawn, tuple) or isinstance(drawn, Key):
        return drawn
    key, attributes, condition = drawn
    expiry = {"x": now + attributes["x"]} if "x" in attributes else {}
    return Put(item(key, **{**attributes, **expiry}), condition)


def pages(table: Table, pk: str, limit: int, *, reverse: bool) -> list[Item]:
    found: list[Item] = []
    after: str | None = None
    while True:
        page = table.query(pk, limit=limit, reverse=reverse, after=after)
        found += page.items
        if page.next is None:
            return found
        after = page.next
