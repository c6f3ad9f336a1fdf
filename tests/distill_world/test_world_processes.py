"""Two processes train and distil a world as one does with the same global batch, replicated or sharded."""

from pathlib import Path

import numpy as np
import pytest
from forked import run_forked  # pyright: ignore[reportMissingImports] - of tests/train
from tiny_world_training import run_world


@pytest.fixture(scope="module", params=["flow", "cdm"])
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """The kind of training, and every weight after it on one process."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, run_forked(run_world, folder, request.param, batch_size=4)


@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_two_processes_of_a_world_are_one(tmp_path: Path, alone, sharding: str) -> None:
    kind, expected = alone
    found = run_forked(run_world, tmp_path, kind, world_size=2, batch_size=2, sharding=sharding)
    assert found.keys() == expected.keys() and len(found) > 50
    assert max(float(np.abs(found[name] - expected[name]).max()) for name in expected) < 3e-6
