"""A workspace for each test: `ana` owns it, `ben` is a member."""

from __future__ import annotations

import pytest

from tests.slack.workspace import Member, Workspace


@pytest.fixture
def workspace() -> Workspace:
    return Workspace()


@pytest.fixture
def ana(workspace: Workspace) -> Member:
    return workspace.ana


@pytest.fixture
def ben(workspace: Workspace) -> Member:
    return workspace.member("ben")
