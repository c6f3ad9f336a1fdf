"""Training on hazy pictures alone."""

from collections.abc import Mapping

from torch import Tensor, nn

from train.methods.dehaze_objectives import Clearing
from train.methods.method import Loss
from vision.dehaze.content_guard import rehazing_residual
from vision.dehaze.haze_to_clear_objective import HazeToClear
from vision.flow.draws import Draws


class Unpaired:
    """The haze-to-clear loss of BiLaLoRA (Eq. 1), and a content guard where it has a weight.

        L = L_H2C(J, I) + weight * rehazing_residual(J, I).

    Args:
        clearing: gives J by the network, the hazy pictures I and the draws.
        haze_to_clear: the loss.
        guard: weight of :func:`vision.dehaze.content_guard.rehazing_residual`.
        window: of that.
    """

    def __init__(
        self,
        clearing: Clearing,
        haze_to_clear: HazeToClear,
        guard: float,
        window: int,
    ) -> None:
        self.clearing, self.haze_to_clear = clearing, haze_to_clear
        self.guard, self.window = guard, window

    def __call__(self, network: nn.Module, batch: Mapping[str, Tensor], draws: Draws) -> Loss:
        hazy = batch["hazy"]
        clear = self.clearing(network, hazy, draws)
        moved = self.haze_to_clear(clear, hazy)
        if not self.guard:
            return Loss(moved, {"haze_to_clear": moved.detach()})
        kept = rehazing_residual(clear, hazy, self.window)
        parts = {"haze_to_clear": moved.detach(), "residual": kept.detach()}
        return Loss(moved + self.guard * kept, parts)
