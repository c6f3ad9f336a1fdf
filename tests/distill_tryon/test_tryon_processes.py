"""Two processes distil a try-on as one does with the same global batch, replicated or sharded."""

from pathlib import Path

import numpy as np
import pytest
from forked import run_forked  # pyright: ignore[reportMissingImports] - of tests/train
from tiny_tryon_training import run_tryon


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory):
    """Every weight after it on one process."""
    return run_forked(run_tryon, tmp_path_factory.mktemp("alone"), batch_size=4)


@pytest.mark.parametrize("sharding", ["none", pytest.param("fsdp2", marks=pytest.mark.slow)])
def test_two_processes_of_a_tryon_are_one(tmp_path: Path, alone, sharding: str) -> None:
    found = run_forked(run_tryon, tmp_path, world_size=2, batch_size=2, sharding=sharding)
    assert found.keys() == alone.keys() and len(found) > 50
    assert max(float(np.abs(found[name] - alone[name]).max()) for name in alone) < 3e-6
