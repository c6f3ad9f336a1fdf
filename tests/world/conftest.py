"""Engines that the tests of this folder share: each start costs a process."""

from collections.abc import Iterator

import pytest

from vision.world.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine("freedoom2", height=32, width=32) as started:
        yield started


@pytest.fixture(scope="session")
def bare_engine() -> Iterator[Engine]:
    with Engine("freedoom2", height=32, width=32, weapon_drawn=False) as started:
        yield started
