"""Build the folder that is uploaded to Lambda: `python scripts/build_lambda.py [--local]`.

It holds what the handlers import and nothing else: the core, AWS's shell, and the packages of requirements-lambda.lock
for the function's platform. `--local` takes packages for this machine instead, to run the folder here. Two builds of
one commit are the same, byte for byte and in their times.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "lambda"
LOCK = ROOT / "requirements-lambda.lock"
#: What of Roost goes to Lambda.
PARTS = (
    "__init__.py",
    "app.py",
    "frames.py",
    "stream.py",
    "settings.py",
    "py.typed",
    "chat",
    "slack",
    "storage",
    "aws",
)
_PLATFORM = ["--platform", "manylinux_2_28_aarch64", "--platform", "manylinux2014_aarch64"]  # AL2023 has glibc 2.34
_PYTHON = ["--python-version", "3.13", "--implementation", "cp"]
_EPOCH = 315_532_800  # 1980, the earliest that a zip file can say


def build(target: Path, *, local: bool) -> Path:
    """Build the folder anew and answer where it is."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for part in PARTS:
        source, copy = ROOT / "roost" / part, target / "roost" / part
        copy.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--no-compile", "--only-binary=:all:", "--target", str(target), "-r", str(LOCK)]
    subprocess.run([*command, *([] if local else _PLATFORM + _PYTHON)], check=True)
    for path in sorted(target.rglob("*"), reverse=True):
        if path.name in ("__pycache__", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            os.utime(path, (_EPOCH, _EPOCH))
    return target


if __name__ == "__main__":
    print(build(TARGET, local="--local" in sys.argv[1:]))
