"""What functions in this process see of it: each its own `os.environ`, imports, exit and log, in its own threads.

`install` replaces a few parts of the process, once, by ones that first ask in whose thread they are. In a thread that
belongs to no environment they do what they always did. Threads that a function starts belong to its environment.

What stays the process's in a function's thread: `os.environb`, the working directory, the time zone, `os.system`, and
signals, which Python gives to the main thread only. `os.abort`, a crash in C and a signal to the own process end the
gateway. Functions that need more run with `--isolated`.
"""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import importlib
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from roost.gateway.own_modules import OwnModules


class View:
    """One environment's own part of the process."""

    def __init__(self, environ: dict[str, str], modules: OwnModules, directory: Path) -> None:
        self.environ = environ
        self.modules = modules
        self.directory = directory  #: where its subprocesses start
        self.request_id = ""  #: of the call that it runs now
        self.thread: threading.Thread | None = None  #: what stands in for the main thread of a function's process
        self.event_loop: asyncio.AbstractEventLoop | None = None  #: made when that first asks for one

    def close_loop(self) -> None:
        """Close the event loop that was made, once nothing runs it."""
        if self.event_loop is not None and not self.event_loop.is_running():
            self.event_loop.close()


#: The view of this thread, or None in the gateway's own threads.
current: contextvars.ContextVar[View | None] = contextvars.ContextVar("roost_view", default=None)


class Exited(SystemExit):
    """A function called `os._exit`, which on Lambda ends its process. A bare `except:` in the function can stop it."""


class _Environ(os._Environ[str]):
    """`os.environ`: that very object gets this class, so that whoever has kept it looks through it, too."""

    def __getitem__(self, name: str) -> str:
        view = current.get()
        return super().__getitem__(name) if view is None else view.environ[name]

    def __setitem__(self, name: str, value: str) -> None:
        view = current.get()
        if view is None:
            super().__setitem__(name, value)
        else:
            view.environ[_text(name)] = _text(value)

    def __delitem__(self, name: str) -> None:
        view = current.get()
        if view is None:
            super().__delitem__(name)
        else:
            del view.environ[name]

    def __iter__(self) -> Iterator[str]:
        view = current.get()
        return super().__iter__() if view is None else iter(list(view.environ))

    def __len__(self) -> int:
        view = current.get()
        return super().__len__() if view is None else len(view.environ)

    def __repr__(self) -> str:
        return f"environ({dict(self)!r})"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"str expected, not {type(value).__name__}")
    return value


class _LogHandler(logging.Handler):
    """What the root logger has on Lambda: a line for standard output, with the request's id.

    Elsewhere it does what Python does for a root logger without handlers.
    """

    def __init__(self) -> None:
        super().__init__()
        line = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
        formatter = logging.Formatter(line, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def handle(self, record: logging.LogRecord) -> bool:
        """Print a function's record."""
        view, last = current.get(), logging.lastResort
        if view is not None and record.name != "roost.gateway.functions":  # what the gateway says about the function
            record.__dict__["aws_request_id"] = view.request_id
            if self.filter(record):  # libraries with handlers of their own keep their records out of this one
                sys.stdout.write(self.format(record) + "\n")
        elif last is not None and record.levelno >= last.level and logging.getLogger().handlers == [self]:
            last.handle(record)
        return True


_installed = False


def install() -> None:
    """Replace what must know in whose thread it is; once per process, for good."""
    global _installed
    if not _installed:
        _installed = True
        os.environ.__class__ = _Environ
        logging.getLogger().addHandler(_LogHandler())
        _install_imports()
        _install_exit()
        _install_event_loops()
        _install_threads()
        _install_subprocesses()


def _install_imports() -> None:
    process_import, process_import_module = builtins.__import__, importlib.import_module

    def importing(name: str, *arguments: Any, **named: Any) -> types.ModuleType:
        view = current.get()
        return (process_import if view is None else view.modules.import_)(name, *arguments, **named)

    def importing_module(name: str, package: str | None = None) -> types.ModuleType:
        view = current.get()
        if view is None:
            return process_import_module(name, package)
        return view.modules.import_module(importlib.util.resolve_name(name, package))

    builtins.__import__ = importing
    importlib.import_module = importing_module


def _install_exit() -> None:
    process_exit, process = os._exit, os.getpid()

    def exiting(status: int) -> Any:
        if current.get() is None or os.getpid() != process:  # a child that a function has forked may go
            process_exit(status)
        raise Exited(status)

    os._exit = exiting


def _install_event_loops() -> None:
    """`asyncio.get_event_loop` makes a loop in a main thread, up to Python 3.13, and so where handlers run."""
    if sys.version_info >= (3, 14):
        return

    class Policy(type(asyncio.get_event_loop_policy())):  # type: ignore[misc]  # whichever the process has
        def get_event_loop(self) -> asyncio.AbstractEventLoop:
            view = current.get()
            if view is None or view.thread is not threading.current_thread() or view.event_loop is not None:
                return cast(asyncio.AbstractEventLoop, super().get_event_loop())
            try:
                return cast(asyncio.AbstractEventLoop, super().get_event_loop())
            except RuntimeError:
                view.event_loop = self.new_event_loop()
                self.set_event_loop(view.event_loop)
                return view.event_loop

    asyncio.set_event_loop_policy(Policy())


def _install_threads() -> None:
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if current.get() is not None:
            context, work = contextvars.copy_context(), thread.run
            thread.run = lambda: context.run(work)  # type: ignore[method-assign]  # its own context would be empty
        start(thread)

    threading.Thread.start = starting  # type: ignore[method-assign, assignment]  # every way of starting a thread ends here


def _install_subprocesses() -> None:
    begin = subprocess.Popen.__init__

    def beginning(process: Any, *arguments: Any, **named: Any) -> None:
        view = current.get()
        if view is not None:
            if len(arguments) < 11 and named.get("env") is None:
                named["env"] = dict(view.environ)
            if len(arguments) < 10 and named.get("cwd") is None:
                named["cwd"] = view.directory
        begin(process, *arguments, **named)

    subprocess.Popen.__init__ = beginning  # type: ignore[method-assign, assignment]  # subclasses call it, too
