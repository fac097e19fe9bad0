"""Searching: what is found, by whom, in which order."""

from __future__ import annotations

import random
from typing import Any

import pytest

from roost.chat.messages import Posting
from roost.chat.model import Channel, Composition, Person, channel_of, person_of
from roost.chat.query import parse
from roost.chat.terms import plain, terms
from roost.testing import FakeClock, MemoryTable, Room


class Office:
    """A few people, a public and a private channel, and what they say."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.chat = self.room.app.chat
        self.ana, self.ben = (person_of(self.chat.people.add(name)) for name in ("Ana", "Ben"))
        self.general = self.chat.channels.get(self.chat.core.workspace.general)
        self.private = channel_of(self.chat.channels.create(self.ana, "secret", private=True))

    def say(self, who: Person, text: str, channel: Channel | None = None, **composed: Any) -> str:
        self.room.clock.now += 1
        place = channel or self.general
        posted = self.chat.messages.post(who, place, Posting(text, Composition(**composed)))
        return posted.message.ts

    def find(self, who: Person, query: str, *, best: bool = False) -> list[str]:
        for channel in (self.general, self.private):
            self.chat.search.index(channel.id)
        return [each.message.row.text for each in self.chat.search.find(who, query, best=best)]


@pytest.fixture
def office(room: Room) -> Office:
    return Office(room)


def test_words_are_found_newest_first_whatever_their_case(office: Office) -> None:
    office.say(office.ana, "The Deployment is done")
    office.say(office.ben, "nothing of it")
    office.say(office.ben, "another DEPLOYMENT fails")
    assert office.find(office.ana, "deployment") == ["another DEPLOYMENT fails", "The Deployment is done"]
    assert office.find(office.ana, "deployment fails") == ["another DEPLOYMENT fails"]
    assert office.find(office.ana, "deployment -fails") == ["The Deployment is done"]


@pytest.mark.parametrize("part", ["deploy", "ploy", "ment", "deploy*", "Déploy"])
def test_a_part_of_a_word_finds_it(office: Office, part: str) -> None:
    office.say(office.ana, "the deployment")
    office.say(office.ana, "the department of it") if part != "ment" else None
    assert office.find(office.ana, part) == ["the deployment"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("今日は天気がいいですね", "天気"),
        ("东京塔在哪里", "京塔"),
        ("ฉันรักเมืองไทย", "เมือง"),
        ("안녕하세요 여러분", "여러분"),
        ("Größe und Straße", "strasse"),
        ("le café est chaud", "cafe"),
        ("ΑΘΗΝΑ", "αθηνα"),
    ],
)
def test_every_script_is_found(office: Office, text: str, query: str) -> None:
    office.say(office.ana, text)
    office.say(office.ana, "something else 他のこと")
    assert office.find(office.ben, query) == [text]


def test_phrases_are_found_as_they_stand(office: Office) -> None:
    office.say(office.ana, "ship it today")
    office.say(office.ana, "it will ship")
    assert office.find(office.ana, '"ship it"') == ["ship it today"]
    assert office.find(office.ana, '"ship it') == ["ship it today"]


def test_modifiers_narrow_it(office: Office) -> None:
    office.say(office.ana, "see https://example.org/a-page report")
    office.say(office.ben, "a report")
    office.say(office.ana, "secret report", office.private)
    assert office.find(office.ana, "report from:@ben") == ["a report"]
    assert office.find(office.ana, f"report from:<@{office.ben.id}>") == ["a report"]
    assert office.find(office.ana, "report -from:ben in:#general") == ["see https://example.org/a-page report"]
    assert office.find(office.ana, "in:#secret") == ["secret report"]
    assert office.find(office.ana, "has:link") == ["see https://example.org/a-page report"]
    assert office.find(office.ana, "from:me report") == ["secret report", "see https://example.org/a-page report"]
    assert office.find(office.ana, "report from:nobody") == []
    assert office.find(office.ana, "report in:#nowhere") == []


def test_days_narrow_it(office: Office) -> None:
    office.say(office.ana, "old report")
    office.room.clock.now += 3 * 86_400
    office.say(office.ana, "new report")  # 15 January 2027 is the first day
    assert office.find(office.ana, "report before:2027-01-16") == ["old report"]
    assert office.find(office.ana, "report after:2027-01-16") == ["new report"]
    assert office.find(office.ana, "report on:2027-01-15") == ["old report"]
    assert office.find(office.ana, "report during:2027-01") == ["new report", "old report"]
    assert office.find(office.ana, "report on:2027-13-45") == []


def test_nobody_finds_what_they_may_not_read(office: Office) -> None:
    office.say(office.ana, "the plan", office.private)
    assert office.find(office.ana, "plan") == ["the plan"]
    assert office.find(office.ben, "plan") == []
    office.chat.channels.invite(office.ana, office.private, office.ben.id)
    assert office.find(office.ben, "plan") == ["the plan"]
    office.chat.channels.kick(office.ana, office.private, office.ben.id)
    assert office.find(office.ben, "plan") == []
    assert office.find(office.ben, "in:#secret") == []


def test_what_was_edited_or_deleted_is_found_as_it_is_now(office: Office) -> None:
    ts, gone = office.say(office.ana, "first wording"), office.say(office.ana, "wording to go")
    office.find(office.ana, "wording")
    office.chat.messages.edit(office.ana, office.general, ts, "second version", Composition())
    office.chat.messages.delete(office.ana, office.general, gone)
    assert office.find(office.ana, "wording") == []
    assert office.find(office.ana, "version") == ["second version"]


def test_replies_and_what_programs_compose_are_found(office: Office) -> None:
    root = office.say(office.ana, "root")
    office.chat.messages.post(office.ben, office.general, Posting("a hidden answer", thread=root))
    office.say(office.ana, "plain", blocks='[{"type":"section","text":{"type":"mrkdwn","text":"in a block"}}]')
    assert office.find(office.ana, "answer") == ["a hidden answer"]
    assert office.find(office.ana, "answer is:thread") == ["a hidden answer"]
    assert office.find(office.ana, "block") == ["plain"]


def test_best_first_puts_whole_words_before_parts(office: Office) -> None:
    office.say(office.ana, "cat")
    office.say(office.ana, "concatenation")
    office.say(office.ana, "catalogue")
    assert office.find(office.ana, "cat") == ["catalogue", "concatenation", "cat"]
    assert office.find(office.ana, "cat", best=True) == ["cat", "catalogue", "concatenation"]


@pytest.mark.parametrize("seed", range(5))
def test_the_index_finds_just_what_a_scan_finds(seed: int) -> None:
    rng, office = random.Random(seed), Office(Room())
    words = ["alpha", "beta", "alphabet", "gamma", "albeit", "mag", "日本語", "日本"]
    said = []
    for _ in range(400):
        text = " ".join(rng.sample(words, 3))
        office.say(office.ana, text)
        said.append(text)
        if rng.random() < 0.02:
            office.chat.search.index(office.general.id)
    for query in ("alpha", "bet", "mag", "日本", "gamma -beta", "本語 alpha", '"alpha beta"'):
        wanted = [text for text in reversed(said) if _matches(text, query)]
        assert office.find(office.ana, query) == wanted, query


def _matches(text: str, query: str) -> bool:
    parsed = parse(query)
    whole = all(word in text for word in [*parsed.words, *parsed.phrases])
    return whole and not any(word in text for word in parsed.without)


def test_an_indexer_that_dies_and_begins_again_loses_nothing_and_doubles_nothing() -> None:
    class Dying(MemoryTable):
        left = 10**9

        def transact(self, operations: Any) -> None:
            super().transact(operations)
            if len(operations) != 4 and len(operations) != 3:
                Dying.left -= 1
            if Dying.left == 0:
                raise RuntimeError

    clock = FakeClock()
    for dies_after in range(1, 6):
        Dying.left = 10**9
        office = Office(Room(Dying(clock=lambda: clock.now)))
        for number in range(130):
            office.say(office.ana, f"line {number} of many words " + " ".join(f"w{number}x{n}" for n in range(3)))
        Dying.left = dies_after
        with pytest.raises(RuntimeError):
            office.chat.search.index(office.general.id)
        Dying.left = 10**9
        assert len(office.find(office.ana, "line many")) == 130


def test_terms_are_words_and_pairs() -> None:
    assert terms(plain("Hello, wörld_1! 日本語 <https://x.org|the link> &amp; <@U1>")) == {
        "hello", "world_1", "日本", "本語", "https", "x", "org", "the", "link",
    } - {"https"}  # fmt: skip


def test_any_text_is_a_search(office: Office) -> None:
    office.say(office.ana, "a* (b) [c] %_ \\ ' OR 1=1")
    for query in ("%", "_", "(", "\\", "a*", "' OR 1=1", "from:", "in:", '"', "-", "has:", ":", "x" * 500):
        office.find(office.ana, query) if not parse(query).empty else None
