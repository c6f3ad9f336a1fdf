"""DEA-Net's content-guided attention.

Legend: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn


class ContentGuidedAttention(nn.Module):
    """A weight for each channel of each pixel, in (0, 1) (DEA-Net, TIP 2024, section III-B).

    ``sigmoid(conv([x, s + c]))`` with a spatial weight s and a channel weight c as its coarse guess.

    Args:
        width: C.
        reduction: C by the inner width of the channel weights.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.sa = nn.ModuleDict({"sa": nn.Conv2d(2, 1, 7, padding=3, padding_mode="reflect")})
        inner = nn.Conv2d(width, width // reduction, 1)
        outer = nn.Conv2d(width // reduction, width, 1)
        self.ca = nn.ModuleDict({"ca": nn.Sequential(inner, nn.ReLU(), outer)})
        fine = nn.Conv2d(2 * width, width, 7, padding=3, padding_mode="reflect", groups=width)
        self.pa = nn.ModuleDict({"pa2": fine})

    def attend(self, x: Tensor) -> Tensor:
        """The weights of features (B, C, H, W), same shape; H and W at least 4, for the mirrored edges."""
        spatial = self.sa["sa"](torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))
        channel = self.ca["ca"](x.mean((2, 3), keepdim=True))
        # Each channel beside its own guess: x_0, g_0, x_1, g_1, ...
        pairs = torch.stack([x, spatial + channel], 2).flatten(1, 2)
        return torch.sigmoid(self.pa["pa2"](pairs))
