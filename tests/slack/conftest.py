"""A workspace for each test, on every engine: `ana` owns it, `ben` is a member."""

from __future__ import annotations

import pytest

from roost.testing import Room
from tests.slack.workspace import Member, Workspace


@pytest.fixture
def workspace(room: Room) -> Workspace:
    return Workspace(room=room)


@pytest.fixture
def ana(workspace: Workspace) -> Member:
    return workspace.ana


@pytest.fixture
def ben(workspace: Workspace) -> Member:
    return workspace.member("ben")
