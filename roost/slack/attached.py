"""A file as Slack's JSON, in its messages and by itself. Its URLs take the token of somebody who may have it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from roost.storage.items import AttachedFile

#: What a type is called beside its ending, where people know it by a name.
_PRETTY = {
    "pdf": "PDF",
    "png": "PNG",
    "jpg": "JPEG",
    "gif": "GIF",
    "webp": "WebP",
    "txt": "Plain Text",
    "md": "Markdown",
    "csv": "CSV",
    "zip": "Zip",
    "json": "JSON",
    "mp4": "MPEG 4 Video",
    "py": "Python",
    "html": "HTML",
    "svg": "SVG",
}
_ENDINGS = {"jpeg": "jpg", "htm": "html", "text": "txt"}
_THUMB = 360  # pixels of the longer side at most, as the clients of ours make them


def shape(file: AttachedFile, team: str, url: str) -> dict[str, Any]:
    """A file, as messages have it. `url` is the server's own address."""
    if file.deleted:
        return {"id": file.id, "mode": "tombstone"}
    place = f"{team}-{file.id}"
    name = quote(file.name, safe="")
    kind = filetype(file)
    shown: dict[str, Any] = {
        "id": file.id,
        "created": file.created,
        "timestamp": file.created,
        "name": file.name,
        "title": file.title,
        "mimetype": file.mimetype,
        "filetype": kind,
        "pretty_type": _PRETTY.get(kind, kind.upper() if kind != "binary" else "Binary"),
        "user": file.user,
        "user_team": team,
        "editable": False,
        "size": file.size,
        "mode": "snippet" if file.snippet else "hosted",
        "is_external": False,
        "external_type": "",
        "is_public": file.public,
        "public_url_shared": False,
        "display_as_bot": False,
        "username": "",
        "url_private": f"{url}files-pri/{place}/{name}",
        "url_private_download": f"{url}files-pri/{place}/download/{name}",
        "permalink": f"{url}files/{file.user}/{file.id}/{name}",
        "file_access": "visible",
    }
    if file.alt:
        shown["alt_txt"] = file.alt
    return shown | _picture(file, f"{url}files-tmb/{place}/{name}")


def filetype(file: AttachedFile) -> str:
    """What Slack calls a file's type: its ending, in one spelling."""
    if file.snippet:
        return file.snippet
    _, dot, ending = file.name.lower().rpartition(".")
    if not dot or not ending.isalnum() or len(ending) > 10:
        return "binary"
    return _ENDINGS.get(ending, ending)


def _picture(file: AttachedFile, thumb: str) -> dict[str, Any]:
    if not file.width or not file.height:
        return {}
    shown: dict[str, Any] = {"original_w": file.width, "original_h": file.height}
    if file.thumb:
        scale = min(1.0, _THUMB / max(file.width, file.height))
        size = {"thumb_360_w": max(1, round(file.width * scale)), "thumb_360_h": max(1, round(file.height * scale))}
        shown |= {"thumb_360": thumb, **size}
    return shown
