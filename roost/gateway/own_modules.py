"""A function's modules, imported for one environment alone, although they share a process with all the others.

On Lambda each execution environment is a process, so its globals are its own. In one process `sys.modules` has one
place for each name. So a thread of an environment imports what lies under the function's code root through this, which
keeps the modules in a dictionary of its own. Everything else is imported as always and is shared: the standard library,
installed packages, and packages that were installed into the code root (they have a `.dist-info` there, and often parts
in C, which load once in a process).

For whoever edits this:

- No lock is held while a function's code runs, except one for the module that is being imported. A module that hangs on
  import hangs its own environment, and nothing else.
- `sys.modules` also shows the modules of the environment that ran last: pickle, dataclasses and typing look there for
  the module of a class. It is a courtesy, and never the source of an import from the function's own code. So a module
  that puts another object there in its own place is imported as it is, unlike on Lambda.
- Where a name stands both in the code root and outside, the code root wins for the function's own code, and the outside
  for everybody else. What AWS's runtime client has imported before any handler cannot be replaced, as on Lambda.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
import types
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_process_import = builtins.__import__
_PATIENCE_SECONDS = 10.0  # for another thread's import of the same module; then its unfinished module is answered

#: Standard modules that awslambdaric 4.2.2 has loaded when it imports the handler.
_LOADED_BEFORE = """
    abc codecs collections contextlib copyreg decimal encodings enum functools genericpath importlib io json keyword
    linecache logging math numbers operator os posixpath re reprlib site stat string textwrap threading token tokenize
    traceback types warnings weakref zipimport
