"""Block Kit as it comes in: the shape and the limits of what is drawn; what is newer than this is stored as it is.

Source: Slack's Block Kit reference.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from roost.slack.errors import ApiError

MAX_BLOCKS = {"message": 50, "modal": 100, "home": 100}
_MAX_ID = 255

Block = dict[str, Any]


def checked(value: object, surface: str) -> list[Block]:
    """Blocks of a message, modal or home tab, each with a `block_id`. Raises `ApiError` `invalid_blocks` with the place
    of what is wrong."""
    if not isinstance(value, list):
        raise ApiError("invalid_blocks_format")
    if len(value) > MAX_BLOCKS[surface]:
        raise invalid("", f"no more than {MAX_BLOCKS[surface]} items allowed")
    seen: set[str] = set()
    found = [_block(each, f"/blocks/{number}") for number, each in enumerate(value)]
    for number, block in enumerate(found):
        if block["block_id"] in seen:
            raise invalid(f"/blocks/{number}/block_id", "must be unique")
        seen.add(block["block_id"])
    return found


def invalid(pointer: str, problem: str) -> ApiError:
    """A refusal that names the place."""
    message = f"[ERROR] {problem} [json-pointer:{pointer}]"
    return ApiError("invalid_blocks", errors=[problem], response_metadata={"messages": [message]})


def _block(value: object, at: str) -> Block:
    if not isinstance(value, dict):
        raise invalid(at, "must be an object")
    kind = value.get("type")
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None and kind not in _PASSED_ON:
        raise invalid(f"{at}/type", f"unsupported type: {kind}")
    if check is not None:
        check(value, at)
    block_id = value.get("block_id") or secrets.token_urlsafe(4)
    _text_within(block_id, _MAX_ID, f"{at}/block_id")
    return {**value, "block_id": block_id}


def _text_within(value: object, most: int, at: str, least: int = 1) -> None:
    if not isinstance(value, str):
        raise invalid(at, "must be a string")
    if not least <= len(value) <= most:
        raise invalid(at, f"must be {least} to {most} characters")


def _text_object(value: object, most: int, at: str, *, plain: bool = False) -> None:
    if not isinstance(value, dict):
        raise invalid(at, "must be a text object")
    kinds = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    if value.get("type") not in kinds:
        raise invalid(f"{at}/type", f"must be one of {', '.join(kinds)}")
    _text_within(value.get("text"), most, f"{at}/text")


def _list_within(value: object, most: int, at: str) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise invalid(at, f"must be a list of 1 to {most}")
    return value


def _section(block: Block, at: str) -> None:
    if "text" not in block and "fields" not in block:
        raise invalid(at, "must have text or fields")
    if "text" in block:
        _text_object(block["text"], 3000, f"{at}/text")
    if "fields" in block:
        for number, field in enumerate(_list_within(block["fields"], 10, f"{at}/fields")):
            _text_object(field, 2000, f"{at}/fields/{number}")
    if "accessory" in block:
        _element(block["accessory"], f"{at}/accessory")


def _header(block: Block, at: str) -> None:
    _text_object(block.get("text"), 150, f"{at}/text", plain=True)


def _context(block: Block, at: str) -> None:
    for number, each in enumerate(_list_within(block.get("elements"), 10, f"{at}/elements")):
        place = f"{at}/elements/{number}"
        if isinstance(each, dict) and each.get("type") == "image":
            _image(each, place)
        else:
            _text_object(each, 3000, place)


def _actions(block: Block, at: str) -> None:
    for number, each in enumerate(_list_within(block.get("elements"), 25, f"{at}/elements")):
        _element(each, f"{at}/elements/{number}")


def _image(block: Block, at: str) -> None:
    if "image_url" in block:
        _text_within(block["image_url"], 3000, f"{at}/image_url")
    elif not isinstance(block.get("slack_file"), dict):
        raise invalid(at, "must have image_url or slack_file")
    _text_within(block.get("alt_text"), 2000, f"{at}/alt_text", least=0)


def _input(block: Block, at: str) -> None:
    _text_object(block.get("label"), 2000, f"{at}/label", plain=True)
    _element(block.get("element"), f"{at}/element")
    if "hint" in block:
        _text_object(block["hint"], 2000, f"{at}/hint", plain=True)


def _rich_text(block: Block, at: str) -> None:
    if not isinstance(block.get("elements"), list):
        raise invalid(f"{at}/elements", "must be a list")


def _markdown(block: Block, at: str) -> None:
    _text_within(block.get("text"), 12_000, f"{at}/text")


def _video(block: Block, at: str) -> None:
    for name in ("video_url", "thumbnail_url", "alt_text"):
        _text_within(block.get(name), 3000, f"{at}/{name}")
    _text_object(block.get("title"), 200, f"{at}/title", plain=True)


def _anything(block: Block, at: str) -> None:
    """Nothing to look at."""


_CHECKS: dict[str, Callable[[Block, str], None]] = {
    "section": _section,
    "divider": _anything,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "image": _image,
    "input": _input,
    "rich_text": _rich_text,
    "markdown": _markdown,
    "video": _video,
}
_PASSED_ON = {"file", "call", "table", "context_actions", "task_card", "plan", "alert", "card", "carousel", "container"}
_PASSED_ON |= {"auth_provider"}


# -- elements ----------------------------------------------------------------------------------------------------------

_MAX_OPTIONS = {"overflow": 5, "checkboxes": 10, "radio_buttons": 10}
_SELECTS = frozenset(f"{many}{kind}_select" for many in ("", "multi_") for kind in ("static", "external"))
_CHOICES = frozenset(f"{many}{kind}s_select" for many in ("", "multi_") for kind in ("user", "conversation", "channel"))
_INPUTS = {"datepicker", "timepicker", "datetimepicker", "plain_text_input", "email_text_input", "url_text_input"}
_INPUTS |= {"number_input", "file_input", "rich_text_input", "workflow_button", "feedback_buttons", "icon_button"}


def _element(value: object, at: str) -> None:
    if not isinstance(value, dict):
        raise invalid(at, "must be an object")
    kind = value.get("type")
    if "action_id" in value:
        _text_within(value["action_id"], _MAX_ID, f"{at}/action_id")
    if kind == "button":
        _text_object(value.get("text"), 75, f"{at}/text", plain=True)
        for name, most in (("value", 2000), ("url", 3000)):
            if name in value:
                _text_within(value[name], most, f"{at}/{name}", least=0)
        if value.get("style", "primary") not in ("primary", "danger"):
            raise invalid(f"{at}/style", "must be primary or danger")
    elif kind == "image":
        _image(value, at)
    elif kind in _SELECTS or kind in _MAX_OPTIONS:
        _options(value, str(kind), at)
    elif kind not in _CHOICES and kind not in _INPUTS:
        raise invalid(f"{at}/type", f"unsupported type: {kind}")


def _options(element: Block, kind: str, at: str) -> None:
    if "external" in kind:
        return
    if "option_groups" in element:
        for number, group in enumerate(_list_within(element["option_groups"], 100, f"{at}/option_groups")):
            _option_list(group, 100, f"{at}/option_groups/{number}")
    else:
        _option_list(element, _MAX_OPTIONS.get(kind, 100), at)


def _option_list(holder: object, most: int, at: str) -> None:
    options = holder.get("options") if isinstance(holder, dict) else None
    for number, option in enumerate(_list_within(options, most, f"{at}/options")):
        place = f"{at}/options/{number}"
        if not isinstance(option, dict):
            raise invalid(place, "must be an object")
        _text_object(option.get("text"), 75, f"{place}/text")
        _text_within(option.get("value"), 150, f"{place}/value")
