"""Micro-batches for the training loop, from any step on.

Layout of a step's global batch of ``accumulation * world_size * batch_size`` samples: micro-batch by
micro-batch, and in each of them rank by rank. Sample ``i`` of micro-batch ``m`` on rank ``r`` has the
global index

    (m * world_size + r) * batch_size + i

so the same samples make up a step on any number of processes that gives the same global batch size.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from train.data.item import Item
from train.data.order import Order


class SampleSource(Protocol):
    """A data set: what an item holds depends on the item alone.

    It may offer ``batch(items) -> dict[str, Tensor]`` as well, which then replaces ``__getitem__`` and
    stacking where that is faster.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, item: Item) -> Mapping[str, Tensor]:
        """Named tensors of one sample."""
        ...


class Batches:
    """A data set, the order it is read in, and the seed of that order.

    Args:
        dataset: gives the named tensors of an :class:`Item`.
        order: gives the items of a step.
        seed: the run's seed.
    """

    def __init__(self, dataset: SampleSource, order: Order, seed: int) -> None:
        self.dataset = dataset
        self.order = order
        self.seed = seed

    def loader(
        self,
        start_step: int,
        *,
        batch_size: int,
        accumulation: int = 1,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
    ) -> Iterator[dict[str, Tensor]]:
        """Endless micro-batches of this rank, beginning with the first one of ``start_step``.

        Args:
            start_step: iteration to begin with, from 0. A resumed run passes the next one.
            batch_size: samples of a micro-batch on one process.
            accumulation: micro-batches a step; so many consecutive ones belong together.
            rank: this process, from 0 to ``world_size - 1``.
            world_size: number of processes.
            workers: loader processes; the samples are the same for any number of them.

        Returns:
            An iterator of dictionaries of tensors with the batch first.
        """
        loader = DataLoader(
            _Fetched(self.dataset),
            batch_sampler=_MicroBatches(
                self.order, self.seed, start_step, batch_size, accumulation, rank, world_size
            ),
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_leave_signals_to_the_parent,
            # Its own generator: torch would otherwise draw the workers' seed from the global one.
            generator=torch.Generator().manual_seed(0),
        )
        return iter(loader)


def first_sample(micro_batch: int, *, batch_size: int, rank: int, world_size: int) -> int:
    """Global index of the first sample of ``micro_batch`` on ``rank``, as the head of this file has it."""
    return (micro_batch * world_size + rank) * batch_size


def stack(samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Named tensors of several samples as one batch."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


class _MicroBatches(Sampler[list[Item]]):
    """The items of one rank's micro-batches, from ``start_step`` on."""

    def __init__(
        self,
        order: Order,
        seed: int,
        start_step: int,
        batch_size: int,
        accumulation: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.order, self.seed, self.start_step = order, seed, start_step
        self.batch_size, self.accumulation = batch_size, accumulation
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[list[Item]]:
        step = self.start_step
        while True:
            total = self.batch_size * self.accumulation * self.world_size
            items = self.order.items(self.seed, step, total)
            for micro_batch in range(self.accumulation):
                first = first_sample(
                    micro_batch, batch_size=self.batch_size, rank=self.rank, world_size=self.world_size
                )
                yield items[first : first + self.batch_size]
            step += 1


class _Fetched(Dataset[Mapping[str, Tensor]]):
    """A data set as DataLoader's fetcher wants it: a list of items in, a finished batch out."""

    def __init__(self, dataset: SampleSource) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: Item) -> Mapping[str, Tensor]:
        return self.dataset[item]

    def __getitems__(self, items: list[Item]) -> dict[str, Tensor]:
        batch = getattr(self.dataset, "batch", None)
        return batch(items) if batch is not None else stack([self.dataset[item] for item in items])


def _unchanged(batch: Any) -> Any:
    return batch


def _leave_signals_to_the_parent(worker: int) -> None:
    # Ctrl-C and a scheduler's SIGTERM reach the whole process group. The parent finishes its step and saves;
    # it stops the workers itself, at its end by a SIGTERM that they must obey, or it would wait for ever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()


def _obey(parent: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
