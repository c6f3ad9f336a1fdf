"""Invariants 9 and 10: random schedules, the shift and the last step."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from toy_denoisers import SHAPE, cdm, prompts, tiny_denoiser

from vision.distill import random_schedule
from vision.distill.rollout import roll_out
from vision.flow.draws import Draws
from vision.flow.schedules import FEW_STEP_GRID, shifted_schedule
from vision.flow.solver import euler_solve


@given(st.integers(0, 2**40), st.integers(0, 10**6), st.booleans(), st.integers(0, 64), st.integers(1, 40))
def test_invariant_9_schedules_fall_from_one(seed, step, stratified, rank, max_steps):
    times = random_schedule(seed, step, max_steps, stratified=stratified, rank=rank)
    assert times[0] == 1 and 1 <= len(times) <= max_steps
    assert all(0.25 <= t <= 0.95 for t in times[1:])
    assert all(np.float32(a) > np.float32(b) for a, b in pairwise(times))
    # Stateless: a resumed run gets the same, and every process walks equally far.
    assert times == random_schedule(seed, step, max_steps, stratified=stratified, rank=rank)
    assert len(times) == len(random_schedule(seed, step, max_steps, stratified=stratified, rank=rank + 1))


def test_invariant_9_lengths_are_uniform_and_one_step_is_noise_alone():
    schedules = [random_schedule(0, step) for step in range(4000)]
    lengths = np.bincount([len(times) for times in schedules], minlength=29)[1:]
    assert len(lengths) == 28 and stats.chisquare(lengths).pvalue > 1e-3
    assert all(times == [1.0] for times in schedules if len(times) == 1)
    inner = np.concatenate([times[1:] for times in schedules])
    assert stats.kstest(inner, stats.uniform(0.25, 0.7).cdf).pvalue > 1e-3


def test_invariant_9_processes_have_their_own_times():
    step = next(step for step in range(100) if len(random_schedule(0, step)) > 3)
    assert random_schedule(0, step, rank=0)[1:] != random_schedule(0, step, rank=1)[1:]


def test_stratified_times_take_one_of_each_part():
    for step in range(50):
        inner = random_schedule(3, step, stratified=True)[1:]
        parts = [int((t - 0.25) / 0.7 * len(inner)) for t in inner]
        assert sorted(parts) == list(range(len(inner)))


def test_invariant_9_share_of_anchors_at_the_noise():
    """H_28 / 28 = 0.1403 of the anchors that the method itself draws are at sigma 1."""
    method = cdm(max_rollout_steps=28)
    at_noise = [
        (method._simulate(prompts(8), Draws(0, step, 0, 8)).anchor.sigma == 1).sum().item()
        for step in range(400)
    ]
    expected = sum(1 / n for n in range(1, 29)) / 28
    assert expected == pytest.approx(0.1403, abs=1e-4)
    # All samples of an iteration share its length, so the iterations are the independent draws.
    error = np.std(at_noise) / 8 / np.sqrt(len(at_noise))
    assert np.mean(at_noise) / 8 == pytest.approx(expected, abs=4 * error)
    assert error < 0.01


@pytest.mark.parametrize(("low", "high"), [(0.9, 0.3), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_a_range_that_is_none_is_an_error(low, high):
    with pytest.raises(ValueError, match="inner times range"):
        random_schedule(0, 0, low=low, high=high)
    with pytest.raises(ValueError, match="max_steps is 0"):
        random_schedule(0, 0, max_steps=0)


def test_invariant_10_shifted_grid():
    assert shifted_schedule(FEW_STEP_GRID, 3.0) == pytest.approx([1, 0.9, 0.75, 0.5, 0])


def test_invariant_10_the_last_step_gives_the_last_prediction():
    student = tiny_denoiser()
    noise, condition = torch.randn(3, *SHAPE), prompts(3)
    sigmas = shifted_schedule(FEW_STEP_GRID, 3.0)
    rollout = roll_out(student, noise, condition, sigmas)
    assert rollout.sigmas[-1] == 0
    assert torch.equal(rollout.final, rollout.x0(3))
    sampled = euler_solve(lambda x, t: student.velocity(x, t, condition), noise, sigmas)
    assert torch.equal(sampled, rollout.final)
