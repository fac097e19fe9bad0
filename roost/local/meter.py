"""Meters what the laptop's chat would use on AWS: around each event, each call of the Push, and in `metered_table.py`
each call of the Table.

Everything that one event does is added up in one `Use`, which hangs on the Task (or the thread) that handles it, and
which joins the others of its action and channel when the event is done. That is a few additions per call, and no clock,
lock or file. What was added up is taken away now and then by the `Ledger`, which writes it to the day's file. Where
there is so much to do that even this would be felt, every 17th event stands for 17.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from greenlet import getcurrent

from roost.chat.ports import Outcome, Push, Share
from roost.cost import model, prices
from roost.cost.use import Use
from roost.frames import VALID_COMMANDS

Handle = Callable[[Mapping[str, Any]], dict[str, Any]]

_SHORT = prices.WS_FRAME_BYTES // 4  # characters that surely fit one billed message
_COMMANDS = frozenset(word.strip(",") for word in VALID_COMMANDS.split() if word.startswith("/"))
_FRAME = re.compile(r'"type" *: *"([a-z]{1,20})"')
_METHOD = re.compile(r"/api/([A-Za-z][A-Za-z.]{0,60})")
_EXACT = 1_000  # events that are metered each between two looks of the ledger; above that,
_EVERY = 17  # one of so many is: a prime, so that no pattern of a client's keeps step with it
SKIPPED = Use("skipped")  #: what the others use, and nobody adds up
_this: Callable[[], Any] = getcurrent  # a Task, or the thread's own greenlet: both take an attribute of ours


class Meter:
    """Adds up what is used, per action and channel. For one thread, the event loop's."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], Use] = {}
        self._other = Use("background")  # what no event asked for
        self._events = 0

    def measured(self, handle: Handle) -> Handle:
        """The same handler of gateway events, each of them metered."""

        def metered(event: Mapping[str, Any]) -> dict[str, Any]:
            self._events += 1
            busy = self._events > _EXACT
            task = _this()
            task.use = use = SKIPPED if busy and self._events % _EVERY else _begun(event)
            try:
                answer = handle(event)
                if use.http:
                    use.http = max(use.http, _billed(answer.get("body") or "", prices.HTTP_BYTES))
                return answer
            finally:
                task.use = None
                if use is not SKIPPED:
                    self._add(use.times(_EVERY) if busy else use)

        return metered

    def current(self) -> Use:
        """What the event at hand has used."""
        return getattr(_this(), "use", None) or self._other

    def take(self) -> list[Use]:
        """What was added up since the last time."""
        uses, self._uses = list(self._uses.values()), {}
        other, self._other = self._other, Use("background")
        self._events = 0
        return [*uses, other] if other.reads or other.writes or other.ws_out else uses

    def _add(self, use: Use) -> None:
        key = (use.action, use.channel)
        there = self._uses.get(key)
        if there is None:
            self._uses[key] = use
        else:
            there.add(use)


def _begun(event: Mapping[str, Any]) -> Use:
    """What an event uses by coming in."""
    kind = event["requestContext"].get("eventType")
    if kind == "MESSAGE":
        body = event["body"] or ""
        first = body[:1]
        action = _frame(body) if first == "{" else _command(body) if first == "/" else "message"
        return Use(action, "", 1, 1, 1 if len(body) <= _SHORT else _billed(body, prices.WS_FRAME_BYTES))
    if kind is not None:
        return Use(kind.lower(), "", 1, 1)
    method = _METHOD.fullmatch(event["rawPath"])
    return Use(method[1] if method else "http", "", 1, 1, http=_billed(event.get("body") or "", prices.HTTP_BYTES))


def _command(body: str) -> str:
    word = body.split(maxsplit=1)[0]
    return word if word in _COMMANDS else "/?"


def _frame(body: str) -> str:
    kind = _FRAME.search(body, 0, 500)
    return f"frame {kind[1]}" if kind else "frame"


def _billed(text: str, size: int) -> int:
    """How often a payload is billed."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // size) or 1


class MeteredPush:
    """The Push port over another one, metered."""

    def __init__(self, push: Push, meter: Meter) -> None:
        self._push = push
        self._meter = meter

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Send one text frame to each connection."""
        use, receivers = self._meter.current(), len(connections)
        refused = self._push.send(connections, payload)
        if use is SKIPPED:
            return refused
        frames = 1 if len(payload) <= _SHORT else _billed(payload, prices.WS_FRAME_BYTES)
        use.ws_out += (receivers - len(refused)) * frames
        use.rounds += -(-receivers // model.POSTS_AT_ONCE)
        if receivers > model.SHARD_ABOVE:
            use.invocations += model.shards(receivers)
        return refused

    def spread(self, share: Share) -> Sequence[Share]:
        """Have other processes deliver shares; what is left comes back through `send`."""
        return self._push.spread(share)

    def send_first(self, connection: str, payload: str) -> None:
        """Send one text frame to a connection that may still be opening: on AWS by a function invoked for it."""
        use = self._meter.current()
        use.ws_out += _billed(payload, prices.WS_FRAME_BYTES)
        use.rounds += 1
        use.invocations += 1
        self._push.send_first(connection, payload)

    def close(self, connection: str) -> None:
        """Close a connection, if it is still there."""
        self._push.close(connection)
