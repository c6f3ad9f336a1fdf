"""Policies: functions of (seed, T) to controls in their ranges."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.world.engine import check_controls
from vision.world.policies import POLICIES, debiased, single_control

seeds = st.integers(0, 2**32 - 1)


@given(st.sampled_from(sorted(POLICIES)), seeds, st.integers(1, 200))
def test_controls_are_in_their_ranges_and_repeatable(name: str, seed: int, rows: int) -> None:
    sticks, buttons = POLICIES[name](seed, rows)
    check_controls(sticks, buttons)
    assert len(sticks) == rows
    assert sticks.dtype == buttons.dtype == np.float32
    again = POLICIES[name](seed, rows)
    assert (sticks == again[0]).all()
    assert (buttons == again[1]).all()


@given(seeds, st.integers(1, 200))
def test_a_single_control_is_alone(seed: int, rows: int) -> None:
    sticks, buttons = single_control(seed, rows)
    assert np.concatenate([sticks, buttons], 1).any(0).sum() == 1


@given(seeds, st.integers(1, 200))
def test_debiased_play_keeps_moving(seed: int, rows: int) -> None:
    sticks, _ = debiased(seed, rows)
    assert (np.abs(sticks[:, :2]).max(1) > 0.5).mean() >= 0.7


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_seeds_differ_and_every_control_is_used(name: str) -> None:
    controls = [np.concatenate(POLICIES[name](seed, 81), 1) for seed in range(200)]
    assert all((one != other).any() for one, other in pairwise(controls))
    assert np.abs(np.stack(controls)).max((0, 1)).min() > 0.5


@pytest.mark.parametrize("name", ["random_walk", "bursts", "debiased"])
def test_the_view_stays_about_the_horizon(name: str) -> None:
    """8 degrees a row at a whole stick: further than 48 up or down for long there is nothing to see."""
    looked = np.stack([np.cumsum(POLICIES[name](seed, 81)[0][:, 3]) for seed in range(50)])
    assert (np.abs(looked) < 6).mean() > 0.95


def test_debiased_buttons_are_equally_likely_whatever_the_sticks_do() -> None:
    rows = [debiased(seed, 81) for seed in range(400)]
    buttons = np.concatenate([pressed for _, pressed in rows])
    forward = np.concatenate([sticks[:, 1] < -0.5 for sticks, _ in rows])
    share = buttons.mean(0)
    assert share.max() - share.min() < 0.03
    assert np.abs(buttons[forward].mean(0) - buttons[~forward].mean(0)).max() < 0.03
