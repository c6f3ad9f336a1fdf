"""Every test runs on one thread: two threads beside another busy process are several times slower."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# A property has no time limit of its own: on a busy machine the first example imports for seconds.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _same_seed_for_each_test():
    torch.manual_seed(0)
