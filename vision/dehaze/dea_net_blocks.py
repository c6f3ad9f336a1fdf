"""DEA-Net's blocks. Parameter names are those of the released weights.

Legend: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from vision.dehaze.dea_net_attention import ContentGuidedAttention
from vision.dehaze.dea_net_convolution import DetailConvolution


def first_convolution(width: int, reparameterized: bool) -> nn.Module:
    """The first convolution of a block, as five that are trained or as the one that equals them."""
    return nn.Conv2d(width, width, 3, padding=1) if reparameterized else DetailConvolution(width)


class DetailBlock(nn.Module):
    """``x + conv2(x + relu(conv1(x)))``.

    Args:
        width: C.
        reparameterized: whether ``conv1`` is one convolution.
    """

    def __init__(self, width: int, reparameterized: bool) -> None:
        super().__init__()
        self.conv1 = first_convolution(width, reparameterized)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W) to features."""
        return self.conv2(torch.relu(self.conv1(x)) + x) + x


class DetailAttentionBlock(ContentGuidedAttention):
    """``x + a(r) r`` with ``r = conv2(x + relu(conv1(x)))`` and the attention a.

    Args:
        width: C.
        reparameterized: whether ``conv1`` is one convolution.
    """

    def __init__(self, width: int, reparameterized: bool) -> None:
        super().__init__(width, reduction=8)
        self.conv1 = first_convolution(width, reparameterized)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W) to features."""
        inner = self.conv2(torch.relu(self.conv1(x)) + x)
        return inner * self.attend(inner) + x


class AttentionFusion(ContentGuidedAttention):
    """``conv(x + y + p x + (1 - p) y)`` with ``p = sigmoid(a(x + y))``; a ends in a sigmoid of its own.

    Args:
        width: C.
        reduction: of the attention.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__(width, reduction)
        self.conv = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Fuses features of the encoder and of the decoder, each (B, C, H, W)."""
        both = x + y
        share = torch.sigmoid(self.attend(both))
        return self.conv(both + share * x + (1 - share) * y)
