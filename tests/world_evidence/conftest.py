"""The tiny worlds of tests/world, and one small truth set for all tests of this folder."""

import sys
from pathlib import Path

import pytest

from vision.world.evaluation.truth_player import played_truth
from vision.world.evaluation.truth_set import TruthSet
from vision.world.evaluation.truth_settings import TruthSettings

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "world"))  # tiny_world.py


@pytest.fixture(scope="session")
def truth() -> TruthSet:
    return played_truth("test", TruthSettings(starts=2, stick_starts=2, height=32, width=32))
