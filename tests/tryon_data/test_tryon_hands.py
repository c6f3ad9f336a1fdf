"""Hands and skeletons: what both the studio and real videos draw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.tryon.hand_render import HAND_COLOUR, hand_picture, shade_hand
from vision.tryon.hand_shape import BONES, GRIPS, hand_landmarks, placed_hand
from vision.tryon.preparing.tracks import as_ranges, closed_gaps, held_ends
from vision.tryon.skeleton import draw_skeleton

WHERE = np.array([40.0, 20.0])
DOWN = np.array([0.0, 1.0])


def a_hand(grip: str = "rest", size: float = 50, mirrored: bool = False) -> np.ndarray:
    return placed_hand(hand_landmarks(np.array(GRIPS[grip])) * size, WHERE, DOWN, mirrored)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.floats(-3, 3))
def test_bones_of_fingers_keep_their_lengths(curls: list[float], roll: float) -> None:
    def lengths(points: np.ndarray) -> np.ndarray:
        return np.array([np.linalg.norm(points[a] - points[b]) for a, b in BONES if b > 5 and b % 4 != 1])

    bent, straight = hand_landmarks(np.array(curls), roll), hand_landmarks(np.zeros(5))
    np.testing.assert_allclose(lengths(bent), lengths(straight), rtol=1e-9)


@pytest.mark.parametrize("grip", list(GRIPS))
def test_a_mirrored_hand_is_the_mirror_image(grip: str) -> None:
    one, other = a_hand(grip), a_hand(grip, mirrored=True)
    np.testing.assert_allclose(one[:, 0] - WHERE[0], WHERE[0] - other[:, 0], atol=1e-9)
    np.testing.assert_allclose(one[:, 1:], other[:, 1:], atol=1e-9)


def test_a_moved_hand_gives_a_moved_picture() -> None:
    moved = hand_picture([a_hand() + np.array([7, 5, 3])], 100, 90)
    np.testing.assert_array_equal(moved[5:, 7:], hand_picture([a_hand()], 100, 90)[:-5, :-7])


def test_the_hand_prior_is_shaded_blue_grey_on_black() -> None:
    picture = hand_picture([a_hand()], 100, 90).astype(float)
    assert not hand_picture([], 100, 90).any()
    inside = picture[..., 2] > 60
    assert 0.05 < inside.mean() < 0.3
    assert picture[~inside][:, 2].max() <= 60
    assert len(np.unique(picture[inside][:, 2])) > 40, "a flat hand has no shape"
    expected = picture[inside][:, 2:] * HAND_COLOUR[None] / HAND_COLOUR[2]
    np.testing.assert_allclose(picture[inside], expected, atol=1.5)


def test_the_nearer_hand_hides_the_other_and_what_is_outside_is_cut_off() -> None:
    near, far = a_hand("grasp") + np.array([0, 0, 100]), a_hand("grasp", size=25)
    both = hand_picture([far, near], 100, 90)
    np.testing.assert_array_equal(both, hand_picture([near, far], 100, 90))
    np.testing.assert_array_equal(both, hand_picture([near], 100, 90))
    assert not hand_picture([near + np.array([500, 0, 0])], 100, 90).any()
    beside = shade_hand(near - np.array([40, 0, 0]), 100, 90)
    np.testing.assert_array_equal(beside.covered[:, :50], shade_hand(near, 100, 90).covered[:, 40:])


def test_skeletons_show_what_is_known() -> None:
    body = np.full((18, 2), np.nan)
    assert not draw_skeleton(body, [], 64, 48).any()
    assert not draw_skeleton(None, [], 64, 48).any()
    body[1], body[2] = (24, 20), (10, 20)
    shown = draw_skeleton(body, [], 64, 48)
    assert shown[20, 17].any()
    assert not shown[40:].any()
    assert draw_skeleton(None, [a_hand(size=30)], 64, 48)[25:45, 30:45].any()


def test_short_gaps_are_closed_and_long_ones_stay() -> None:
    def at(value: float) -> np.ndarray:
        return np.full((2, 3), value)

    track = [None, at(0), None, None, None, None, at(5), None, None, None, None, None, at(7)]
    closed = closed_gaps(track)
    assert closed[0] is None
    assert [points[0, 0] for points in closed[1:7] if points is not None] == [0, 1, 2, 3, 4, 5]
    assert all(points is None for points in closed[7:12])
    whole, filled = held_ends(closed)
    assert [points[0, 0] for points in whole] == [0, 0, 1, 2, 3, 4, 5, 5, 5, 5, 7, 7, 7]
    assert as_ranges(filled) == "0, 7-11"
