"""What dehazing networks are trained on.

Legend: B batch, S side of the crops.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from train.methods.method import Loss
from vision.flow.draws import Draws

#: The loss of a network on a batch of ``"hazy"`` (B, 3, S, S), in [0, 1], and of pairs ``"clear"``.
Objective = Callable[[nn.Module, Mapping[str, Tensor], Draws], Loss]
#: What a network makes of hazy pictures (B, 3, S, S), with graph.
Clearing = Callable[[nn.Module, Tensor, Draws], Tensor]


def paired_pixels(network: nn.Module, batch: Mapping[str, Tensor], draws: Draws) -> Loss:
    """Mean absolute error of the cleared pixels, the loss that DEA-Net is trained with."""
    error = network(batch["hazy"]).float() - batch["clear"]
    return Loss(error.abs().mean(), {"psnr": _psnr(error)})


def cleared_at_once(network: nn.Module, hazy: Tensor, draws: Draws) -> Tensor:
    """What a network of one call makes of the pictures."""
    return network(hazy).float()


def _psnr(error: Tensor) -> Tensor:
    return -10 * torch.log10(error.detach().square().mean().clamp(min=1e-12))
