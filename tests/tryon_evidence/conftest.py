"""True clips of the studio that all tests of this folder share, and the tiny parts of tests/tryon_train."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vision.latents import TinyVideoAutoencoder

for place, folder in enumerate((".", "../train", "../tryon", "../jobs", "../tryon_train")):
    sys.path.insert(place, str((Path(__file__).parent / folder).resolve()))

from benchmarks.tryon.settings import QUICK  # noqa: E402
from vision.tryon.evaluation.truth_clip import TruthClip  # noqa: E402
from vision.tryon.evaluation.truth_files import TruthSet  # noqa: E402


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> TruthSet:
    """Two clips of one action of four frames, with a decoy, as of the benchmark's quick run."""
    return TruthSet(tmp_path_factory.mktemp("truth"), replace(QUICK, clips=2).truth("decoy"))


@pytest.fixture(scope="session")
def clips(truth: TruthSet) -> list[TruthClip]:
    return list(truth)


@pytest.fixture(scope="session")
def vae() -> TinyVideoAutoencoder:
    """4 pixels a side and 4 frames become one of 4 channels, as the tiny transformers of tests/tryon take."""
    return TinyVideoAutoencoder(latent_channels=4, widths=(8,), num_blocks=1, patch_size=4).eval()
