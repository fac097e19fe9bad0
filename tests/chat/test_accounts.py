"""The ways in: what a stolen table is worth, who learns what from how long an answer takes, and who is first."""

from __future__ import annotations

import json
import re
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from roost.chat import accounts, passwords
from roost.chat.chat import Chat
from roost.chat.errors import InvalidAuth, InvalidCode, LastOwner, PasswordTooLong, Refused, WeakPassword
from roost.chat.roles import OPERATOR
from roost.storage import streams
from roost.storage.accounts import with_password
from roost.storage.table import Conflict, Throttled
from roost.testing import Room, socket_event
from tests.slack.workspace import Workspace

PASSWORD = "a horse of her own"


def joined(chat: Chat, name: str) -> str:
    """The id of somebody who has a password."""
    return chat.accounts.add(name, email=f"{name}@example.com", password=PASSWORD).id


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_a_stolen_table_holds_no_usable_secret() -> None:
    workspace = Workspace()
    ana, chat = workspace.ana, workspace.chat
    invite = ana.does("invites.create", uses=5)["code"]
    answer = workspace.calls("auth.signup", code=invite, email="ben@x.org", password=PASSWORD, name="ben")
    program = ana.does("tokens.create")["token"]
    link = ana.does("users.admin.createPasswordLink", user=answer["user"]["id"])["code"]
    ticket = ana.does("rtm.connect")["url"].partition("ticket=")[2]
    session = workspace.calls("auth.signin", email="ben@x.org", password=PASSWORD)["token"]
    secrets = [invite, link, ticket, PASSWORD, ana.token, program, session, answer["token"]]
    stolen = json.dumps(workspace.room.table.everything(), default=str)
    for secret in secrets:
        assert secret not in stolen
        assert secret.rpartition("-")[2] not in stolen
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in stolen
    for found in set(re.findall(r"[0-9A-Za-z_-]{16,}", stolen)):
        for token in (found, f"xoxp-roost-{found}"):
            with pytest.raises(InvalidAuth):
                chat.people.bearer(token)
        with pytest.raises(InvalidCode):
            chat.invites.use(found, "invite", "setup", "password")
        assert workspace.app.handle(_opening(found))["statusCode"] == 401


def _opening(ticket: str) -> dict[str, object]:
    return socket_event("CONNECT", "thief", queryStringParameters={"ticket": ticket})


@pytest.mark.parametrize(
    "password", ["", "short", "1234567", "aaaaaaaaaa", "Password", "QWERTYUIOP", "iloveyou1", "ana abel"]
)
def test_what_everybody_tries_first_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        passwords.check(password, "ana@example.com", "Ana Abel")


def test_nothing_of_a_password_is_cut_off() -> None:
    long = "horse " * 170
    passwords.check(long)
    hashed = passwords.hashed(long)
    assert passwords.verified(hashed, long)
    assert not passwords.verified(hashed, long[:-1])
    with pytest.raises(PasswordTooLong):
        passwords.check(long + "staple")
    assert passwords.verified(passwords.hashed("пароль 密码 🐎"), "пароль 密码 🐎")


def test_a_hash_of_yesterday_is_made_anew_at_the_next_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = Room().app.chat
    with monkeypatch.context() as yesterday:
        yesterday.setattr(passwords, "PASSES", 1)
        passwords._hasher.cache_clear()
        user = joined(chat, "cleo")
    passwords._hasher.cache_clear()
    assert "t=1" in with_password(chat.core.table, user)[1]
    chat.accounts.sign_in("cleo@example.com", PASSWORD)
    assert "m=19456,t=2,p=1" in with_password(chat.core.table, user)[1]
    chat.accounts.sign_in("cleo@example.com", PASSWORD)


def test_an_unknown_person_takes_as_long_as_a_wrong_password() -> None:
    """Within 5 %, in processor time: of as many rounds as it takes, at most 400, taken in turns."""
    room = Room()
    chat = room.app.chat
    joined(chat, "cleo")
    took: dict[str, list[float]] = {"cleo@example.com": [], "nobody@example.com": []}
    for number in range(400):
        room.clock.now += accounts.SPAN
        for email, times in took.items():
            began = time.thread_time()
            with pytest.raises(InvalidAuth):
                chat.accounts.sign_in(email, "not her password")
            times.append(time.thread_time() - began)
        known, unknown = (statistics.median(times) for times in took.values())
        if number >= 20 and 0.95 < unknown / known < 1.05:
            return
    raise AssertionError(f"{unknown / known:.3f}")


