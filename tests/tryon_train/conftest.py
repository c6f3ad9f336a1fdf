"""Clips of the studio, the tiny parts of tests/tryon, and runs of the entry points."""

import sys
from pathlib import Path

import pytest

for place, folder in enumerate((".", "../train", "../tryon", "../jobs")):
    sys.path.insert(place, str((Path(__file__).parent / folder).resolve()))

from tiny_tryon_runs import TryOnWorkspace  # noqa: E402


@pytest.fixture(scope="session")
def tryon_runs(tmp_path_factory: pytest.TempPathFactory) -> TryOnWorkspace:
    """A folder with three clips of the studio, an autoencoder and a text encoder."""
    return TryOnWorkspace(tmp_path_factory.mktemp("tryon-train"))


@pytest.fixture(scope="session")
def tryon_run(tryon_runs: TryOnWorkspace) -> Path:
    """A run from scratch."""
    return tryon_runs.trained(tryon_runs.recipe("scratch"))
