"""The text protocol and its guards, acted out by people. Each fault of the original app is a test here; its number in
the list of faults stands in the docstring. On every engine: `new_room` and `room` are in tests/conftest.py."""

from __future__ import annotations

import logging

import pytest

from roost.app import App
from roost.chat.messages import Posting
from roost.chat.model import Composition, channel_of, person_of
from roost.chat.ports import Outcome
from roost.settings import Settings
from roost.storage.items import socket_key, tuned_key
from roost.storage.messages import Range
from roost.storage.table import StoreUnavailable, Throttled
from roost.testing import MemoryTable, Room, http_event, socket_event
from tests.conftest import NewRoom

HELP = (
    "Valid commands: /help, /name [NAME], /channel [CHAN_NAME], /who, /channels, /history [N], /login TOKEN, /dm NAME"
)


# -- the blog post's exchange -----------------------------------------------------------------------------------------


def test_a_line_reaches_the_others_and_not_its_sender(room: Room) -> None:
    ana, ben, cleo = room.enter("a"), room.enter("b"), room.enter("c")
    assert ana.says("hello") == []
    assert ben.hears() == cleo.hears() == ["#general anonymous: hello"]


def test_names_and_channels_answer_to_the_byte(room: Room) -> None:
    ana, ben = room.enter("a"), room.enter("b")
    assert ana.says("/name bz") == ["Set username to bz"]
    assert ana.says("/channel random") == ["Changed to #random"]
    assert ben.says("/channel #random") == ["Changed to #random"]
    ana.says("over here")
    assert ben.hears() == ["#random bz: over here"]


def test_the_channel_list_is_sorted_json(room: Room) -> None:
    ana = room.enter("a")
    ana.says("/channel zebra")
    ana.says("/channel apple")
    assert ana.hears() == []
    assert ana.says('{"action":"command","data":"fetchChannels"}') == [
        '{"channelsList": ["apple", "general", "zebra"]}'
    ]


def test_blank_lines_are_ignored(room: Room) -> None:
    ana, ben = room.enter("a"), room.enter("b")
    assert [ana.says(line) for line in ("", " ", "\t", "\n", "\u2003")] == [[]] * 5
    assert ben.hears() == []


# -- messages: identity, order, loss ----------------------------------------------------------------------------------


def test_two_messages_of_one_millisecond_are_both_stored(room: Room) -> None:
    """S01"""
    ana, ben = room.enter("a"), room.enter("b")
    ana.says("one")  # the clock stands still
    ana.says("two")
    assert ben.hears() == ["#general anonymous: one", "#general anonymous: two"]
    assert [line.partition("] ")[2] for line in ana.says("/history")[0].splitlines()] == [
        "#general anonymous: one",
        "#general anonymous: two",
    ]


def test_history_outlives_its_speaker_and_keeps_their_name(room: Room) -> None:
    """S02, S03"""
    ana = room.enter("a")
    ana.says("/name bz")
    ana.says("before I go")
    ana.leaves()
    assert room.enter("b").says("/history")[0].endswith("#general bz: before I go")


def test_a_line_that_is_handed_over_twice_is_said_once(room: Room) -> None:
    """S04, G2"""
    ana, ben = room.enter("a"), room.enter("b")
    for _ in range(5):
        ana.says("once", message_id="same")
    assert ben.hears() == ["#general anonymous: once"]
    assert len(ana.says("/history")[0].splitlines()) == 1


def test_a_push_that_fails_in_any_way_is_no_error_for_the_sender(room: Room) -> None:
    """S06, G11"""
    ana, ben = room.enter("a"), room.enter("b")
    room.push.error = RuntimeError("the network is down")
    assert ana.says("into the void") == []
    room.push.error = None
    assert "into the void" in ben.says("/history")[0]


