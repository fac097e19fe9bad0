"""Handlers that do what handlers do, well and badly. The tests copy this folder and call them under both runners."""

import asyncio
import collections
import decimal
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import helper

count = 0
Point = collections.namedtuple("Point", "statusCode body")


def echo(event, context):
    return event


def counting(event, context):
    global count
    count += 1
    return [count, helper.loaded_by]


def about(event, context):
    return {
        "request": context.aws_request_id,
        "name": context.function_name,
        "version": context.function_version,
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "left": context.get_remaining_time_in_millis(),
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "others": [context.client_context, context.tenant_id, context.w3c()],
        "shown": repr(context),
        "attributes": sorted(name for name in dir(context) if not name.startswith("_")),
        "trace": os.environ["_X_AMZN_TRACE_ID"],
    }


def environment(event, context):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(os.environ.get("GREETING")))
    thread.start()
    thread.join()
    os.environ["MINE"] = "1"
    os.environ |= {"MERGED": "2"}
    code = "import os; print(sorted(os.environ))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return {"all": dict(os.environ), "get": os.getenv("GREETING"), "thread": seen[0], "child": child}


def raising(event, context):
    try:
        helper.fail()
    except LookupError as error:
        raise ValueError("a reason for the log") from error


def unhelpful(event, context):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    raise Odd


def sleeping(event, context):
    time.sleep(event["seconds"])
    return "slept"


def spinning(event, context):
    while True:
        pass


def stubborn(event, context):
    try:
        spinning(event, context)
    except BaseException:
        helper.caught.append(1)
        spinning(event, context)


def leaving(event, context):
    how = event["how"]
    if how == "os._exit":
        os._exit(4)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "generator exit":
        raise GeneratorExit
    sys.exit(how)


def recursing(event, context):
    return recursing(event, context)


def circle():
    value = []
    value.append(value)
    return value


def returning(event, context):
    return {
        "none": lambda: None,
        "tuple": lambda: (1, "ä", 2.5),
        "named tuple": lambda: [Point(200, "x")],
        "bytes inside": lambda: {"body": b"abc"},
        "bytes": lambda: b'{"statusCode": 200}',
        "bytes that are not json": lambda: b"\xff",
        "decimals": lambda: [
            decimal.Decimal("1.10"),
            decimal.Decimal(12345678901234567890123),
            decimal.Decimal("1E+2"),
        ],
        "keys": lambda: {1: "a", None: "b", 1.5: "c"},
        "tuple as key": lambda: {(1, 2): 3},
        "set": lambda: {1},
        "object": lambda: object(),
        "circle": circle,
        "nan": lambda: {"x": float("nan")},
        "infinity": lambda: decimal.Decimal("Infinity"),
        "large": lambda: "x" * 6_200_000,
        "too large": lambda: "x" * 6_300_000,
        "far too large": lambda: "x" * 12_000_000,
    }[event["what"]]()


def lazily(event, context):
    import importlib

    import helper as again
    from folder.inner import chat

    return [again is helper, importlib.import_module("helper") is helper, chat.handler(event, context)]


def pickling(event, context):
    return pickle.loads(pickle.dumps(helper.Thing(3))).size


def logging_and_printing(event, context):
    logging.getLogger().warning("a warning")
    logging.getLogger("quiet").info("not shown")
    print("printed")
    print("long " * 30_000)
    print("an error", file=sys.stderr)


async def later(event, context):
    await asyncio.sleep(0.01)
    return "later"


async def loops(event, context):
    global count
    count = count or id(asyncio.get_running_loop())
    return count == id(asyncio.get_running_loop())


async def sleeping_later(event, context):
    await asyncio.sleep(event["seconds"])


def pooled(event, context):
    async def work():
        return await asyncio.to_thread(os.environ.get, "GREETING")

    return asyncio.run(work())


def process(event, context):
    return {"pid": os.getpid(), "cwd": os.getcwd(), "argv": sys.argv[1:]}


def parent(event, context):
    """Starts a process that stays, and leaves."""
    child = subprocess.Popen(["sleep", "60"])
    print(f"child {child.pid}", flush=True)
    os._exit(1)


def crashing(event, context):
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(10)


def deaf(event, context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return os.getpid()


def clients(event, context):
    import boto3

    client = boto3.client("apigatewaymanagementapi")
    return [client.meta.region_name, client.meta.endpoint_url]


def layered(event, context):
    import in_a_layer

    return in_a_layer.NAME


not_callable = 3
