"""Ways to break a transaction on its way to the store: what the checkers must find out."""

from __future__ import annotations

from collections.abc import Callable

from roost.storage.table import Operation, Put, Update

Spoil = Callable[[list[Operation]], list[Operation]]


def nothing(operations: list[Operation]) -> list[Operation]:
    return operations


def without_head_condition(operations: list[Operation]) -> list[Operation]:
    return [
        Update(each.key, set=each.set, add=each.add) if isinstance(each, Update) and each.key.sk == "HEAD" else each
        for each in operations
    ]


def without_idempotency(operations: list[Operation]) -> list[Operation]:
    return [
        Put(each.item) if isinstance(each, Put) and str(each.item["PK"]).startswith("I#") else each
        for each in operations
    ]


def without_its_event(operations: list[Operation]) -> list[Operation]:
    return [each for each in operations if not (isinstance(each, Put) and str(each.item["PK"]).startswith("L#"))]


def without_condition_on_the_seat(operations: list[Operation]) -> list[Operation]:
    seat = operations[0]
    if isinstance(seat, Update) and seat.key.pk.startswith("N#"):
        return [Update(seat.key, set=seat.set), *operations[1:]]
    if isinstance(seat, Put) and str(seat.item["PK"]).startswith("N#"):
        return [Put(seat.item), *operations[1:]]
    return operations
