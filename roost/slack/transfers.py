"""Files over plain HTTP, outside `/api/`: bytes that come in, and links that lead to them.

An upload's credential is in its URL. A download shows a token, and who may have the file is asked each time; the answer
is a redirect to where the bytes are for some minutes, or 404, whatever the reason. What comes back is always a download
of its own type (`Blobs.download`), so nothing that anybody uploaded becomes a page of this server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roost.chat.chat import Chat
from roost.chat.errors import FileTooLarge, FileUpdateFailed, NoFileData, Refused
from roost.chat.ports import BlobsUnavailable, BlobTooLarge
from roost.chat.uploads import uploaded
from roost.slack.arguments import header, raw_body
from roost.slack.errors import ApiError
from roost.storage.table import InvalidItem, StoreUnavailable, Throttled

_UPLOAD, _PRIVATE, _THUMB, _PUBLIC = "/upload/v1/", "/files-pri/", "/files-tmb/", "/files-pub/"
_PICTURE = "/pictures/"  #: faces and emoji, for whoever knows their key
TRANSFERS = (_UPLOAD, _PRIVATE, _THUMB, _PUBLIC, _PICTURE)

Response = dict[str, Any]


class Transfers:
    """Answers the paths below `TRANSFERS`."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def handle(self, event: Mapping[str, Any]) -> Response:
        """The answer to an HTTP event."""
        method, path = event["requestContext"]["http"]["method"], event["rawPath"]
        upload = path.startswith(_UPLOAD)
        if method not in (("POST", "PUT") if upload else ("GET", "HEAD")):
            return _text(405, "Method Not Allowed", {"Allow": "POST, PUT" if upload else "GET, HEAD"})
        try:
            return self._take(event, path) if upload else self._lead(event, path)
        except (Throttled, StoreUnavailable, BlobsUnavailable):
            return _text(503, "The store of files is not to be reached. Try again.", {"Retry-After": "1"})
        except BlobTooLarge:
            return _text(413, FileTooLarge.sentence)
        except NoFileData as refusal:
            return _text(400, refusal.code)
        except FileUpdateFailed as refusal:
            return _text(400, refusal.sentence)
        except ApiError:
            return _text(400, "The body is not what it says.")
        except (Refused, InvalidItem, UnicodeEncodeError):
            return _text(404, "There is no such file.")

    def _take(self, event: Mapping[str, Any], path: str) -> Response:
        file, _, secret = path.removeprefix(_UPLOAD).partition("/")
        data = uploaded(header(event, "content-type"), raw_body(event))
        if data is None:
            return _text(400, NoFileData.code)
        self._chat.files.receive(file, secret, data)
        return _text(200, f"OK - {len(data)}")

    def _lead(self, event: Mapping[str, Any], path: str) -> Response:
        files = self._chat.files
        _, kind, place = path.split("/")[:3]
        _, _, file = place.partition("-")
        if f"/{kind}/" == _PUBLIC:
            file, _, link = file.partition("-")
            return _redirect(files.public_url(file, link))
        if f"/{kind}/" == _PICTURE:
            return _redirect(self._chat.pictures.url(place), "public, max-age=1800")
        bearer = self._chat.people.bearer(_token(event))
        if bearer.token.scopes and "files:read" not in bearer.token.scopes:
            return _text(404, "There is no such file.")
        return _redirect(files.url(bearer.person, file, thumb=f"/{kind}/" == _THUMB))


def _token(event: Mapping[str, Any]) -> str:
    kind, _, token = header(event, "authorization").partition(" ")
    return token if kind.lower() == "bearer" else ""


def _redirect(url: str, caching: str = "no-store") -> Response:
    return {"statusCode": 302, "headers": {"Location": url, "Cache-Control": caching}, "body": ""}


def _text(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    plain = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return {
        "statusCode": status,
        "headers": {**plain, "Cache-Control": "no-store", **(headers or {})},
        "body": sentence,
    }
