"""Members at work through the Web API and event streams, and all that they can see: what the acts are tried out on."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

from roost.app import App
from roost.settings import Settings
from roost.testing import FakeClock, socket_event
from tests.simulation.spoils import Spoil, nothing
from tests.simulation.stage import Crash, StepTable
from tests.slack.workspace import Json, Member, Stream, Workspace

_IDS = re.compile(r"\b[CUDGTE][0-9A-Z]{10}\b|\b1[89]\d{8}\.\d{6}\b")
_TIMES = re.compile(r"\b1[89]\d{8}\b")


class Office:
    """ana, ben and cem: ana and ben in #project and #secret, with a thread, a reaction and a pin; cem in #general."""

    def __init__(self, *, one_process: bool, spoil: Spoil = nothing) -> None:
        self.one_process = one_process
        self.table = StepTable(self._now, spoil, exclusive=one_process)
        self.workspace = Workspace(self.table)
        self.clock: FakeClock = self.workspace.clock
        self.ana = self.workspace.ana
        self.ben = self.workspace.member("ben")
        self.cem = self.workspace.member("cem")
        self.project = self.ana.channel("project", self.ben)
        self.secret = self.ana.channel("secret", self.ben, private=True)
        self.old = self.ana.channel("old", self.ben)
        self.ana.does("conversations.archive", channel=self.old)
        self.root = self.ana.posts(self.project, "the root", client_msg_id=uuid(1))
        self.reply = self.ben.posts(self.project, "a reply", thread_ts=self.root, client_msg_id=uuid(2))
        self.plain = self.ana.posts(self.project, "a plain one", client_msg_id=uuid(3))
        self.ben.does("reactions.add", channel=self.project, timestamp=self.root, name="tada")
        self.ana.does("pins.add", channel=self.project, timestamp=self.root)
        self.streams = {each.name: each.listens() for each in (self.ana, self.ben, self.cem)}
        self.clock.now += 11
        self._streams = dict(self.streams)
        self._saved = copy.deepcopy(self.table._items), self.clock.now

    def begin_again(self) -> None:
        """Everything is as it was at the beginning."""
        items, self.clock.now = self._saved
        self.table.disarm()
        self.table._items = copy.deepcopy(items)
        self.table._watchers.clear()
        self.workspace.push.sent.clear()
        self.streams = dict(self._streams)
        for stream in self.streams.values():
            stream._read = 0
        self._start()

    def _now(self) -> float:
        workspace = getattr(self, "workspace", None)
        return workspace.clock.now if workspace is not None else FakeClock().now

    def restart(self) -> None:
        """The server starts again, or another function does its work."""
        self._start()
        if self.one_process:
            self.workspace.app.begin_alone()
            self.streams = {each.name: each.listens() for each in self.members()}  # they were all cut off

    def _start(self) -> None:
        room, workspace = self.workspace.room, self.workspace
        room.app = workspace.app = App(self.table, room.push, room.clock, Settings())
        workspace.chat = room.app.chat

    def does(self, act: Callable[[Office], Any]) -> Any:
        """What an act answers; None where the server crashed in it."""
        try:
            return act(self)
        except Crash:
            self.table.disarm()
            self.restart()
            return None

    def members(self) -> tuple[Member, ...]:
        """Everybody."""
        return self.ana, self.ben, self.cem

    # -- what there is ----------------------------------------------------------------------------------------------

    def everything(self) -> str:
        """All that anybody can see, and the logs, with ids and times by the order in which they are met."""
        seen: list[Any] = [self._seen_by(member) for member in (self.ben, self.cem)]
        seen.append(self._logs())
        names = {each.id: each.name for each in self.members()}
        return _anonymous(json.dumps(_ordered(seen, names), indent=1, sort_keys=True))

    def _seen_by(self, member: Member) -> Json:
        mine = _by_name(member.does("users.conversations", limit=200, types=_KINDS)["channels"])
        listed = _by_name(member.does("conversations.list", limit=200, types=_KINDS)["channels"])
        return {
            "who": member.name,
            "mine": [self._conversation(member, each) for each in mine],
            "listed": [(each.get("name", ""), each["is_archived"]) for each in listed],
            "people": [each["name"] for each in member.does("users.list")["members"]],
        }

    def _conversation(self, member: Member, channel: Json) -> Json:
        place = {"channel": channel["id"]}
        history = member.does("conversations.history", limit=200, **place)["messages"]
        info = member.does("conversations.info", include_num_members=True, **place)["channel"]
        roots = [each["ts"] for each in history if each.get("reply_count")]
        return {
            "info": info,
            "members": sorted(self._name(user) for user in member.does("conversations.members", **place)["members"]),
            "history": history,
            "threads": [member.does("conversations.replies", ts=ts, **place)["messages"] for ts in roots],
            "pins": member.does("pins.list", **place)["items"],
            "unread": _unread(history, info, member),
        }

    def _name(self, user: str) -> str:
        return next(each.name for each in self.members() if each.id == user)

    def _logs(self) -> Json:
        logs: dict[str, list[Any]] = {}
        for item in sorted(self.table.everything(), key=lambda item: (str(item["PK"]), str(item["SK"]))):
            if str(item["PK"]).startswith("L#"):
                logs.setdefault(str(item["PK"]).split("#")[1], []).append([item["SK"], item["type"], item["e"]])
        return {self._log_name(stream): log for stream, log in logs.items()}

    def _log_name(self, stream: str) -> str:
        items = {str(each["PK"]): each for each in self.table.everything() if each["SK"] == "META"}
        there = items.get(f"C#{stream}", {})
        return str(there.get("name") or (there.get("users") and "direct") or "the workspace")


