"""Random states of this process as tensors and plain numbers: python, numpy, torch, and its GPU."""

import random
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from vision.flow.draws import keyed_generator


def seed_process(seed: int, rank: int, step: int) -> None:
    """Seeds every generator from (seed, rank, step); each process draws differently."""
    derived = int(keyed_generator(seed, "process", rank, step).integers(2**32))
    random.seed(derived)
    np.random.seed(derived)  # noqa: NPY002 - libraries draw from the global state
    torch.manual_seed(derived)


def random_states(device: torch.device) -> tuple[dict[str, Tensor], dict]:
    """The states, as tensors for safetensors and numbers for JSON."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    tensors = {
        "python": torch.tensor(words, dtype=torch.int64),
        "numpy": torch.from_numpy(np.asarray(keys, np.uint32).astype(np.int64)),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    return tensors, {
        "python": [version, gauss],
        "numpy": [kind, int(position), int(has_gauss), float(cached)],
    }


def restore_random_states(tensors: dict[str, Tensor], numbers: dict, device: torch.device) -> None:
    """Puts the generators where :func:`random_states` found them."""
    version, gauss = numbers["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    kind, position, has_gauss, cached = numbers["numpy"]
    np.random.set_state((kind, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["cuda"], device)


@contextmanager
def random_states_kept(device: torch.device):
    """Leaves the generators after the block where they were before it."""
    held = random_states(device)
    try:
        yield
    finally:
        restore_random_states(*held, device)
