"""From actions on frames to segments of latent frames: each latent frame has one owner, the right one."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.tryon import action_segments
from vision.tryon.actions import read_actions, retime, split_overlaps
from vision.tryon.segments import action_frames, latent_of_frame, without_captions
from vision.tryon.windows import windows

CAPTIONS = ["zip", "hem", "collar"]


@st.composite
def clips(draw: st.DrawFn, aligned: bool = False) -> tuple[list[tuple[int, int, str]], int]:
    """Actions without overlap, and the number of frames."""
    groups = draw(st.integers(1, 20))
    frames = 4 * groups + 1
    if aligned:
        cuts = sorted(draw(st.sets(st.sampled_from([0, *range(1, frames, 4)]), max_size=8)))
    else:
        cuts = sorted(draw(st.sets(st.integers(0, frames), max_size=8)))
    spans = pairwise(sorted({*cuts, frames}))
    chosen = [span for span in spans if draw(st.booleans())]
    return [(start, stop - 1, draw(st.sampled_from(CAPTIONS))) for start, stop in chosen], frames


def owner_of_frame(actions, frame):
    """Number of the action of a frame, or what tells its gap."""
    for number, (first, last, _) in enumerate(actions):
        if first <= frame <= last:
            return number
    return -1 - sum(last < frame for _, last, _ in actions)


@pytest.mark.filterwarnings("ignore:the action")
@given(clips())
def test_segments_cover_all_latent_frames_in_order(clip):
    actions, frames = clip
    segments = action_segments(actions, frames)
    assert segments[0][0] == 0 and segments[-1][1] == 1 + (frames - 1) // 4
    for before, after in pairwise(segments):
        assert before[1] == after[0] and (before[2] or after[2])
    assert all(start < stop for start, stop, _ in segments)
    said = [caption for _, _, caption in segments if caption]
    rest = iter(caption for _, _, caption in actions)
    assert all(caption in rest for caption in said)  # the actions' order, some may lack
    assert len(action_frames(segments)) == segments[-1][1]
    assert {caption for _, _, caption in without_captions(segments)} == {""}


@pytest.mark.filterwarnings("ignore:the action")
@given(clips())
def test_a_latent_frame_goes_to_whoever_has_most_of_it(clip):
    actions, frames = clip
    segments = action_segments(actions, frames)
    for start, stop, caption in segments:
        for latent in range(start, stop):
            held = [0] if latent == 0 else list(range(4 * latent - 3, 4 * latent + 1))
            owners = [owner_of_frame(actions, frame) for frame in held]
            most = max(owners.count(owner) for owner in owners)
            winners = [owner for owner in owners if owners.count(owner) == most]
            acting = [owner for owner in winners if owner >= 0]
            assert caption == (actions[min(acting)][2] if acting else "")


@given(clips(aligned=True))
def test_actions_that_fill_latent_frames_keep_their_bounds(clip):
    actions, frames = clip
    expected = [(latent_of_frame(first), latent_of_frame(last) + 1, text) for first, last, text in actions]
    assert [segment for segment in action_segments(actions, frames) if segment[2]] == expected


@pytest.mark.filterwarnings("ignore:the action")
@given(clips(), st.randoms())
def test_the_order_in_which_actions_are_listed_does_not_matter(clip, random):
    actions, frames = clip
    shuffled = list(actions)
    random.shuffle(shuffled)
    assert action_segments(shuffled, frames) == action_segments(actions, frames)


def test_the_papers_example():
    assert action_segments([(0, 32, "sleeves")], 81) == [(0, 9, "sleeves"), (9, 21, "")]
    assert action_segments([(33, 80, "hem")], 81) == [(0, 9, ""), (9, 21, "hem")]
    assert [latent_of_frame(frame) for frame in (0, 1, 4, 5, 32, 33, 80)] == [0, 1, 1, 2, 8, 9, 20]


@pytest.mark.filterwarnings("ignore:the action")
def test_shared_latent_frames():
    # Latent frame 1 holds the frames 1 to 4.
    assert action_segments([(3, 8, "zip")], 9) == [(0, 1, ""), (1, 3, "zip")]  # two of four: the action
    assert action_segments([(4, 8, "zip")], 9) == [(0, 2, ""), (2, 3, "zip")]  # one of four: the gap
    assert action_segments([(1, 2, "zip"), (3, 8, "hem")], 9) == [(0, 1, ""), (1, 2, "zip"), (2, 3, "hem")]
    assert action_segments([(1, 1, "zip"), (2, 8, "hem")], 9)[1:] == [(1, 3, "hem")]


def test_neighbours_keep_their_own_segments_and_no_action_is_one_gap():
    assert action_segments([(1, 4, "zip"), (5, 8, "zip")], 9) == [(0, 1, ""), (1, 2, "zip"), (2, 3, "zip")]
    assert action_segments([], 17) == [(0, 5, "")]
    assert action_segments([], 1) == [(0, 1, "")]


def test_an_action_without_a_latent_frame_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match=r"'zip' \[2, 2\] has the most frames of no latent frame"):
        assert action_segments([(2, 2, "zip")], 9) == [(0, 3, "")]


@pytest.mark.parametrize(
    ("actions", "frames", "message"),
    [
        ([(5, 3, "zip")], 9, r"'zip' \[5, 3\] ends before it begins"),
        ([(2, 9, "zip")], 9, r"outside the clip, whose frames are 0 to 8"),
        ([(-1, 4, "zip")], 9, "outside the clip"),
        ([(0, 4, "")], 9, "has no label"),
        ([(0, 4, "  ")], 9, "name what is done"),
        ([(0, 4, None)], 9, "expected .first frame, last frame, caption"),
        ([(0, 4)], 9, "action 0 is"),
        ([(0.5, 4, "zip")], 9, "whole numbers"),
        ([(False, 4, "zip")], 9, "whole numbers"),
        ([], 8, r"8 frames has no whole latent frames; expected 4n \+ 1, as 5"),
        ([], 0, "0 frames"),
    ],
)
def test_actions_that_cannot_be(actions, frames, message):
    with pytest.raises(ValueError, match=message):
        action_segments(actions, frames)


@pytest.mark.filterwarnings("ignore:the action")
@given(clips(), st.data())
def test_a_part_of_a_clip_sees_its_own_frames_of_each_action(clip, data):
    actions, frames = clip
    start = data.draw(st.integers(0, frames - 1))
    stop = data.draw(st.integers(start + 1, frames))
    part = retime(actions, start, stop)
    for frame in range(start, stop):
        whole = [text for first, last, text in actions if first <= frame <= last]
        assert [text for first, last, text in part if first <= frame - start <= last] == whole
    assert all(0 <= first <= last < stop - start for first, last, _ in part)


def test_overlaps_are_split_with_a_warning():
    pieces = split_overlaps([(0, 8, "zip"), (5, 12, "hem")])
    assert pieces == [(0, 4, "zip"), (5, 8, "zip and hem"), (9, 12, "hem")]
    assert split_overlaps([(0, 3, "zip"), (6, 8, "hem")]) == [(0, 3, "zip"), (6, 8, "hem")]
    with pytest.warns(UserWarning, match="overlap and are split: 0-4 'zip', 5-8 'zip and hem', 9-12 'hem'"):
        segments = action_segments([(5, 12, "hem"), (0, 8, "zip")], 17)
    assert segments == action_segments(pieces, 17)
    assert segments == [(0, 2, "zip"), (2, 3, "zip and hem"), (3, 4, "hem"), (4, 5, "")]


def test_actions_are_read_in_every_form(tmp_path):
    expected = [(0, 8, "zip"), (9, 12, "hem")]
    entries = [{"start": 0, "end": 8, "label": "zip"}, [9, 12, "hem"]]
    file = tmp_path / "actions.json"
    file.write_text(json.dumps({"actions": entries}))
    for source in (entries, expected, json.dumps(entries), json.dumps({"actions": entries}), file, str(file)):
        assert read_actions(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.json", "no file of actions can be read there"),
        ("[1, 2", "not valid JSON"),
        ('{"segments": []}', "a list of actions"),
        ([{"start": 1, "label": "zip"}], r"action 0 is .*expected"),
        (["zip"], "action 0 is 'zip'"),
    ],
)
def test_files_that_hold_no_actions(source, message):
    with pytest.raises(ValueError, match=message):
        read_actions(source)


@given(st.integers(0, 100), st.integers(2, 20), st.integers(0, 19))
def test_windows_cover_a_video_and_share_frames(groups, length, overlap):
    frames, length, overlap = 4 * groups + 1, 4 * length + 1, 4 * min(overlap, length - 1) + 1
    parts = windows(frames, length, overlap)
    assert parts[0][0] == 0 and parts[-1][1] == frames
    for before, after in pairwise(parts):
        assert before[0] < after[0] and before[1] - after[0] >= overlap and before[1] < after[1]
    assert all(stop - start == min(length, frames) and start % 4 == 0 for start, stop in parts)


def test_windows_that_cannot_be():
    for numbers in ((17, 9, 9), (17, 8, 5), (17, 9, 4), (16, 9, 5)):
        with pytest.raises(ValueError, match=r"expected 4n \+ 1|cannot share"):
            windows(*numbers)
