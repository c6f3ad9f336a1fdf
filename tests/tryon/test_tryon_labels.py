"""Frame labels become timed actions."""

from hypothesis import given
from hypothesis import strategies as st

from vision.tryon import action_segments
from vision.tryon.labels import actions_of_labels

LABELS = st.lists(
    st.tuples(st.sampled_from(["", "zip", "hem"]), st.integers(1, 14)), min_size=1, max_size=12
).map(lambda runs: [label for label, count in runs for _ in range(count)])


def test_gaps_are_closed_short_runs_dropped_and_ends_moved_outward():
    labels = [""] * 6 + ["zip"] * 5 + [""] * 4 + ["zip"] * 5 + [""] * 5 + ["hem"] * 7 + [""]
    assert actions_of_labels(labels, snap=False) == [(6, 19, "zip")]
    assert actions_of_labels(labels) == [(5, 20, "zip")]
    assert actions_of_labels(labels, longest_gap=3) == []
    assert actions_of_labels(labels, shortest=7, snap=False)[-1] == (25, 31, "hem")
    assert actions_of_labels(["zip"] * 33 + [None] * 48) == [(0, 32, "zip")]


def test_a_shared_latent_frame_goes_to_the_action_with_more_of_it():
    assert actions_of_labels(["zip"] * 16 + ["hem"] * 9) == [(0, 16, "zip"), (17, 24, "hem")]
    assert actions_of_labels(["zip"] * 15 + ["hem"] * 10) == [(0, 16, "zip"), (17, 24, "hem")]
    assert actions_of_labels(["zip"] * 14 + ["hem"] * 11) == [(0, 12, "zip"), (13, 24, "hem")]


@given(LABELS)
def test_actions_are_apart_whole_latent_frames_and_what_was_labelled(labels: list[str]):
    labels += [""] * (-(len(labels) - 1) % 4)
    found, plain = actions_of_labels(labels), actions_of_labels(labels, snap=False)
    assert [label for _, _, label in found] == [label for _, _, label in plain]
    segments = action_segments(found, len(labels))
    assert [caption for _, _, caption in segments if caption] == [label for _, _, label in found]
    for (first, last, label), (begin, end, _) in zip(found, plain, strict=True):
        assert (first == 0 or first % 4 == 1) and last % 4 == 0
        assert abs(first - begin) <= 3 and abs(last - end) <= 3
        assert end - begin + 1 >= 8 and labels[begin] == labels[end] == label
    assert actions_of_labels(["" if label == "" else "zip" for label in labels], 0, 1, snap=False) == [
        (first, last, "zip") for first, last in _spans([bool(label) for label in labels])
    ]


def _spans(flags: list[bool]) -> list[tuple[int, int]]:
    starts = [i for i, flag in enumerate(flags) if flag and (i == 0 or not flags[i - 1])]
    stops = [i for i, flag in enumerate(flags) if flag and (i + 1 == len(flags) or not flags[i + 1])]
    return list(zip(starts, stops, strict=True))
