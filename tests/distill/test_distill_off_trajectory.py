"""Invariant 3: extrapolation along the student's velocity."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.distill import off_trajectory
from vision.flow.path import noise_from_velocity, x0_from_velocity
from vision.flow.solver import euler_solve

SHAPES = [(3, 16, 4), (3, 4, 6, 6), (3, 4, 2, 4, 4)]  # tokens, pictures, videos
sigmas = st.floats(0, 1)


def anchor(shape: tuple[int, ...], dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_invariant_3a_the_anchor_itself_is_bit_exact(shape):
    x, v = anchor(shape)
    sigma = torch.rand(3)
    assert torch.equal(off_trajectory(x, v, sigma, sigma), x)
    assert torch.equal(off_trajectory(x, v, 0.7, 0.7), x)


@pytest.mark.parametrize("shape", SHAPES)
def test_invariant_3b_the_next_time_is_an_euler_step(shape):
    x, v = anchor(shape)
    step = euler_solve(lambda x, t: v, x, [0.9, 0.75])
    torch.testing.assert_close(off_trajectory(x, v, 0.9, 0.75), step, rtol=0, atol=1e-6)


@given(sigmas, sigmas, st.sampled_from(SHAPES))
def test_invariant_3c_and_3e_the_endpoints_are_kept_in_both_directions(sigma, s, shape):
    """x' predicts the anchor's x_0 and noise, whether s is cleaner or noisier."""
    x, v = anchor(shape, torch.float64)
    moved = off_trajectory(x, v, sigma, s)
    torch.testing.assert_close(x0_from_velocity(moved, v, s), x0_from_velocity(x, v, sigma))
    torch.testing.assert_close(noise_from_velocity(moved, v, s), noise_from_velocity(x, v, sigma))


@pytest.mark.parametrize("shape", SHAPES)
def test_invariant_3d_each_sample_has_its_own_times(shape):
    x, v = anchor(shape)
    sigma, s = torch.tensor([1.0, 0.5, 0.3]), torch.tensor([0.2, 0.9, 0.3])
    moved = off_trajectory(x, v, sigma, s)
    for i in range(3):
        torch.testing.assert_close(moved[i], x[i] + float(s[i] - sigma[i]) * v[i])


def test_invariant_2_the_input_is_detached():
    x, v = anchor((2, 3, 4))
    x.requires_grad_()
    v.requires_grad_()
    assert not off_trajectory(x, v, 0.9, 0.2).requires_grad
