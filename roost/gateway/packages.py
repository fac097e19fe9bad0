"""Packages that an app has installed for itself: those of its virtual environment are found by its functions, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_FOLDERS = (".venv", "venv", "env")


def use_packages(app: Path, environ: Mapping[str, str]) -> str | None:
    """Make the packages of the active environment, or of the one in the app's folder, importable behind our own.

    Answers what to tell the person, or None where there is no such environment. Packages of another Python version are
    left alone: compiled ones would not load.
    """
    active = environ.get("VIRTUAL_ENV")
    candidates = [Path(active)] if active else [app / name for name in _FOLDERS]
    for folder in candidates:
        if folder.resolve() != Path(sys.prefix).resolve() and (folder / "pyvenv.cfg").is_file():
            return _use(folder)
    return None


def _use(folder: Path) -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for packages in (folder / "lib" / version / "site-packages", folder / "Lib" / "site-packages"):
        if packages.is_dir():
            sys.path.append(str(packages))  # functions in this process
            known = os.environ.get("PYTHONPATH")
            os.environ["PYTHONPATH"] = f"{known}{os.pathsep}{packages}" if known else str(packages)  # isolated ones
            return f"packages of {folder} are used"
    return f"packages of {folder} are NOT used: they are not for {version}, which runs here"
