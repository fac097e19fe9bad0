"""One emulated AWS with one deployed stack for all tests of a worker: a deployment takes its seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.stack import Project, Stack
from tests.tools import ministack


@pytest.fixture(scope="session")
def account() -> Iterator[str]:
    with ministack(auth=True, LAMBDA_ASYNC_RETRY_BASE_SECONDS="0.1") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def stack(account: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project = Project(tmp_path_factory.mktemp("project"), account)
    project.up("prod")
    deployed = project.stack("prod")
    deployed.allow_batches("StreamRole", "WorkerRole")
    yield deployed
    deployed.close()


@pytest.fixture(scope="session")
def crowded(account: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for which two people are a large audience."""
    project = Project(tmp_path_factory.mktemp("crowded"), account)
    project.replace("roost/chat/delivery.py", "LARGE = 2_000", "LARGE = 1")
    project.up("crowded")
    deployed = project.stack("crowded")
    deployed.allow_batches("StreamRole", "WorkerRole")
    yield deployed
    deployed.close()
