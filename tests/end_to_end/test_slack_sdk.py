"""Slack's own client for Python, unmodified, doing a day's work on `roost serve`: on a file and on a table."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry import HttpResponse
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.rtm_v2 import RTMClient
from slack_sdk.web.async_client import AsyncWebClient

from roost.slack.methods import TIERS
from tests.tools import ROOST, Server, ministack, start_serve

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(frozen=True)
class Office:
    """A server, and the tokens of two people."""

    server: Server
    ana: str
    ben: str

    @property
    def url(self) -> str:
        """The base URL, as clients take it."""
        return f"http://127.0.0.1:{self.server.port}/api/"

    def client(self, token: str) -> WebClient:
        """A client."""
        return WebClient(token, base_url=self.url)


def open_office(data: Path, *options: str, serve: tuple[str, ...] = ()) -> Office:
    """People are made by the command, then the server is started. `serve`: options of its own."""

    def run(*arguments: str) -> Any:
        command = [str(ROOST), *arguments, "--data", str(data), *options, "--json"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)

    for name in ("ana", "ben"):
        run("user", "add", name)
    tokens = [run("token", "create", name)["token"] for name in ("ana", "ben")]
    return Office(start_serve(data, *options, *serve), *tokens)


@pytest.fixture(scope="module", params=["file", "table"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    data = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "file":
            opened = open_office(data)
            yield opened
        else:
            with ministack() as endpoint:
                for name, value in KEYS.items():
                    patch.setenv(name, value)
                opened = open_office(data, "--table", f"dynamodb://sdk?endpoint={endpoint}&region=eu-west-1")
                yield opened
        assert "Traceback" not in opened.server.stderr()
        opened.server.kill()


@pytest.fixture
def ana(office: Office) -> WebClient:
    return office.client(office.ana)


@pytest.fixture
def ben(office: Office) -> WebClient:
    return office.client(office.ben)


def me(client: WebClient) -> str:
    return str(client.auth_test()["user_id"])


def a_name() -> str:
    return f"room-{uuid.uuid4().hex[:8]}"


def channel_of_both(ana: WebClient, ben: WebClient) -> str:
    made = str(ana.conversations_create(name=a_name())["channel"]["id"])
    ben.conversations_join(channel=made)
    return made


def code(call: Callable[[], object]) -> str:
    with pytest.raises(SlackApiError) as refused:
        call()
    return str(refused.value.response["error"])


# -- channels ----------------------------------------------------------------------------------------------------------


def test_channels_from_making_to_archiving(ana: WebClient, ben: WebClient) -> None:
    name = a_name()
    made = ana.conversations_create(name=name)["channel"]
    channel = made["id"]
    assert (made["name"], made["is_private"], made["is_member"]) == (name, False, True)
    assert code(lambda: ben.conversations_create(name=name)) == "name_taken"
    assert ana.conversations_setTopic(channel=channel, topic="Plans")["channel"]["topic"]["value"] == "Plans"
    assert ana.conversations_setPurpose(channel=channel, purpose="To plan")["channel"]["purpose"]["value"] == "To plan"
    assert ana.conversations_invite(channel=channel, users=[me(ben)])["channel"]["id"] == channel
    assert ben.conversations_join(channel=channel)["warning"] == "already_in_channel"
    assert set(ana.conversations_members(channel=channel)["members"]) == {me(ana), me(ben)}
    ana.conversations_kick(channel=channel, user=me(ben))
    assert code(lambda: ben.chat_postMessage(channel=channel, text="x")) == "not_in_channel"
    renamed = a_name()
    assert ana.conversations_rename(channel=channel, name=renamed)["channel"]["name"] == renamed
    ana.conversations_archive(channel=channel)
    assert code(lambda: ana.chat_postMessage(channel=channel, text="x")) == "is_archived"
    ana.conversations_unarchive(channel=channel)
    info = ana.conversations_info(channel=channel, include_num_members=True)["channel"]
    assert (info["name"], info["num_members"], info["is_archived"]) == (renamed, 1, False)


def test_lists_are_read_to_their_end_by_cursor(ana: WebClient) -> None:
    made = {ana.conversations_create(name=a_name())["channel"]["id"] for _ in range(5)}
    pages = [page["channels"] for page in ana.conversations_list(limit=2, exclude_archived=True)]
    assert all(len(page) <= 2 for page in pages)
    listed = [each["id"] for page in pages for each in page]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))


def test_private_channels_do_not_exist_for_others(ana: WebClient, ben: WebClient) -> None:
    channel = ana.conversations_create(name=a_name(), is_private=True)["channel"]["id"]
    ts = ana.chat_postMessage(channel=channel, text="secret")["ts"]
    for call in (
        lambda: ben.conversations_info(channel=channel),
        lambda: ben.conversations_history(channel=channel),
        lambda: ben.conversations_replies(channel=channel, ts=ts),
        lambda: ben.chat_postMessage(channel=channel, text="x"),
        lambda: ben.chat_getPermalink(channel=channel, message_ts=ts),
        lambda: ben.reactions_add(channel=channel, timestamp=ts, name="tada"),
    ):
        assert code(call) == "channel_not_found"
    kinds = "public_channel,private_channel,mpim,im"
    listed = [each["id"] for page in ben.conversations_list(types=kinds) for each in page["channels"]]
    assert channel not in listed


# -- messages ----------------------------------------------------------------------------------------------------------


def test_messages_from_posting_to_deleting(ana: WebClient, ben: WebClient) -> None:
    channel = channel_of_both(ana, ben)
    posted = ana.chat_postMessage(channel=channel, text="Hello & <welcome>")
    assert posted["message"]["text"] == "Hello & <welcome>"
    ts = posted["ts"]
    assert code(lambda: ben.chat_update(channel=channel, ts=ts, text="mine")) == "cant_update_message"
    edited = ana.chat_update(channel=channel, ts=ts, text="Good morning")
    assert (edited["text"], edited["message"]["edited"]["user"]) == ("Good morning", me(ana))
    assert ben.conversations_history(channel=channel)["messages"][0]["text"] == "Good morning"
    assert ts.replace(".", "") in ana.chat_getPermalink(channel=channel, message_ts=ts)["permalink"]
    assert code(lambda: ben.chat_delete(channel=channel, ts=ts)) == "cant_delete_message"
    ana.chat_delete(channel=channel, ts=ts)
    assert ts not in [each["ts"] for each in ben.conversations_history(channel=channel)["messages"]]
    assert code(lambda: ana.chat_delete(channel=channel, ts=ts)) == "message_not_found"


def test_blocks_attachments_and_metadata_come_back_as_they_were_sent(ana: WebClient, ben: WebClient) -> None:
    channel = channel_of_both(ana, ben)
    blocks = [{"type": "section", "block_id": "b1", "text": {"type": "mrkdwn", "text": "*Hi*"}}]
    metadata = {"event_type": "task", "event_payload": {"id": 7}}
    ana.chat_postMessage(channel=channel, text="Hi", blocks=blocks, metadata=metadata, attachments=[{"text": "more"}])
    message = ben.conversations_history(channel=channel, include_all_metadata=True, limit=1)["messages"][0]
    assert message["blocks"] == blocks
    assert message["metadata"] == metadata
    assert message["attachments"][0]["text"] == "more"
    assert "metadata" not in ben.conversations_history(channel=channel, limit=1)["messages"][0]
    assert code(lambda: ana.chat_postMessage(channel=channel, text="x", blocks=[{"type": "no"}])) == "invalid_blocks"


def test_a_thread_is_read_page_by_page_from_its_root(ana: WebClient, ben: WebClient) -> None:
    channel = channel_of_both(ana, ben)
    root = ana.chat_postMessage(channel=channel, text="root")["ts"]
    replies = [ben.chat_postMessage(channel=channel, text=f"{n}", thread_ts=root)["ts"] for n in range(5)]
    pages = [page["messages"] for page in ana.conversations_replies(channel=channel, ts=root, limit=3)]
    assert [each["ts"] for page in pages for each in page] == [root, *replies]
    parent = pages[0][0]
    assert (parent["reply_count"], parent["reply_users"], parent["latest_reply"]) == (5, [me(ben)], replies[-1])
    assert parent["thread_ts"] == root
    shown = [each["ts"] for each in ana.conversations_history(channel=channel)["messages"]]
    assert root in shown
    assert not set(replies) & set(shown)
    broadcast = ben.chat_postMessage(channel=channel, text="all", thread_ts=root, reply_broadcast=True)["ts"]
    assert broadcast in [each["ts"] for each in ana.conversations_history(channel=channel)["messages"]]


def test_history_is_read_to_its_beginning_by_cursor(ana: WebClient, ben: WebClient) -> None:
    channel = channel_of_both(ana, ben)
    said = [ana.chat_postMessage(channel=channel, text=f"{n}")["ts"] for n in range(7)]
    pages = [page["messages"] for page in ben.conversations_history(channel=channel, limit=3, oldest=said[0])]
    assert [len(page) for page in pages] == [3, 3]
    assert [each["ts"] for page in pages for each in page] == said[:0:-1]
    inclusive = ben.conversations_history(channel=channel, oldest=said[0], latest=said[0], inclusive=True)
    assert [each["ts"] for each in inclusive["messages"]] == [said[0]]


def test_reactions_and_pins(ana: WebClient, ben: WebClient) -> None:
    channel = channel_of_both(ana, ben)
    ts = ana.chat_postMessage(channel=channel, text="x")["ts"]
    ben.reactions_add(channel=channel, timestamp=ts, name="tada")
    assert code(lambda: ben.reactions_add(channel=channel, timestamp=ts, name="tada")) == "already_reacted"
    ana.reactions_add(channel=channel, timestamp=ts, name=":tada:")
    (reaction,) = ana.reactions_get(channel=channel, timestamp=ts)["message"]["reactions"]
    assert (reaction["name"], reaction["count"], set(reaction["users"])) == ("tada", 2, {me(ana), me(ben)})
    ben.reactions_remove(channel=channel, timestamp=ts, name="tada")
    assert code(lambda: ben.reactions_remove(channel=channel, timestamp=ts, name="tada")) == "no_reaction"
    ana.pins_add(channel=channel, timestamp=ts)
    (item,) = ben.pins_list(channel=channel)["items"]
    assert (item["type"], item["message"]["ts"], item["message"]["pinned_to"]) == ("message", ts, [channel])
    ana.pins_remove(channel=channel, timestamp=ts)
    assert ben.pins_list(channel=channel)["items"] == []


def test_direct_conversations(ana: WebClient, ben: WebClient) -> None:
    opened = ana.conversations_open(users=[me(ben)], return_im=True)["channel"]
    assert (opened["is_im"], opened["user"]) == (True, me(ben))
    assert ben.conversations_open(users=me(ana))["channel"]["id"] == opened["id"]
    by_user = ana.chat_postMessage(channel=me(ben), text="psst")
    assert by_user["channel"] == opened["id"]
    assert ben.conversations_history(channel=opened["id"])["messages"][0]["text"] == "psst"
    ana.conversations_mark(channel=opened["id"], ts=by_user["ts"])
    assert ana.conversations_info(channel=opened["id"])["channel"]["last_read"] == by_user["ts"]


def test_people(ana: WebClient) -> None:
    names = {each["name"]: each["id"] for page in ana.users_list(limit=1) for each in page["members"]}
    assert set(names) >= {"ana", "ben"}
    assert ana.users_info(user=names["ben"])["user"]["name"] == "ben"
    assert code(lambda: ana.users_info(user="U0")) == "user_not_found"


def test_calls_without_arguments_and_with_a_token_that_is_none(office: Office, ana: WebClient) -> None:
    answer = ana.auth_test()
    assert answer["url"] == office.url.removesuffix("api/")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert code(office.client("xoxb-unknown").auth_test) == "invalid_auth"
    assert code(WebClient(base_url=office.url).auth_test) == "not_authed"
    assert code(lambda: ana.api_call("no.such.method")) == "unknown_method"


def test_over_the_rate_the_client_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    told: list[int] = []

    class Noting(RateLimitErrorRetryHandler):
        """Notes for how long it would have to wait, and tries again at once."""

        def prepare_for_next_attempt(self, *, response: HttpResponse, **given: Any) -> None:  # type: ignore[override]
            told.append(int(response.headers["Retry-After"][0]))

    office = open_office(tmp_path, serve=("--limits", "on"))
    try:
        ana = office.client(office.ana)
        ana.retry_handlers.append(Noting(max_retry_count=1))
        with pytest.raises(SlackApiError) as refused:
            for _ in range(TIERS[1] + 1):
                ana.rtm_connect()
    finally:
        office.server.kill()
    assert refused.value.response.status_code == 429
    assert refused.value.response["error"] == "ratelimited"
    assert len(told) == 1
    assert 1 <= told[0] <= 60


# -- the asynchronous client -------------------------------------------------------------------------------------------


def test_the_asynchronous_client_does_the_same(office: Office) -> None:
    async def work() -> None:
        ana, ben = (AsyncWebClient(token, base_url=office.url) for token in (office.ana, office.ben))
        ben_id = (await ben.auth_test())["user_id"]
        channel = (await ana.conversations_create(name=a_name(), is_private=True))["channel"]["id"]
        await ana.conversations_invite(channel=channel, users=[ben_id])
        blocks = [{"type": "divider", "block_id": "d"}]
        root = await ana.chat_postMessage(channel=channel, text="Grüße & <>", blocks=blocks)
        await asyncio.gather(*(ben.chat_postMessage(channel=channel, text="r", thread_ts=root["ts"]) for _ in range(3)))
        pages = await ana.conversations_replies(channel=channel, ts=root["ts"], limit=2)
        thread = [each async for page in pages for each in page["messages"]]
        assert (len(thread), thread[0]["text"], thread[0]["blocks"]) == (4, "Grüße & <>", blocks)
        await ben.reactions_add(channel=channel, timestamp=root["ts"], name="wave")
        await ana.conversations_setTopic(channel=channel, topic="Ärger?")
        history = await ben.conversations_history(channel=channel, limit=1)
        assert history["messages"][0]["subtype"] == "channel_topic"
        with pytest.raises(SlackApiError) as refused:
            await ben.conversations_join(channel="C0")
        assert refused.value.response["error"] == "channel_not_found"

    asyncio.run(work())


# -- RTM ---------------------------------------------------------------------------------------------------------------


class Listener:
    """rtm_v2, connected; keeps every event that it is handed."""

    def __init__(self, office: Office, token: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self.client = RTMClient(token=token, base_url=office.url, logger=logging.getLogger("rtm"))
        self.client.message_listeners.append(self._note)
        self.client.connect()  # type: ignore[no-untyped-call]
        self.waits_for(lambda event: event.get("type") == "hello")

    def _note(self, client: RTMClient, event: dict[str, Any]) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def waits_for(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        """The first event that is wanted."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                left = deadline - time.monotonic()
                assert left > 0, self.events
                self._news.wait(min(left, 0.5))

    def sends(self, frame: dict[str, Any]) -> dict[str, Any]:
        """The reply to a frame."""
        self.client.send(json.dumps(frame))
        return self.waits_for(lambda event: event.get("reply_to") == frame["id"])


