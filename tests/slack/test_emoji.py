"""The workspace's own emoji, and people's faces: pictures that whoever knows their address may see."""

from __future__ import annotations

import pytest

from tests.slack.test_files import PNG, request
from tests.slack.workspace import Member, Workspace


def see(workspace: Workspace, url: str) -> bytes | None:
    """What is at the address of a picture, asked without a token."""
    answer = request(workspace, "GET", url)
    found = workspace.room.blobs.fetch(answer["headers"].get("Location", ""))
    assert answer["statusCode"] in (302, 404)
    return None if found is None else found[0]


def adds(member: Member, name: str, data: bytes = PNG) -> None:
    member.does("emoji.add", how="multipart", mode="data", name=name, image=("x.png", data))


def test_an_emoji_is_added_and_taken_away_and_everybody_is_told(workspace: Workspace, ana: Member, ben: Member) -> None:
    stream = ana.listens()
    adds(ben, "roost")
    ben.does("emoji.add", mode="alias", name="hen", alias_for="roost")
    shown = ana.does("emoji.list")["emoji"]
    assert shown["hen"] == "alias:roost"
    assert see(workspace, shown["roost"]) == PNG
    ana.does("emoji.remove", name="roost")
    assert set(ana.does("emoji.list")["emoji"]) == {"hen"}
    assert see(workspace, shown["roost"]) is None
    added, alias, removed = stream.hears("emoji_changed")
    assert (added["subtype"], added["name"]) == ("add", "roost")
    assert shown["roost"].endswith(added["value"])
    assert (alias["name"], alias["value"]) == ("hen", "alias:roost")
    assert (removed["subtype"], removed["names"]) == ("remove", ["roost"])


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("Roost", PNG, "error_bad_name_i18n"),
        ("a b", PNG, "error_bad_name_i18n"),
        ("taken", PNG, "error_name_taken"),
        ("new", b"<svg onload=alert(1)>", "error_bad_format"),
        ("new", b"", "no_image_uploaded"),
        ("new", PNG + b"\0" * 131072, "resized_but_still_too_large"),
        ("new", PNG[:16] + b"\0\1\0\0\0\1\0\0" + PNG[24:], "error_bad_format"),
    ],
)
def test_what_is_refused(ana: Member, name: str, data: bytes, code: str) -> None:
    adds(ana, "taken")
    assert ana.is_refused("emoji.add", how="multipart", mode="data", name=name, image=("x.png", data)) == code


def test_others_remove_nothing_of_mine(workspace: Workspace, ana: Member, ben: Member) -> None:
    adds(ana, "roost")
    assert ben.is_refused("emoji.remove", name="roost") == "no_permission"
    assert ben.is_refused("emoji.remove", name="none") == "emoji_not_found"
    assert ben.is_refused("emoji.add", name="new") == "no_image_uploaded"


def test_a_face(workspace: Workspace, ana: Member, ben: Member) -> None:
    stream = ana.listens()
    ben.does("users.setPhoto", how="multipart", image=("me.png", PNG))
    profile = ana.does("users.info", user=ben.id)["user"]["profile"]
    assert profile["image_72"] == profile["image_original"]
    assert see(workspace, profile["image_192"]) == PNG
    (changed,) = stream.hears("user_change")
    assert profile["image_72"].endswith(changed["user"]["profile"]["image_72"])
    ben.does("users.deletePhoto")
    assert "image_72" not in ana.does("users.info", user=ben.id)["user"]["profile"]
    assert see(workspace, profile["image_192"]) is None
    assert ben.is_refused("users.setPhoto", how="multipart", image=("me.png", b"GIF")) == "bad_image"
    assert ben.is_refused("users.setPhoto") == "bad_image"


@pytest.mark.parametrize("key", ["", "P0", "F0", "../secret", "P" + "0" * 26 + "/x", "P" + "é" * 26])
def test_only_pictures_are_shown_without_a_token(workspace: Workspace, key: str) -> None:
    assert see(workspace, f"/pictures/{key}") is None