@pytest.mark.parametrize(
    "name", ["channels", "general", "c", "w", "t", "meta", "head", "n", "u-", "k", "cn", "__init__", "m", "0", "-", "_"]
)
def test_channels_named_like_system_keys_are_only_names(room: Room, name: str) -> None:
    """S08"""
    ana, ben = room.enter("a"), room.enter("b")
    told = f"T#{room.app.chat.core.workspace.team}"  # the workspace's own log, which says that there is a new channel
    before = [item for item in room.table.everything() if not {"N#a", told} & {item["PK"], item["SK"]}]
    assert ana.says(f"/channel {name}") == [f"Changed to #{name}"]
    if name != "general":
        ana.says(f"in {name}")
        after = room.table.everything()
        assert all(item in after for item in before)
    assert ben.hears() == []


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("/channel #", "A channel needs a name."),
        ("/channel ##", "A channel needs a name."),
        ("/channel Random", "A channel name is made of lower-case letters, digits, - and _."),
        ("/channel a b", "A channel name is made of lower-case letters, digits, - and _."),
        ("/channel x:::connections", "A channel name is made of lower-case letters, digits, - and _."),
        ("/channel C#x", "A channel name is made of lower-case letters, digits, - and _."),
        ("/channel a/channel b", "A channel name is made of lower-case letters, digits, - and _."),
        ("/channel ../../etc", "A channel name is made of lower-case letters, digits, - and _."),
        ("/channel " + "x" * 81, "A channel name has at most 80 characters."),
        ("/channel " + "x" * 80, "Changed to #" + "x" * 80),
        ("/channel naïve-ß_1", "Changed to #naïve-ß_1"),
        ("/channel 日本語", "Changed to #日本語"),
    ],
)
def test_a_channel_name_is_taken_or_refused_in_a_sentence(room: Room, typed: str, answer: str) -> None:
    """S09, S10"""
    ana, ben = room.enter("a"), room.enter("b")
    assert ana.says(typed) == [answer]
    ana.says("still talking")
    assert ben.hears() == ([] if answer.startswith("Changed") else ["#general anonymous: still talking"])


@pytest.mark.parametrize("text", ["x" * 40_001, "ä" * 15_361, "x" * 30_721])
def test_a_message_that_is_too_long_is_refused_before_anything_is_stored(room: Room, text: str) -> None:
    """S11"""
    ana, ben = room.enter("a"), room.enter("b")
    (answer,) = ana.says(text)
    assert answer.startswith("That is too long to send")
    assert ben.hears() == []
    assert ana.says("/history") == ["Nothing has been said in #general yet."]


def test_the_longest_message_arrives_whole(room: Room) -> None:
    ana, ben = room.enter("a"), room.enter("b")
    ana.says("\x7f" * 30_720)
    (frame,) = ben.hears()
    assert len(frame.encode()) <= 128 * 1024
    assert frame.count("\\x7f") == 30_720


# -- connections and broadcast ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.GONE, Outcome.FAILED])
def test_one_dead_receiver_among_a_hundred_stops_nobody(room: Room, outcome: Outcome) -> None:
    """S16, S17, G9"""
    people = [room.enter(f"c{n}") for n in range(100)]
    room.push.outcomes["c50"] = outcome
    people[0].says("hello")
    assert [len(person.hears()) for person in people[1:]] == [0 if n == 50 else 1 for n in range(1, 100)]


def test_a_dead_connection_is_forgotten_and_a_connecting_one_is_not(room: Room) -> None:
    """G10"""
    ana = room.enter("a")
    room.enter("dead")
    general = room.app.chat.core.workspace.general
    room.clock.now += 9.9
    room.enter("connecting")
    room.push.outcomes |= {"dead": Outcome.GONE, "connecting": Outcome.GONE}
    room.clock.now += 0.2
    ana.says("who is there?")
    assert room.table.get(socket_key("dead")) is None
    assert room.table.get(tuned_key(general, "dead")) is None
    assert room.table.get(tuned_key(general, "connecting")) is not None
    room.push.outcomes.clear()
    ana.says("and now?")
    assert room.push.to("connecting") == ["#general anonymous: and now?"]


def test_without_any_disconnect_event_nothing_is_left_after_two_hours_and_ten_minutes(room: Room) -> None:
    """S15, S20, G10"""
    baseline = len(room.table.everything())
    for n in range(50):
        room.enter(f"c{n}")
    assert room.app.chat.core.workspace
    room.clock.now += 2 * 3600 + 600
    kinds = {str(item["PK"])[:2] + str(item["SK"])[:2] for item in room.table.everything()}
    assert "N#ME" not in kinds
    assert not any(kind.endswith("N#") for kind in kinds)
    assert baseline <= len(room.table.everything()) <= baseline + 5  # the workspace and its channel


