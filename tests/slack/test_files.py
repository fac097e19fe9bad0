"""Files: every form of upload, messages that carry them, and who may have them, asked each time."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from roost.chat.files import clean_name, type_of
from roost.chat.pictures import Picture, look_at
from roost.chat.ports import Upload
from roost.testing import http_event
from tests.slack.test_scheduled import pass_time
from tests.slack.workspace import Member, Workspace

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAD0lEQVR4nGNgYPgPRlAKABfyA/3yE0d3AAAAAElFTkSuQmCC"
)
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="body"; filename="Untitled"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\nhello\r\n--x--\r\n"
)


def request(workspace: Workspace, verb: str, url: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
    """The answer to an HTTP request outside the API."""
    event = http_event(verb, url.removeprefix("http://localhost:8000"))
    event["headers"] = {name.replace("_", "-"): value for name, value in headers.items()}
    event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode(), True
    return workspace.app.handle(event)


def upload(member: Member, data: bytes = b"hello", name: str = "notes.txt") -> str:
    """The id of a file whose bytes have come; it is not complete yet."""
    asked = member.does("files.getUploadURLExternal", filename=name, length=len(data))
    answer = request(member.workspace, "POST", asked["upload_url"], data, content_type="application/octet-stream")
    assert (answer["statusCode"], answer["body"]) == (200, f"OK - {len(data)}")
    return str(asked["file_id"])


def share(member: Member, channel: str, *files: str, **more: Any) -> dict[str, Any]:
    """Complete files in a conversation; the message that carries them."""
    member.does("files.completeUploadExternal", files=[{"id": each} for each in files], channel_id=channel, **more)
    return member.reads(channel)[0]


def fetch(member: Member, url: str, token: str | None = None) -> bytes | None:
    """What somebody gets for a URL of a file; None where there is nothing for them."""
    workspace = member.workspace
    shown = member.token if token is None else token
    answer = request(workspace, "GET", url, authorization=f"Bearer {shown}")
    if answer["statusCode"] == 404:
        return None
    assert (answer["statusCode"], answer["headers"]["Cache-Control"]) == (302, "no-store")
    found = workspace.room.blobs.fetch(answer["headers"]["Location"])
    return None if found is None else found[0]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"hello", "application/x-www-form-urlencoded"),
        (b"hello", "application/octet-stream"),
        (b"hello", "text/plain"),
        (FORM, "multipart/form-data; boundary=x"),
        (b"\r\n" + FORM, 'multipart/form-data; boundary="x"'),
        (FORM.replace(b"body", b"filename").replace(b"Untitled", b"notes.txt"), "multipart/form-data; boundary=x"),
    ],
    ids=["raw, called a form", "raw", "text", "multipart", "multipart after a line break", "as curl sends it"],
)
@pytest.mark.parametrize("authorized", [True, False])
def test_every_form_of_upload_is_taken(
    workspace: Workspace, ana: Member, body: bytes, content_type: str, authorized: bool
) -> None:
    asked = ana.does("files.getUploadURLExternal", filename="notes.txt", length=5)
    headers = {"content_type": content_type} | ({"authorization": "Bearer whatever"} if authorized else {})
    answer = request(workspace, "POST", asked["upload_url"], body, **headers)
    assert (answer["statusCode"], answer["body"]) == (200, "OK - 5")
    assert answer["headers"]["Content-Type"].startswith("text/plain")
    message = share(ana, workspace.general, asked["file_id"])
    assert fetch(ana, message["files"][0]["url_private"]) == b"hello"


def test_bytes_come_out_as_they_went_in(workspace: Workspace, ana: Member) -> None:
    data = bytes(range(256)) * 40
    message = share(ana, workspace.general, upload(ana, data, "a.bin"))
    assert fetch(ana, message["files"][0]["url_private_download"]) == data


def test_one_message_carries_all_files_and_a_comment(workspace: Workspace, ana: Member, ben: Member) -> None:
    stream = ben.listens()
    first, second = upload(ana), upload(ana, PNG, "dot.png")
    message = share(ana, workspace.general, first, second, initial_comment="look")
    (posted,) = stream.hears("message")
    assert (posted["text"], posted["subtype"], posted["user"]) == ("look", "file_share", ana.id)
    assert [each["id"] for each in posted["files"]] == [first, second]
    assert [each["id"] for each in message["files"]] == [first, second]
    picture = message["files"][1]
    assert (picture["mimetype"], picture["original_w"], picture["original_h"]) == ("image/png", 3, 2)
    assert (picture["filetype"], picture["size"], picture["is_public"]) == ("png", len(PNG), True)


def test_a_file_shared_event_per_file(workspace: Workspace, ana: Member, ben: Member) -> None:
    stream = ben.listens()
    files = [upload(ana), upload(ana)]
    share(ana, workspace.general, *files)
    told = stream.hears("file_shared")
    assert [each["file_id"] for each in told] == files
    assert {(each["user_id"], each["channel_id"]) for each in told} == {(ana.id, workspace.general)}


def test_files_in_a_thread_and_with_no_comment(workspace: Workspace, ana: Member) -> None:
    root = ana.posts(workspace.general, "root")
    file = upload(ana)
    ana.does("files.completeUploadExternal", files=[{"id": file}], channel_id=workspace.general, thread_ts=root)
    reply = ana.does("conversations.replies", channel=workspace.general, ts=root)["messages"][1]
    assert (reply["text"], reply["files"][0]["id"], reply["thread_ts"]) == ("", file, root)


def test_the_same_call_again_posts_once(workspace: Workspace, ana: Member) -> None:
    file = upload(ana)
    share(ana, workspace.general, file)
    share(ana, workspace.general, file)
    assert len([each for each in ana.reads(workspace.general) if "files" in each]) == 1


def test_without_a_conversation_it_is_its_owners_alone(ana: Member, ben: Member) -> None:
    file = upload(ana)
    (shown,) = ana.does("files.completeUploadExternal", files=[{"id": file, "title": "Mine"}])["files"]
    assert (shown["title"], shown["channels"], shown["is_public"]) == ("Mine", [], False)
    assert fetch(ana, shown["url_private"]) == b"hello"
    assert fetch(ben, shown["url_private"]) is None
    assert ben.is_refused("files.info", file=file) == "file_not_found"
    assert ben.is_refused("files.delete", file=file) == "file_not_found"
    assert ben.does("files.list")["files"] == []


def test_rights_are_asked_at_each_request(workspace: Workspace, ana: Member, ben: Member) -> None:
    plans = ana.channel("plans", ben, private=True)
    url = share(ana, plans, upload(ana))["files"][0]["url_private"]
    assert fetch(ben, url) == b"hello"
    outsider = workspace.member("cy")
    assert fetch(outsider, url) is None
    ana.does("conversations.kick", channel=plans, user=ben.id)
    assert fetch(ben, url) is None
    assert fetch(ana, url, token="") is None
    assert fetch(ana, url, token="xoxp-roost-none") is None
    assert fetch(ana, url.replace("-F", "-FX")) is None


@pytest.mark.parametrize("file", ["", "-", "T1", "T1-", "T1-F" + "x" * 3000, "T1-F#x", "é", "T1-F1-x", "T1-F1\ud800-x"])
@pytest.mark.parametrize("kind", ["files-pri", "files-tmb", "files-pub"])
def test_what_names_no_file_leads_nowhere(ana: Member, kind: str, file: str) -> None:
    assert fetch(ana, f"/{kind}/{file}/name") is None


def test_an_id_that_is_too_long_for_any_key_is_refused(ana: Member) -> None:
    assert ana.is_refused("files.info", file="F" * 3000) == "file_not_found"
    assert ana.is_refused("bookmarks.list", channel_id="C" * 3000) == "channel_not_found"


def test_a_token_without_the_scope_gets_nothing(workspace: Workspace, ana: Member) -> None:
    url = share(ana, workspace.general, upload(ana))["files"][0]["url_private"]
    assert fetch(workspace.member("cy", scopes=("chat:write",)), url) is None
    assert fetch(workspace.member("di", scopes=("files:read",)), url) == b"hello"


def test_info_shows_only_the_places_that_the_reader_knows(workspace: Workspace, ana: Member, ben: Member) -> None:
    secret = ana.channel("secret", private=True)
    file = upload(ana)
    ana.does("files.completeUploadExternal", files=[{"id": file}], channels=[workspace.general, secret])
    mine, others = ana.does("files.info", file=file), ben.does("files.info", file=file)
    assert (mine["file"]["channels"], mine["file"]["groups"]) == ([workspace.general], [secret])
    assert (others["file"]["channels"], others["file"]["groups"]) == ([workspace.general], [])
    assert secret not in str(others)
    assert (mine["content"], mine["is_truncated"]) == ("hello", False)


def test_a_deleted_message_takes_its_files_out_of_the_channel(workspace: Workspace, ana: Member, ben: Member) -> None:
    message = share(ana, workspace.general, upload(ana))
    ana.does("chat.delete", channel=workspace.general, ts=message["ts"])
    assert fetch(ben, message["files"][0]["url_private"]) is None
    assert fetch(ana, message["files"][0]["url_private"]) == b"hello"


def test_list(workspace: Workspace, ana: Member, ben: Member) -> None:
    made = []
    for number in range(3):
        workspace.clock.now += 1
        made.append(upload(ana, PNG if number == 1 else b"x", "p.png" if number == 1 else f"{number}.txt"))
        share(ana, workspace.general, made[-1])
    listed = ben.does("files.list", channel=workspace.general)
    assert [each["id"] for each in listed["files"]] == made[::-1]
    assert listed["paging"] == {"count": 100, "total": 3, "page": 1, "pages": 1}
    assert [each["id"] for each in ben.does("files.list", types="images")["files"]] == [made[1]]
    assert [each["id"] for each in ben.does("files.list", user=ana.id, count=1, page=2)["files"]] == [made[1]]
    assert ben.does("files.list", user=ben.id)["files"] == []
    assert ben.is_refused("files.list", types="songs") == "unknown_type"
    assert ben.is_refused("files.list", user="U0") == "user_not_found"
    plans = ana.channel("plans", private=True)
    assert ben.is_refused("files.list", channel=plans) == "channel_not_found"


def test_files_are_found_by_their_names(workspace: Workspace, ana: Member, ben: Member) -> None:
    plans = ana.channel("plans", private=True)
    share(ana, workspace.general, upload(ana, name="Report 2026.pdf"))
    workspace.clock.now += 1
    share(ana, plans, upload(ana, name="secret report.pdf"))
    assert [each["name"] for each in ana.does("search.files", query="REPORT")["files"]["matches"]] == [
        "secret report.pdf", "Report 2026.pdf",
    ]  # fmt: skip
    found = ben.does("search.all", query="2026 report")
    assert [each["name"] for each in found["files"]["matches"]] == ["Report 2026.pdf"]
    assert (found["files"]["total"], found["messages"]["total"]) == (1, 0)
    assert ben.does("search.files", query="secret")["files"]["matches"] == []
    assert ben.is_refused("search.files", query=" ") == "no_query"
    assert ben.is_refused("search.files", query="x" * 501) == "invalid_arguments"


def test_delete(workspace: Workspace, ana: Member, ben: Member) -> None:
    file = upload(ben)
    message = share(ben, workspace.general, file, initial_comment="look")
    cy, stream = workspace.member("cy"), ana.listens()
    assert cy.is_refused("files.delete", file=file) == "cant_delete_file"
    ben.does("files.delete", file=file)
    assert ben.is_refused("files.delete", file=file) == "file_deleted"
    assert ben.is_refused("files.info", file=file) == "file_deleted"
    assert fetch(ben, message["files"][0]["url_private"]) is None
    assert workspace.room.blobs.head(file) is None
    (left,) = [each for each in ana.reads(workspace.general) if "files" in each]
    assert (left["text"], left["files"]) == ("look", [{"id": file, "mode": "tombstone"}])
    changed, deleted = stream.hears("message", "file_deleted")
    assert (changed["subtype"], changed["message"]["files"]) == ("message_changed", left["files"])
    assert (deleted["file_id"], deleted["channel_ids"]) == (file, [workspace.general])


def test_a_deletion_that_dies_half_way_is_finished(workspace: Workspace, ana: Member) -> None:
    file = upload(ana)
    share(ana, workspace.general, file)
    erase, workspace.chat.files.erase = workspace.chat.files.erase, None  # type: ignore[assignment,method-assign]
    ana.calls("files.delete", file=file)
    workspace.chat.files.erase = erase  # type: ignore[method-assign]
    assert workspace.room.blobs.head(file) is not None
    pass_time(workspace, 61)
    assert workspace.room.blobs.head(file) is None
    assert ana.reads(workspace.general)[0]["files"] == [{"id": file, "mode": "tombstone"}]


def test_an_admin_deletes_what_others_uploaded(workspace: Workspace, ana: Member, ben: Member) -> None:
    file = upload(ben)
    share(ben, workspace.general, file)
    ana.does("files.delete", file=file)


def test_a_public_link_works_without_a_token_until_it_is_withdrawn(
    workspace: Workspace, ana: Member, ben: Member
) -> None:
    file = upload(ana)
    share(ana, workspace.general, file)
    assert ben.is_refused("files.sharedPublicURL", file=file) == "file_not_found"
    shown = ana.does("files.sharedPublicURL", file=file)["file"]
    assert shown["public_url_shared"]
    assert fetch(ben, shown["permalink_public"], token="") == b"hello"
    assert fetch(ben, shown["permalink_public"][:-1], token="") is None
    ana.does("files.revokePublicURL", file=file)
    assert fetch(ben, shown["permalink_public"], token="") is None


def test_clients_of_ours_upload_to_the_store_itself(workspace: Workspace, ana: Member) -> None:
    thumb: dict[str, Any] = {"thumb_type": "image/webp", "thumb_length": 4}
    asked = ana.does("files.getUploadForm", filename="dot.png", length=len(PNG), **thumb)
    assert ana.is_refused("files.completeUploadExternal", files=[{"id": asked["file_id"]}]) == "file_update_failed"
    for form, data in ((asked["upload"], PNG), (asked["thumb"], b"RIFF")):
        url = form["url"].removeprefix("http://localhost:8000")
        assert workspace.room.blobs.receive(Upload(url, form["fields"]), data)
    shown = share(ana, workspace.general, asked["file_id"])["files"][0]
    assert (shown["original_w"], shown["thumb_360_w"], shown["thumb_360_h"]) == (3, 3, 2)
    assert fetch(ana, shown["thumb_360"]) == b"RIFF"
    assert ana.is_refused("files.getUploadForm", filename="x", length=1, thumb_type="text/html", thumb_length=1) == (
        "invalid_arguments"
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"filename": "a", "length": 0}, "no_file_data"),
        ({"filename": "a", "length": -1}, "no_file_data"),
        ({"filename": "a", "length": 2**40}, "file_too_large"),
        ({"filename": " ", "length": 1}, "missing_argument"),
        ({"filename": "a"}, "missing_argument"),
        ({"length": 1}, "missing_argument"),
        ({"filename": "a", "length": "much"}, "invalid_arguments"),
    ],
)
def test_what_cannot_be_uploaded(ana: Member, arguments: dict[str, Any], code: str) -> None:
    assert ana.is_refused("files.getUploadURLExternal", **arguments) == code


def test_uploads_that_are_refused(workspace: Workspace, ana: Member) -> None:
    url = ana.does("files.getUploadURLExternal", filename="a", length=5)["upload_url"]
    assert request(workspace, "POST", url)["statusCode"] == 400
    assert request(workspace, "POST", url, b"four")["statusCode"] == 400
    assert (
        request(workspace, "POST", url, b"--x--", content_type="multipart/form-data; boundary=x")["statusCode"] == 400
    )
    assert request(workspace, "POST", url + "x", b"hello")["statusCode"] == 404
    assert request(workspace, "GET", url)["statusCode"] == 405
    workspace.clock.now += 1801
    assert request(workspace, "POST", url, b"hello")["statusCode"] == 404


def test_an_upload_that_is_never_completed_is_dropped(workspace: Workspace, ana: Member) -> None:
    dropped, kept = upload(ana), upload(ana)
    ana.does("files.completeUploadExternal", files=[{"id": kept}])
    pass_time(workspace, 1800 + 3601)
    assert workspace.room.blobs.head(dropped) is None
    assert ana.is_refused("files.completeUploadExternal", files=[{"id": dropped}]) == "file_not_found"
    assert workspace.room.blobs.head(kept) is not None
    assert ana.does("files.info", file=kept)["content"] == "hello"


def test_completing_that_is_refused(workspace: Workspace, ana: Member, ben: Member) -> None:
    file, plans = upload(ana), ana.channel("plans", private=True)
    complete = "files.completeUploadExternal"
    assert ben.is_refused(complete, files=[{"id": file}]) == "file_not_found"
    assert ana.is_refused(complete, files=[{"id": "F0"}]) == "file_not_found"
    assert ana.is_refused(complete, files=[]) == "invalid_arguments"
    assert ana.is_refused(complete, files="[{") == "invalid_arguments"
    assert ana.is_refused(complete, files=[{"id": file}] * 2) == "invalid_arguments"
    other = upload(ben)
    assert ben.is_refused(complete, files=[{"id": other}], channel_id=plans) == "channel_not_found"
    random = ana.channel("random")
    assert ben.is_refused(complete, files=[{"id": other}], channel_id=random) == "not_in_channel"
    assert ben.is_refused("files.info", file=other) == "file_not_found"  # nothing was done by half
    missing = ana.does("files.getUploadURLExternal", filename="a", length=5)["file_id"]
    assert ana.is_refused(complete, files=[{"id": missing}], channel_id=random) == "file_update_failed"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("a\0b\u202egpj.exe", "abgpj.exe"),
        (".htaccess", "htaccess"),
        ("  two  words.pdf ", "two words.pdf"),
        ("..", "file"),
        ("é😀.png", "é😀.png"),
        ("x" * 300 + ".tar", "x" * 251 + ".tar"),
        ("x" * 300, "x" * 255),
    ],
)
def test_names_are_cleaned_and_never_paths(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize(
    ("name", "mimetype"),
    [
        ("a.png", "image/png"),
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a.txt.png", "image/png"),
        ("a.tar.gz", "application/octet-stream"),
        ("a.nothing", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_types_are_those_of_the_ending(name: str, mimetype: str) -> None:
    assert type_of(name) == mimetype


def test_the_size_of_a_picture_is_read_without_decoding_it() -> None:
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\xc3\x50\xc3\x50" + b"\0" * 20
    assert look_at(jpeg) == Picture("image/jpeg", 50_000, 50_000)
    assert look_at(b"GIF89a\x05\x00\x04\x00") == Picture("image/gif", 5, 4)
    webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x02\0\0\x01\0\0"
    assert look_at(webp) == Picture("image/webp", 3, 2)
    assert look_at(PNG) == Picture("image/png", 3, 2)
    for broken in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"<svg/>", jpeg[:12], webp[:20]):
        assert look_at(broken) is None
