"""Aspect buckets: sizes, assignment, and an order that reads each sample equally often."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.buckets import BucketOrder, bucket_sizes, nearest_size

SIZES = [(8, 16), (16, 8), (12, 12)]


@given(
    height=st.integers(1, 12), width=st.integers(1, 12), multiple=st.sampled_from([1, 8, 16]),
    aspect=st.floats(0.51, 1.99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_sizes_fit_and_cover_the_aspects(height: int, width: int, multiple: int, aspect: float) -> None:
    height, width = height * multiple, width * multiple
    sizes = bucket_sizes(height, width, multiple)
    assert (height, width) in sizes
    for h, w in sizes:
        assert h % multiple == w % multiple == 0
        assert h * w <= height * width
        assert (h, w) == (height, width) or 0.5 <= h / w <= 2
    if max(height, width) <= 2 * min(height, width):
        assert nearest_size(height, width, sizes) == max(
            (size for size in sizes if size[0] * width == size[1] * height), key=lambda size: size[0]
        )
    if height * width >= (12 * multiple) ** 2:
        h, w = nearest_size(round(1000 * aspect), 1000, sizes)
        assert 0.7 < (h / w) / aspect < 1.4


def test_a_size_that_does_not_fit_the_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="30 x 32 do not fit a network that takes multiples of 16"):
        bucket_sizes(30, 32, 16)


def test_very_long_pictures_get_the_longest_size() -> None:
    sizes = bucket_sizes(64, 64, 8)
    assert nearest_size(10, 1000, sizes) == min(sizes, key=lambda size: size[0] / size[1])


buckets = st.lists(st.sampled_from(SIZES), min_size=1, max_size=40)


@given(buckets=buckets, size=st.integers(1, 12), seed=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_batches_are_of_one_bucket_and_visits_are_even(
    buckets: list[tuple[int, int]], size: int, seed: int
) -> None:
    order = BucketOrder(buckets)
    seen: Counter[int] = Counter()
    # As many steps as make `size` whole epochs: then each sample was read exactly `size` times.
    steps = len(buckets)
    for step in range(steps):
        items = order.items(seed, step, size)
        assert len(items) == size
        assert len({buckets[item.index] for item in items}) == 1
        assert [item.position for item in items] == list(range(step * size, (step + 1) * size))
        seen.update(item.index for item in items)
    assert set(seen.values()) == {size}
    assert len(seen) == len(buckets)


@given(buckets=buckets, steps=st.permutations(range(8)), size=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_a_step_does_not_depend_on_what_was_asked_before(
    buckets: list[tuple[int, int]], steps: list[int], size: int
) -> None:
    used = BucketOrder(buckets)
    for step in steps:
        assert used.items(1, step, size) == BucketOrder(buckets).items(1, step, size)


def test_a_bucket_is_read_in_whole_permutations_and_turns_are_shuffled() -> None:
    buckets = [(8, 16)] * 30 + [(16, 8)] * 30
    order = BucketOrder(buckets)
    rows = [order.items(0, step, 5) for step in range(24)]
    for bucket in set(buckets):
        row = [item.index for items in rows for item in items if buckets[item.index] == bucket]
        assert len(set(row[:30])) == len(set(row[30:])) == 30
        assert row[:30] != row[30:]
    turns = [buckets[items[0].index] for items in rows]
    assert turns[:12] != sorted(turns[:12])
    assert turns[:12] != turns[12:]