def test_after_everybody_left_the_table_is_as_it_was(room: Room) -> None:
    """S20"""
    room.enter("first").leaves()
    before = len(room.table.everything())
    people = [room.enter(f"c{n}") for n in range(20)]
    people[3].says("/name x")
    people[4].says("/channel general")
    for person in people:
        person.leaves()
    assert len(room.table.everything()) == before


def test_a_command_after_the_disconnect_brings_no_ghost_into_being(room: Room) -> None:
    """S21"""
    ana = room.enter("a")
    ana.leaves()
    before = len(room.table.everything())
    for late in ("/name ghost", "/channel random", "boo"):
        assert ana.says(late) == ["This connection is over. Connect again."]
    assert not [i for i in room.table.everything() if str(i["PK"]) == "N#a"]
    assert len(room.table.everything()) <= before + 3  # #random itself was made


def test_a_connection_costs_two_writes_whatever_the_channels_size(room: Room) -> None:
    """S12, S13, S24"""
    for n in range(200):
        room.enter(f"c{n}")
    room.table.writes = 0
    room.enter("one more")
    assert room.table.writes == 2


def test_who_just_came_hears_what_is_said_next(room: Room) -> None:
    """S14"""
    ana = room.enter("a")
    ana.says("nobody here yet")
    ben = room.enter("b")
    ana.says("hello ben")
    assert ben.hears() == ["#general anonymous: hello ben"]
    ben.says("/name ben")
    ben.says("renamed")
    assert ana.hears() == ["#general ben: renamed"]


def test_changing_to_the_channel_one_is_in_changes_nothing(room: Room) -> None:
    ana, ben = room.enter("a"), room.enter("b")
    assert ana.says("/channel general") == ["Changed to #general"]
    ben.says("still heard")
    assert ana.hears() == ["#general anonymous: still heard"]


# -- commands and input -----------------------------------------------------------------------------------------------


def test_help_is_one_line(room: Room) -> None:
    """S28"""
    assert room.enter("a").says("/help") == [HELP]


@pytest.mark.parametrize(
    "typed", ["/usr/bin/python is broken", "/nonsense", "/", "//", "/names bz", "/HELP", "/name\u00a0"]
)
def test_what_is_no_command_is_not_sent_and_says_how_to(room: Room, typed: str) -> None:
    """S28"""
    ana, ben = room.enter("a"), room.enter("b")
    (answer,) = ana.says(typed)
    assert answer.startswith(HELP)
    assert "\n" not in answer
    assert ben.hears() == []


def test_a_leading_blank_sends_a_path_as_text(room: Room) -> None:
    ana, ben = room.enter("a"), room.enter("b")
    assert ana.says(" /usr/bin/python is broken") == []
    assert ben.hears() == ["#general anonymous: /usr/bin/python is broken"]


@pytest.mark.parametrize("typed", ["/name", "/name ", "/channel", "/channel  "])
def test_a_command_without_its_argument_says_its_usage(room: Room, typed: str) -> None:
    """S29"""
    (answer,) = room.enter("a").says(typed)
    assert answer.startswith(HELP)
    assert f"Usage: {typed.strip()} " in answer


def test_the_argument_is_the_whole_rest(room: Room) -> None:
    """S30"""
    assert room.enter("a").says("/name x/name y") == ["Set username to x/name y"]


@pytest.mark.parametrize("typed", ["/name \x00\x07", "/name \u202e", "/name " + "x" * 81, "/name \u200b"])
def test_a_name_that_cannot_be_seen_or_is_too_long_is_refused(room: Room, typed: str) -> None:
    """S31, S10"""
    assert room.enter("a").says(typed) == ["A name has 1 to 80 characters that can be seen."]


def test_control_characters_are_taken_out_of_names(room: Room) -> None:
    assert room.enter("a").says("/name b\x07z\x1b[2J\u202e") == ["Set username to bz[2J"]


