"""The blog post's chat, function by function: what was wrong with the original does not come back.

Its own handlers run behind the gateway in the test's process, with MiniStack's DynamoDB, so that a test can look into
the table, stop a handler half-way and put a dead connection among the living.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from roost.gateway import server
from roost.gateway.certificates import certificate
from roost.gateway.definition import load
from roost.gateway.tables import create_tables
from tests.gateway.harness import Running, eventually, running, service
from tests.tools import ROOT, ministack

FOLDER = ROOT / "examples" / "blog-post"
FUNCTIONS = {"$connect": "connect", "$disconnect": "disconnect", "$default": "default", "command": "handle_cmd"}
HELP = "Valid commands: /help, /name [NAME], /channel [CHAN_NAME]"
DEAD = "AAAAAAAAAAAAAAA="


class Chat:
    """The running app: its modules, its table, its gateway."""

    def __init__(self, gateway: Running, handler: Any, aws: Any) -> None:
        self.gateway, self.handler, self.aws = gateway, handler, aws

    def join(self) -> ClientConnection:
        """One more person."""
        return connect(self.gateway.url)

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        """The table's items whose partition key begins so."""
        items = self.aws.table.scan(ConsistentRead=True)["Items"]
        return [item for item in items if item["pk"].startswith(prefix)]

    def messages(self) -> list[str]:
        """What was said, in order of the keys."""
        rows = [row for row in self.rows("CHANNEL#") if row["sk"].startswith("MESSAGE#")]
        return [row["text"] for row in sorted(rows, key=lambda row: str(row["sk"]))]

    def hearers(self, channel: str) -> set[str]:
        """The connections that the table has for a channel."""
        rows = self.rows(f"CHANNEL#{channel}")
        return {row["sk"].removeprefix("CONNECTION#") for row in rows if row["sk"].startswith("CONNECTION#")}


@pytest.fixture(scope="module")
def emulated_aws() -> Iterator[str]:
    with ministack() as endpoint:
        yield endpoint


@pytest.fixture
def chat(
    emulated_aws: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Chat]:
    """The app with a table of its own."""
    folder = tmp_path_factory.mktemp("tls")
    made, stage = certificate(folder, []), folder.name
    declared = load(FOLDER / "serverless.yml", stage=stage, options={}, environ={}, overrides={}, base_url="http://x")
    create_tables(declared.tables, endpoint=emulated_aws, region="eu-west-1")
    variables = {
        "TABLE": declared.tables[0].name,
        "AWS_ENDPOINT_URL_DYNAMODB": emulated_aws,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        **made.environment,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(FOLDER))
    aws, handler = importlib.import_module("aws"), importlib.import_module("handler")
    handlers = {
        route: lambda event, name=name: getattr(handler, name)(event, None) for route, name in FUNCTIONS.items()
    }
    settings = server.Settings(log_events=False, tls=made.context)
    try:
        with running(service(dict.fromkeys(FUNCTIONS, False)), handlers, settings) as gateway:
            yield Chat(gateway, handler, aws)
    finally:
        aws.table.meta.client.close()
        for client in aws._clients.values():
            client.close()
        del sys.modules["aws"], sys.modules["handler"]


def tell(client: ClientConnection, text: str) -> str:
    """Send a line and read the reply."""
    client.send(text)
    return str(client.recv(20))


@pytest.mark.parametrize(
    "text",
    [
        *("/help", "/name", "/name  ", "/name\u00a0", "/channel", "/channel #", "/usr/bin/python is broken", "/namebz"),
        *("/name " + "n" * 81, "/channel " + "c" * 81),
    ],
)
def test_what_is_no_command_gets_the_help_line(chat: Chat, text: str) -> None:
    with chat.join() as client:
        assert tell(client, text) == HELP


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("/name bz", "Set username to bz"),
        ("/name   bz  ", "Set username to bz"),
        ("/name x/name y", "Set username to x/name y"),
        ("/name Ana Lima", "Set username to Ana Lima"),
        ("/name\tbz", "Set username to bz"),
        ("/channel random", "Changed to #random"),
        ("/channel #random", "Changed to #random"),
        ("/channel a/channel b", "Changed to #a/channelb"),
        ("/channel general", "Changed to #general"),
    ],
)
def test_commands_are_answered_to_the_byte(chat: Chat, text: str, reply: str) -> None:
    with chat.join() as client:
        assert tell(client, text) == reply


