"""Training of one dehazing network, whatever its objective."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from train.methods.dehaze_objectives import Objective
from train.methods.method import Loss, Method
from vision.flow.draws import Draws


class Dehazing(Method):
    """One network ``"model"``, whole or by the adapter that it carries.

    Args:
        network: what is trained of it is what requires a gradient.
        objective: its loss.
        frozen: networks that the objective calls.
    """

    def __init__(
        self, network: nn.Module, objective: Objective, frozen: dict[str, nn.Module] | None = None
    ) -> None:
        super().__init__({"model": network}, frozen or {}, {"model": 1})
        self.objective = objective

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """Batch: ``hazy`` and, of pairs, ``clear``, (B, 3, S, S) in [0, 1]."""
        return {"model": lambda: self.objective(self.networks["model"], batch, draws)}