"""
_UNREPLACEABLE = frozenset(_LOADED_BEFORE.split()) | frozenset(sys.builtin_module_names)


class OwnModules:
    """The modules of one environment."""

    #: Who stands in `sys.modules` under which name, and whose modules were put there last.
    _standing: dict[str, types.ModuleType] = {}  # noqa: RUF012  one for the process, as sys.modules is
    _last: OwnModules | None = None
    #: How many environments need a folder at the end of `sys.path`, for the packages that were installed there.
    _folders: Counter[str] = Counter()  # noqa: RUF012  one for the process, as sys.path is
    _folders_lock = threading.Lock()

    def __init__(self, roots: Sequence[Path]) -> None:
        self.modules: dict[str, types.ModuleType] = {}
        self.sources: dict[str, tuple[int, int]] = {}  #: each file and its stamp from just before it was read
        self._roots = [str(root) for root in roots if root.name != "site-packages"]  # a layer may bring one
        self._installed = frozenset(name for root in roots for name in _installed(root))
        self._unfinished: set[str] = set()
        self._locks: dict[str, threading.RLock] = {}
        self._added = [str(root) for root in roots]
        with self._folders_lock:
            self._folders.update(self._added)
            for folder in self._added:
                if folder not in sys.path:
                    sys.path.append(folder)  # last: the process's own imports must not find the function's files first

    def changed(self) -> str | None:
        """A file whose content is no longer what was imported."""
        return next((file for file, stamp in list(self.sources.items()) if _stamp(file) != stamp), None)

    # -- importing --------------------------------------------------------------------------------------------------

    def import_module(self, name: str) -> types.ModuleType:
        """What `importlib.import_module` does, for an absolute name."""
        return self._load(name) or _import_shared(name)

    def import_(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002  the name in `__import__`
        locals: Mapping[str, object] | None = None,  # noqa: A002  the name in `__import__`
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        """What `__import__` does."""
        absolute = name
        from_own = globals is not None and self._is_own(globals)
        if level and from_own:
            absolute = importlib.util.resolve_name("." * level + name, str(globals["__package__"]))  # type: ignore[index]
        elif level or not (from_own or self._may_be_own(name)):
            return _process_import(name, globals, locals, fromlist or (), level)
        module = self._load(absolute)
        if module is None:
            return _process_import(name, globals, locals, fromlist or (), level)
        if not fromlist:
            return self.modules[absolute.partition(".")[0]]
        self._load_names(module, fromlist)
        return module

    def _is_own(self, namespace: Mapping[str, object]) -> bool:
        module = self.modules.get(str(namespace.get("__name__")))
        return module is not None and module.__dict__ is namespace

    def _may_be_own(self, name: str) -> bool:
        """Whether shared code may mean the function's module by this name: a framework that loads plug-ins."""
        top = name.partition(".")[0]
        loaded = sys.modules.get(top)
        return top not in sys.stdlib_module_names and (loaded is None or loaded is self._standing.get(top))

    def _load_names(self, module: types.ModuleType, names: Iterable[str]) -> None:
        """The submodules among what `from module import …` names."""
        if not hasattr(module, "__path__"):
            return
        for name in names:
            if name == "*":
                self._load_names(module, [each for each in getattr(module, "__all__", ()) if each != "*"])
            elif not hasattr(module, name):
                self._load_if_there(f"{module.__name__}.{name}")

    def _load_if_there(self, name: str) -> None:
        try:
            self._load(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise

    def _load(self, name: str) -> types.ModuleType | None:
        """The environment's own module, imported if need be; None if the name is not the function's."""
        module = self.modules.get(name)
        if module is not None and name not in self._unfinished:
            return module
        if not name:
            raise ValueError("Empty module name")
        parent, _, tail = name.rpartition(".")
        package = self._load(parent) if parent else None
        if parent and package is None:
            return None
        lock = self._locks.setdefault(name, threading.RLock())
        held = lock.acquire(timeout=_PATIENCE_SECONDS)
        try:
            module = self.modules.get(name)
            if module is not None:
                return module  # another thread has finished it, or this one is in the middle of it: a circle
            spec = self._find(name, package)
            return None if spec is None else self._execute(spec, package, tail)
        finally:
            if held:
                lock.release()

    def _find(self, name: str, package: types.ModuleType | None) -> importlib.machinery.ModuleSpec | None:
        if package is not None:
            if not hasattr(package, "__path__"):
                problem = f"No module named {name!r}; {package.__name__!r} is not a package"
                raise ModuleNotFoundError(problem, name=name)
            spec = _find_in(name, package.__path__)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return spec
        if name in _UNREPLACEABLE or name in self._installed:
            return None
        spec = _find_in(name, self._search_path())
        if spec is not None and spec.loader is None and _is_regular(name):
            return None  # a mere folder gives way to an installed package of its name
        return spec

    def _search_path(self) -> list[str]:
        """The roots, and what the function added to `sys.path` below them, perhaps relative to the first."""
        added = [os.path.normpath(Path(self._roots[0], entry)) for entry in sys.path if entry]
        inside = [path for path in added if path.startswith(tuple(root + os.sep for root in self._roots))]
        return [*self._roots, *(path for path in inside if not path.endswith(os.sep + "site-packages"))]

    def _execute(
        self, spec: importlib.machinery.ModuleSpec, package: types.ModuleType | None, tail: str
    ) -> types.ModuleType:
        name = spec.name
        module = importlib.util.module_from_spec(spec)
        if spec.origin is not None and spec.loader is not None:
            self.sources[spec.origin] = _stamp(spec.origin)
        self.modules[name] = module
        self._stand(name, module)
        if package is not None:
            setattr(package, tail, module)  # before it runs: modules that import each other find it in its package
        self._unfinished.add(name)
        try:
            if spec.loader is not None:
                spec.loader.exec_module(module)
        except BaseException:
            del self.modules[name]
            if sys.modules.get(name) is module:
                del sys.modules[name]
            if package is not None:
                package.__dict__.pop(tail, None)
            raise
        finally:
            self._unfinished.discard(name)
        return module

    # -- in sys.modules ---------------------------------------------------------------------------------------------

    def stand(self) -> None:
        """Show these modules in `sys.modules`."""
        if OwnModules._last is not self:
            OwnModules._last = self
            for name, module in list(self.modules.items()):
                self._stand(name, module)

    def _stand(self, name: str, module: types.ModuleType) -> None:
        there = sys.modules.get(name)
        if there is None or there is self._standing.get(name):  # never in the place of a shared module
            sys.modules[name] = self._standing[name] = module

    def withdraw(self) -> None:
        """Show them no longer."""
        for name, module in list(self.modules.items()):
            if sys.modules.get(name) is module:
                del sys.modules[name]
            if self._standing.get(name) is module:
                del self._standing[name]
        with self._folders_lock:
            while self._added:
                folder = self._added.pop()
                self._folders[folder] -= 1
                if self._folders[folder] == 0 and folder in sys.path:
                    sys.path.remove(folder)


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Always compiles: bytecode from before a quick edit may bear the same second and size."""

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        code: types.CodeType = self.source_to_code(self.get_data(path), path)
        return code


_LOADERS: list[tuple[Any, list[str]]] = [
    (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    (_SourceLoader, importlib.machinery.SOURCE_SUFFIXES),
    (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
]


def _find_in(name: str, path: Iterable[str]) -> importlib.machinery.ModuleSpec | None:
    """The module in the first of these folders that has it, else a namespace package of those that have its folder."""
    portions: list[str] = []
    for folder in path:
        spec = importlib.machinery.FileFinder(folder, *_LOADERS).find_spec(name)
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec and spec.submodule_search_locations) or []
    if not portions:
        return None
    # a plain list as its path: the standard one looks for the parent in `sys.modules`
    namespace = importlib.machinery.ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def _import_shared(name: str) -> types.ModuleType:
    _process_import(name)
    return sys.modules[name]


def _is_regular(name: str) -> bool:
    """Whether a package or module that is more than a folder has this name outside."""
    spec = importlib.machinery.PathFinder.find_spec(name)
    return spec is not None and spec.origin is not None


def _installed(root: Path) -> Iterable[str]:
    """The top-level names of packages that were installed into a folder."""
    for record in root.glob("*.dist-info/RECORD"):
        for line in record.read_text(encoding="utf-8", errors="replace").splitlines():
            first = line.partition(",")[0].strip('"').partition("/")[0]
            if not first.endswith((".dist-info", ".data")) and first not in ("..", "bin", "__pycache__"):
                yield first.partition(".")[0]


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = Path(file).stat()
    except OSError:
        return (0, 0)
    return status.st_mtime_ns, status.st_size
