"""The arguments of a call, from the four places in which clients put them.

Forms, JSON bodies, multipart bodies and the query are merged; nested values may be JSON or JSON text; unknown arguments
are ignored, and null is absent. Source: Slack's client libraries, which do all of this.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from roost.slack.errors import ApiError, InvalidArguments

MAX_BODY = 1_000_000  # bytes of a call's arguments
_MAX_NESTING = 32
_MAX_FIELDS = 1000
_MAX_ID = 255  # characters, more than any id has and less than a key of the table may
_IDS = frozenset({
    "bookmark_id", "bot", "channel", "channel_id", "email", "file", "file_id", "handle", "id", "invite", "message_ts",
    "reminder", "scheduled_message_id", "thread_ts", "timestamp", "token_id", "ts", "user", "user_id", "usergroup",
})  # fmt: skip
_CODES = {"limit": "invalid_limit", "cursor": "invalid_cursor"}  # Slack's, for arguments that are of another type

A = TypeVar("A", bound=msgspec.Struct)


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """What every method's arguments are: absent where they have a default."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a multipart body."""

    name: str
    content_type: str
    data: bytes


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of an HTTP API event (payload 2.0), untyped; files are `Upload`s. Raises `ApiError`."""
    values = _form(event.get("rawQueryString") or "")
    body = raw_body(event)
    if not body:
        return values
    if len(body) > MAX_BODY:
        raise ApiError("invalid_form_data")
    kind, parameters = content_type(event)
    if parameters.get("charset", "utf-8").lower().strip('"') not in ("utf-8", "utf8", "us-ascii"):
        raise ApiError("invalid_charset")
    if kind == "application/json":
        return values | _json(body)
    if kind in ("application/x-www-form-urlencoded", ""):
        return values | _form(_text(body))
    if kind == "multipart/form-data":
        return values | _multipart(event, body)
    raise ApiError("invalid_post_type")


def raw_body(event: Mapping[str, Any]) -> bytes:
    """The body's bytes."""
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise ApiError("invalid_form_data") from None


def content_type(event: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The body's type in lower case, and its parameters."""
    head, *parts = header(event, "content-type").split(";")
    pairs = (part.partition("=") for part in parts)
    return head.strip().lower(), {name.strip().lower(): value.strip() for name, _, value in pairs}


def header(event: Mapping[str, Any], name: str) -> str:
    """A header's value, empty where there is none. API Gateway gives names in lower case."""
    found: str = (event.get("headers") or {}).get(name, "")
    return found


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ApiError("invalid_charset") from None
    return text


def _form(text: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except UnicodeDecodeError:
        raise ApiError("invalid_charset") from None
    except ValueError:
        raise ApiError("invalid_form_data") from None
    if any("[" in name for name, _ in pairs):
        raise ApiError("invalid_array_arg")
    return dict(pairs)


def _json(body: bytes) -> dict[str, Any]:
    _text(body)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ApiError("invalid_charset" if _lone_surrogate(body) else "invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError("json_not_object")
    if _depth(value) > _MAX_NESTING:
        raise ApiError("invalid_json")
    return {name: each for name, each in value.items() if each is not None}


def _lone_surrogate(body: bytes) -> bool:
    """Whether only half a character keeps this from being JSON."""
    try:
        return b"\\ud" in body.lower() and json.loads(body) is not None
    except (ValueError, RecursionError):
        return False


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        inside: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inside += each.values()
            elif isinstance(each, list):
                inside += each
        level = inside
    return deepest - 1


def _multipart(event: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for part in parts_of(event, body):
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(data, bytes):
            raise ApiError("invalid_form_data")
        filename = part.get_filename()
        values[name] = _text(data) if filename is None else Upload(filename, part.get_content_type(), data)
    return values


def parts_of(event: Mapping[str, Any], body: bytes) -> list[Any]:
    """The parts of a multipart body, by Python's own parser of MIME. Raises `ApiError`."""
    head = f"content-type: {header(event, 'content-type')}\r\n\r\n".encode()
    import email.parser  # here, since few calls need it and it would take a sixth of a function's start
    import email.policy

    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise ApiError("invalid_form_data")
    return list(message.iter_parts())


# -- typed -------------------------------------------------------------------------------------------------------------


def typed(values: Mapping[str, Any], kind: type[A], missing: Mapping[str, str]) -> A:
    """The arguments that a method knows. Raises `ApiError`: for a required one that is not there the method's own code
    (`missing`), else `invalid_arguments` with its name."""
    for field in msgspec.structs.fields(kind):
        if field.required and field.encode_name not in values:
            code = missing.get(field.encode_name)
            raise ApiError(code) if code else InvalidArguments(f"missing required field: {field.encode_name}")
    for name, value in values.items():
        if isinstance(value, str):
            check_text(value)
        elif not isinstance(value, Upload):
            _check_json(name, value)
    known = {name: _cut(name, value) for name, value in values.items() if not isinstance(value, Upload)}
    try:
        return msgspec.convert(known, kind, strict=False)
    except msgspec.ValidationError as error:
        place = str(error).rpartition("`$.")[2].rstrip("`")
        if place in _CODES:
            raise ApiError(_CODES[place]) from None
        raise InvalidArguments(str(error)) from None


def _cut(name: str, value: object) -> object:
    """An id as it is looked up: what is longer than any id is not there, and neither is its beginning."""
    return value[:_MAX_ID] if name in _IDS and isinstance(value, str) else value


def check_text(text: str) -> None:
    """Raise unless this can be stored as text."""
    if "\0" in text:
        raise ApiError("invalid_charset")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ApiError("invalid_charset") from None


def _check_json(name: str, value: object) -> None:
    if isinstance(value, dict | list):
        check_text(msgspec.json.encode(value).decode(errors="replace"))


def names(value: str | list[str]) -> list[str]:
    """A list that clients write with commas, or as JSON; blanks and repeats go."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = msgspec.json.decode(value, type=list[str])
        except msgspec.DecodeError:
            raise InvalidArguments("not a list") from None
    parts = value.split(",") if isinstance(value, str) else value
    return list(dict.fromkeys(part.strip()[:_MAX_ID] for part in parts if part.strip()))


def nested(value: object, code: str) -> Any:
    """A nested value, given as JSON or as JSON text. Raises `ApiError` with the code where it is neither."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        decoded = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        raise ApiError(code) from None
    if _depth(decoded) > _MAX_NESTING:
        raise ApiError(code)
    return decoded
