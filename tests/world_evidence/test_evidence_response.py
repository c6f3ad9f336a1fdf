"""Measures of responses on arrays whose answers are known."""

import math

import numpy as np
import pytest

from vision.metrics.pooled import Pooled
from vision.world.evaluation.response import (
    first_frames,
    leakage,
    localisation,
    neighbourhoods,
    onset_error,
    own_truth_accuracy,
    pre_onset_energy,
    psnr_outside,
    regions,
    response_curve,
    response_gain,
)

FRAMES, SIDE, ONSET = 9, 16, 5


def square(strength: float = 0.5, onset: int = ONSET, pairs: int = 2) -> np.ndarray:
    """A response of 3 x 3 pixels at (8, 8), from a frame on."""
    change = np.zeros((pairs, FRAMES, SIDE, SIDE, 3), np.float32)
    change[:, onset:, 7:10, 7:10] = strength
    return change


def test_regions() -> None:
    true = square()
    assert regions(true).sum() == 2 * 4 * 9 and not regions(true)[:, :ONSET].any()
    assert neighbourhoods(true)[0].sum() == 9 * 9 and neighbourhoods(true)[0, 4:13, 4:13].all()
    assert first_frames(true).tolist() == [ONSET, ONSET]


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0, 1.5, -1.0])
def test_the_gain_is_the_share_of_the_amplitude(share: float) -> None:
    aside = np.zeros_like(square())
    aside[:, :, :3, :3] = 0.7  # elsewhere: no matter of the gain
    assert response_gain(share * square() + aside, square()).value == pytest.approx(share)


def test_gains_are_pooled_over_pairs() -> None:
    true = np.concatenate([square(0.5, pairs=1), square(0.1, pairs=1)])
    made = true * np.array([1.0, 0.0])[:, None, None, None, None]
    found = response_gain(made, true)
    assert found.count == 2 and found.value == pytest.approx(0.25 / 0.26)


def test_leakage() -> None:
    made = square(0.5)
    made[:, :, :2] = 0.1  # rows 0 and 1 are outside U
    outside = 0.1 * 2 * SIDE / (SIDE * SIDE - 81)
    assert leakage(made, square()).value == pytest.approx(outside / 0.5, rel=1e-5)
    inside_u = square(0.5)
    inside_u[:, ONSET:, 5:7] = 0.3  # within three pixels above R, and beside U
    within = square(0.5)
    within[:, ONSET:, 5:7, 4:13] = 0.3
    assert leakage(within, square()).value == 0 < leakage(inside_u, square()).value
    before = square(0.5)
    before[:, :ONSET] = 0.4  # before t0 is for the energy before the onset
    assert leakage(before, square()).value == 0
    assert leakage(np.ones_like(square()), np.ones_like(square())).count == 0


def test_localisation() -> None:
    true = square()
    assert localisation(true, true).value == 1
    assert localisation(-0.01 * true, true).value == 1
    chance = regions(true).mean()
    assert localisation(np.zeros_like(true), true).value == pytest.approx(chance)
    # The strongest tenth pixel is wrong, then come all right ones.
    made, wrong = square(0.5, pairs=1), 4
    made[0, 0, 0, :wrong] = 0.9
    hits = 4 * 9
    expected = np.mean([hits / (hits + wrong)])
    assert localisation(made, square(pairs=1)).value == pytest.approx(expected)


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_onsets(late: int) -> None:
    made = square(0.2, ONSET + late)
    assert onset_error(made, square()).value == late
    faint = made.copy()
    faint[:, 1:, 7:10, 7:10] += 0.01  # a twentieth of the response has not begun
    assert onset_error(faint, square()).value == late
    assert onset_error(np.zeros_like(made), square()).count == 0


def test_energy_before_the_onset() -> None:
    assert pre_onset_energy(square(), square()).value == 0
    made = square()
    made[:, :ONSET, 0, :9] = 0.25  # as many pixels, half as strong
    assert pre_onset_energy(made, square()).value == pytest.approx(0.5)


def test_own_truth() -> None:
    idle = np.full_like(square(), 0.2)
    pressed = idle + square()
    assert own_truth_accuracy(pressed, idle, pressed, idle).value == 1
    assert own_truth_accuracy(idle, pressed, pressed, idle).value == 0
    for ignores in (idle, pressed, idle + 0.5 * square()):
        assert own_truth_accuracy(ignores, ignores, pressed, idle).value == 0.5


def test_psnr_outside() -> None:
    truth = np.full_like(square(), 0.5)
    clips = truth.copy()
    clips[:, 1:] += 0.1
    clips[:, :, 7:10, 7:10] = 1  # inside U
    clips[:, 0] = 0  # the first frame is given
    assert psnr_outside(clips, truth, neighbourhoods(square())).value == pytest.approx(20, abs=1e-3)
    assert psnr_outside(clips, truth).value < 20
    assert math.isfinite(psnr_outside(truth, truth).value)


def test_curves() -> None:
    curve = response_curve(square(0.5), square())
    assert curve.shape == (FRAMES,) and (curve[:ONSET] == 0).all()
    assert curve[ONSET:] == pytest.approx(0.5 * 9 / 81)


def test_pooled() -> None:
    values = np.random.default_rng(0).normal(size=50)
    mean = Pooled.mean([*values, math.nan])
    assert mean.count == 50 and mean.value == pytest.approx(values.mean())
    assert mean.error == pytest.approx(values.std(ddof=1) / 50**0.5)  # what the jackknife is for a mean
    nothing = Pooled.mean([])
    assert nothing.facts() == {"value": None, "error": None, "count": 0}
    assert math.isnan(Pooled(np.zeros(2), np.zeros(2)).value)
