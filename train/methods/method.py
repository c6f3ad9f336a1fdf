"""What a training method is: networks, how often each is updated, and its losses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from vision.flow.draws import Draws


@dataclass(frozen=True)
class Loss:
    """A loss and what is worth logging beside it.

    Attributes:
        value: scalar with graph, float32.
        parts: detached scalars by name, logged as they are.
    """

    value: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Method(ABC):
    """One training method. It knows neither optimizer state, nor files, nor processes.

    Attributes:
        networks: the trained networks by the name of their optimizer. The loop replaces the values by
            wrapped ones (DDP, FSDP2), so a method looks them up here each time it calls one. What is
            trained of a network is what requires a gradient.
        frozen: networks that are only called; the loop moves them to the device and may shard them.
        every: each network is updated in the iterations where ``(step + 1) % every[name] == 0``.
    """

    networks: dict[str, nn.Module]
    frozen: dict[str, nn.Module]
    every: dict[str, int]

    def __init__(
        self, networks: dict[str, nn.Module], frozen: dict[str, nn.Module], every: dict[str, int]
    ) -> None:
        self.networks = networks
        self.frozen = frozen
        self.every = every

    @abstractmethod
    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """The losses of one micro-batch, by optimizer name, in the order of the updates.

        Each value is called once, when the optimizers before it have already stepped; it returns the
        loss with its graph. Exactly the names due in ``draws.step`` are present.

        Args:
            batch: named tensors, batch first, already on the device.
            draws: the random numbers of this micro-batch.
        """

    def due(self, step: int) -> list[str]:
        """Names of the networks that are updated in iteration ``step``, in order."""
        return [name for name in self.networks if (step + 1) % self.every[name] == 0]

    def updated(self, name: str) -> None:  # noqa: B027 - most methods have nothing to do here
        """Called after the optimizer of ``name`` has stepped."""
