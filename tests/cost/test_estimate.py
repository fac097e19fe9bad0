"""The estimate gives the bill that was computed by hand for three teams, and moves as its assumptions say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roost.cost.bill import Quantities, after_always_free, after_first_year_free, bill, cost, total
from roost.cost.estimate import Assumptions, month, receivers_of

#: People → dollars a month at list price, with what is always free, and at 96 messages a day.
BY_HAND = {10: (0.33, 0.30, 0.66), 50: (2.30, 2.15, 5.30), 500: (34.9, 33.7, 88.6)}

#: The services of the same table: WebSocket messages, minutes, HTTP, Lambda, DynamoDB, logs, files.
SERVICES = {
    10: (0.09, 0.03, 0.04, 0.02, 0.07, 0.01, 0.07),
    50: (1.03, 0.15, 0.20, 0.10, 0.43, 0.05, 0.34),
    500: (21.0, 1.5, 2.0, 1.1, 5.4, 0.5, 3.5),
}


#: What the table leaves out: the function that follows each append, and what it logs.
LATE = 0.2e-6 + 0.016 * 0.5 * 0.0000133334
LATE_LOGS = 340e-9 * 0.53


@pytest.mark.parametrize("people", BY_HAND)
def test_a_teams_month_costs_what_was_computed_by_hand(people: int) -> None:
    listed, always_free, chatty = BY_HAND[people]
    used = month(Assumptions(people=people))
    assert cost(used) == pytest.approx(listed, rel=0.03)
    assert cost(after_always_free(used)) == pytest.approx(always_free, rel=0.03)
    assert cost(month(Assumptions(people=people, messages=96))) == pytest.approx(chatty, rel=0.03)


@pytest.mark.parametrize("people", SERVICES)
def test_each_service_has_its_share(people: int) -> None:
    costs = {line.service: line.cost for line in bill(month(Assumptions(people=people)))}
    appends = people * 32 * 22 * 1.17
    shares = (
        costs["WebSocket messages"],
        costs["WebSocket connection minutes"],
        costs["HTTP requests"],
        costs["Lambda requests"] + costs["Lambda GB-seconds"] - LATE * appends,
        costs["DynamoDB write units"] + costs["DynamoDB read units"],
        costs["Logs"] - LATE_LOGS * appends,
        costs["Files"],
    )
    for share, by_hand in zip(shares, SERVICES[people], strict=True):
        assert share == pytest.approx(by_hand, rel=0.08, abs=0.0051)  # the table has two figures


def test_receivers_grow_with_the_team_and_are_never_more_than_the_others() -> None:
    assert [round(receivers_of(people), 6) for people in (10, 50, 500)] == [6, 20, 45]
    sizes = [receivers_of(people) for people in (1, 2, 3, 5, 10, 20, 50, 100, 500, 5000)]
    assert sizes == sorted(sizes)
    assert sizes[:2] == [0, 1]


def test_who_says_nothing_and_is_not_there_costs_only_what_is_kept() -> None:
    quiet = month(Assumptions(messages=0, days=0))
    assert cost(quiet) == pytest.approx(50 * 0.3 * 0.023)
    assert cost(month(replace(Assumptions(), messages=0, days=0, files=0))) == 0


def test_every_assumption_that_says_more_costs_more() -> None:
    usual = Assumptions(receivers=20.0)
    for name in usual.__dataclass_fields__:
        value = getattr(usual, name)
        rarer = name in ("ping_minutes", "reconnect_minutes")
        more = replace(usual, **{name: value / 2 if rarer else value * 2})
        assert cost(month(more)) > cost(month(usual)), name


def test_allowances_take_off_no_more_than_there_is() -> None:
    little = Quantities(ws_messages=10, ws_minutes=10, http_requests=10, lambda_requests=10, lambda_gb_seconds=1)
    assert cost(after_first_year_free(little)) == 0
    assert cost(after_always_free(little)) == pytest.approx(20e-6 + 2.5e-6)
    much = Quantities(lambda_requests=3e6, lambda_gb_seconds=500_000, table_gb_months=30, log_gb=6)
    left = after_always_free(much)
    assert (left.lambda_requests, left.lambda_gb_seconds, left.table_gb_months, left.log_gb) == (2e6, 100_000, 5, 1)
    assert total([little, much]).lambda_requests == 3e6 + 10
