"""Time shift, against diffusers' scheduler."""

import math

import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from vision.flow.schedules import FEW_STEP_GRID, linear_schedule, shifted_schedule
from vision.flow.shift import (
    mu_of_sequence_length,
    shift_of_scheduler,
    shift_time,
    shift_time_dynamic,
    unshift_time,
)

GRIDS = [[1.0, 0.75, 0.5, 0.25], [1.0, 0.9, 0.31, 0.02], [1.0]]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shift", [1.0, 3.0, 6.5])
def test_static_shift_is_diffusers(grid, shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=grid)
    torch.testing.assert_close(torch.tensor(shifted_schedule(grid, shift)), scheduler.sigmas)
    own = shift_of_scheduler(scheduler.config, sequence_length=1)
    torch.testing.assert_close(torch.tensor(shifted_schedule(grid, own)), scheduler.sigmas)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("tokens", [256, 1024, 4096])
def test_dynamic_shift_is_diffusers(grid, kind, tokens):
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
    mu = mu_of_sequence_length(tokens)
    scheduler.set_timesteps(sigmas=grid, mu=mu)
    own = shift_of_scheduler(scheduler.config, tokens)
    torch.testing.assert_close(torch.tensor(shifted_schedule(grid, own)), scheduler.sigmas)


def test_mu_of_flux():
    assert mu_of_sequence_length(256) == pytest.approx(0.5)
    assert mu_of_sequence_length(4096) == pytest.approx(1.15)
    times = [shift_time_dynamic(t, mu_of_sequence_length(4096)) for t in FEW_STEP_GRID]
    assert times == pytest.approx([1, 0.9045, 0.7595, 0.5128], abs=5e-5)


def test_a_bent_grid_is_refused():
    config = FlowMatchEulerDiscreteScheduler(shift_terminal=0.1).config
    with pytest.raises(ValueError, match="shift_terminal"):
        shift_of_scheduler(config, 256)


@given(st.floats(0, 1), st.floats(0.1, 20))
def test_shift_is_an_increasing_map_of_the_unit_interval(t, shift):
    shifted = shift_time(t, shift)
    assert 0 <= shifted <= 1
    assert unshift_time(shifted, shift) == pytest.approx(t, abs=1e-9)
    assert shift_time(0.0, shift) == 0 and shift_time(1.0, shift) == 1
    assert (shifted >= t) == (shift >= 1) or shifted == pytest.approx(t)
    assert shift_time_dynamic(t, math.log(shift)) == pytest.approx(shifted)


def test_a_shift_of_zero_is_an_error():
    with pytest.raises(ValueError, match="above 0"):
        shift_time(0.5, 0.0)


def test_sd3_few_step_grid():
    assert shifted_schedule(FEW_STEP_GRID, 3.0) == pytest.approx([1, 0.9, 0.75, 0.5, 0])


def test_linear_schedule():
    assert linear_schedule(4) == [1, 0.75, 0.5, 0.25, 0]
    assert linear_schedule(4, 3.0) == shifted_schedule(FEW_STEP_GRID, 3.0)
    with pytest.raises(ValueError, match="1 or more"):
        linear_schedule(0)


@pytest.mark.parametrize("grid", [[], [0.5, 0.5], [0.5, 0.75], [1.2, 0.5], [1.0, 0.0]])
def test_schedules_must_fall(grid):
    with pytest.raises(ValueError, match="falling times"):
        shifted_schedule(grid)
