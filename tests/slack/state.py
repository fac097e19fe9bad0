"""A client that keeps what it shows: loaded once by the Web API, then changed by events alone. What it holds must be
what a fresh load shows, whatever frames were lost, repeated or mixed up on the way."""

from __future__ import annotations

from typing import Any

from tests.slack.workspace import Json, Member, Stream

KINDS = "public_channel,private_channel,mpim,im"
_FIRST_REPLIERS = 5
_FIRST_REACTERS = 25


class State:
    """What somebody's client shows."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self.channels: dict[str, Json] = {}  #: those that they belong to
        self.messages: dict[str, dict[str, Json]] = {}  #: channel → ts → message, replies among them
        self.members: dict[str, set[str]] = {}
        self.bookmarks: dict[str, dict[str, Json]] = {}  #: channel → id → bookmark
        self.users: dict[str, Json] = {}
        self.places: dict[str, int] = {}  #: stream → seq of the last event that was applied
        self.epoch = ""
        self._early: dict[str, dict[int, Json]] = {}  #: frames that came before others of their stream

    # -- loading ----------------------------------------------------------------------------------------------------

    def load(self, stream: Stream) -> State:
        """Load everything anew; the places first, so that what happens meanwhile is only heard of twice."""
        self.__init__(self._member)  # type: ignore[misc]
        self.epoch = self._member.does("rtm.connect")["epoch"]
        heads = next(f for f in stream.sends({"id": 1, "type": "heartbeat"}) if f.get("type") == "heartbeat")["heads"]
        self.users = {each["id"]: each for each in self._member.does("users.list")["members"]}
        for channel in heads:
            if channel[0] != "T":
                self.load_channel(channel)
        self.places = dict(heads)
        return self

    def load_channel(self, channel: str) -> None:
        """Load one conversation."""
        who = self._member
        self.channels[channel] = who.does("conversations.info", channel=channel)["channel"]
        self.members[channel] = set(who.does("conversations.members", channel=channel, limit=1000)["members"])
        bookmarks = who.does("bookmarks.list", channel_id=channel)["bookmarks"]
        self.bookmarks[channel] = {each["id"]: each for each in bookmarks}
        kept: dict[str, Json] = {}
        for message in who.does("conversations.history", channel=channel, limit=900, include_all_metadata=True)[
            "messages"
        ]:
            kept[message["ts"]] = message
            if message.get("reply_count"):
                replies = who.does("conversations.replies", channel=channel, ts=message["ts"], limit=900)["messages"]
                kept |= {each["ts"]: each for each in replies}
        self.messages[channel] = kept

    def shown(self) -> Json:
        """All that a person sees, to be compared."""
        return {
            "channels": {channel: _place(each) for channel, each in self.channels.items()},
            "messages": {
                channel: {ts: _message(each) for ts, each in kept.items()} for channel, kept in self.messages.items()
            },
            "members": self.members,
            "bookmarks": self.bookmarks,
            "users": {user: {**each, "updated": 0} for user, each in self.users.items()},
        }

    # -- frames -----------------------------------------------------------------------------------------------------

    def hear(self, frame: Json) -> None:
        """Take a frame in. One of a log is applied in its turn: once, behind all those before it."""
        place = frame.get("stream")
        if place is None:
            self._personal(frame)
            return
        if frame["epoch"] != self.epoch or place not in self.places or frame["seq"] <= self.places[place]:
            return
        self._early.setdefault(place, {})[frame["seq"]] = frame
        while (following := self._early[place].pop(self.places[place] + 1, None)) is not None:
            self.places[place] = following["seq"]
            self._apply(following)

    @property
    def holes(self) -> dict[str, int]:
        """The logs of which something is missing, and from where."""
        return {place: self.places[place] for place, early in self._early.items() if early}

    def catch_up(self, stream: Stream) -> None:
        """Ask for everything since the places that one is at, and, where that cannot be had, load anew."""
        frames = stream.sends({"id": 2, "type": "resume", "epoch": self.epoch, "streams": self.places})
        answer = next(frame for frame in frames if frame.get("type") == "resume")
        if answer.get("reload"):
            self.load(stream)
            return
        for frame in frames:
            self.hear(frame)
        frames = stream.sends({"id": 3, "type": "heartbeat"})
        heads = next(frame for frame in frames if frame.get("type") == "heartbeat")["heads"]
        for channel in [each for each in heads if each not in self.places]:
            self.load_channel(channel)
            self.places[channel] = heads[channel]
        for channel in [each for each in self.places if each not in heads]:
            self._forget(channel)
        for each in self._member.does("users.conversations", types=KINDS, limit=1000)["channels"]:
            self.channels[each["id"]] |= {"unread_from": ""} | {name: each[name] for name in _OWN if name in each}

    def _forget(self, channel: str) -> None:
        for kept in (self.channels, self.messages, self.members, self.bookmarks, self.places, self._early):
            kept.pop(channel, None)

    # -- what each event changes ------------------------------------------------------------------------------------

    def _personal(self, event: Json) -> None:
        kind = event.get("type", "")
        if kind.endswith("_joined") or kind == "im_created":
            channel = event["channel"]["id"]
            if channel not in self.places:
                self.load_channel(channel)
                self.places[channel] = event["head"]
        elif kind.endswith("_left"):
            self._forget(event["channel"])
        elif kind == "channel_notifications_changed":
            self.channels[event["channel"]] |= {name: event[name] for name in ("is_muted", "notification_level")}
        elif kind == "channel_unread_from":
            self.channels[event["channel"]]["unread_from"] = event["ts"]
        elif kind.endswith("_marked") and event.get("channel") in self.channels:
            self.channels[event["channel"]] |= {"last_read": event["ts"], "unread_from": ""}
        elif kind.endswith(("_open", "_close")) and event["channel"] in self.channels:
            self.channels[event["channel"]]["is_open"] = kind.endswith("_open")

    def _apply(self, event: Json) -> None:
        kind = event["type"]
        if kind == "message":
            self._said(event)
        elif kind in ("reaction_added", "reaction_removed"):
            self._reacted(event)
        elif kind in ("pin_added", "pin_removed"):
            self._pinned(event)
        elif kind == "member_joined_channel":
            self.members[event["channel"]].add(event["user"])
        elif kind == "member_left_channel":
            self.members[event["channel"]].discard(event["user"])
        elif kind.startswith("bookmark_"):
            self._bookmarked(event)
        elif kind in ("channel_rename", "group_rename"):
            self.channels[event["channel"]["id"]] |= {"name": event["channel"]["name"]}
        elif kind.endswith("_archive"):
            self.channels[event["channel"]]["is_archived"] = True
        elif kind.endswith("_unarchive"):
            self.channels[event["channel"]]["is_archived"] = False
        elif kind in ("team_join", "user_change"):
            self.users[event["user"]["id"]] = event["user"]

    def _said(self, event: Json) -> None:
        messages = self.messages[event["channel"]]
        subtype = event.get("subtype")
        if subtype == "message_changed":
            changed = event["message"]
            if changed.get("subtype") == "tombstone" and not changed.get("reply_count"):
                messages.pop(changed["ts"], None)
            else:
                messages[changed["ts"]] = changed
            return
        if subtype == "message_deleted":
            gone = messages.pop(event["deleted_ts"], None)
            if gone is not None and gone.get("reply_count"):
                messages[event["deleted_ts"]] = _tombstone(gone)
            return
        if subtype in ("channel_topic", "channel_purpose"):
            what = subtype.removeprefix("channel_")
            self.channels[event["channel"]][what] |= {"value": event[what], "creator": event["user"]}
        messages[event["ts"]] = event
        root = messages.get(event.get("thread_ts", ""))
        if root is not None and root["ts"] != event["ts"]:
            self._replied(root, event)

    @staticmethod
    def _replied(root: Json, reply: Json) -> None:
        users = root.get("reply_users", [])
        if reply["user"] not in users and len(users) < _FIRST_REPLIERS:
            users = [*users, reply["user"]]
        root |= {
            "thread_ts": root["ts"],
            "reply_count": root.get("reply_count", 0) + 1,
            "reply_users": users,
            "reply_users_count": len(users),
            "latest_reply": reply["ts"],
            "is_locked": False,
            "subscribed": root.get("subscribed", False),
        }

    def _reacted(self, event: Json) -> None:
        message = self.messages[event["item"]["channel"]].get(event["item"]["ts"])
        if message is None:
            return
        kinds = {each["name"]: dict(each) for each in message.get("reactions", [])}
        kind = kinds.setdefault(event["reaction"], {"name": event["reaction"], "count": 0, "users": []})
        if event["type"] == "reaction_added":
            kind["count"] += 1
            if len(kind["users"]) < _FIRST_REACTERS or event["user"] == self._member.id:
                kind["users"] = [*kind["users"], event["user"]]
        else:
            kind["count"] -= 1
            kind["users"] = [each for each in kind["users"] if each != event["user"]]
        message["reactions"] = [each for each in kinds.values() if each["count"]]
        if not message["reactions"]:
            del message["reactions"]

    def _bookmarked(self, event: Json) -> None:
        kept = self.bookmarks[event["channel"]]
        kept.pop(event["bookmark"]["id"], None)
        if event["type"] != "bookmark_removed":
            kept[event["bookmark"]["id"]] = event["bookmark"]

    def _pinned(self, event: Json) -> None:
        channel, item = event["channel_id"], event["item"]
        message = self.messages[channel].get(item["message"]["ts"])
        if message is None:
            return
        if event["type"] == "pin_added":
            by = {"channel": channel, "pinned_by": event["user"], "pinned_ts": item["created"]}
            message |= {"pinned_to": [channel], "pinned_info": by}
        else:
            message.pop("pinned_to", None)
            message.pop("pinned_info", None)


#: What of a conversation is one person's own, so that no log tells of it.
_OWN = ("last_read", "is_open", "is_muted", "notification_level", "unread_from")


def _tombstone(gone: Json) -> Json:
    kept = {name: value for name, value in gone.items() if name in _THREAD | {"type", "ts", "team"}}
    text = "This message was deleted."
    return kept | {"subtype": "tombstone", "text": text, "user": "USLACKBOT", "hidden": True}


_THREAD = {"thread_ts", "reply_count", "reply_users", "reply_users_count", "latest_reply", "is_locked", "subscribed"}
_ONLY_IN_EVENTS = {"channel", "channel_type", "event_ts", "stream", "seq", "epoch"}


def _message(message: Json) -> Json:
    shown = {name: value for name, value in message.items() if name not in _ONLY_IN_EVENTS}
    if "reactions" in shown:
        shown["reactions"] = sorted(shown["reactions"], key=lambda each: str(each["name"]))
    return shown


def _place(channel: Json) -> Json:
    names = ("id", "name", "is_private", "is_im", "is_mpim", "is_archived", "is_open", "user", "last_read")
    shown: dict[str, Any] = {name: channel.get(name) for name in (*names, "is_muted", "notification_level")}
    shown["unread_from"] = channel.get("unread_from", "")
    for what in ("topic", "purpose"):
        shown[what] = channel.get(what, {}).get("value")
    return shown
