"""Random states survive the way through files."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from train.random_states import random_states, random_states_kept, restore_random_states, seed_process

CPU = torch.device("cpu")


def draw():
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.randn(),  # noqa: NPY002
        torch.randn(3).tolist(),
        torch.rand(1).item(),
    )


@pytest.mark.parametrize("odd", [False, True])
def test_states_restored_from_safetensors_and_json_draw_the_same(odd):
    seed_process(5, 1, 2)
    if odd:  # normal draws come in pairs, and the second one waits
        draw()
    tensors, numbers = random_states(CPU)
    first = draw()
    draw()
    restore_random_states(load(save(tensors)), json.loads(json.dumps(numbers)), CPU)
    assert draw() == first


def test_states_are_kept():
    seed_process(5, 1, 2)
    first = draw()
    seed_process(5, 1, 2)
    with random_states_kept(CPU):
        draw()
    assert draw() == first


def test_processes_and_steps_are_seeded_apart():
    drawn = []
    for key in [(5, 0, 0), (5, 1, 0), (5, 0, 1), (6, 0, 0), (5, 0, 0)]:
        seed_process(*key)
        drawn.append(draw())
    assert drawn[0] == drawn[4] and len({str(values) for values in drawn}) == 4
