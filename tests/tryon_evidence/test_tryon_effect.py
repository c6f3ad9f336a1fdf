"""When an action is shown: intervals are found in frames, those of the truth where they are."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.tryon.drawing.plan import StudioSettings, planned_clips
from vision.tryon.evaluation.effect import Effect, effect_of, levels_of
from vision.tryon.evaluation.interval import (
    boundary_error,
    course,
    effect_outside,
    shown_interval,
    temporal_iou,
)
from vision.tryon.evaluation.truth_clip import TruthClip, elsewhere, moved_actions

FRAMES = 13
INTERVALS = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: (min(pair), max(pair)))


def shade(levels: np.ndarray) -> np.ndarray:
    """Frames whose right half becomes lighter with the level, float32 (T, 16, 16, 3)."""
    frames = np.full((len(levels), 16, 16, 3), 0.2, np.float32)
    frames[:, :, 8:] += 0.6 * levels[:, None, None, None]
    return frames


def shaded_effect() -> Effect:
    levels = levels_of("hem", "polo")
    return effect_of([np.round(255 * shade(np.full(FRAMES, at))).astype(np.uint8) for at in levels], levels)


@given(a=INTERVALS, b=INTERVALS)
def test_temporal_iou_is_that_of_the_sets_of_frames(a: tuple[int, int], b: tuple[int, int]) -> None:
    one, other = (set(range(first, last + 1)) for first, last in (a, b))
    assert temporal_iou(a, b) == pytest.approx(len(one & other) / len(one | other))
    assert temporal_iou(None, b) == 0
    assert boundary_error(a, b) == boundary_error(b, a) and boundary_error(a, a) == 0


@given(shown=INTERVALS, name=st.sampled_from(["hem", "roll"]), noise=st.sampled_from([0.0, 0.1]))
@settings(max_examples=25, deadline=None)
def test_the_interval_that_is_drawn_is_found(shown: tuple[int, int], name: str, noise: float) -> None:
    frames = shade(course(name, shown, FRAMES))
    frames += noise * np.random.default_rng(0).standard_normal(frames.shape).astype(np.float32)
    found = shown_interval(name, shaded_effect().errors(frames), (3, 6))
    assert found is not None and boundary_error(found, shown) <= (1.0 if noise else 0.5)


def test_buttons_close_one_by_one() -> None:
    levels = levels_of("button", "polo")
    np.testing.assert_allclose(levels, [0, 1 / 3, 2 / 3, 1])
    drawn = effect_of([np.round(255 * shade(np.full(FRAMES, at))).astype(np.uint8) for at in levels], levels)
    stepwise = course("button", (5, 8), FRAMES, steps=3)
    assert set(stepwise.round(3)) <= set(levels.round(3))
    # The last button closes before the action ends: what cannot be seen is not held against a clip.
    assert shown_interval("button", drawn.errors(shade(stepwise)), (5, 8)) == (5, 8)


def test_half_an_effect_is_one_and_a_hint_is_none() -> None:
    effect, levels = shaded_effect(), course("hem", (4, 8), FRAMES)
    assert temporal_iou(shown_interval("hem", effect.errors(shade(0.8 * levels)), (4, 8)), (4, 8)) > 0.5
    assert shown_interval("hem", effect.errors(shade(0.2 * levels)), (4, 8)) is None
    # Of what is shown always, too, the time is wrong.
    for name in ("hem", "zip"):
        always = shown_interval(name, effect.errors(shade(np.ones(FRAMES))), (4, 8))
        assert temporal_iou(always, (4, 8)) < 0.5


def test_leakage_is_what_falls_outside() -> None:
    errors = shaded_effect().errors(shade(course("zip", (2, 5), FRAMES)))
    np.testing.assert_array_equal(errors.nearest()[[0, 1, 5, 12]], [0, 0, 1, 1])
    assert effect_outside("zip", errors.nearest(), (2, 5)) == (0, 1)
    assert effect_outside("zip", errors.nearest(), (8, 11)) == (1, 1)
    springing = shaded_effect().errors(shade(course("hem", (2, 5), FRAMES))).nearest()
    outside, everything = effect_outside("hem", springing, (4, 8))
    assert 0 < outside < everything
    assert effect_outside("hem", springing, (2, 5))[0] == 0


def test_true_clips_show_their_actions_when_they_say(clips: list[TruthClip]) -> None:
    for clip in clips:
        (action,), (effect,) = clip.plan.actions, clip.effects
        assert clip.moved is not None
        planned, moved = (action.first, action.last), clip.moved[1]
        assert temporal_iou(planned, moved) == 0 and moved[1] - moved[0] == action.last - action.first
        for video, own, other in ((clip.video, planned, moved), (clip.moved_video, moved, planned)):
            errors = effect.errors(video.astype(np.float32) / 255)
            assert temporal_iou(shown_interval(action.name, errors, own), own) > 0.7
            assert temporal_iou(shown_interval(action.name, errors, other), other) == 0
            assert effect_outside(action.name, errors.nearest(), own)[0] == 0
        resting = np.broadcast_to(clip.video[:1], clip.video.shape).astype(np.float32) / 255
        assert shown_interval(action.name, effect.errors(resting), planned) is None


def test_moved_actions_keep_their_neighbours() -> None:
    settings = StudioSettings(frames=41, actions=(2, 4), action_frames=(4, 4))
    found = 0
    for plan in planned_clips(40, settings):
        moved = elsewhere(plan, settings)
        if moved is None:
            continue
        found += 1
        changed = moved_actions(plan, moved)
        assert [action.name for action in changed] == [action.name for action in plan.actions]
        assert sum(a != b for a, b in zip(changed, plan.actions, strict=True)) == 1
        ends = [(action.first, action.last) for action in changed]
        assert ends[0][0] >= 1 and ends[-1][1] < 41
        assert all(after[0] > before[1] + 1 for before, after in pairwise(ends))
    assert found > 10
    alone = replace(next(planned_clips(1, StudioSettings())), actions=())
    assert elsewhere(alone, StudioSettings()) is None
