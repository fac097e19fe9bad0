"""AWS's list prices, with their date. To follow a change: edit a number, the date, and `docs/cost.md`."""

from __future__ import annotations

AS_OF = "2026-10"
REGION = "us-east-1"
CURRENCY = "USD"

#: What is counted, per unit of it. Before tax; volume discounts start far above what a team reaches.
WS_MESSAGE = 1.00e-6  # API Gateway WebSocket: in or out, per 32 KB
WS_MINUTE = 0.25e-6  # of one connection
HTTP_REQUEST = 1.00e-6  # API Gateway HTTP API, per 512 KB
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = 0.0000133334  # arm64
WRITE_UNIT = 0.625e-6  # DynamoDB, on demand
READ_UNIT = 0.125e-6
TABLE_GB_MONTH = 0.25
LOG_GB = 0.53  # CloudWatch Logs: 0.50 for what goes in, 0.03 for keeping it a month
FILE_GB_MONTH = 0.023  # S3 standard

#: A month's allowances that never end.
FREE_LAMBDA_REQUESTS = 1_000_000
FREE_LAMBDA_GB_SECONDS = 400_000
FREE_TABLE_GB = 25
FREE_LOG_GB = 5

#: A month's allowances of an account's first year, where it was opened before 2025-07-15; later ones get credits.
FIRST_YEAR_WS_MESSAGES = 1_000_000
FIRST_YEAR_WS_MINUTES = 750_000
FIRST_YEAR_HTTP_REQUESTS = 1_000_000

WS_FRAME_BYTES = 32 * 1024  # a message is billed once per so much
HTTP_BYTES = 512 * 1024
