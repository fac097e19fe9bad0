"""Where the surfaces and the core meet: a gateway event in, a response out. The last guard for errors.

Both shells call `App.handle` with the same events. Nothing that goes wrong leaves here as an exception: a person gets
one line, or an HTTP answer, that says what to do, and the log gets the rest, without what anybody wrote.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from roost import frames, oidc, pages, stream
from roost.chat.chat import MAX_UPLOAD, Chat
from roost.chat.errors import NotAuthed, RateLimited, Refused, TooManyStreams
from roost.chat.limits import RateLimit
from roost.chat.model import ConnectionId
from roost.chat.ports import Blobs, Clock, Push, Share
from roost.frames import Line, TextProtocol
from roost.settings import Settings
from roost.slack.api import WebApi
from roost.slack.transfers import TRANSFERS, Transfers
from roost.storage import seats
from roost.storage.jobs import Job, Queue
from roost.storage.log import Busy
from roost.storage.receivers import STREAM
from roost.storage.table import Conflict, Item, Table, Throttled
from roost.stream import EventStream

log = logging.getLogger("roost.app")

#: The routes of the WebSocket API, the same in every shell.
ROUTES = ("$connect", "$disconnect", "$default", "command")
ROUTE_SELECTION_EXPRESSION = "$request.body.action"

LINES_A_MINUTE = 100  # of one connection, where limits are on

_OK: Mapping[str, Any] = {"statusCode": 200}


class TooFast(RateLimited):
    """A connection that sends more than it may."""

    sentence = "You are sending too fast. Nothing was sent; wait a moment."


class App:
    """The chat, over its ports."""

    def __init__(
        self,
        table: Table,
        push: Push,
        clock: Clock,
        settings: Settings,
        *,
        queue: Queue | None = None,
        blobs: Blobs | None = None,
        upload_bytes: int = MAX_UPLOAD,
    ) -> None:
        """`queue` is the one whose jobs the shell brings to `do`; it lies in the same table. `blobs` holds the files,
        of which `upload_bytes` is the largest that comes through `handle`."""
        self._push = push
        self._clock = clock
        self._settings = settings
        renderers = {
            "text": frames.renderer(lambda user: self.chat.people.name(user)),
            STREAM: stream.renderer(lambda: self.chat.core.workspace, settings.home),
        }
        self.chat = Chat(table, push, clock, renderers, queue, blobs, upload_bytes)
        self._text = TextProtocol(self.chat)
        self._stream = EventStream(self.chat, settings.home)
        self._sign_in = None if settings.oidc is None else oidc.SignIn(self.chat, settings, settings.oidc)
        self._api = WebApi(self.chat, settings)
        self._transfers = Transfers(self.chat)
        self._limit = RateLimit(LINES_A_MINUTE, 60.0) if settings.limits else None

    def begin_alone(self) -> None:
        """Forget who was connected before: for a shell that owns the data and has just started, so nobody can be."""
        self.chat.streams.forget_all()

    def do(self, job: Job) -> None:
        """Do a job of the queue, as the shell's worker asks when it is due. May be asked twice; raises `JobFailed`."""
        self.chat.later.do(job)

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a gateway event: WebSocket CONNECT, MESSAGE or DISCONNECT, or an HTTP API request (payload 2.0).

        Returns a proxy response and never raises. A MESSAGE always answers 200, so that API Gateway adds no frame of
        its own to what the person is told.
        """
        context = event["requestContext"]
        kind = context.get("eventType")
        if kind == "MESSAGE":
            self._message(event, context)
            return dict(_OK)
        if kind == "CONNECT":
            return self._guarded(context, lambda: self._connect(event, context))
        if kind == "DISCONNECT":
            return self._guarded(context, lambda: self._disconnect(context))
        return self._guarded(context, lambda: self._http(event, context))

    def follow(self, items: Iterable[Item]) -> None:
        """Do what may be late, for new items of logs: bring the search index up to their end. Harmless when repeated.

        Raises what the store raises; whoever calls tries again.
        """
        logs = dict.fromkeys(str(item["PK"]).split("#")[1] for item in items if str(item["PK"]).startswith("L#"))
        for channel in logs:
            if channel != self.chat.core.workspace.team:
                self.chat.search.index(channel)

    def deliver(self, share: Share, seconds: float) -> None:
        """Deliver a share that another process handed over, within so many seconds. Raises `Taken`."""
        self.chat.core.delivery.deliver(share, self._clock.now_us() // 1000, seconds)

    @staticmethod
    def runs_beside_others(event: Mapping[str, Any]) -> bool:
        """Whether an event may run beside earlier ones of its connection without showing: a line that is only said."""
        body: str = event.get("body") or "/"
        return body[0] not in "/{"

    # -- sockets ----------------------------------------------------------------------------------------------------

    def _connect(self, event: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
        connection, since = ConnectionId(context["connectionId"]), context["connectedAt"]
        if not self._own_origin(event, context):
            return {"statusCode": 403}
        ticket = (event.get("queryStringParameters") or {}).get("ticket")
        if ticket is not None:
            return self._connect_stream(connection, ticket, since)
        if not self._settings.guests:
            return {"statusCode": 403}
        self._text.connect(connection, since)
        return dict(_OK)

    def _connect_stream(self, connection: ConnectionId, ticket: str, since: int) -> dict[str, Any]:
        try:
            self._stream.connect(connection, ticket, since)
        except TooManyStreams:
            return {"statusCode": 429}
        except Refused:
            return {"statusCode": 401}
        return dict(_OK)

    def _own_origin(self, event: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
        """Whether a socket is opened by a page of ours, or by no page at all: others would act in a visitor's name."""
        origins = [v for k, v in (event.get("headers") or {}).items() if k.lower() == "origin"]
        if not origins or origins[0] in self._settings.origins:
            return True
        own = str(context.get("domainName", "")).lower()
        return str(urlsplit(origins[0]).netloc).lower() == own

    def _disconnect(self, context: Mapping[str, Any]) -> dict[str, Any]:
        connection = ConnectionId(context["connectionId"])
        if self._limit is not None:
            self._limit.forget(connection)
        row = seats.get(self.chat.core.table, connection)
        if row is not None:
            surface = self._stream if row.kind == STREAM else self._text
            surface.disconnect(connection, row)
        return dict(_OK)

    def _message(self, event: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        """Act on a message; whatever hinders it becomes one line back, or one frame."""
        connection = ConnectionId(context["connectionId"])
        body = event.get("body") or ""
        kind = STREAM if body[:1] == "{" else ""  # until the store has said it: programs, of any kind, read JSON
        try:
            row = seats.get(self.chat.core.table, connection)
            if row is None:
                raise NotAuthed
            kind = row.kind
            if self._limit is not None and not self._limit.allows(connection, self._clock.now_us() / 1_000_000):
                raise TooFast
            if kind == STREAM:
                self._stream.receive(connection, row, body)
            else:
                self._text.receive(Line(connection, body, context["messageId"], context["requestTimeEpoch"], row))
        except TooFast as refusal:
            self._tell(connection, kind, refusal.code, refusal.sentence)
            if kind == STREAM:
                self._push.close(connection)
        except Refused as refusal:
            self._tell(connection, kind, refusal.code, refusal.sentence)
        except (Busy, Throttled, Conflict):
            self._tell(connection, kind, RateLimited.code, RateLimited.sentence)
        except Exception as error:  # noqa: BLE001  the last guard
            request_id = _logged(error, context)
            sentence = f"Something went wrong (request {request_id}); /history shows what was stored."
            self._tell(connection, kind, "fatal_error", sentence)

    def _tell(self, connection: ConnectionId, kind: str, code: str, sentence: str) -> None:
        frame = sentence if kind != STREAM else json.dumps({"ok": False, "error": {"code": code, "msg": sentence}})
        try:
            self._push.send((connection,), frame)
        except Exception as error:  # noqa: BLE001  there is nobody left to tell
            log.warning("a reply was not sent", extra={"fields": {"error": type(error).__name__}})

    # -- HTTP -------------------------------------------------------------------------------------------------------

    def _http(self, event: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
        method, path = context["http"]["method"], event["rawPath"]
        if path.startswith("/api/"):
            return self._api_call(event, context, path.removeprefix("/api/"))
        if path.startswith(TRANSFERS):
            return self._transfers.handle(event)
        if self._sign_in is not None and path in (oidc.START, oidc.CALLBACK) and method == "GET":
            return self._sign_in.handle(event)
        if path in pages.PAGES and method in ("GET", "HEAD"):
            return {"statusCode": 200, "headers": dict(pages.HEADERS), "body": pages.page(path)}
        if path != "/":
            return _json(404, {"message": "Not Found"})
        if method not in ("GET", "HEAD"):
            return _json(405, {"message": "Method Not Allowed"}, {"Allow": "GET, HEAD"})
        sockets = self._settings.socket_url or f"ws://{context['domainName']}"
        return {
            "statusCode": 200,
            "headers": {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"},
            "body": f"This is Roost. Chat in a terminal:\n\n    npx wscat -c {sockets}\n",
        }

    def _api_call(self, event: Mapping[str, Any], context: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Client libraries repeat a call for half an hour where its status is another than 200 or 429."""
        try:
            return self._api.handle(event, name)
        except Exception as error:  # noqa: BLE001  the last guard of the Web API
            return _json(200, {"ok": False, "error": "fatal_error", "request_id": _logged(error, context)})

    # -- guards -----------------------------------------------------------------------------------------------------

    def _guarded(self, context: Mapping[str, Any], answer: Any) -> dict[str, Any]:
        try:
            answered: dict[str, Any] = answer()
            return answered
        except Exception as error:  # noqa: BLE001  the last guard
            request_id = _logged(error, context)
            return _json(500, {"ok": False, "error": "fatal_error", "request_id": request_id})


def _logged(error: Exception, context: Mapping[str, Any]) -> str:
    """Log an unexpected error: its type and where, never its text, which may hold what somebody wrote."""
    request_id = str(context.get("requestId", "?"))
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    fields = {"error": type(error).__name__, "request": request_id, "at": " > ".join(places[-6:])}
    log.error("an event failed", extra={"fields": fields})
    return request_id


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        "body": json.dumps(value),
    }
