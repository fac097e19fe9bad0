"""Build the folder that is uploaded to Lambda: `python scripts/build_lambda.py [--local] [--oidc]`.

It holds what the handlers import and nothing else: the modules of Roost that `roost.aws.functions` can reach, also by
imports inside functions, and the packages of requirements-lambda.lock for the function's platform. `--local` takes
packages for this machine instead, to run the folder here. Two builds of one commit are the same, byte for byte and in
their times.

Bytecode goes with it where the Python that builds is the one that will run it (`--local`, or 3.13). Otherwise a
function compiles all that it imports at every cold start, since it cannot write: 1.7 times the processor time.
"""

from __future__ import annotations

import modulefinder
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "lambda"
LOCK = ROOT / "requirements-lambda.lock"
OIDC_LOCK = ROOT / "requirements-oidc.lock"
ENTRY = "roost.aws.functions"
_PLATFORM = ["--platform", "manylinux_2_28_aarch64", "--platform", "manylinux2014_aarch64"]  # AL2023 has glibc 2.34
_PYTHON = ["--python-version", "3.13", "--implementation", "cp"]
_RUNTIME = (3, 13)
_EPOCH = 315_532_800  # 1980, the earliest that a zip file can say
_LEFT_OUT = ("__pycache__", "bin", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "py.typed")  # of packages
_NEVER_IMPORTED = ("cffi", "pycparser")  # they compile bindings; argon2's are compiled, and need `_cffi_backend` alone


def build(target: Path, *, local: bool, oidc: bool = False) -> Path:
    """Build the folder anew and answer where it is."""
    shutil.rmtree(target, ignore_errors=True)
    for source in modules():
        copy = target / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--no-compile", "--only-binary=:all:", "--target", str(target)]
    locks = [LOCK, OIDC_LOCK] if oidc else [LOCK]
    command += [part for lock in locks for part in ("-r", str(lock))]
    subprocess.run([*command, *([] if local else _PLATFORM + _PYTHON)], check=True)
    for path in sorted(target.rglob("*"), reverse=True):
        unused = path.parent == target and path.name in _NEVER_IMPORTED
        if unused or path.name in _LEFT_OUT or path.suffix == ".pyi":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if local or sys.version_info[:2] == _RUNTIME:
        _compile(target)
    for path in sorted(target.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_EPOCH, _EPOCH))
    return target


def _compile(target: Path) -> None:
    """Bytecode that Python takes without a look at its source's time. In a process of its own: then it is always the
    same."""
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(target), str(target)], check=True)


def modules() -> Iterator[Path]:
    """The files of Roost that the handlers can reach, by the imports in their bytecode."""
    finder = modulefinder.ModuleFinder(path=[str(ROOT)])
    finder.import_hook(ENTRY, None, ["*"])
    for name, module in sorted(finder.modules.items()):
        if name.partition(".")[0] == ENTRY.partition(".")[0]:
            yield Path(str(vars(module)["__file__"]))


if __name__ == "__main__":
    print(build(TARGET, local="--local" in sys.argv[1:], oidc="--oidc" in sys.argv[1:]))
