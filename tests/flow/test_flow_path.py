"""The path and its conversions: each is the inverse of another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.flow import path

SHAPES = [(3,), (3, 2), (3, 5, 4), (3, 2, 4, 4), (3, 2, 1, 3, 3)]
times = st.floats(0.02, 0.98)


def sample(seed: int, shape: tuple[int, ...]):
    generator = torch.Generator().manual_seed(seed)
    x_0, noise = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return x_0, noise


@given(st.integers(0, 10_000), st.sampled_from(SHAPES), st.lists(times, min_size=3, max_size=3))
def test_one_prediction_gives_the_others_and_back(seed, shape, t):
    x_0, noise = sample(seed, shape)
    t = torch.tensor(t, dtype=torch.float64)
    x_t = path.interpolate(x_0, noise, t)
    v = path.velocity_from_endpoints(x_0, noise)
    score = path.score_from_velocity(x_t, v, t)

    torch.testing.assert_close(path.x0_from_velocity(x_t, v, t), x_0)
    torch.testing.assert_close(path.noise_from_velocity(x_t, v, t), noise)
    torch.testing.assert_close(path.velocity_from_x0(x_t, x_0, t), v)
    torch.testing.assert_close(path.velocity_from_noise(x_t, noise, t), v)
    torch.testing.assert_close(path.velocity_from_score(x_t, score, t), v)
    torch.testing.assert_close(path.score_from_x0(x_t, x_0, t), score)
    torch.testing.assert_close(path.x0_from_score(x_t, score, t), x_0)


@given(st.integers(0, 10_000), times)
def test_velocity_is_the_slope_of_the_path(seed, t):
    x_0, noise = sample(seed, (4, 3))
    v = path.velocity_from_endpoints(x_0, noise)
    stride = 0.01
    ahead = path.interpolate(x_0, noise, t + stride)
    torch.testing.assert_close(ahead, path.interpolate(x_0, noise, t) + stride * v)


def test_score_of_a_gaussian():
    """Data N(m, s^2): x_t is N((1 - t) m, (1 - t)^2 s^2 + t^2), whose score is known."""
    mean, std, t = 0.7, 0.4, 0.3
    x_t = torch.linspace(-2, 2, 9, dtype=torch.float64)
    variance = (1 - t) ** 2 * std**2 + t**2
    x_0 = mean + (1 - t) * std**2 / variance * (x_t - (1 - t) * mean)
    torch.testing.assert_close(path.score_from_x0(x_t, x_0, t), -(x_t - (1 - t) * mean) / variance)


def test_ends_of_the_path_are_exact():
    x_0, noise = sample(0, (2, 3))
    assert torch.equal(path.interpolate(x_0, noise, torch.zeros(2)), x_0)
    assert torch.equal(path.interpolate(x_0, noise, torch.ones(2)), noise)


def test_each_sample_has_its_own_time():
    x_0, noise = sample(1, (3, 2, 4))
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    x_t = path.interpolate(x_0, noise, t)
    for i in range(3):
        torch.testing.assert_close(x_t[i], path.interpolate(x_0[i], noise[i], float(t[i])))


def test_times_of_another_batch_are_an_error():
    x_0, noise = sample(2, (3, 2))
    with pytest.raises(ValueError, match=r"\(2,\).*\(3, 2\)"):
        path.interpolate(x_0, noise, torch.ones(2))
