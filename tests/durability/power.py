"""A disk whose power can be cut: an SQLite VFS that remembers what was written and what was synced.

A write reaches the operating system at once, as reads of the same process see it, and the disk at the next sync of its
file. When the power is cut, the disk keeps everything that was synced; of each write since then it may have none, all,
or some of its 512-byte sectors, in any order, since drives and file systems reorder. Files that were made and never
synced may be gone. That is what SQLite's own documentation ("Atomic Commit In SQLite", "Powersafe overwrite") assumes
of a disk that honours sync.
"""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


class Disk:
    """What is on the platter, and what is still on its way."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.synced: dict[str, bytearray] = {}
        self.waiting: dict[str, list[tuple[str, int, bytes]]] = {}  # per file: ("write", offset, data), ("truncate", …)
        self.fail: Any = None  #: called before each write and sync; may raise

    def write(self, name: str, offset: int, data: bytes) -> None:
        with self.lock:
            self.waiting.setdefault(name, []).append(("write", offset, bytes(data)))

    def truncate(self, name: str, size: int) -> None:
        with self.lock:
            self.waiting.setdefault(name, []).append(("truncate", size, b""))

    def sync(self, name: str) -> None:
        with self.lock:
            content = self.synced.setdefault(name, bytearray())
            for change in self.waiting.pop(name, ()):
                _apply(content, *change)

    def delete(self, name: str) -> None:
        with self.lock:
            self.synced.pop(name, None)
            self.waiting.pop(name, None)

    def cut_power(self, rng: random.Random) -> dict[str, bytes]:
        """What is on the disk when the power comes back. The writes on their way are lost, or not, in part."""
        with self.lock:
            image = {name: bytearray(content) for name, content in self.synced.items()}
            for name, changes in self.waiting.items():
                if name not in image and rng.random() < 0.3:
                    continue  # its directory entry never reached the disk
                content = image.setdefault(name, bytearray())
                fate = rng.random()
                for change in changes:
                    if fate < 0.3:  # nothing of it arrived
                        continue
                    if fate < 0.5:  # everything arrived
                        _apply(content, *change)
                    else:
                        _apply_in_part(content, change, rng)
            return {name: bytes(content) for name, content in image.items()}


def _apply(content: bytearray, kind: str, offset: int, data: bytes) -> None:
    if kind == "truncate":
        del content[offset:]
        return
    if len(content) < offset + len(data):
        content.extend(bytes(offset + len(data) - len(content)))
    content[offset : offset + len(data)] = data


def _apply_in_part(content: bytearray, change: tuple[str, int, bytes], rng: random.Random) -> None:
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


class PowerVFS(apsw.VFS):
    """The default VFS, told on to a `Disk`."""

    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self._disk.delete(Path(filename).name)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        self._disk = disk
        filename = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(filename).name if filename else ""
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.fail is not None:
            self._disk.fail("write", self._name)
        super().xWrite(data, offset)
        self._disk.write(self._name, offset, data)

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._disk.truncate(self._name, newsize)

    def xSync(self, flags: int) -> None:
        if self._disk.fail is not None:
            self._disk.fail("sync", self._name)
        self._disk.sync(self._name)
