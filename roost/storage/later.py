"""What is to happen later for somebody: messages that they scheduled, and what they want to be reminded of."""

from __future__ import annotations

from roost.storage.items import ReminderRow, ScheduledRow, from_item, reminder_key, scheduled_key
from roost.storage.ranges import every
from roost.storage.table import Table


def scheduled(table: Table, user: str) -> list[ScheduledRow]:
    """Somebody's scheduled messages, by time, strong."""
    return [from_item(item, ScheduledRow) for item in every(table, scheduled_key(user, 0, "").pk, "Q#")]


def scheduled_at(table: Table, user: str, at: int, scheduled: str) -> ScheduledRow | None:
    """One of them, strong."""
    item = table.get(scheduled_key(user, at, scheduled))
    return None if item is None else from_item(item, ScheduledRow)


def reminders(table: Table, user: str) -> list[ReminderRow]:
    """Somebody's reminders, strong."""
    key = reminder_key(user, "")
    return [from_item(item, ReminderRow) for item in every(table, *key)]


def reminder(table: Table, user: str, reminder: str) -> ReminderRow | None:
    """One of them, strong."""
    item = table.get(reminder_key(user, reminder))
    return None if item is None else from_item(item, ReminderRow)
