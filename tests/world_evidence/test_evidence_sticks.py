"""The value that a clip looks like: on drawn clips, and on the engine's own."""

import numpy as np
import pytest

from vision.world.evaluation.sticks import (
    COMMANDS,
    FIRST_JUDGED,
    VALUES,
    estimates,
    judged_frames,
    stick_score,
)
from vision.world.evaluation.truth_set import TruthSet
from vision.world.gamepad import STICKS

FRAMES, SIDE = 9, 32


def panned(value: float, gain: float = 4.0) -> np.ndarray:
    """A smooth pattern that moves by ``gain * value`` pixels in all frames but the first, (T, H, W, 3)."""
    across = np.arange(SIDE)[None, :] - gain * value * (np.arange(FRAMES) > 0)[:, None]
    row = 0.5 + 0.4 * np.sin(2 * np.pi * across / SIDE)
    return np.broadcast_to(row[:, None, :, None], (FRAMES, SIDE, SIDE, 3)).astype(np.float32)


CANDIDATES = np.stack([panned(value) for value in VALUES])
STILL = np.zeros((len(VALUES), FRAMES))


@pytest.mark.parametrize("value", [-1.0, -0.6, -0.125, 0.0, 0.3, 0.5, 1.0])
def test_values_between_the_candidates_are_found(value: float) -> None:
    assert estimates(panned(value)[1:], CANDIDATES[:, 1:]) == pytest.approx(value, abs=0.06)


def test_frames_that_cannot_be_told_apart_are_not_judged() -> None:
    assert judged_frames(CANDIDATES, STILL, 8).tolist() == [False] * FIRST_JUDGED + [True] * 5
    blocked = CANDIDATES.copy()
    blocked[7, 6:] = blocked[8, 6:]  # a wall: from frame 6 on more of the stick moves nothing
    assert judged_frames(blocked, STILL, 8).tolist() == [False] * 4 + [True] * 2 + [False] * 3
    assert judged_frames(blocked, STILL, 2).sum() == 5
    turned = STILL.copy()
    turned[8, 5:] = 61
    assert judged_frames(CANDIDATES, turned, 8).tolist() == [False] * 4 + [True] + [False] * 4


def test_scores() -> None:
    candidates, turned = CANDIDATES[None], STILL[None]

    def scored(gain: float) -> tuple[float, float, int]:
        clips = np.stack([panned(gain * VALUES[c]) for c in COMMANDS])[None]
        score = stick_score(clips, candidates, turned)
        return score.sign.value, score.gain.value, score.left_out

    assert scored(1.0) == (1.0, pytest.approx(1.0), 0)
    assert scored(0.5) == (1.0, pytest.approx(0.5, abs=0.04), 0)
    assert scored(-1.0) == (0.0, pytest.approx(-1.0), 0)
    assert scored(0.0) == (0.0, pytest.approx(0.0, abs=1e-3), 0)
    walls = np.repeat(candidates[:, :1], len(VALUES), 1)
    score = stick_score(candidates[:, list(COMMANDS)], walls, turned)
    assert (score.sign.count, score.left_out) == (0, 4)


def test_the_engines_own_clips_have_the_commanded_values(truth: TruthSet) -> None:
    held = truth.held.astype(np.float32) / 255
    for stick, name in enumerate(STICKS):
        score = stick_score(held[:, stick][:, list(COMMANDS)], held[:, stick], truth.turned[:, stick])
        assert score.sign.count + score.left_out == 8 and score.sign.count >= 4, name
        assert (score.sign.value, score.gain.value) == (1, pytest.approx(1)), name
        copied = np.repeat(held[:, stick, :, :1][:, list(COMMANDS)], held.shape[3], 2)
        floor = stick_score(copied, held[:, stick], truth.turned[:, stick])
        assert floor.gain.value == pytest.approx(0, abs=0.1), name
        assert floor.sign.value <= 0.25, name


def test_a_blurred_clip_is_not_put_to_the_smoothest_value() -> None:
    rng = np.random.default_rng(0)
    fine = 0.5 * rng.random((len(VALUES), FRAMES, 4 * SIDE, 4 * SIDE, 3), np.float32)
    fine[4] = 0.25  # at rest there is no detail at all
    coarse = np.stack([panned(value) for value in VALUES]).repeat(4, 2).repeat(4, 3)
    candidates = (coarse + fine)[None] / 1.5
    blurred = (coarse[list(COMMANDS)] + 0.25)[None] / 1.5
    score = stick_score(blurred, candidates, STILL[None])
    assert (score.sign.value, score.gain.value) == (1, pytest.approx(1, abs=0.05))
