"""A handler's return value as Lambda passes it on: through JSON, by the rules of AWS's runtime client.

That client encodes with simplejson, which differs from the standard library: named tuples become objects, bytes become
text. Decimals become numbers. Source: awslambdaric 4.2.2, `lambda_runtime_marshaller.py`.
"""

from __future__ import annotations

import decimal
import json
import math

import msgspec

from roost.gateway.functions import MAX_PAYLOAD_BYTES, Failed, Outcome, Returned

_PLAIN = (str, int, float, type(None))


def outcome_of(value: object) -> Outcome:
    """What API Gateway gets when a handler returns this value."""
    if isinstance(value, bytes):
        return decoded(value)  # passed on as it is
    try:
        text = _encoder.encode(_plain(value)).encode()
    except RecursionError:
        return Failed("Runtime.MarshalError", "Unable to marshal response: Circular reference detected")
    except Exception as error:  # noqa: BLE001  a value's own methods may raise anything
        return Failed("Runtime.MarshalError", f"Unable to marshal response: {error}")
    return decoded(text)


def decoded(body: bytes) -> Outcome:
    """The outcome that an answer's bytes stand for."""
    if len(body) > MAX_PAYLOAD_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
        return Failed("Function.ResponseSizeTooLarge", message)
    try:
        return Returned(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Failed("Runtime.InvalidResponse", f"the answer is not JSON: {error}")


def _plain(value: object) -> object:
    """The value with named tuples as dicts: the standard encoder would make lists of them, unasked."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {key.decode() if isinstance(key, bytes) else key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if hasattr(value, "_asdict"):
            return _plain(value._asdict())
        return [_plain(item) for item in value]
    return value


def _default(value: object) -> object:
    if isinstance(value, decimal.Decimal):
        return _number(value)
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _number(value: decimal.Decimal) -> int | float:
    """boto3's DynamoDB resource hands out decimals."""
    if value.is_nan():
        return math.nan
    text = str(value)
    return int(text) if text.lstrip("-").isdigit() else float(text)


_encoder = json.JSONEncoder(ensure_ascii=False, default=_default)
