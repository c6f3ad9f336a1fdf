"""The order is a function of (seed, step, size), and epochs are whole."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.batches import Batches, first_sample
from train.data.item import Item
from train.data.order import EpochOrder

sizes = st.integers(1, 40)


class Numbers:
    """Sample ``index`` holds its own index and the position it was read at."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: Item) -> dict[str, torch.Tensor]:
        return {"index": torch.tensor(item.index), "position": torch.tensor(item.position)}


def take(
    batches: Batches, micro_batches: int, start_step: int = 0, **options
) -> list[dict[str, torch.Tensor]]:
    loader = batches.loader(start_step, **options)
    return [next(loader) for _ in range(micro_batches)]


@given(count=sizes, size=sizes, seed=st.integers(0, 2**40), steps=st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_each_epoch_holds_each_sample_once(count: int, size: int, seed: int, steps: int) -> None:
    order = EpochOrder(count)
    row = [item for step in range(steps) for item in order.items(seed, step, size)]
    assert [item.position for item in row] == list(range(steps * size))
    for epoch in range(len(row) // count):
        part = row[epoch * count : (epoch + 1) * count]
        assert sorted(item.index for item in part) == list(range(count))


@given(count=sizes, size=sizes, steps=st.permutations(range(6)))
@settings(max_examples=30, deadline=None)
def test_a_step_does_not_depend_on_what_was_asked_before(count: int, size: int, steps: list[int]) -> None:
    used = EpochOrder(count)
    for step in steps:
        assert used.items(7, step, size) == EpochOrder(count).items(7, step, size)


def test_epochs_and_seeds_differ() -> None:
    order = EpochOrder(50)
    first, second = order.items(0, 0, 50), order.items(0, 1, 50)
    other = order.items(1, 0, 50)
    assert [i.index for i in first] != [i.index for i in second]
    assert [i.index for i in first] != [i.index for i in other]


def test_no_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        EpochOrder(0)


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "world_size"), [(2, 3, 2), (6, 1, 2), (1, 3, 4), (12, 1, 1)]
)
def test_the_global_batch_is_laid_out_as_documented(
    batch_size: int, accumulation: int, world_size: int
) -> None:
    batches = Batches(Numbers(31), EpochOrder(31), seed=3)
    found = np.full((3, 12), -1)
    positions = np.full((3, 12), -1)
    layout = {"batch_size": batch_size, "accumulation": accumulation, "world_size": world_size}
    for rank in range(world_size):
        row = take(batches, 3 * accumulation, rank=rank, **layout)
        for n, batch in enumerate(row):
            step, micro = divmod(n, accumulation)
            first = first_sample(micro, batch_size=batch_size, rank=rank, world_size=world_size)
            found[step, first : first + batch_size] = batch["index"]
            positions[step, first : first + batch_size] = batch["position"]
    expected = [[item.index for item in EpochOrder(31).items(3, step, 12)] for step in range(3)]
    assert found.tolist() == expected
    assert positions.ravel().tolist() == list(range(36))


def test_a_start_step_continues_the_row() -> None:
    batches = Batches(Numbers(10), EpochOrder(10), seed=0)
    whole = take(batches, 10, batch_size=3, accumulation=2)
    rest = take(batches, 4, start_step=3, batch_size=3, accumulation=2)
    for a, b in zip(whole[6:], rest, strict=True):
        assert torch.equal(a["index"], b["index"])
        assert torch.equal(a["position"], b["position"])


def test_workers_give_the_same_samples_and_leave_the_global_generator_alone() -> None:
    batches = Batches(Numbers(23), EpochOrder(23), seed=5)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    plain = take(batches, 8, start_step=2, batch_size=4)
    parallel = take(batches, 8, start_step=2, batch_size=4, workers=2)
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(plain, parallel, strict=True):
        assert torch.equal(a["index"], b["index"])
        assert torch.equal(a["position"], b["position"])


class Whole(Numbers):
    """Offers its own way to make a batch."""

    def batch(self, items: list[Item]) -> dict[str, torch.Tensor]:
        return {"doubled": torch.tensor([2 * item.index for item in items])}


def test_a_data_set_may_make_its_batches_itself() -> None:
    (batch,) = take(Batches(Whole(9), EpochOrder(9), seed=0), 1, batch_size=9)
    assert Counter(batch["doubled"].tolist()) == Counter(range(0, 18, 2))
