"""From quantities to money: a line per service, and what the free allowances take off it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from roost.cost import prices


@dataclass(frozen=True, slots=True)
class Quantities:
    """What AWS would count. A sum of some is as good as one."""

    ws_messages: float = 0.0
    ws_minutes: float = 0.0
    http_requests: float = 0.0
    lambda_requests: float = 0.0
    lambda_gb_seconds: float = 0.0
    write_units: float = 0.0
    read_units: float = 0.0
    table_gb_months: float = 0.0
    log_gb: float = 0.0
    file_gb_months: float = 0.0


def total(parts: Iterable[Quantities]) -> Quantities:
    """All of them together."""
    listed = list(parts)
    return Quantities(*(sum(getattr(part, field.name) for part in listed) for field in fields(Quantities)))


@dataclass(frozen=True, slots=True)
class Line:
    """One service on a bill."""

    service: str
    counted: str  #: in words
    cost: float  #: dollars


def bill(used: Quantities) -> list[Line]:
    """What it costs at list price, without any allowance."""
    return [
        Line("WebSocket messages", f"{used.ws_messages:,.0f}", used.ws_messages * prices.WS_MESSAGE),
        Line("WebSocket connection minutes", f"{used.ws_minutes:,.0f}", used.ws_minutes * prices.WS_MINUTE),
        Line("HTTP requests", f"{used.http_requests:,.0f}", used.http_requests * prices.HTTP_REQUEST),
        Line("Lambda requests", f"{used.lambda_requests:,.0f}", used.lambda_requests * prices.LAMBDA_REQUEST),
        Line("Lambda GB-seconds", f"{used.lambda_gb_seconds:,.0f}", used.lambda_gb_seconds * prices.LAMBDA_GB_SECOND),
        Line("DynamoDB write units", f"{used.write_units:,.0f}", used.write_units * prices.WRITE_UNIT),
        Line("DynamoDB read units", f"{used.read_units:,.0f}", used.read_units * prices.READ_UNIT),
        Line("DynamoDB storage", f"{used.table_gb_months:.3f} GB", used.table_gb_months * prices.TABLE_GB_MONTH),
        Line("Logs", f"{used.log_gb:.3f} GB", used.log_gb * prices.LOG_GB),
        Line("Files", f"{used.file_gb_months:.3f} GB", used.file_gb_months * prices.FILE_GB_MONTH),
    ]


def cost(used: Quantities) -> float:
    """The sum of the bill, in dollars."""
    return sum(line.cost for line in bill(used))


def after_always_free(month: Quantities) -> Quantities:
    """What is left of a month once the allowances that never end are taken off."""
    return replace(
        month,
        lambda_requests=_above(month.lambda_requests, prices.FREE_LAMBDA_REQUESTS),
        lambda_gb_seconds=_above(month.lambda_gb_seconds, prices.FREE_LAMBDA_GB_SECONDS),
        table_gb_months=_above(month.table_gb_months, prices.FREE_TABLE_GB),
        log_gb=_above(month.log_gb, prices.FREE_LOG_GB),
    )


def after_first_year_free(month: Quantities) -> Quantities:
    """What is left once the allowances of an account's first year are taken off too."""
    left = after_always_free(month)
    return replace(
        left,
        ws_messages=_above(left.ws_messages, prices.FIRST_YEAR_WS_MESSAGES),
        ws_minutes=_above(left.ws_minutes, prices.FIRST_YEAR_WS_MINUTES),
        http_requests=_above(left.http_requests, prices.FIRST_YEAR_HTTP_REQUESTS),
    )


def _above(quantity: float, allowance: float) -> float:
    return max(0.0, quantity - allowance)
