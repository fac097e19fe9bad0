"""What the log keeps of an event, and what comes out of it."""

from __future__ import annotations

import pytest

from roost.chat.messages import Posting
from roost.chat.model import Composition, person_of
from roost.storage.items import log_key
from roost.testing import Room


@pytest.mark.parametrize("length", [1, 499, 501, 20_000])
def test_a_message_comes_out_of_the_log_as_it_went_in_and_its_text_is_kept_once(length: int) -> None:
    room = Room()
    chat = room.app.chat
    ana = person_of(chat.people.add("Ana"))
    general = chat.channels.get(chat.core.workspace.general)
    text = "é" * length
    blocks = '[{"type":"section","text":{"type":"mrkdwn","text":"' + "b" * length + '"}}]' if length < 1000 else ""
    if length > 15_000:
        text = "x" * length
    said = chat.messages.post(ana, general, Posting(text, Composition(blocks=blocks))).message
    replay = chat.streams.replay(ana, general.id, said.row.seq - 1)
    assert replay is not None
    assert replay.events is not None
    (recorded,) = replay.events
    assert recorded.event.message == said.row  # type: ignore[union-attr]  # it is a message
    item = room.table.get(log_key(general.id, said.ts, said.row.seq))
    assert (text in str(item)) is (len(text) + len(blocks) <= 500)
    chat.search.index(general.id)
    assert [each.message.ts for each in chat.search.find(ana, text[:40], best=False)] == [said.ts]


def test_a_long_message_that_was_edited_meanwhile_is_replayed_as_it_stands() -> None:
    room = Room()
    chat = room.app.chat
    ana = person_of(chat.people.add("Ana"))
    general = chat.channels.get(chat.core.workspace.general)
    said = chat.messages.post(ana, general, Posting("first " * 200)).message
    chat.messages.edit(ana, general, said.ts, "second", Composition())
    replay = chat.streams.replay(ana, general.id, said.row.seq - 1)
    assert replay is not None
    assert replay.events is not None
    assert [each.event.message.text for each in replay.events] == ["second", "second"]  # type: ignore[union-attr]
