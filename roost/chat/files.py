"""Files: upload, attach, fetch, delete. The bytes are among the Blobs; who may have them is asked here, each time.

A file comes in three steps, as in Slack: its owner says what is to come, somebody who was given the credential brings
the bytes, and the owner says that it is complete, perhaps with a message that carries it. Whoever may read one of its
messages may have the file.
"""

from __future__ import annotations

import dataclasses
import functools
import hmac
import mimetypes
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from roost.chat import rights
from roost.chat.channels import Channels
from roost.chat.core import Core, Writes
from roost.chat.errors import (
    CantDeleteFile,
    FileIsDeleted,
    FileNotFound,
    FileTooLarge,
    FileUpdateFailed,
    FileUploadsDisabled,
    NoFileData,
    NoQuery,
    QueryTooLong,
    Refused,
)
from roost.chat.events import AnyEvent, FileDeleted, FileShared, MessageChanged
from roost.chat.messages import Messages, Posted, Posting, replacing
from roost.chat.model import Channel, Person, channel_of
from roost.chat.people import digest
from roost.chat.pictures import HEAD, look_at
from roost.chat.ports import Blobs, Upload
from roost.chat.query import MAX_QUERY
from roost.storage import channels, files, messages
from roost.storage.ids import new_id
from roost.storage.items import AttachedFile, FileRow, FileShareRow, MessageRow
from roost.storage.jobs import Job, Queue
from roost.storage.log import Place
from roost.storage.table import ConditionFailed, Operation, TransactionFailed

MAX_ATTACHED = 20  # files of one message
MAX_THUMB = 1_000_000  # bytes
UPLOAD_LIFE = 1800  # seconds that an upload may take to come
_DOWNLOAD_LIFE = 300  # seconds that a link to the bytes is good
_MAX_NAME = 255
_MAX_LISTED = 1000  # files that a list of one person or conversation goes back
_MAX_OF_EACH = 200  # the same where a list has those of many conversations
_DROP_AFTER = 3600  # seconds for which what came at the last moment can still be completed
_ERASE_AFTER = 60  # seconds: by then the process that deletes a file has done it, or has died
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,62}/[a-z0-9][a-z0-9.+-]{0,126}")


