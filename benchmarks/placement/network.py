"""A small dehazing U-Net whose blocks are not alike.

Legend: B batch, H height, W width, C channels.
"""

import torch
from torch import Tensor, nn

#: The candidates, and the ranks at which a LoRA of each costs the same.
RANKS = {"(enc|dec)1": 8, "(enc|dec)2": 4, "bott[12]": 2}
BLOCKS = r"((?:enc|dec|bott)[12])\.conv[12]"
#: Parameters of a LoRA on one block in loralib's form: two convolutions, r k k (C + C) each.
COST = 3456


class Block(nn.Module):
    """``conv2(relu(conv1(x)) + x) + x``, DEA-Net's block with fused kernels (arXiv 2301.04805)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return self.conv2(torch.relu(self.conv1(x)) + x) + x


class HazeUNet(nn.Module):
    """Three levels of 12, 24 and 48 channels, six blocks.

    It predicts a gain and an offset of each pixel: ``J = (I - A (1 - t)) / t`` is one of each.

    Args:
        skips: whether what enters a level is added to what leaves it. With that the deepest blocks hardly
            matter (one at zero costs 0.8 dB), and there is little to find in them.
    """

    def __init__(self, skips: bool = True) -> None:
        super().__init__()
        self.skips = skips
        self.enter = nn.Conv2d(3, 12, 3, padding=1)
        self.enc1 = Block(12)
        self.down1 = nn.Conv2d(12, 24, 3, stride=2, padding=1)
        self.enc2 = Block(24)
        self.down2 = nn.Conv2d(24, 48, 3, stride=2, padding=1)
        self.bott1 = Block(48)
        self.bott2 = Block(48)
        self.up2 = nn.ConvTranspose2d(48, 24, 4, stride=2, padding=1)
        self.dec2 = Block(24)
        self.up1 = nn.ConvTranspose2d(24, 12, 4, stride=2, padding=1)
        self.dec1 = Block(12)
        self.leave = nn.Conv2d(12, 6, 3, padding=1)

    def forward(self, hazy: Tensor) -> Tensor:
        """Hazy pictures (B, 3, H, W) in [0, 1], sides a multiple of 4, to clear ones."""
        first = self.enc1(self.enter(hazy - 0.5))
        second = self.enc2(torch.relu(self.down1(first)))
        third = self.bott2(self.bott1(torch.relu(self.down2(second))))
        deep = torch.relu(self.up2(third))
        deep = torch.relu(self.up1(self.dec2(deep + second if self.skips else deep)))
        gain, offset = self.leave(self.dec1(deep + first if self.skips else deep)).chunk(2, 1)
        return hazy * (1 + gain) + offset