@pytest.mark.parametrize(
    "body", ['{"action":"command"}', '{"action":"command","data":"nonsense"}', '{"action":"command","data":{"a":1}}']
)
def test_an_unknown_request_gets_the_help_line(chat: Chat, body: str) -> None:
    with chat.join() as client:
        assert tell(client, body) == HELP


def test_a_body_that_only_the_router_understands_gets_the_help_line(chat: Chat) -> None:
    """API Gateway routes `{action: "command"}`, which is no JSON, by its key."""
    with chat.join() as client:
        client.send("/who")
        client.recv(20)
        (event,) = chat.gateway.functions.of("$default")
        for body in ('{action: "command"}', "", None, "[]"):
            assert chat.handler.handle_cmd({**event, "body": body}, None) == {"statusCode": 200}
            assert client.recv(20) == HELP


def test_a_list_of_channels_is_the_bytes_of_the_original(chat: Chat) -> None:
    with chat.join() as client:
        tell(client, "/channel zoo")
        tell(client, "/channel den")
        assert tell(client, '{"action":"command","data":"fetchChannels"}') == (
            '{"channelsList": ["den", "general", "zoo"]}'
        )


def test_a_line_break_cannot_forge_another_line_by_text_or_by_name(chat: Chat) -> None:
    with chat.join() as ana, chat.join() as eve:
        eve.send("x\n#general CEO: you are fired")
        assert ana.recv(20) == "#general anonymous: x #general CEO: you are fired"
        assert tell(eve, "/name x\n#general CEO") == "Set username to x #general CEO"
        assert tell(eve, "/channel a\nb\u2028c") == "Changed to #abc"


def test_a_blank_line_is_passed_over(chat: Chat) -> None:
    with chat.join() as ana, chat.join() as ben:
        for blank in ("", "  ", "\n"):
            ben.send(blank)
        ben.send("after")
        assert ana.recv(20) == "#general anonymous: after"
    assert chat.messages() == ["after"]


def test_a_text_that_is_too_long_is_refused_before_anything_is_written(chat: Chat) -> None:
    with chat.join() as client:
        assert tell(client, "x" * 4001) == "Too long: at most 4000 characters"
    assert chat.messages() == []


def test_one_dead_connection_silences_nobody_and_is_forgotten(chat: Chat) -> None:
    with chat.join() as ana, chat.join() as ben, chat.join() as cleo:
        chat.aws.sit_down(DEAD)
        age(chat, DEAD)
        ana.send("anybody?")
        assert {ben.recv(20), cleo.recv(20)} == {"#general anonymous: anybody?"}
        eventually(lambda: DEAD not in chat.hearers("general"))
        eventually(lambda: not chat.rows(f"CONNECTION#{DEAD}"))


def test_a_dead_connection_without_an_item_of_its_own_is_forgotten_where_it_is_found(chat: Chat) -> None:
    with chat.join() as ana, chat.join() as ben:
        chat.aws.sit_down(DEAD)
        chat.aws.move(DEAD, "zoo")
        age(chat, DEAD)
        chat.aws.table.delete_item(Key={"pk": f"CONNECTION#{DEAD}", "sk": "META"})  # what a crash may leave behind
        for client in (ana, ben):
            tell(client, "/channel zoo")
        ana.send("hello")
        assert ben.recv(20) == "#zoo anonymous: hello"
        eventually(lambda: DEAD not in chat.hearers("zoo"))


def test_who_is_just_connecting_is_not_taken_for_dead(chat: Chat) -> None:
    """Until `$connect` has returned, a post to the connection answers 410."""
    half_way, go_on = threading.Event(), threading.Event()
    sit_down = chat.aws.sit_down

    def slowly(connection_id: str) -> None:
        sit_down(connection_id)
        half_way.set()
        assert go_on.wait(20)

    with chat.join() as ana:
        chat.aws.sit_down = slowly
        joined: list[ClientConnection] = []
        joining = threading.Thread(target=lambda: joined.append(chat.join()))
        joining.start()
        assert half_way.wait(20)
        chat.aws.sit_down = sit_down
        assert tell(ana, "/help") == HELP
        (event,) = chat.gateway.functions.of("$default")
        chat.handler.default({**event, "body": "too early for the newcomer"}, None)
        go_on.set()
        joining.join(20)
        with joined[0] as newcomer:
            ana.send("welcome")
            assert newcomer.recv(20) == "#general anonymous: welcome"


