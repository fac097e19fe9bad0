"""`users.setPhoto`, `users.deletePhoto`: the caller's face. It is kept as it comes: clients cut it out beforehand."""

from __future__ import annotations

from typing import Any

import msgspec

from roost.slack.arguments import Upload
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.slack.errors import ApiError
from roost.slack.shapes import PHOTO
from roost.storage.items import UserRow

_MAX_BYTES = 1_000_000
_MAX_PIXELS = 4096


def set_photo(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`users.setPhoto`: a picture in the file `image` of a form."""
    image = call.given.get("image")
    if not isinstance(image, Upload) or not image.data:
        raise ApiError("bad_image")
    if len(image.data) > _MAX_BYTES:
        raise ApiError("too_large")
    _replace(call, call.chat.pictures.keep(image.data, _MAX_PIXELS))
    return {}


def delete_photo(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`users.deletePhoto`"""
    _replace(call, "")
    return {}


def _replace(call: Call, key: str) -> None:
    before = call.chat.people.row(call.person.id).profile.get(PHOTO)

    def alter(row: UserRow) -> UserRow:
        kept = {name: value for name, value in row.profile.items() if name != PHOTO}
        return msgspec.structs.replace(row, profile=kept | ({PHOTO: key} if key else {}))

    call.chat.people.change(call.person.id, alter)
    if before is not None:
        call.chat.pictures.forget(before)