@dataclass(frozen=True, slots=True)
class Expected:
    """A file that is to come."""

    name: str
    size: int
    alt: str = ""
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file as somebody may see it, with those of its messages that they may read."""

    row: FileRow
    shares: list[tuple[Channel, FileShareRow]]


class Files:
    """The files of the workspace."""

    def __init__(
        self, core: Core, channels: Channels, messages: Messages, queue: Queue, blobs: Blobs | None, through: int
    ) -> None:
        """`through`: how many bytes a file may have that comes through the server itself."""
        self._core = core
        self._table = core.table
        self._channels = channels
        self._messages = messages
        self._queue = queue
        self._blobs = blobs
        self._through = through

    @property
    def blobs(self) -> Blobs:
        """Where the bytes are. Raises `FileUploadsDisabled`."""
        if self._blobs is None:
            raise FileUploadsDisabled
        return self._blobs

    # -- coming -----------------------------------------------------------------------------------------------------

    def expect(self, person: Person, wanted: Expected) -> tuple[FileRow, str]:
        """A file that will come through the server, and the secret that lets it in for half an hour.

        Raises `NoFileData`, `FileTooLarge`.
        """
        if wanted.size > min(self._through, self.blobs.max_bytes):
            raise FileTooLarge
        secret = secrets.token_urlsafe(24)
        return self._expected(person, wanted, digest(secret)), secret

    def expect_at_store(
        self, person: Person, wanted: Expected, thumb: tuple[str, int] | None
    ) -> tuple[FileRow, list[Upload]]:
        """A file that will go to the store itself, and where; a small picture of it (type, size) beside it if wanted.

        Raises `NoFileData`, `FileTooLarge`.
        """
        if wanted.size > self.blobs.max_bytes or (thumb is not None and not 0 < thumb[1] <= MAX_THUMB):
            raise FileTooLarge
        row = self._expected(person, wanted, "")
        uploads = [self.blobs.upload(row.id, mimetype=row.mimetype, size=row.size, seconds=UPLOAD_LIFE)]
        if thumb is not None:
            uploads.append(self.blobs.upload(_thumb(row.id), mimetype=thumb[0], size=thumb[1], seconds=UPLOAD_LIFE))
        return row, uploads

    def _expected(self, person: Person, wanted: Expected, upload: str) -> FileRow:
        if wanted.size <= 0:
            raise NoFileData
        name, now = clean_name(wanted.name), self._core.now
        row = FileRow(
            id=new_id("F"),
            user=person.id,
            name=name,
            title=name,
            mimetype=type_of(name),
            size=wanted.size,
            created=now,
            alt=wanted.alt[:_MAX_NAME],
            snippet=wanted.snippet[:_MAX_NAME],
            rev=0,
            upload=upload,
            upload_until=now + UPLOAD_LIFE,
        )
        job = Job(f"drop-{row.id}", "drop_upload", {"user": row.user, "id": row.id, "at": 0})
        drop = self._queue.operations(job, row.upload_until + _DROP_AFTER)
        self._table.transact([files.adding(row), *drop])
        return row

    def drop(self, file: str) -> None:
        """Forget a file that its owner has not completed, and what has come of it."""
        row = files.by_id(self._table, file)
        if row is None or row.complete:
            return
        delete = files.dropping(row)
        try:
            self._table.delete(delete.key, delete.condition)
        except ConditionFailed:  # it was completed meanwhile
            return
        self._forget_bytes(file)

    def _forget_bytes(self, file: str) -> None:
        self.blobs.delete(file)
        self.blobs.delete(_thumb(file))

    def receive(self, file: str, secret: str, data: bytes) -> None:
        """Bytes that somebody brought with the secret. Raises `FileNotFound`, `NoFileData`, `FileUpdateFailed`."""
        row = files.by_id(self._table, file)
        if row is None or row.complete or row.deleted or not hmac.compare_digest(row.upload, digest(secret)):
            raise FileNotFound
        if self._core.now >= row.upload_until:
            raise FileNotFound("That upload has expired. Begin again.")
        if not data:
            raise NoFileData
        if len(data) != row.size:
            raise FileUpdateFailed(f"The file has {len(data)} bytes, not {row.size} as was said.")
        self.blobs.put(row.id, data, mimetype=row.mimetype)

    def complete(self, person: Person, titles: Sequence[tuple[str, str]]) -> list[FileRow]:
        """Take files as they are now: id and title of each; "" keeps the name. Again it changes nothing.

        Raises `FileNotFound`, `FileIsDeleted`, and `FileUpdateFailed` where the bytes have not come.
        """
        return [self._completed(person, file, title) for file, title in titles]

    def _completed(self, person: Person, file: str, title: str) -> FileRow:
        row = files.by_id(self._table, file)
        if row is None or row.user != person.id:
            raise FileNotFound
        if row.deleted:
            raise FileIsDeleted
        if row.complete:
            return row
        stored = self.blobs.head(row.id)
        if stored is None or stored.size != row.size:
            raise FileUpdateFailed
        after = msgspec.structs.replace(
            row, title=clean_name(title) if title.strip() else row.name, complete=True, upload="", rev=row.rev + 1
        )
        if row.mimetype.startswith("image/"):
            after = self._looked_at(after)
        put = files.replacing(row, after)
        try:
            self._table.put(put.item, put.condition)
        except ConditionFailed:  # the same call again, side by side
            return self._completed(person, file, title)
        return after

    def _looked_at(self, row: FileRow) -> FileRow:
        picture = look_at(self.blobs.get(row.id, 0, HEAD))
        thumb = self.blobs.head(_thumb(row.id)) is not None
        size = (picture.width, picture.height) if picture is not None else (0, 0)
        return msgspec.structs.replace(row, width=size[0], height=size[1], thumb=thumb)

    # -- being shared -----------------------------------------------------------------------------------------------

    def check(self, person: Person, channel: Channel, wanted: Posting) -> None:
        """Raise a `Refused` unless files can be shared like this, by them, now."""
        composed = dataclasses.replace(wanted.composed, files=(AttachedFile(id=""),))
        self._messages.check(person, channel, dataclasses.replace(wanted, composed=composed))

    def share(self, person: Person, channel: Channel, rows: Sequence[FileRow], wanted: Posting) -> Posted:
        """Say something with files. `wanted` is without them. Raises a `Refused`, as posting does."""
        public = not channel.private
        carried = tuple(_attached(row, public=public) for row in rows)
        composed = dataclasses.replace(wanted.composed, files=carried, subtype="file_share")

        def beside(place: Place) -> tuple[list[AnyEvent], list[Operation]]:
            share = FileShareRow(channel=channel.id, ts=place.ts, thread=wanted.thread)
            told: list[AnyEvent] = [FileShared(file=row.id, user=person.id, target=place.ts) for row in rows]
            return told, [files.sharing(row, share) for row in rows]

        posting = dataclasses.replace(wanted, composed=composed)
        return self._messages.post(person, channel, posting, beside=beside, more=len(rows))

    # -- being there ------------------------------------------------------------------------------------------------

    def get(self, person: Person, file: str) -> File:
        """A file that somebody may have. Raises `FileNotFound`, `FileIsDeleted`."""
        row = files.by_id(self._table, file)
        if row is None or not row.complete:
            raise FileNotFound
        seen = self._seen(person, row)
        if row.user != person.id and not seen:
            raise FileNotFound
        if row.deleted:
            raise FileIsDeleted
        return File(row, seen)

    def find(self, person: Person, file: str) -> File | None:
        """A file if it is there and they may have it."""
        try:
            return self.get(person, file)
        except Refused:
            return None

    def _seen(self, person: Person, row: FileRow) -> list[tuple[Channel, FileShareRow]]:
        """The messages with a file that somebody may read, as things stand now."""
        readable: dict[str, Channel | None] = {}
        found: list[tuple[Channel, FileShareRow]] = []
        for share in files.shares(self._table, row.id):
            if share.channel not in readable:
                readable[share.channel] = self._readable(person, share.channel)
            channel = readable[share.channel]
            if channel is not None:
                found.append((channel, share))
        return found

    def _readable(self, person: Person, channel: str) -> Channel | None:
        row = channels.by_id(self._table, channel)
        if row is None:
            return None
        try:
            self._channels.check(person, rights.Act.READ, channel_of(row))
        except Refused:
            return None
        return channel_of(row)

    def listed(self, person: Person, *, channel: Channel | None, user: str) -> list[FileRow]:
        """Files that somebody may have, the newest first: of a conversation, of a person, or all that are near."""
        if channel is not None:
            self._channels.check(person, rights.Act.READ, channel)
            owners: list[str] = [channel.id]
        elif user:
            owners = [user]
        else:
            owners = [person.id, *(row.id for row, _ in self._channels.of(person))]
        most = _MAX_LISTED if len(owners) == 1 else _MAX_OF_EACH
        ids = dict.fromkeys(each for owner in owners for each in files.newest(self._table, owner, most))
        rows = [row for row in files.by_ids(self._table, list(ids)) if not row.deleted and user in ("", row.user)]
        kept = [row for row in rows if channel is not None or row.user == person.id or self._seen(person, row)]
        return sorted(kept, key=lambda row: (row.created, row.id), reverse=True)

    def search(self, person: Person, query: str) -> list[FileRow]:
        """Files that somebody may have whose name, title or description holds each of these words, the newest first.

        Raises `NoQuery`, `QueryTooLong`.
        """
        words = query.casefold().split()
        if not words:
            raise NoQuery
        if len(query) > MAX_QUERY:
            raise QueryTooLong
        rows = self.listed(person, channel=None, user="")
        return [row for row in rows if all(word in f"{row.name} {row.title} {row.alt}".casefold() for word in words)]

    def url(self, person: Person, file: str, *, thumb: bool = False) -> str:
        """Where the bytes are to be had for some minutes, for whoever may have them now. Raises as `get`."""
        row = self.get(person, file).row
        if thumb and not row.thumb:
            raise FileNotFound
        return self.blobs.download(_thumb(file) if thumb else file, name=row.name, seconds=_DOWNLOAD_LIFE)

    # -- a link for everybody ---------------------------------------------------------------------------------------

    def publish(self, person: Person, file: str) -> FileRow:
        """Let anybody have it who is given the link. Raises `FileNotFound`, and as `get`."""
        return self._link(person, file, secrets.token_hex(12))

    def withdraw(self, person: Person, file: str) -> FileRow:
        """Let the link lead nowhere. Raises as `publish`."""
        return self._link(person, file, "")

    def _link(self, person: Person, file: str, link: str) -> FileRow:
        row = self.get(person, file).row
        if row.user != person.id:
            raise FileNotFound
        if bool(row.link) == bool(link):
            return row
        after = msgspec.structs.replace(row, link=link, rev=row.rev + 1)
        put = files.replacing(row, after)
        self._table.put(put.item, put.condition)
        return after

    def public_url(self, file: str, link: str) -> str:
        """Where the bytes are to be had, for whoever has the link. Raises `FileNotFound`."""
        row = files.by_id(self._table, file)
        if row is None or row.deleted or not row.link or not hmac.compare_digest(row.link.encode(), link.encode()):
            raise FileNotFound
        return self.blobs.download(file, name=row.name, seconds=_DOWNLOAD_LIFE)

    # -- going ------------------------------------------------------------------------------------------------------

    def delete(self, person: Person, file: str) -> None:
        """Delete a file: nobody gets it from now on, and its messages say that it is gone.

        Raises `CantDeleteFile`, and as `get`.
        """
        row = self.get(person, file).row
        if row.user != person.id and not person.is_admin:
            raise CantDeleteFile
        after = msgspec.structs.replace(row, deleted=True, link="", rev=row.rev + 1)
        job = Job(f"erase-{file}", "erase_file", {"user": person.id, "id": file, "at": 0})
        erase = self._queue.operations(job, self._core.now + _ERASE_AFTER)  # for when this process dies on the way
        try:
            self._table.transact([files.replacing(row, after), *erase])
        except TransactionFailed:
            raise FileIsDeleted from None
        self.erase(person.id, file)
        self._queue.cancel(job.id)

    def erase(self, by: str, file: str) -> None:
        """Take a deleted file out of its messages, then away. Harmless when done twice."""
        for share in files.shares(self._table, file):
            row = channels.by_id(self._table, share.channel)
            if row is not None:
                self._taken_out(by, file, channel_of(row), share.ts)
        self._forget_bytes(file)

    def _taken_out(self, by: str, file: str, channel: Channel, ts: str) -> None:
        def deed() -> Writes:
            row = messages.get(self._table, channel.id, ts)
            if row is None or all(each.deleted for each in row.files if each.id == file):
                raise FileIsDeleted
            return _without(by, file, channel, ts, row)

        try:
            self._core.happen(channel, deed, events=2)
        except FileIsDeleted:
            return


def _without(by: str, file: str, channel: Channel, ts: str, row: MessageRow) -> Writes:
    left = [AttachedFile(id=file, deleted=True) if each.id == file else each for each in row.files]
    new = msgspec.structs.replace(row, files=left, rev=row.rev + 1)

    def write(place: Place) -> tuple[list[AnyEvent], list[Operation]]:
        told: list[AnyEvent] = [MessageChanged(target=ts, message=new, by=by), FileDeleted(file=file, user=by)]
        return told, replacing(channel, ts, row, new)

    return write


def _attached(row: FileRow, *, public: bool) -> AttachedFile:
    return AttachedFile(
        id=row.id, user=row.user, name=row.name, title=row.title, mimetype=row.mimetype, size=row.size,
        created=row.created, width=row.width, height=row.height, thumb=row.thumb, alt=row.alt, snippet=row.snippet,
        public=public,
    )  # fmt: skip


def _thumb(file: str) -> str:
    return f"{file}-thumb"


def clean_name(name: str) -> str:
    """A file's name as it is kept and shown: no folders, nothing that cannot be seen, at most 255 characters."""
    last = re.split(r"[/\\]", name)[-1]
    seen = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    kept = " ".join(seen.split()).lstrip(".")
    if len(kept) <= _MAX_NAME:
        return kept or "file"
    stem, dot, ending = kept.rpartition(".")
    return f"{stem[: _MAX_NAME - len(ending) - 1]}.{ending}" if dot and len(ending) < 20 else kept[:_MAX_NAME]


@functools.cache
def _types() -> mimetypes.MimeTypes:
    """Python's own table: what a machine has installed must not matter. Made when the first file comes."""
    return mimetypes.MimeTypes()


def type_of(name: str) -> str:
    """The type that a name's ending stands for."""
    found, encoding = _types().guess_type(name, strict=True)
    if encoding is not None or found is None or not _TYPE.fullmatch(found):
        return "application/octet-stream"
    return found
