"""What distillation and training ask of a network: its velocity, whatever its family.

Legend: B batch, C channels, F frames, H height, W width (latent sizes), L prompt tokens, D width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

#: What a network is conditioned on: named tensors with the batch first.
Condition = Mapping[str, Tensor]


class Denoiser(ABC):
    """A velocity network behind one call.

    The time convention is the house's: ``t = 1`` is noise, ``t = 0`` is data,
    ``x_t = (1 - t) x_0 + t e`` and the network predicts ``v = e - x_0``. A subclass holds what its
    family wants instead (layout of the latents, scale of the time, names of the arguments).

    Attributes:
        network: the module that is called; the training loop may replace it by a wrapped one.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @abstractmethod
    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity at ``x_t``.

        Args:
            x_t: noisy latents, float32, shape (B, C, F, H, W).
            t: times in [0, 1], float32, shape (B,). They reach the network in float32.
            condition: the named tensors of this family, batch first.

        Returns:
            The velocity, float32, shape of ``x_t``.
        """

    def as_times(self, values: Tensor, condition: Condition) -> Tensor:
        """Numbers of the samples (B,), arranged as the times that the time embedder embeds."""
        return values

    @abstractmethod
    def time_embedder(self) -> nn.Module:
        """The submodule whose output, of shape (B, width), is the embedding of the time."""


def expand_condition(condition: Condition, batch_size: int) -> dict[str, Tensor]:
    """Repeats a condition of one sample for a batch: (1, ...) becomes (B, ...)."""
    return {name: value.expand(batch_size, *value.shape[1:]) for name, value in condition.items()}


def concatenate_conditions(*conditions: Condition) -> dict[str, Tensor]:
    """Joins conditions along the batch; all carry the same names."""
    first = conditions[0]
    for other in conditions[1:]:
        if other.keys() != first.keys():
            raise ValueError(f"conditions name different tensors: {sorted(first)} and {sorted(other)}")
    return {name: torch.cat([condition[name] for condition in conditions]) for name in first}
