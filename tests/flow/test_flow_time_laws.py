"""Laws of the training times."""

import pytest
import torch
from scipy import stats

from vision.flow.draws import Draws
from vision.flow.time_laws import draw_times

DRAWS = Draws(0, 0, 0, 4000)


def test_uniform_is_clamped_with_point_masses():
    times = draw_times("uniform", DRAWS, "t", 4000, low=0.02, high=0.98)
    assert times.min() == pytest.approx(0.02) and times.max() == pytest.approx(0.98)
    at_low = int((times == times.min()).sum())
    assert stats.binomtest(at_low, 4000, 0.02).pvalue > 1e-3


def test_capped_is_a_share_of_its_cap():
    cap = torch.linspace(0.1, 1, 4000)
    times = draw_times("uniform_capped", DRAWS, "t", 4000, cap=cap)
    assert (times <= cap).all()
    assert stats.kstest((times / cap).numpy(), "uniform").pvalue > 1e-3
    with pytest.raises(ValueError, match="no cap"):
        draw_times("uniform_capped", DRAWS, "t", 4000)


@pytest.mark.parametrize("stratified", [False, True])
def test_logit_normal(stratified):
    times = draw_times("logit_normal", DRAWS, "t", 4000, mean=0.5, std=1.5, stratified=stratified)
    assert stats.kstest(torch.logit(times).numpy(), stats.norm(0.5, 1.5).cdf).pvalue > 1e-3


def test_stratified_times_are_even():
    """The mean of 4,000 stratified draws is that of the law to 1 / 4,000."""
    times = draw_times("uniform", DRAWS, "t", 4000, stratified=True)
    assert times.mean() == pytest.approx(0.5, abs=1 / 4000)


def test_equal_purposes_give_equal_times():
    one, two, other = (draw_times("uniform", DRAWS, purpose, 8) for purpose in ("a", "a", "b"))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_an_unknown_law_is_named():
    with pytest.raises(ValueError, match=r"'cosine'.*expected uniform"):
        draw_times("cosine", DRAWS, "t", 4)  # pyright: ignore[reportArgumentType]