@pytest.fixture
def listener(office: Office) -> Iterator[Listener]:
    started = Listener(office, office.ben)
    yield started
    started.client.close()


def test_events_arrive_in_order_and_once(ana: WebClient, ben: WebClient, listener: Listener) -> None:
    channel = channel_of_both(ana, ben)
    said = [ana.chat_postMessage(channel=channel, text=f"{n}")["ts"] for n in range(30)]
    listener.waits_for(lambda event: event.get("ts") == said[-1])
    heard = [e for e in listener.events if e.get("type") == "message" and e.get("channel") == channel]
    assert [event["ts"] for event in heard if "subtype" not in event] == said
    assert all(event["channel_type"] == "channel" and event["event_ts"] == event["ts"] for event in heard)


def test_frames_are_answered_by_their_id(ana: WebClient, ben: WebClient, listener: Listener) -> None:
    channel = channel_of_both(ana, ben)
    assert listener.sends({"id": 1, "type": "ping", "time": 7}) == {"type": "pong", "reply_to": 1, "time": 7}
    reply = listener.sends({"id": 2, "type": "message", "channel": channel, "text": "by frame"})
    assert (reply["ok"], reply["text"]) == (True, "by frame")
    assert ana.conversations_history(channel=channel)["messages"][0]["ts"] == reply["ts"]
    refused = listener.sends({"id": 3, "type": "message", "channel": "C0", "text": "x"})
    assert (refused["ok"], refused["error"]["code"]) == (False, "channel_not_found")


def test_typing_reaches_the_others(office: Office, ana: WebClient, ben: WebClient, listener: Listener) -> None:
    channel = channel_of_both(ana, ben)
    other = Listener(office, office.ana)
    try:
        other.client.send(json.dumps({"id": 1, "type": "typing", "channel": channel}))
        event = listener.waits_for(lambda event: event.get("type") == "user_typing")
        assert (event["channel"], event["user"]) == (channel, me(ana))
    finally:
        other.client.close()


def test_it_connects_again_after_goodbye(ana: WebClient, ben: WebClient, listener: Listener) -> None:
    channel = channel_of_both(ana, ben)
    listener.client.enqueue_message(json.dumps({"type": "goodbye"}))
    listener.waits_for(lambda event: listener.events.count({"type": "hello"}) == 2)
    ts = ana.chat_postMessage(channel=channel, text="still there?")["ts"]
    listener.waits_for(lambda event: event.get("ts") == ts)
