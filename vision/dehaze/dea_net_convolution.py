"""DEA-Net's detail-enhanced convolution, in its training form.

Legend: B batch, O output channels, I input channels, H height, W width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Where each weight of the angular difference is subtracted: the ring around the centre, turned by one place.
_RING = (3, 0, 1, 6, 4, 2, 7, 8, 5)


class DetailConvolution(nn.Module):
    """Five parallel 3 x 3 convolutions of one input, which add up to one (DEA-Net, TIP 2024, section III-A).

    A plain one and four that see differences between pixels: to the centre, along rows, along columns and
    along the ring. Their names are those of the released weights.

    Args:
        width: input and output channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1_1 = nn.ModuleDict({"conv": nn.Conv2d(width, width, 3)})  # centre
        self.conv1_2 = nn.ModuleDict({"conv": nn.Conv1d(width, width, 3)})  # horizontal
        self.conv1_3 = nn.ModuleDict({"conv": nn.Conv1d(width, width, 3)})  # vertical
        self.conv1_4 = nn.ModuleDict({"conv": nn.Conv2d(width, width, 3)})  # angular
        self.conv1_5 = nn.Conv2d(width, width, 3)

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Weight (O, I, 3, 3) and bias (O,) of the one convolution that equals the five."""
        parts: list[Any] = [part["conv"] for part in (self.conv1_1, self.conv1_2, self.conv1_3, self.conv1_4)]
        centre, horizontal, vertical, angular = (part.weight for part in parts)
        middle = F.pad(centre.sum((2, 3), keepdim=True), (1, 1, 1, 1))
        none = torch.zeros_like(horizontal)
        weight = (
            self.conv1_5.weight
            + (centre - middle)
            + torch.stack([horizontal, none, -horizontal], 3)
            + torch.stack([vertical, none, -vertical], 2)
            + (angular - angular.flatten(2)[:, :, _RING].view_as(angular))
        )
        assert self.conv1_5.bias is not None
        return weight, self.conv1_5.bias + sum(part.bias for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, I, H, W) to (B, O, H, W)."""
        weight, bias = self.kernel()
        return F.conv2d(x, weight, bias, padding=1)
