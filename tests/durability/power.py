"""A disk whose power can be cut, and which can fail: an SQLite VFS that remembers what was written and what was synced.

A write reaches the operating system at once, as reads of the same process see it, and the disk at the next sync of its
file. When the power is cut, the disk keeps everything that was synced; of each write since then it may have none, all,
or some of its 512-byte sectors, in any order, since drives and file systems reorder. Files made and not yet in a synced
directory may be gone, files deleted may be back. That is what SQLite's own documentation ("Atomic Commit In SQLite",
"Powersafe overwrite") assumes of a disk that honours sync.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512
_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL

#: Called before each "write", "truncate", "sync" or "delete" with that and the file's name; what it raises happens.
Before = Callable[[str, str], None]

_Change = tuple[str, int, bytes]  # "write" at an offset, "truncate" to a size


class Disk:
    """What is on the platter, and what is still on its way."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        """`files` are on it from the start, synced."""
        self.before: Before | None = None
        self.read_only = False
        self._lock = threading.Lock()
        self._synced = {file.name: bytearray(file.read_bytes()) for file in files}
        self._waiting: dict[str, list[_Change]] = {}
        self._listed = set(self._synced)  # what the directory on the disk names
        self._deleted: dict[str, bytearray] = {}  # what it still may name

    def opened(self, name: str) -> None:
        """A file is there from now on."""
        with self._lock:
            self._synced.setdefault(name, bytearray())

    def change(self, name: str, kind: str, offset: int, data: bytes = b"") -> None:
        """A write or a truncation is on its way."""
        with self._lock:
            self._waiting.setdefault(name, []).append((kind, offset, bytes(data)))

    def sync(self, name: str) -> None:
        """All that is on its way to a file arrives."""
        with self._lock:
            for change in self._waiting.pop(name, ()):
                _apply(self._synced[name], *change)

    def delete(self, name: str) -> None:
        """A file is there no longer."""
        with self._lock:
            self._waiting.pop(name, None)
            content = self._synced.pop(name, None)
            if content is not None and name in self._listed:
                self._deleted[name] = content
            self._listed.discard(name)

    def sync_directory(self) -> None:
        """Which files there are arrives."""
        with self._lock:
            self._listed = set(self._synced)
            self._deleted.clear()

    def cut_power(self, rng: random.Random) -> dict[str, bytes]:
        """What is on the disk when the power comes back. What was on its way is lost, or not, in part."""
        with self._lock:
            image = {name: bytearray(content) for name, content in self._deleted.items() if rng.random() < 0.5}
            for name, content in self._synced.items():
                if name in self._listed or rng.random() < 0.5:
                    image[name] = _arrived(content, self._waiting.get(name, ()), rng)
            return {name: bytes(content) for name, content in image.items()}


def _arrived(synced: bytearray, waiting: Iterable[_Change], rng: random.Random) -> bytearray:
    content = bytearray(synced)
    fate = rng.random()
    for change in waiting:
        if fate < 0.3:  # nothing of it arrived
            break
        if fate < 0.5:  # everything arrived
            _apply(content, *change)
        else:
            _apply_in_part(content, change, rng)
    return content


def _apply(content: bytearray, kind: str, offset: int, data: bytes) -> None:
    if kind == "truncate":
        del content[offset:]
        return
    if len(content) < offset + len(data):
        content.extend(bytes(offset + len(data) - len(content)))
    content[offset : offset + len(data)] = data


def _apply_in_part(content: bytearray, change: _Change, rng: random.Random) -> None:
    kind, offset, data = change
    if kind == "truncate":
        if rng.random() < 0.5:
            _apply(content, *change)
        return
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
        if rng.random() < 0.5:
            _apply(content, "write", offset + start, data[start:end])
        start = end


_names = itertools.count()


@contextlib.contextmanager
def mounted(disk: Disk) -> Iterator[str]:
    """The name of a VFS on this disk."""
    name = f"power{next(_names)}"
    vfs = PowerVFS(name, disk)
    yield name
    vfs.unregister()


class PowerVFS(apsw.VFS):
    """The default VFS, told on to a `Disk`."""

    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if self._disk.read_only:
            flags[0] = flags[0] & ~(apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_READWRITE) | apsw.SQLITE_OPEN_READONLY
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self._disk.before is not None:
            self._disk.before("delete", Path(filename).name)
        super().xDelete(filename, syncdir)
        self._disk.delete(Path(filename).name)
        if syncdir:
            self._disk.sync_directory()

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        return _is_the_disks(evalue)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        filename = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(filename).name if filename else ""
        # As os_unix.c does it: the first sync of a journal that was opened to be made also syncs the directory.
        self._syncs_directory = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _JOURNALS)
        super().__init__("", name, flags)
        disk.opened(self._name)

    def _before(self, kind: str) -> None:
        if self._disk.before is not None:
            self._disk.before(kind, self._name)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._before("write")
        super().xWrite(data, offset)
        self._disk.change(self._name, "write", offset, data)

    def xTruncate(self, newsize: int) -> None:
        self._before("truncate")
        super().xTruncate(newsize)
        self._disk.change(self._name, "truncate", newsize)

    def xSync(self, flags: int) -> None:
        self._before("sync")
        self._disk.sync(self._name)  # the real sync would only take time
        if self._syncs_directory:
            self._syncs_directory = False
            self._disk.sync_directory()

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        return _is_the_disks(evalue)


def _is_the_disks(error: BaseException | None) -> bool:
    """Whether what a VFS raised where apsw has nobody to raise it to is settled: a disk's error is a return code to
    SQLite, which acts on it. Anything else is a fault of the simulation, and shows."""
    return isinstance(error, apsw.Error)
