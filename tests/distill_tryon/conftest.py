"""Clips of the studio and the tiny parts of a try-on, runs of the entry points, and forked processes."""

import sys
from pathlib import Path

import pytest

for place, folder in enumerate((".", "../train", "../tryon", "../tryon_train", "../jobs")):
    sys.path.insert(place, str((Path(__file__).parent / folder).resolve()))

from tiny_tryon_runs import TryOnWorkspace  # noqa: E402  # pyright: ignore[reportMissingImports] - of tests/tryon_train


@pytest.fixture(scope="session")
def tryon_runs(tmp_path_factory: pytest.TempPathFactory) -> TryOnWorkspace:
    """A folder with three clips of the studio, an autoencoder and a text encoder."""
    return TryOnWorkspace(tmp_path_factory.mktemp("distill-tryon"))