@pytest.mark.parametrize(
    "body",
    [
        '{"action":"command"}',
        '{"action":"command","data":"nope"}',
        '{"action":"command","data":null}',
        '{"action":"command","data":{}}',
    ],
)
def test_a_command_frame_without_a_known_command_gets_one_line(room: Room, body: str) -> None:
    """S32"""
    ana, ben = room.enter("a"), room.enter("b")
    assert ana.says(body) == ['Valid commands: {"action":"command","data":"fetchChannels"}']
    assert ben.hears() == []


@pytest.mark.parametrize(
    "body",
    [
        '{"action":"command","data":"fetchChannels","text":"see?"}',
        '{"action":"Command","data":"fetchChannels"}',
        '{"action":"other"}',
        '["action","command"]',
        '{"action":"command"',
        '"action command"',
        "null",
        "{}",
    ],
)
def test_chat_that_happens_to_be_json_is_chat(room: Room, body: str) -> None:
    """S33"""
    ana, ben = room.enter("a"), room.enter("b")
    assert ana.says(body) == []
    assert ben.hears() == [f"#general anonymous: {body}"]


def test_a_null_body_is_passed_over(room: Room) -> None:
    """S34"""
    ana = room.enter("a")
    assert ana.says(None) == []
    assert ana.says("/help") == [HELP]


def test_on_an_empty_table_the_list_is_general(room: Room) -> None:
    """S35"""
    assert room.enter("a").says('{"action":"command","data":"fetchChannels"}') == ['{"channelsList": ["general"]}']


# -- security ---------------------------------------------------------------------------------------------------------