_KINDS = "public_channel,private_channel,im,mpim"


def uuid(number: int) -> str:
    """A client's id of a message."""
    return f"00000000-0000-4000-8000-{number:012}"


def _by_name(channels: list[Json]) -> list[Json]:
    return sorted(channels, key=lambda each: str(each.get("name", "")))


def _unread(history: list[Json], info: Json, member: Member) -> int:
    """What is unread, which must be what the history has after the mark."""
    mark = info.get("last_read", "0")
    others = [each for each in history if each.get("user") != member.id and each.get("subtype") != "tombstone"]
    counted = [each for each in others if each["ts"] > mark]
    if "unread_count" in info:
        assert info["unread_count"] == len(counted), "unread counts disagree with the log"
    return len(counted)


def _ordered(value: Any, names: dict[str, str]) -> Any:
    """People by their names, and lists of them in their order, since ids are drawn by chance."""
    if isinstance(value, dict):
        return {names.get(name, name): _ordered(each, names) for name, each in value.items()}
    if isinstance(value, list):
        inner = [_ordered(each, names) for each in value]
        return sorted(inner) if all(isinstance(each, str) for each in inner) else inner
    return names.get(value, value) if isinstance(value, str) else value


def _anonymous(text: str) -> str:
    known: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return known.setdefault(match[0], f"{match[0][0]}{len(known)}")

    return _TIMES.sub("T", _IDS.sub(name, text))


def connect(office: Office, member: Member) -> Any:
    """Open an event stream."""
    answer = member.calls("rtm.connect")
    if not answer["ok"]:
        return answer
    ticket = answer["url"].rpartition("ticket=")[2]
    stream = Stream(member, f"new{office.table.calls.__len__()}")
    status = stream.opens(ticket)
    return {"ok": status == 200, "error": {401: "invalid_auth", 500: "fatal_error"}.get(status, str(status))}


def frame(office: Office, name: str, **fields: Any) -> Any:
    """Send a frame on an event stream; its answer."""
    stream = office.streams[name]
    replies = [each for each in stream.sends(fields) if "ok" in each]
    if replies and not replies[-1]["ok"]:
        return {"ok": False, "error": replies[-1]["error"]["code"]}
    return replies[-1] if replies else None


def disconnect(office: Office, name: str) -> Any:
    """A stream ends."""
    answer = office.workspace.app.handle(socket_event("DISCONNECT", office.streams[name].connection))
    return {"ok": answer["statusCode"] == 200, "error": "fatal_error"}
