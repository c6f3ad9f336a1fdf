"""A tiny pipeline of each family, saved once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "train"))  # forked.py

from tiny_families import MAKE, save


@pytest.fixture(scope="session")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of the tiny pipeline by family."""
    folder = tmp_path_factory.mktemp("teachers")
    return {family: save(family, folder / family) for family in MAKE}
