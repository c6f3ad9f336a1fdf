"""Random numbers as a function of (seed, step, purpose, sample): nothing to save, nothing to restore.

Each number comes from a Philox counter-based generator whose key is a hash of the seed, the step and the
purpose; where in the generator's sequence is told by the sample's index in the global batch. A resumed run
therefore draws what an unbroken one draws, and neither the number of processes nor gradient accumulation
changes what a sample gets.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


def keyed_generator(*key: int | str) -> np.random.Generator:
    """A Philox generator that depends on ``key`` alone, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, np.uint64)))


@dataclass(frozen=True)
class Draws:
    """The draws of one micro-batch.

    Attributes:
        seed: the run's seed.
        step: the iteration, from 0.
        first: index of this micro-batch's first sample in the global batch of the iteration.
        total: size of the global batch (processes x accumulation x micro-batch), for stratified laws.
        rank: this process's rank, for what differs by process and not by sample.
    """

    seed: int
    step: int
    first: int = 0
    total: int = 1
    rank: int = 0

    def split(self, parts: int) -> "Draws":
        """The draws where each sample of the batch counts as so many, one after the other."""
        return replace(self, first=parts * self.first, total=parts * self.total)

    def uniform(self, purpose: str, batch_size: int, stratified: bool = False) -> Tensor:
        """Uniform draws in [0, 1), float32, shape (B,), on the CPU.

        With ``stratified`` the global batch has one draw in each of ``total`` equal bins, in an order
        shuffled by iteration.
        """
        values = self._uniform(purpose, batch_size)
        if stratified:
            if self.first + batch_size > self.total:
                raise ValueError(
                    f"samples {self.first} to {self.first + batch_size} of a global batch of {self.total}; "
                    "stratified draws need the size of the whole batch as total"
                )
            bins = keyed_generator(self.seed, self.step, purpose, "bins").permutation(self.total)
            values = (bins[self.first : self.first + batch_size] + values) / self.total
        # A float64 just below 1 can round to 1 in float32; the interval stays half-open.
        return torch.from_numpy(
            np.minimum(values.astype(np.float32), np.nextafter(np.float32(1), np.float32(0)))
        )

    def integers(self, purpose: str, batch_size: int, high: int) -> Tensor:
        """Integers in [0, high), int64, shape (B,), on the CPU."""
        return torch.from_numpy((high * self._uniform(purpose, batch_size)).astype(np.int64))

    def normal(self, purpose: str, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Standard normal draws, float32, of ``shape`` with the batch first."""
        values = np.empty((shape[0], math.prod(shape[1:])), np.float32)
        generator = keyed_generator(self.seed, self.step, purpose)
        state: Any = generator.bit_generator.state
        for i, row in enumerate(values):
            # Each sample has its own stretch of 2^128 numbers of the sequence.
            state["state"]["counter"][2] = self.first + i
            generator.bit_generator.state = state
            generator.standard_normal(dtype=np.float32, out=row)
        return torch.from_numpy(values).reshape(tuple(shape)).to(device)

    def _uniform(self, purpose: str, batch_size: int) -> np.ndarray:
        """Samples ``first`` to ``first + B`` of the purpose's sequence, float64."""
        return keyed_generator(self.seed, self.step, purpose).random(self.first + batch_size)[self.first :]
