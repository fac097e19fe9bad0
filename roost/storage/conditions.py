"""What a condition and an update come to on an item: for the engines that decide it themselves."""

from __future__ import annotations

from typing import Any

from roost.storage.table import Below, Condition, Equals, Exists, InvalidItem, Item, Missing, Update, check_item


def holds(condition: Condition, item: Item | None) -> bool:
    """Whether a condition holds for an item, None where there is none or it has expired."""
    if isinstance(condition, Missing):
        return item is None
    if item is None:
        return False
    if isinstance(condition, Exists):
        return True
    if isinstance(condition, Equals):
        return all(name in item and _same(item[name], value) for name, value in condition.values.items())
    assert isinstance(condition, Below)
    if condition.attribute not in item:
        return True
    value = item[condition.attribute]
    if isinstance(value, str) and isinstance(condition.value, str):
        return value.encode() < condition.value.encode()
    if isinstance(value, bool) or not isinstance(value, int) or not isinstance(condition.value, int):
        return False
    return value < condition.value


def _same(one: Any, other: Any) -> bool:
    """Equal as DynamoDB has it: True is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return bool(one == other)


def updated(item: Item, update: Update) -> Item:
    """An item as an update leaves it. Raises `InvalidItem` where it adds to what is no number, or leaves what no engine
    can hold: a number past 64 bits, an item over 400 KB."""
    changed = dict(item)
    changed.update(update.set)
    for name, amount in update.add.items():
        before = changed.get(name, 0)
        if isinstance(before, bool) or not isinstance(before, int):
            raise InvalidItem(f"{name} is not a number")
        changed[name] = before + amount
    for name in update.remove:
        changed.pop(name, None)
    check_item(changed)
    return changed
