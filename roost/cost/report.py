"""What `roost cost` says: as text for people, as plain values for `--json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from roost.cost import prices
from roost.cost.bill import Quantities, after_always_free, after_first_year_free, bill, cost, total
from roost.cost.estimate import Assumptions, month, receivers_of
from roost.cost.use import Day, Use

_PRICES = f"at AWS list prices of {prices.AS_OF} ({prices.REGION}, {prices.CURRENCY})"


def estimated(team: Assumptions) -> dict[str, Any]:
    """What a team's month would cost."""
    receivers = receivers_of(team.people) if team.receivers is None else team.receivers
    return {"assumptions": {**dataclasses.asdict(team), "receivers": receivers}, **_priced(month(team))}


def metered(name: str, days: Sequence[Day]) -> dict[str, Any]:
    """What a month (`2026-11`) cost so far, by its days."""
    uses = [use for day in days for use in day.uses]
    names = {channel: called for day in days for channel, called in day.names.items()}
    by_channel = _grouped((use for use in uses if use.channel), lambda use: use.channel)
    return {
        "month": name,
        "days": [
            {"date": day.date, **_summary(day.uses), "cost": cost(total([*_quantities(day.uses), day.stored()]))}
            for day in days
        ],
        "channels": [
            {"id": channel, "name": names.get(channel), **_summary(group), "cost": cost(total(_quantities(group)))}
            for channel, group in by_channel.items()
        ],
        "actions": [
            {"action": action, **_detail(group), "cost": cost(total(_quantities(group)))}
            for action, group in _grouped(uses, lambda use: use.action).items()
        ],
        **_priced(total([*_quantities(uses), *(day.stored() for day in days)])),
    }


def _quantities(uses: Iterable[Use]) -> list[Quantities]:
    return [use.quantities() for use in uses]


def _grouped(uses: Iterable[Use], key: Callable[[Use], str]) -> dict[str, list[Use]]:
    """The dearest group first."""
    groups: dict[str, list[Use]] = {}
    for use in uses:
        groups.setdefault(key(use), []).append(use)
    return dict(sorted(groups.items(), key=lambda group: -cost(total(_quantities(group[1])))))


def _summary(uses: Sequence[Use]) -> dict[str, Any]:
    return {
        "changes": sum(use.appends for use in uses),
        "pushes": sum(use.ws_out for use in uses),
        "minutes": sum(use.minutes for use in uses),
    }


def _detail(uses: Sequence[Use]) -> dict[str, Any]:
    return {
        "events": sum(use.events for use in uses),
        "write_units": sum(use.writes for use in uses),
        "read_units": sum(use.reads for use in uses),
        "pushes": sum(use.ws_out for use in uses),
    }


def _priced(used: Quantities) -> dict[str, Any]:
    return {
        "prices": {"as_of": prices.AS_OF, "region": prices.REGION, "currency": prices.CURRENCY},
        "quantities": dataclasses.asdict(used),
        "services": [dataclasses.asdict(line) for line in bill(used)],
        "total": cost(used),
        "after_always_free": cost(after_always_free(used)),
        "after_first_year_free": cost(after_first_year_free(used)),
    }


# -- as text --------------------------------------------------------------------------------------------------------


def estimated_text(answer: dict[str, Any]) -> str:
    """An estimate, for people."""
    team = answer["assumptions"]
    messages = team["people"] * team["messages"] * team["days"]
    said = (
        f"{team['people']} people, {team['messages']:g} messages each on {team['days']:g} days: "
        f"{messages:,.0f} messages a month, each to {team['receivers']:.3g} others who are connected"
    )
    per_person = f"  that is ${answer['total'] / team['people']:.3f} a person"
    return "\n".join([said, f"a month {_PRICES}:", "", *_services(answer), per_person])


def metered_text(answer: dict[str, Any]) -> str:
    """A metered month, for people."""
    lines = [f"{answer['month']}: what was done here would have cost this much on AWS,", f"{_PRICES}:", ""]
    lines += [f"  {'day':<24}{'changes':>10}{'pushes':>10}{'connected':>12}{'cost':>12}"]
    lines += [_row(day["date"], day) for day in answer["days"]]
    if answer["channels"]:
        lines += ["", f"  {'channel':<24}{'changes':>10}{'pushes':>10}{'':>12}{'cost':>12}"]
        lines += [_row(f"#{each['name'] or each['id']}", each) for each in answer["channels"]]
    return "\n".join([*lines, "", *_services(answer)])


def _row(name: str, each: dict[str, Any]) -> str:
    connected = f"{each['minutes'] / 60:,.1f} h" if each["minutes"] else ""
    return f"  {name:<24}{each['changes']:>10,}{each['pushes']:>10,}{connected:>12}{_dollars(each['cost']):>12}"


def _services(answer: dict[str, Any]) -> list[str]:
    lines = [f"  {line['service']:<32}{line['counted']:>24}{_dollars(line['cost']):>12}" for line in answer["services"]]
    return [
        *lines,
        f"  {'total':<56}{_dollars(answer['total']):>12}",
        f"  {'with what AWS never charges for':<56}{_dollars(answer['after_always_free']):>12}",
        f"  {'in an account with the first year free as well':<56}{_dollars(answer['after_first_year_free']):>12}",
    ]


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.6f}" if amount < 0.01 else f"${amount:.4f}"