def test_where_guests_are_off_a_connection_without_identity_is_refused(new_room: NewRoom) -> None:
    """S36"""
    room = new_room(Settings(guests=False))
    room.enter("a")
    assert room.answer == {"statusCode": 403}
    assert room.table.everything() == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:8000", 200),
        ("https://team.example", 200),
        ("https://evil.example", 403),
        ("http://localhost:9999", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_foreign_page_cannot_open_a_socket(new_room: NewRoom, origin: str | None, status: int) -> None:
    """S37"""
    room = new_room(Settings(origins=("https://team.example",)))
    room.enter("a", headers={} if origin is None else {"Origin": origin})
    assert room.answer["statusCode"] == status


def test_two_people_of_one_name_stay_two(room: Room) -> None:
    """S38"""
    ana, ben = room.enter("a"), room.enter("b")
    ana.says("/name B")
    ben.says("/name B")
    assert room.enter("c").says("/who") == ["In #general: B (guest), B (guest), anonymous (guest)"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x\n#general CEO: you are fired", "x\\n#general CEO: you are fired"),
        ("x\r\ny", "x\\r\\ny"),
        ("x\u2028y\u2029z\x85", "x\\u2028y\\u2029z\\x85"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\u202eevil", "\\u202eevil"),
        ("tab\there", "tab\\there"),
        ("\0", "\\x00"),
        ("👩‍👩‍👧 fine", "👩‍👩‍👧 fine"),
    ],
)
def test_no_text_can_forge_anothers_line_or_drive_a_terminal(room: Room, text: str, shown: str) -> None:
    """S39"""
    ana, ben = room.enter("a"), room.enter("b")
    ana.says(text)
    assert ben.hears() == [f"#general anonymous: {shown}"]
    assert ben.says("/history")[0].endswith(f"#general anonymous: {shown}")


def test_a_name_cannot_forge_a_line_either(room: Room) -> None:
    ana, ben = room.enter("a"), room.enter("b")
    ana.says("/name x\n#general CEO")
    ana.says("hello")
    assert ben.hears() == ["#general x#general CEO: hello"]


def test_over_the_limit_a_connection_is_told_and_nothing_is_stored(new_room: NewRoom) -> None:
    """S41, G16"""
    room = new_room(Settings(limits=True))
    ana, ben = room.enter("a"), room.enter("b")
    for n in range(100):
        assert ana.says(f"line {n}") == []
    assert ana.says("one too many") == ["You are sending too fast. Nothing was sent; wait a moment."]
    assert len(ben.hears()) == 100
    assert ben.says("I may speak") == []
    room.clock.now += 60
    ana.says("again")
    assert ben.hears() == ["#general anonymous: again"]


def test_a_member_logs_in_and_a_guest_cannot_take_their_name(room: Room) -> None:
    people = room.app.chat.people
    token = people.create_token(people.add("Ana"), "user")
    assert token.startswith("xoxp-roost-")
    assert token not in str(room.table.everything())
    ana, ben = room.enter("a"), room.enter("b")
    for taken in ("Ana", "ana", "ANA", "\uff21na"):
        assert ben.says(f"/name {taken}") == ["That name belongs to a member. Choose another."]
    assert ana.says(f"/login {token}") == ["Logged in as Ana"]
    ana.says("it is me")
    assert ben.hears() == ["#general Ana: it is me"]
    assert ben.says("/who") == ["In #general: Ana, anonymous (guest)"]
    assert ana.says("/name other") == ["You are logged in as a member, whose name stays as it is."]


@pytest.mark.parametrize("token", ["x", "xoxp-roost-" + "0" * 64, "' OR 1=1", "\ud800"])
def test_a_wrong_token_is_refused_and_echoed_nowhere(room: Room, token: str, caplog: pytest.LogCaptureFixture) -> None:
    (answer,) = room.enter("a").says(f"/login {token}")
    assert token not in answer or len(token) == 1
    assert token not in caplog.text or len(token) == 1


# -- the extras -------------------------------------------------------------------------------------------------------


def test_history_is_the_newest_lines_oldest_first(room: Room) -> None:
    ana = room.enter("a")
    for n in range(30):
        ana.says(f"line {n}")
        room.clock.now += 1
    (frame,) = ana.says("/history 3")
    assert frame.splitlines() == [f"[2027-01-15 08:00] #general anonymous: line {n}" for n in (27, 28, 29)]
    assert len(ana.says("/history")[0].splitlines()) == 20


@pytest.mark.parametrize(
    "typed", ["/history 0", "/history -1", "/history 201", "/history x", "/history 9999999999", "/history ٣"]
)
def test_history_of_no_number_says_its_usage(room: Room, typed: str) -> None:
    assert room.enter("a").says(typed) == ["Usage: /history [N], where N is 1 to 200"]


def test_a_long_history_comes_in_as_few_frames_as_it_fits(room: Room) -> None:
    ana = room.enter("a")
    for n in range(40):
        ana.says(f"{n:02}" + "x" * 5000)
    frames = ana.says("/history 40")
    assert all(len(frame.encode()) <= 28 * 1024 for frame in frames)
    assert len(frames) == 8
    assert sum(len(frame.splitlines()) for frame in frames) == 40


def test_history_reaches_back_over_months(room: Room) -> None:
    ana = room.enter("a")
    ana.says("in January")
    room.clock.now += 70 * 86400
    ben = room.enter("b")
    ben.says("in March")
    said = [line.rpartition(": ")[2] for line in ben.says("/history")[0].splitlines()]
    assert said == ["in January", "in March"]


def test_channels_is_one_line(room: Room) -> None:
    ana = room.enter("a")
    ana.says("/channel random")
    assert ana.says("/channels") == ["Channels: #general, #random"]


def test_a_very_long_list_is_cut_to_one_frame(room: Room) -> None:
    ana = room.enter("a")
    for n in range(600):
        ana.says(f"/channel {n:03}" + "x" * 60)
    (line,) = ana.says("/channels")
    assert len(line.encode()) <= 28 * 1024
    assert line.endswith(" more")


# -- the last guard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Throttled("full"), "Too much at once. Nothing was sent; try again in a moment."),
        (ValueError("secret"), "Something went wrong (request "),
        (StoreUnavailable("down"), "Something went wrong (request "),  # it may have been stored
    ],
)
def test_whatever_the_store_does_the_person_gets_one_line_and_the_log_no_content(
    room: Room, error: Exception, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("roost").propagate = True
    ana = room.enter("a")
    room.table.error = error
    (line,) = ana.says("my private words")
    assert line.startswith(answer)
    assert "private words" not in caplog.text
    assert "secret" not in line + caplog.text
    assert room.app.handle(socket_event("MESSAGE", "a", "x")) == {"statusCode": 200}


def test_a_connect_that_fails_is_a_500_with_a_request_id(room: Room) -> None:
    room.table.error = ValueError("secret")
    answer = room.app.handle(socket_event("CONNECT", "a"))
    assert answer["statusCode"] == 500
    assert "fatal_error" in answer["body"]
    assert "secret" not in answer["body"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("POST", "/", 405),
        ("GET", "/nothing", 404),
        ("POST", "/api/chat.nothing", 200),
        ("GET", "/api/", 200),
    ],
)
def test_http_says_how_to_connect_and_answers_slacks_unknown_method(
    room: Room, method: str, path: str, status: int
) -> None:
    answer = room.app.handle(http_event(method, path))
    assert answer["statusCode"] == status
    if path.startswith("/api/"):
        assert answer["body"] == '{"ok":false,"error":"unknown_method"}'


