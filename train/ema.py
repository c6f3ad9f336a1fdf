"""Moving average of trained weights, kept shard by shard."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from train.sharding import local


class MovingAverage:
    """Exponential moving average of named parameters, float32, each as its parameter is sharded.

    After update k = 1, 2, ... the average moves by ``1 - d_k`` towards the parameters,
    ``d_k = min((1 + k) / (10 + k), decay)``: an early average forgets the first weights soon.

    Args:
        parameters: the trained parameters by name; the average starts as a copy.
        decay: in [0, 1).
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, Tensor], k: int) -> None:
        """Moves the average after the k-th optimizer step, k = 1, 2, ..."""
        decay = min((1 + k) / (10 + k), self.decay)
        averages = [local(value) for value in self.weights.values()]
        targets = [local(parameters[name].detach()) for name in self.weights]
        torch._foreach_lerp_(averages, targets, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    @contextmanager
    def applied(self, parameters: Mapping[str, Tensor]) -> Iterator[None]:
        """Has the parameters hold the average inside, and exactly what they held before afterwards."""
        self._swap(parameters)
        try:
            yield
        finally:
            self._swap(parameters)

    @torch.no_grad()
    def _swap(self, parameters: Mapping[str, Tensor]) -> None:
        # Contents, not pointers: FSDP2 keeps views of a parameter's storage. One tensor's memory at a time.
        for name, average in self.weights.items():
            average, parameter = local(average), local(parameters[name].detach())
            held = parameter.clone()
            parameter.copy_(average)
            average.copy_(held)
