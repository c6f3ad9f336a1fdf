"""True clips of the studio that all tests of this folder share, and the tiny parts of tests/tryon_train."""

import sys
from pathlib import Path

import pytest

for place, folder in enumerate((".", "../train", "../tryon", "../jobs", "../tryon_train")):
    sys.path.insert(place, str((Path(__file__).parent / folder).resolve()))

from vision.tryon.evaluation.truth_clip import TruthClip  # noqa: E402
from vision.tryon.evaluation.truth_files import TruthSet  # noqa: E402
from vision.tryon.evaluation.truth_settings import TruthSettings  # noqa: E402
from vision.tryon.studio_plan import StudioSettings  # noqa: E402


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> TruthSet:
    """Two clips of one action of four frames, with a decoy."""
    studio = StudioSettings(actions=(1, 1), action_frames=(4, 4), decoy="always", seed=1)
    return TruthSet(tmp_path_factory.mktemp("truth"), TruthSettings(studio, 2))


@pytest.fixture(scope="session")
def clips(truth: TruthSet) -> list[TruthClip]:
    return list(truth)