# -- who is first, on every engine ------------------------------------------------------------------------------------


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do these at once; what each answered, or was refused with."""
    results: list[object] = [None] * len(acts)
    ready = threading.Barrier(len(acts))

    def run(number: int, act: Callable[[], object]) -> None:
        ready.wait(30)
        for _ in range(20):
            try:
                results[number] = act()
            except (Conflict, Throttled):
                continue
            except Exception as error:
                results[number] = error
            return

    threads = [threading.Thread(target=run, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def codes(results: list[object]) -> list[str]:
    """What was refused, sorted; anything but a refusal is an error."""
    failed = [each for each in results if isinstance(each, Exception)]
    assert all(isinstance(each, Refused) for each in failed), failed
    return sorted(each.code for each in failed if isinstance(each, Refused))


def test_a_link_for_one_lets_one_in(room: Room) -> None:
    chat = room.app.chat
    owner = chat.people.person(chat.accounts.add("ana", role="owner").id)
    code, _ = chat.invites.create(owner)
    results = at_once(*(partial(chat.accounts.sign_up, code, f"{n}@x.org", PASSWORD, name=f"n{n}") for n in range(3)))
    assert codes(results) == ["invalid_code"] * 2
    assert len(chat.people.everybody()) == 2


def test_an_address_and_a_name_are_one_persons(room: Room) -> None:
    chat = room.app.chat
    owner = chat.people.person(chat.accounts.add("ana", role="owner").id)
    code, _ = chat.invites.create(owner, uses=10)
    sign_up = chat.accounts.sign_up
    same_address = at_once(*(partial(sign_up, code, "x@x.org", PASSWORD, name=f"n{n}") for n in range(3)))
    assert codes(same_address) == ["already_in_team"] * 2
    same_name = at_once(*(partial(sign_up, code, f"{n}@x.org", PASSWORD, name="Zoë") for n in range(3)))
    assert codes(same_name) == ["name_taken"] * 2
    assert chat.invites.use(code, "invite").uses == 8


def test_there_is_one_first_owner(room: Room) -> None:
    chat = room.app.chat
    links = [chat.invites.setup() for _ in range(3)]
    results = at_once(
        *(partial(chat.accounts.sign_up, links[n], f"{n}@x.org", PASSWORD, name=f"n{n}") for n in range(3))
    )
    assert codes(results) == ["invalid_code"] * 2
    assert [row.role for row in chat.people.everybody()] == ["owner"]


def test_two_owners_cannot_both_go(room: Room) -> None:
    chat = room.app.chat
    owners = [chat.accounts.add(name, role="owner").id for name in ("ana", "ben")]
    for _ in range(3):
        results = at_once(*(partial(chat.roles.deactivate, OPERATOR, each) for each in owners))
        assert codes(results) == [LastOwner.code]
        left = [row for row in chat.people.everybody() if not row.deactivated]
        assert len(left) == 1
        for owner in owners:
            chat.roles.reactivate(OPERATOR, owner)


def test_tries_are_counted_wherever_they_come_from(room: Room) -> None:
    """Ten functions that know nothing of each other share the count."""
    chat = room.app.chat
    joined(chat, "cleo")
    for _ in range(2):
        at_once(*[partial(chat.accounts.sign_in, "cleo@example.com", "not hers")] * 5)
    with pytest.raises(Refused) as refused:
        chat.accounts.sign_in("cleo@example.com", PASSWORD)
    assert refused.value.code == "ratelimited"


# -- who comes while they are being let out ---------------------------------------------------------------------------


def test_a_stream_that_opens_while_its_token_is_revoked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace()
    ana, chat = workspace.ana, workspace.chat
    ticket = ana.does("rtm.connect")["url"].partition("ticket=")[2]
    opens = streams.open_stream

    def late(*arguments: Any) -> bool:
        chat.people.revoke(chat.people.bearer(ana.token))  # which finds no stream to close
        return opens(*arguments)

    monkeypatch.setattr(streams, "open_stream", late)
    assert workspace.app.handle(_opening(ticket))["statusCode"] == 401
    assert streams.all_of(chat.core.table, ana.id) == []


def test_whoever_logs_in_while_their_token_is_revoked_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace()
    ana, chat, text = workspace.ana, workspace.chat, workspace.room.enter("terminal")
    lists = streams.list_text

    def late(*arguments: Any) -> None:
        chat.people.revoke(chat.people.bearer(ana.token))
        lists(*arguments)

    monkeypatch.setattr(streams, "list_text", late)
    assert text.says(f"/login {ana.token}") == ["That token was revoked."]
    assert workspace.push.closed == ["terminal"]
    workspace.member("ben").posts(workspace.general, "hello")
    assert text.hears() == []
