"""One trained network with all that changes while it is trained."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.ema import MovingAverage
from train.optimizers import load_optimizer_state, make_optimizer, optimizer_state
from train.recipes.train import TrainRecipe
from train.schedules import learning_rate
from train.sharding import full, local


class TrainedNetwork:
    """A network, its optimizer, its learning rate's course and, where wanted, its moving average.

    What is trained is what requires a gradient; everything else, buffers too, is constant.

    Args:
        name: name of the network and of its optimizer.
        wrapped: the network as a method calls it: itself, or wrapped in DDP.
        recipe: the optimizer's settings.
        updates: optimizer steps of this network in the whole run.
        averaged: whether to keep a moving average.

    Raises:
        ValueError: nothing of the network requires a gradient.
    """

    def __init__(
        self, name: str, wrapped: nn.Module, recipe: TrainRecipe, updates: int, averaged: bool
    ) -> None:
        self.name = name
        self.wrapped = wrapped
        self.network = wrapped.module if isinstance(wrapped, DistributedDataParallel) else wrapped
        self.parameters = {n: p for n, p in self.network.named_parameters() if p.requires_grad}
        if not self.parameters:
            raise ValueError(f"nothing of the network {name!r} requires a gradient, so it cannot be trained")
        self.recipe = recipe
        self.updates = updates
        self.update_count = 0
        self.optimizer = make_optimizer(self.parameters, recipe, name)
        self.average = (
            MovingAverage(self.parameters, recipe.ema_decay)
            if averaged and recipe.ema_decay is not None
            else None
        )

    @property
    def learning_rate(self) -> float:
        """Learning rate of the latest optimizer step, before the first one of that."""
        return learning_rate(self.recipe, self.name, max(1, self.update_count), self.updates)

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """Gradients of the micro-batches inside are exchanged between processes with the last one.

        Sharded gradients are reduced each time instead: whole ones kept between micro-batches would take
        the memory that sharding saves.
        """
        if isinstance(self.wrapped, DistributedDataParallel) and not last:
            with self.wrapped.no_sync():
                yield
        else:
            yield

    def clear_gradients(self) -> None:
        """Forgets gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def gradient_norm(self) -> Tensor:
        """Norm of the whole gradient over all shards, before clipping.

        Raises:
            ValueError: no parameter has a gradient.
        """
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        if not gradients:
            raise ValueError(f"the loss of {self.name!r} depends on none of its trained parameters")
        return full(torch.nn.utils.get_total_norm(gradients))

    @torch.no_grad()
    def update(self, norm: Tensor) -> None:
        """Clips, steps the optimizer at its learning rate, and moves the average."""
        if self.recipe.clip_grad_norm is not None:
            factor = (self.recipe.clip_grad_norm / (norm + 1e-6)).clamp(max=1.0)
            gradients = [local(p.grad) for p in self.parameters.values() if p.grad is not None]
            torch._foreach_mul_(gradients, factor)  # pyright: ignore[reportPrivateImportUsage]
        self.update_count += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.step()
        self.clear_gradients()
        if self.average is not None:
            self.average.update(self.parameters, self.update_count)

    @contextmanager
    def drawing(self) -> Iterator[nn.Module]:
        """The network as a user would draw with it: averaged weights where kept, evaluation mode."""
        training = {module: module.training for module in self.network.modules()}
        self.network.eval()
        try:
            with self.average.applied(self.parameters) if self.average else nullcontext():
                yield self.network
        finally:
            for module, was_training in training.items():
                module.training = was_training

    def architecture(self) -> dict[str, list]:
        """Type and whole shape of each trained parameter."""
        return {
            name: [str(parameter.dtype).removeprefix("torch."), *parameter.shape]
            for name, parameter in self.parameters.items()
        }

    def optimizer_state(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """See :func:`train.optimizers.optimizer_state`."""
        return optimizer_state(self.optimizer, self.parameters)

    def load_optimizer_state(self, tensors: dict[str, Tensor], numbers: dict[str, float]) -> None:
        """See :func:`train.optimizers.load_optimizer_state`."""
        load_optimizer_state(self.optimizer, self.parameters, (tensors, numbers))
