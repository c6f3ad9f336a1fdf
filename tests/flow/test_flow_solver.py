"""Euler's method."""

import pytest
import torch

from vision.flow.path import interpolate, velocity_from_endpoints, x0_from_velocity
from vision.flow.schedules import linear_schedule
from vision.flow.solver import EulerStep, euler_solve


def test_a_straight_path_is_solved_in_any_number_of_steps():
    x_0, noise = torch.randn(2, 3, 2, 1, 4, 4, dtype=torch.float64)
    v = velocity_from_endpoints(x_0, noise)
    for times in ([1.0, 0.0], [1.0, 0.9, 0.3, 0.0]):
        torch.testing.assert_close(euler_solve(lambda x, t: v, noise, times), x_0)


def test_the_error_halves_with_twice_the_steps():
    """Data N(0, s^2): the flow maps noise e to s e."""
    std = 0.5
    noise = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]

    def velocity(x, t):
        assert t.shape == (5,)
        t = t[:, None]
        return (t - (1 - t) * std**2) / ((1 - t) ** 2 * std**2 + t**2) * x

    errors = [
        (euler_solve(velocity, noise, linear_schedule(n)) - std * noise).abs().max().item() for n in (50, 100)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_the_callback_sees_each_step_and_the_last_gives_x0():
    steps: list[EulerStep] = []
    noise = torch.randn(3, 2)
    end = euler_solve(
        lambda x, t: torch.sin(x) + t[:, None], noise, [1.0, 0.7, 0.4, 0.0], callback=steps.append
    )
    assert [step.index for step in steps] == [0, 1, 2]
    assert torch.equal(steps[0].x_t, noise) and torch.equal(steps[-1].x_next, end)
    for before, after in zip(steps, steps[1:]):  # noqa: B905, RUF007
        assert torch.equal(before.x_next, after.x_t) and before.next_time == after.time
    last = steps[-1]
    assert torch.equal(end, x0_from_velocity(last.x_t, last.velocity, last.time))


def test_it_stops_early():
    calls = []

    def velocity(x, t):
        calls.append(float(t[0]))
        return -x

    times = [1.0, 0.75, 0.25, 0.0]
    noise = torch.ones(1, 2)
    assert torch.equal(euler_solve(velocity, noise, times, num_steps=0), noise)
    half = euler_solve(velocity, noise, times, num_steps=2)
    assert calls == [1.0, 0.75]
    torch.testing.assert_close(half, torch.full((1, 2), 1.25 * 1.5))
    with pytest.raises(ValueError, match="4 steps along a schedule of 3"):
        euler_solve(velocity, noise, times, num_steps=4)


def test_it_walks_back_to_the_noise():
    x_0, noise = torch.randn(2, 4, 3, dtype=torch.float64)
    v = velocity_from_endpoints(x_0, noise)
    half = euler_solve(lambda x, t: v, x_0, [0.0, 0.5])
    torch.testing.assert_close(half, interpolate(x_0, noise, 0.5))
