"""Learning rates and moving averages over a run."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.ema import MovingAverage
from train.recipes.train import TrainRecipe
from train.schedules import learning_rate


def course(updates: int, **settings) -> list[float]:
    recipe = TrainRecipe(output="x", steps=1, batch_size=1, save_every=1, **{"lr": 0.5, **settings})
    return [learning_rate(recipe, "model", k, updates) for k in range(1, updates + 1)]


@given(
    shape=st.sampled_from(["constant", "cosine", "linear", "trapezoid"]),
    updates=st.integers(1, 60),
    warmup=st.integers(0, 80),
    final=st.floats(0, 1),
    fraction=st.floats(0.01, 1),
)
def test_rates_rise_then_fall_and_never_vanish(shape, updates, warmup, final, fraction):
    rates = course(
        updates, lr_schedule=shape, warmup_steps=warmup, final_lr_fraction=final, decay_fraction=fraction
    )
    assert all(0 < rate <= 0.5 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert all(rate >= 0.5 * final - 1e-12 for rate in rates[max(warmup, 1) - 1 :])
    if shape != "trapezoid" and warmup < updates:
        assert rates[warmup] == 0.5  # the peak, right after the warm-up
        assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_warm_up_rises_by_equal_steps_from_the_first():
    assert course(6, warmup_steps=4) == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]


def test_linear_reaches_the_end_with_the_step_after_the_last():
    assert course(5, warmup_steps=0, lr_schedule="linear", final_lr_fraction=0.5) == pytest.approx(
        [0.5, 0.45, 0.4, 0.35, 0.3]
    )


def test_trapezoid_falls_in_its_last_part_alone():
    assert course(8, warmup_steps=2, lr_schedule="trapezoid", decay_fraction=0.5) == pytest.approx(
        [0.25, 0.5, 0.5, 0.5, 0.5, 0.375, 0.25, 0.125]
    )


def test_cosine_is_half_way_in_the_middle():
    assert course(4, warmup_steps=0, lr_schedule="cosine")[2] == pytest.approx(0.25)


def test_rates_of_single_networks():
    recipe = TrainRecipe(
        output="x", steps=1, batch_size=1, save_every=1, lr=0.5, lr_of={"fake": 0.1}, warmup_steps=0
    )
    assert learning_rate(recipe, "fake", 1, 1) == 0.1
    assert learning_rate(recipe, "student", 1, 1) == 0.5


def test_average_moves_by_the_early_decay_and_then_by_its_own():
    start, target = torch.randn(5), torch.randn(5)
    average = MovingAverage({"w": start}, decay=0.5)
    expected = start.clone()
    for k in range(1, 12):
        decay = min((1 + k) / (10 + k), 0.5)
        assert decay == 0.5 if k >= 8 else decay < 0.5
        expected = decay * expected + (1 - decay) * target
        average.update({"w": target}, k)
        assert torch.allclose(average.weights["w"], expected, atol=1e-6)


def test_average_of_constant_weights_is_these_weights():
    weights = {"w": torch.randn(7)}
    average = MovingAverage(weights, decay=0.999)
    for k in range(1, 6):
        average.update(weights, k)
    assert torch.equal(average.weights["w"], weights["w"])


def test_applied_averages_leave_no_trace():
    weights = {"w": torch.nn.Parameter(torch.randn(7))}
    average = MovingAverage(weights, decay=0.9)
    with torch.no_grad():
        weights["w"].add_(1.0)
    before, averaged = weights["w"].detach().clone(), average.weights["w"].clone()
    with pytest.raises(RuntimeError, match="while drawing"), average.applied(weights):
        assert torch.equal(weights["w"], averaged)
        raise RuntimeError("while drawing")
    assert torch.equal(weights["w"], before) and torch.equal(average.weights["w"], averaged)
