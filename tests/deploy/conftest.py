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
    yield deployed
    deployed.close()
