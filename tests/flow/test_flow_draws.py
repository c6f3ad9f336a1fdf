"""Draws depend on (seed, step, purpose, sample) and on nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vision.flow.draws import Draws, keyed_generator


def all_draws(draws: Draws, batch_size: int) -> list[torch.Tensor]:
    return [
        draws.uniform("time", batch_size),
        draws.uniform("bins", batch_size, stratified=True),
        draws.integers("anchor", batch_size, 7),
        draws.normal("noise", (batch_size, 2, 3)),
    ]


@given(st.integers(0, 2**31), st.integers(0, 10**6), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_processes_and_accumulation_do_not_change_what_a_sample_gets(seed, step, sizes):
    total = sum(sizes)
    whole = all_draws(Draws(seed, step, 0, total), total)
    parts = [
        all_draws(Draws(seed, step, sum(sizes[:i]), total, rank=i), size) for i, size in enumerate(sizes)
    ]
    for one, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(one, torch.cat(pieces))


def test_seed_step_purpose_and_sample_all_matter():
    def value(seed=1, step=2, purpose="time", first=3):
        return Draws(seed, step, first, 8).uniform(purpose, 1).item()

    values = [value(), value(seed=2), value(step=3), value(purpose="other"), value(first=4)]
    assert len(set(values)) == len(values)
    assert value() == value()


def test_keys_do_not_run_together():
    assert keyed_generator(1, 23).random() != keyed_generator(12, 3).random()
    assert keyed_generator(1, "2").random() != keyed_generator(1, 2).random()


def test_distributions():
    draws = Draws(0, 0, 0, 4000)
    uniform = draws.uniform("u", 4000)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(draws.normal("n", (4000,)).numpy(), "norm").pvalue > 1e-3
    counts = torch.bincount(draws.integers("i", 4000, 8), minlength=8)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_stratified_draws_have_one_in_each_bin_in_another_order_each_step():
    orders = []
    for step in range(3):
        values = Draws(0, step, 0, 16).uniform("time", 16, stratified=True)
        bins = (values * 16).floor().long()
        assert torch.equal(bins.sort().values, torch.arange(16))
        orders.append(tuple(bins.tolist()))
    assert len(set(orders)) == 3


def test_a_stratified_batch_past_the_global_one_is_an_error():
    with pytest.raises(ValueError, match="samples 6 to 10 of a global batch of 8"):
        Draws(0, 0, 6, 8).uniform("time", 4, stratified=True)


def test_normal_draws_differ_between_elements():
    values = Draws(0, 0, 0, 2).normal("noise", (2, 3, 4))
    assert values.shape == (2, 3, 4) and values.dtype == torch.float32
    assert len(np.unique(values.numpy())) == 24
