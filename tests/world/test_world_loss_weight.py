"""The weights of the loss and the times around them."""

import torch

from vision.flow.schedules import linear_schedule
from vision.world.loss_weight import loss_weight, training_times


def test_weights_have_mean_one_and_the_released_values():
    times = training_times()
    weights = loss_weight(times)
    assert weights.dtype == torch.float32 and (weights >= 0).all()
    torch.testing.assert_close(weights.double().mean().item(), 1.0, rtol=0, atol=1e-6)
    at = loss_weight(torch.tensor([0.5, 0.1, 0.9, 0.99, 1.0]))
    torch.testing.assert_close(at, torch.tensor([2.076, 0.632, 0.632, 0.064, 0.0]), rtol=0, atol=2e-3)
    assert weights.max() <= at[0]


def test_most_times_are_near_the_noise():
    times = training_times()
    assert times[-1] == 1 and (times.diff() > 0).all()
    torch.testing.assert_close(times.median().item(), 0.833, rtol=0, atol=1e-3)
    assert abs((times > 0.9).double().mean().item() - 0.36) < 0.01
    # Another shift moves the times, and the mean with them.
    assert training_times(1.0).median() == 0.5
    torch.testing.assert_close(loss_weight(training_times(1.0), shift=1.0).mean().item(), 1.0)


def test_thirty_steps_of_shift_five():
    grid = torch.tensor(linear_schedule(30, 5.0))
    assert len(grid) == 31
    torch.testing.assert_close(
        grid[:5], torch.tensor([1.0, 0.9932, 0.9859, 0.9783, 0.9701]), rtol=0, atol=5e-5
    )
    torch.testing.assert_close(grid[-4:], torch.tensor([0.3571, 0.2632, 0.1471, 0.0]), rtol=0, atol=5e-5)
    # A constant velocity lands on the data.
    data, noise = torch.randn(2, 7)
    torch.testing.assert_close(noise + (noise - data) * grid.diff().sum(), data, rtol=0, atol=1e-6)