def test_two_apps_on_one_table_share_one_workspace() -> None:
    table = MemoryTable(exclusive=False)
    one, other = Room(table), Room(table)
    assert isinstance(one.app, App)
    assert one.app.chat.core.workspace == other.app.chat.core.workspace


# -- members in the terminal ------------------------------------------------------------------------------------------


def test_a_member_reaches_what_is_theirs(room: Room) -> None:
    chat = room.app.chat
    ana, ben = (chat.people.add(name) for name in ("Ana", "Ben"))
    secret = chat.channels.create(person_of(ana), "secret", private=True)
    desk, couch = room.enter("desk"), room.enter("couch")
    assert couch.says("/channel secret") == ["There is no such channel."]
    assert couch.says("/dm Ana") == ["Guests talk in public channels. Log in as a member: /login TOKEN"]
    desk.says(f"/login {chat.people.create_token(ana, 'user')}")
    assert desk.says("/channels") == ["Channels: #general, #secret"]
    assert desk.says("/channel secret") == ["Changed to #secret"]
    couch.says(f"/login {chat.people.create_token(ben, 'user')}")
    assert couch.says("/channel secret") == ["There is no such channel."]
    chat.channels.invite(person_of(ana), channel_of(secret), ben.id)
    assert couch.says("/channel secret") == ["Changed to #secret"]
    desk.says("for members")
    assert couch.hears() == ["#secret Ana: for members"]
    assert desk.says("/dm ben") == ["Talking with Ben"]
    assert couch.says("/dm @Ana") == ["Talking with Ana"]
    desk.says("just you")
    assert couch.hears() == ["@Ana Ana: just you"]
    assert couch.says("/history 1")[0].endswith("@Ana Ana: just you")


def test_what_is_typed_in_a_terminal_is_no_markup_and_is_read_as_it_was_typed(room: Room) -> None:
    chat = room.app.chat
    ana = chat.people.add("Ana")
    desk, couch = room.enter("desk"), room.enter("couch")
    typed = f"a < b & c > d, &lt; <@{ana.id}> <script> <https://example.org|label>"
    desk.says(typed)
    assert couch.hears() == [f"#general anonymous: {typed}"]
    general = chat.channels.get(chat.core.workspace.general)
    found, _ = chat.messages.history(person_of(ana), general, Range(), 1)
    assert found[0].row.text.startswith("a &lt; b &amp; c &gt; d, &amp;lt; &lt;@")


def test_markup_replies_and_edits_are_read_aloud(room: Room) -> None:
    chat = room.app.chat
    ana = chat.people.add("Ana")
    general = chat.channels.get(chat.core.workspace.general)
    couch = room.enter("couch")
    said = chat.messages.post(person_of(ana), general, Posting(f"<@{ana.id}> see <https://x.org|this> &amp; <!here>"))
    assert couch.hears() == ["#general Ana: @Ana see this (https://x.org) & @here"]
    chat.messages.post(person_of(ana), general, Posting("an answer", thread=said.message.ts))
    assert couch.hears() == ["#general Ana (in a thread): an answer"]
    chat.messages.edit(person_of(ana), general, said.message.ts, "better", Composition())
    assert couch.hears() == ["#general Ana (edited): better"]