def test_several_moves_at_once_leave_a_connection_in_one_channel(chat: Chat) -> None:
    with chat.join() as client:
        assert tell(client, "/help") == HELP
        (connection_id,) = chat.gateway.open_ids()
        for number in range(10):
            moves = [
                threading.Thread(target=chat.aws.move, args=(connection_id, f"c{number}-{side}")) for side in range(3)
            ]
            for move in moves:
                move.start()
            for move in moves:
                move.join()
            channel = chat.aws.seat(connection_id)["channel"]
            heard = {row["pk"] for row in chat.rows("CHANNEL#") if row["sk"] == f"CONNECTION#{connection_id}"}
            assert heard == {f"CHANNEL#{channel}"}


def test_a_rename_and_a_move_at_once_are_both_kept(chat: Chat) -> None:
    with chat.join() as client:
        assert tell(client, "/help") == HELP
        (connection_id,) = chat.gateway.open_ids()
        for number in range(10):
            changes = [
                threading.Thread(target=chat.aws.move, args=(connection_id, f"c{number}")),
                threading.Thread(target=chat.aws.rename, args=(connection_id, f"n{number}")),
            ]
            for change in changes:
                change.start()
            for change in changes:
                change.join()
            assert chat.aws.seat(connection_id) == {"name": f"n{number}", "channel": f"c{number}"}


def test_who_has_left_is_not_brought_back_by_a_late_command(chat: Chat) -> None:
    with chat.join() as client:
        tell(client, "/name ana")
        (event,) = chat.gateway.functions.of("$default")
    eventually(lambda: not chat.rows("CONNECTION#"))
    for late in ("/name ben", "/channel zoo", "who said this?"):
        assert chat.handler.default({**event, "body": late}, None) == {"statusCode": 200}
    assert chat.rows("CONNECTION#") == []
    assert chat.messages() == []
    assert chat.hearers("zoo") == set()


def test_what_connections_leave_behind_is_nothing(chat: Chat) -> None:
    for number in range(3):
        with chat.join() as client:
            tell(client, f"/channel c{number}")
    eventually(lambda: not chat.rows("CONNECTION#"))
    assert {row["pk"] for row in chat.rows("")} == {"CHANNELS"}


def test_messages_of_one_moment_are_all_kept(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat.aws.time, "time_ns", lambda: 1_700_000_000_000_000_000)
    with chat.join() as ana, chat.join() as ben:
        for number in range(5):
            ana.send(f"line {number}")
        heard = {ben.recv(20) for _ in range(5)}
    assert heard == {f"#general anonymous: line {number}" for number in range(5)}
    assert sorted(chat.messages()) == [f"line {number}" for number in range(5)]


def test_every_item_of_a_connection_ends_by_itself(chat: Chat) -> None:
    with chat.join() as client:
        tell(client, "/channel zoo")
        rows = [row for row in chat.rows("") if "CONNECTION#" in row["pk"] + row["sk"]]
        assert len(rows) == 2
        for row in rows:
            assert 2 * 3600 < int(row["expires"]) - time.time() < 2 * 3600 + 700


def test_names_cannot_reach_the_chats_own_keys(chat: Chat) -> None:
    with chat.join() as ana, chat.join() as ben:
        for name in ("CHANNELS", "general:::connections", "CONNECTION#x", chat.gateway.open_ids()[0]):
            for client in (ana, ben):
                assert tell(client, f"/channel {name}") == f"Changed to #{name.replace('#', '')}"
            ana.send("hi")
            assert ben.recv(20) == f"#{name.replace('#', '')} anonymous: hi"
        listed = json.loads(tell(ana, '{"action":"command","data":"fetchChannels"}'))["channelsList"]
        assert len(listed) == 5


def test_a_thousand_channels_are_listed_over_all_pages(chat: Chat) -> None:
    """A page of a query ends at 1 MB."""
    with chat.aws.table.batch_writer() as batch:
        for number in range(1200):
            batch.put_item(Item={"pk": "CHANNELS", "sk": f"c{number:04}", "weight": "x" * 1000})
    assert len(chat.aws.channels()) == 1200


def age(chat: Chat, connection_id: str) -> None:
    """Let a connection have been there for an hour."""
    for row in chat.rows(""):
        if connection_id in row["pk"] + row["sk"]:
            row["expires"] -= 3600
            chat.aws.table.put_item(Item=row)
